import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS } from "../stream/commands.ts";

const DATA = ATTRIBUTES.data.number;
const OTIME = ATTRIBUTES.otime.number;
const WRITE = COMMANDS.write.number;
const UTIMES = COMMANDS.utimes.number;
const FIRST_OF_TWO = COMMANDS.fallocate.number;

/**
 * Nothing covers the version of a segment with a checksum. Where it says 2 of a stream of version 1, the length in front of DATA
 * becomes its first two bytes: every command is sound, and every byte that is written is wrong.
 *
 * One write may begin so by chance. All of them do not, in a segment that has nothing else of version 2: its kernels write OTIME.
 */
export class CountedData {
  #counted = 0;
  #isTwo = true;

  begin(version: number): void {
    this.#counted = 0;
    this.#isTwo = version !== 2;
  }

  note(batch: CommandBatch, i: number): void {
    if (this.#isTwo) return;
    const type = batch.type(i);
    if (type >= FIRST_OF_TWO || (type === UTIMES && batch.has(i, OTIME))) this.#isTwo = true;
    if (type !== WRITE) return;
    const slot = batch.find(i, DATA);
    const length = batch.valueLength(slot);
    if (length >= 2 && batch.view.getUint16(batch.valueAt(slot), true) === length - 2) this.#counted++;
    else this.#isTwo = true;
  }

  /** Whether the segment is most probably one of version 1. */
  get isOne(): boolean {
    return !this.#isTwo && this.#counted > 0;
  }
}
