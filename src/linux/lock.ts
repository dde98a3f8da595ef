import { spawnSync } from "node:child_process";
import { UnsupportedError } from "../errors.ts";
import { flock } from "./file.ts";
import { loadNative, type Native } from "./native.ts";

/** What flock(1) is told to exit with when somebody else has the lock: `EX_TEMPFAIL` of `sysexits.h`. */
const TAKEN = 75;

/**
 * Takes the advisory lock of an open file for this process alone, without waiting. It is given up when the file is closed,
 * also by the end of the process. Where the kernel can't be called, flock(1) of util-linux or busybox takes the same lock.
 *
 * @returns False when somebody else has it, `undefined` where there is no way to take it.
 * @throws {KernelError} what else the kernel refused.
 */
export function lockFile(fd: number): boolean | undefined {
  const native = attemptNative();
  if (native !== undefined) return flock(native, fd, "exclusive");
  return lockByCommand(fd);
}

/** The child's descriptor 3 is the same open file as ours, which the lock belongs to: it stays when the child has ended. */
export function lockByCommand(fd: number): boolean | undefined {
  const { status } = spawnSync("flock", ["-n", "-E", `${TAKEN}`, "3"], { stdio: ["ignore", "ignore", "ignore", fd] });
  if (status === 0) return true;
  // busybox has no -E: it refuses the option, and says 1 for a lock that is taken.
  if (status === TAKEN) return false;
  const plain = spawnSync("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", fd] });
  return plain.status === 0 ? true : plain.status === 1 ? false : undefined;
}

function attemptNative(): Native | undefined {
  try {
    return loadNative();
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined;
    throw error;
  }
}
