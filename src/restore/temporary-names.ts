const DIGITS = 15;
const ZERO = 0x30;

/** What files are called until they are complete: one name after the other, in the same bytes. */
export class TemporaryNames {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #prefixBytes: number;
  #count = 0;

  /** @param token Nobody else writes into the target with the same. */
  constructor(token: string) {
    const prefix = new TextEncoder().encode(`.btrkit-${token}-`);
    this.#prefixBytes = prefix.byteLength;
    this.#bytes = new Uint8Array(new ArrayBuffer(prefix.byteLength + DIGITS + 1));
    this.#bytes.set(prefix);
  }

  /** With a NUL behind it. Good until the next one. */
  next(): Uint8Array {
    let end = this.#prefixBytes;
    for (let left = this.#count++; end === this.#prefixBytes || left > 0; left = Math.floor(left / 10)) {
      this.#bytes[end++] = ZERO + (left % 10);
    }
    this.#bytes[end] = 0;
    return this.#bytes;
  }
}
