import * as fs from "node:fs";
import { BtrfsError, UnsupportedError } from "../errors.ts";
import type { TreeSource } from "../mkfs/source.ts";
import { hostError } from "../node/host-error.ts";
import { NodeTreeSource } from "../node/tree-source.ts";
import { loadNative } from "./native.ts";
import { LinuxTreeSource } from "./tree-source.ts";

/** A directory of this host to make a filesystem of. Descriptors are shared by all threads of a process. */
export interface SourceHost {
  readonly path: string;
  /** `undefined` where only Node's own calls are to be had. */
  readonly descriptor: number | undefined;
  readonly withXattrs: boolean;
}

/**
 * Opens a directory to make a filesystem of.
 *
 * @param withXattrs Extended attributes, and with them ACLs and capabilities. Without the kernel's calls they can't be read.
 * @throws {BtrfsError} `unsupported` when they should be read and can't be; `kind` for what is no directory; `missing`, `permission`.
 */
export function openSourceHost(path: string, withXattrs: boolean): SourceHost {
  try {
    if (!fs.statSync(path).isDirectory()) {
      throw new BtrfsError("kind", "Cannot read files: it is no directory", { where: { file: path } });
    }
    loadNative();
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw hostError(error, "open", path);
    if (!withXattrs) return { path, descriptor: undefined, withXattrs };
    const sentence = "Cannot read files: extended attributes, ACLs and capabilities can't be read on this host";
    throw new UnsupportedError(sentence, { file: path }, error);
  }
  try {
    return { path, descriptor: fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY), withXattrs };
  } catch (error) {
    throw hostError(error, "open", path);
  }
}

export function closeSourceHost({ descriptor }: SourceHost): void {
  if (descriptor !== undefined) fs.closeSync(descriptor);
}

export function treeSourceOf({ path, descriptor, withXattrs }: SourceHost): TreeSource {
  if (descriptor === undefined) return new NodeTreeSource(path);
  return new LinuxTreeSource(loadNative(), descriptor, withXattrs);
}
