import type { Handle, RestoreTarget } from "./target.ts";

/** Opens a directory of the target for as long as `act` takes. */
export function within<T>(target: RestoreTarget, path: Uint8Array, act: (directory: Handle) => T): T {
  const handle = target.openDirectory(path);
  try {
    return act(handle);
  } finally {
    target.close(handle);
  }
}
