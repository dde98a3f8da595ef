import { BtrfsError } from "../errors.ts";
import { checkBounds } from "./bounds.ts";
import type { ByteSource } from "./source.ts";

/** A `Blob` or `File`, as browsers hand them out: read piece by piece, never as a whole. */
export class BlobDevice implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #blob: Blob;

  constructor(blob: Blob, name?: string) {
    this.#blob = blob;
    this.size = blob.size;
    this.name = name ?? ("name" in blob && typeof blob.name === "string" ? blob.name : "blob");
  }

  async read(at: number, target: Uint8Array, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkBounds(this, at, target.byteLength);
    options.signal?.throwIfAborted();
    const piece = this.#blob.slice(at, at + target.byteLength);
    const data = new Uint8Array(
      await piece.arrayBuffer().catch((cause: unknown) => {
        throw new BtrfsError("io", "Cannot read: the file cannot be read, or changed since it was opened", {
          where: { file: this.name, physical: at },
          cause,
        });
      }),
    );
    if (data.byteLength !== target.byteLength) {
      throw new BtrfsError("truncated", `Cannot read: ${data.byteLength} bytes came, ${target.byteLength} were asked`, {
        where: { file: this.name, physical: at },
      });
    }
    target.set(data);
  }
}
