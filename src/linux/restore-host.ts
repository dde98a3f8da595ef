import * as fs from "node:fs";
import { hostError } from "../node/host-error.ts";
import { NodeRestoreTarget } from "../node/restore-target.ts";
import type { RestoreTarget } from "../restore/target.ts";
import { loadNative, type Native } from "./native.ts";
import { LinuxRestoreTarget } from "./restore-target.ts";

/** An open directory of this host. Descriptors are shared by all threads of a process. */
export interface RestoreHost {
  readonly path: string;
  /** `undefined` where only Node's own calls are to be had. */
  readonly descriptor: number | undefined;
}

/** Opens the directory to restore into: with all that Linux can hold where the kernel can be called, else by Node's means. */
export function openRestoreHost(path: string): RestoreHost {
  try {
    const flags = fs.constants.O_RDONLY | (fs.constants.O_DIRECTORY ?? 0);
    const descriptor = findNative() === undefined ? undefined : fs.openSync(path, flags);
    return { path, descriptor };
  } catch (error) {
    throw hostError(error, "open", path);
  }
}

export function closeRestoreHost({ descriptor }: RestoreHost): void {
  if (descriptor !== undefined) fs.closeSync(descriptor);
}

export function restoreTargetOf({ path, descriptor }: RestoreHost): RestoreTarget {
  return descriptor === undefined ? new NodeRestoreTarget(path) : new LinuxRestoreTarget(loadNative(), descriptor);
}

function findNative(): Native | undefined {
  try {
    return loadNative();
  } catch {
    return undefined;
  }
}
