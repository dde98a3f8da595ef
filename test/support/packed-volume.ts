import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { checkBounds } from "../../src/device/bounds.ts";
import type { ByteSource } from "../../src/device/source.ts";

/** A device that is mostly zeros, and counts what is read from it. */
export class SparseDevice implements ByteSource {
  readonly name: string;
  readonly size: number;
  reads = 0;
  bytesRead = 0;
  readonly #pieces: readonly { readonly at: number; readonly data: Uint8Array }[];

  constructor(name: string, size: number, pieces: readonly { readonly at: number; readonly data: Uint8Array }[]) {
    this.name = name;
    this.size = size;
    this.#pieces = pieces;
  }

  async read(at: number, target: Uint8Array): Promise<void> {
    this.fill(at, target);
  }

  protected fill(at: number, target: Uint8Array): void {
    checkBounds(this, at, target.byteLength);
    this.reads++;
    this.bytesRead += target.byteLength;
    target.fill(0);
    for (const piece of this.#pieces) {
      const from = Math.max(at, piece.at);
      const to = Math.min(at + target.byteLength, piece.at + piece.data.byteLength);
      if (from < to) target.set(piece.data.subarray(from - piece.at, to - piece.at), from - at);
    }
  }
}

/** One that can be read without waiting, as a file can. */
class PromptDevice extends SparseDevice {
  readSync(at: number, target: Uint8Array): void {
    this.fill(at, target);
  }
}

/** As `packedVolume`, of devices that can be read without waiting. */
export function promptVolume(name: string, folder = "volumes"): SparseDevice[] {
  return packedVolume(name, folder, PromptDevice);
}

/** The devices of one filesystem of test/fixtures/volumes: see make-volumes.py there. @param folder Beside `volumes`. */
export function packedVolume(name: string, folder = "volumes", Device = SparseDevice): SparseDevice[] {
  const packed = gunzipSync(readFileSync(resolve(import.meta.dirname, `../fixtures/${folder}/${name}.gz`)));
  const number = (at: number): number => Number(packed.readBigUInt64LE(at));
  const devices: SparseDevice[] = [];
  for (let at = 0; at < packed.byteLength; ) {
    const size = number(at);
    const count = number(at + 8);
    at += 16;
    const pieces: { at: number; data: Uint8Array }[] = [];
    for (let index = 0; index < count; index++) {
      const length = number(at + 8);
      pieces.push({ at: number(at), data: packed.subarray(at + 16, at + 16 + length) });
      at += 16 + length;
    }
    devices.push(new Device(`${name}-${devices.length + 1}`, size, pieces));
  }
  return devices;
}

/** What make-volumes.py wrote to a file. */
export function packedContent(name: string, length: number): Uint8Array {
  let text = "";
  for (let line = 0; text.length < length; line++) text += `${name} ${line}${".".repeat(200)}\n`;
  return new TextEncoder().encode(text.slice(0, length));
}
