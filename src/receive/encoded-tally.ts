/** What became of the encoded writes of a stream. */
export class EncodedTally {
  /** Stored as they came. */
  carried = 0;
  /** Decoded and written, by the reason in a few words. */
  readonly decoded = new Map<string, number>();

  decode(reason: string, count = 1): void {
    this.decoded.set(reason, (this.decoded.get(reason) ?? 0) + count);
  }
}
