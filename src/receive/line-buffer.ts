const ZERO = 48;
const LETTER_A = 97;
const encoder = new TextEncoder();

/** How the bytes of a name are shown: as they are, or as a backslash and these bytes. */
const ESCAPES: readonly (Uint8Array | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  const letter = "abtnvfr".charAt(byte - 7);
  if (byte >= 7 && byte <= 13) return encoder.encode(`\\${letter}`);
  if (byte === 27) return encoder.encode("\\e");
  if (byte === 32 || byte === 92) return Uint8Array.of(92, byte);
  if (byte > 32 && byte < 127) return undefined;
  return encoder.encode(`\\${byte.toString(8).padStart(3, "0")}`);
});

/** By byte: 0 stands for itself, 1 is escaped, 2 is the NUL that ends a string of C. */
const KINDS = Uint8Array.from(ESCAPES, (shown, byte) => (shown === undefined ? 0 : byte === 0 ? 2 : 1));
const NUL = 2;

/** `00` to `99` in a row. */
const PAIRS = encoder.encode(Array.from({ length: 100 }, (_, value) => String(value).padStart(2, "0")).join(""));

/** Text as bytes, put together without a string on the way. The caller sees to it that there is room. */
export class LineBuffer {
  readonly bytes: Uint8Array;
  /** Where the next byte goes. */
  at = 0;

  /** How often it was cleared: what was put before is gone. */
  clears = 0;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
  }

  clear(): void {
    this.at = 0;
    this.clears++;
  }

  byte(value: number): void {
    this.bytes[this.at++] = value;
  }

  /** Short constant text: a loop is quicker than `set` there. */
  text(text: Uint8Array): void {
    const { bytes } = this;
    let at = this.at;
    for (let i = 0; i < text.length; i++) bytes[at++] = text[i]!;
    this.at = at;
  }

  /** What stands at `[start, end)` once more. */
  again(start: number, end: number): void {
    this.bytes.copyWithin(this.at, start, end);
    this.at += end - start;
  }

  /** `from[start, end)` as it is. */
  raw(from: Uint8Array, start: number, end: number): void {
    const { bytes } = this;
    let at = this.at;
    for (let i = start; i < end; i++) bytes[at++] = from[i]!;
    this.at = at;
  }

  /**
   * `from[start, end)` with everything but plain ASCII escaped, up to a NUL. At most four times as long.
   *
   * @returns Where it stopped: at the first NUL, or at `end`.
   */
  escaped(from: Uint8Array, start: number, end: number): number {
    const { bytes } = this;
    let at = this.at;
    let i = start;
    for (; i < end; i++) {
      const byte = from[i]!;
      const kind = KINDS[byte]!;
      if (kind === 0) {
        bytes[at++] = byte;
        continue;
      }
      if (kind === NUL) break;
      const shown = ESCAPES[byte]!;
      for (let j = 0; j < shown.length; j++) bytes[at++] = shown[j]!;
    }
    this.at = at;
    return i;
  }

  /** Spaces up to `column`, counted from `start`, and at least one. */
  pad(start: number, column: number): void {
    const { bytes } = this;
    let at = this.at;
    do bytes[at++] = 32;
    while (at < start + column);
    this.at = at;
  }

  /** The u64 at `view[at]`, decimal. */
  u64(view: DataView, at: number): void {
    const high = view.getUint32(at + 4, true);
    if (high === 0) this.u32(view.getUint32(at, true));
    else if (high < 0x20_0000) this.number(high * 0x1_0000_0000 + view.getUint32(at, true));
    else this.ascii(view.getBigUint64(at, true).toString());
  }

  /** The u64 at `view[at]`, octal or hexadecimal. */
  u64Radix(view: DataView, at: number, radix: 8 | 16): void {
    const high = view.getUint32(at + 4, true);
    const value = view.getUint32(at, true);
    if (high !== 0) {
      this.ascii(view.getBigUint64(at, true).toString(radix));
      return;
    }
    const bits = radix === 8 ? 3 : 4;
    let digits = 1;
    for (let rest = value >>> bits; rest !== 0; rest >>>= bits) digits++;
    let place = this.at + digits;
    this.at = place;
    for (let rest = value; place > this.at - digits; rest >>>= bits) {
      const digit = rest & (radix - 1);
      this.bytes[--place] = digit < 10 ? ZERO + digit : LETTER_A - 10 + digit;
    }
  }

  /** A whole number from 0 to 2^53 - 1. */
  number(value: number): void {
    if (value < 0x1_0000_0000) {
      this.u32(value);
      return;
    }
    const high = Math.floor(value / 1e9);
    this.number(high);
    this.digits(value - high * 1e9, 9);
  }

  u32(value: number): void {
    let digits = 1;
    for (let limit = 10; digits < 10 && value >= limit; limit *= 10) digits++;
    this.digits(value, digits);
  }

  /** The last `count` decimal digits of a number below 2^32, with leading zeros. */
  digits(value: number, count: number): void {
    const { bytes } = this;
    const start = this.at;
    let place = start + count;
    let rest = value;
    this.at = place;
    while (place - start >= 2) {
      const hundredth = Math.floor(rest / 100);
      const pair = (rest - hundredth * 100) * 2;
      bytes[--place] = PAIRS[pair + 1]!;
      bytes[--place] = PAIRS[pair]!;
      rest = hundredth;
    }
    if (place > start) bytes[start] = ZERO + (rest % 10);
  }

  /** A number from 0 to 99 as two digits. */
  pair(value: number): void {
    this.bytes[this.at++] = PAIRS[value * 2]!;
    this.bytes[this.at++] = PAIRS[value * 2 + 1]!;
  }

  /** Text of characters below 128, off the hot path. */
  ascii(text: string): void {
    for (let i = 0; i < text.length; i++) this.bytes[this.at++] = text.charCodeAt(i);
  }
}
