import { BtrfsError } from "../errors.ts";
import type { Volume } from "../volume/volume.ts";

/** Reads data from the first of its copies, at once where the devices can. */
export class FirstCopy {
  readonly #volume: Volume;

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  /**
   * Fills `target`, verified.
   *
   * @returns False when it is not good, or that can't be told: the volume may know better. A promise where checksums have
   *   to be read first: nothing has been read then.
   */
  readNow(logical: number, target: Uint8Array): boolean | Promise<unknown> {
    const { sectorSize } = this.#volume;
    if (logical % sectorSize !== 0 || target.byteLength % sectorSize !== 0) return false;
    try {
      const checksums = this.#volume.readChecksums(logical, target.byteLength);
      if (checksums instanceof Promise) return checksums;
      return checksums.present === undefined && this.#readChecked(logical, target, checksums.values);
    } catch (error) {
      return falseOnFailure(error);
    }
  }

  /** As `readNow`, and waits for the checksums. */
  async read(logical: number, target: Uint8Array): Promise<boolean> {
    try {
      const { values, present } = await this.#volume.readChecksums(logical, target.byteLength);
      return present === undefined && this.#readChecked(logical, target, values);
    } catch (error) {
      return falseOnFailure(error);
    }
  }

  #readChecked(logical: number, target: Uint8Array, expected: Uint8Array): boolean {
    for (let at = 0; at < target.byteLength; ) {
      const length = Math.min(this.#volume.contiguousAt(logical + at), target.byteLength - at);
      const mirror = this.#volume.copiesOf(logical + at, length)[0];
      const source = mirror?.kind === "stored" ? this.#volume.devices.get(mirror.devid)?.source : undefined;
      if (source?.readSync === undefined) return false;
      const isWhole = length === target.byteLength;
      source.readSync(mirror!.physical, isWhole ? target : target.subarray(at, at + length));
      at += length;
    }
    return this.#volume.checksum.findBadSector(target, this.#volume.sectorSize, expected) === -1;
  }
}

function falseOnFailure(error: unknown): false {
  if (error instanceof BtrfsError) return false;
  throw error;
}
