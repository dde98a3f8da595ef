import { type CallContext, check, type Name } from "./call.ts";
import type { Native } from "./native.ts";
import type { Request } from "./requests.ts";

/** What an ioctl's error should say. */
export interface IoctlContext {
  readonly act: string;
  readonly name?: Name | undefined;
  readonly help?: Readonly<Record<string, string>> | undefined;
}

/**
 * Calls an ioctl.
 *
 * @param args The argument struct, read and filled in place, or a number.
 * @param hold Memory that the struct points to.
 * @throws {KernelError}
 */
export function ioctl(
  native: Native,
  fd: number,
  request: Request,
  args: Uint8Array | number,
  context: IoctlContext,
  hold?: unknown,
): number {
  const result = native.call("ioctl", [fd, request.number, args], hold);
  return result >= 0 ? result : check(native, result, request.name, describe(fd, request, context));
}

/** As `ioctl`, on another thread. */
export async function ioctlAsync(
  native: Native,
  fd: number,
  request: Request,
  args: Uint8Array | number,
  context: IoctlContext,
  hold?: unknown,
): Promise<number> {
  const result = await native.callAsync("ioctl", [fd, request.number, args], hold);
  return check(native, result, request.name, describe(fd, request, context));
}

/** The context of an error, with what the request itself knows. */
export function describe(fd: number, request: Request, context: IoctlContext): CallContext {
  const version = request.since === undefined ? "" : `, and Linux ${request.since} or later`;
  return {
    act: context.act,
    fd,
    name: context.name,
    help: {
      ...(request.root ? { EPERM: "this needs root (CAP_SYS_ADMIN)" } : {}),
      ENOTTY: `this needs btrfs${version}`,
      EOPNOTSUPP: `this needs btrfs${version}`,
      ...context.help,
    },
  };
}

/** The bytes of a struct that `newStruct` made. */
export function bytesOf({ view }: { view: DataView }): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
