import type { DeviceFile } from "../device/source.ts";
import type { ReadDevice } from "../restore/file-writer.ts";
import type { Volume } from "../volume/volume.ts";
import { addressBook } from "./addresses.ts";
import { loadSyscall } from "./native.ts";
import { SYSCALLS } from "./numbers.ts";

/** Open files of devices, by device id. Descriptors are good for all threads of a process. */
export type DeviceFiles = ReadonlyMap<number, DeviceFile>;

/** `undefined` where a device is no open file. Missing devices are left out. */
export function deviceFilesOf({ devices }: Volume): DeviceFiles | undefined {
  const files = new Map<number, DeviceFile>();
  for (const [devid, { source }] of devices) {
    if (source === undefined) continue;
    if (source.file === undefined) return undefined;
    files.set(devid, source.file);
  }
  return files;
}

/** Reads straight from the kernel. @throws {UnsupportedError} where it can't be called. */
export function loadDeviceReads(files: DeviceFiles): ReadDevice {
  const number = SYSCALLS[process.arch]!.pread64;
  const pread = loadSyscall("intptr_t", "intptr_t", "intptr_t", "intptr_t");
  const addressOf = addressBook();
  return (devid, physical, target, byteLength) => {
    const file = files.get(devid);
    if (file === undefined) return false;
    return (
      pread(number, file.descriptor, addressOf(target, 0, byteLength), byteLength, file.start + physical) === byteLength
    );
  };
}
