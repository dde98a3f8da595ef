import type { LineBuffer } from "./line-buffer.ts";

/** A stretch of time in which local time has one offset from UTC. */
export interface ZoneSpan {
  /** First second of the stretch and the first after it, in seconds since 1970; may be infinite. */
  readonly from: number;
  readonly until: number;
  /** Local time minus UTC, in seconds. */
  readonly offset: number;
}

/** A time zone: the stretch around any second since 1970. */
export type TimeZone = (seconds: number) => ZoneSpan;

export const UTC: TimeZone = () => ({ from: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY, offset: 0 });

const DAY = 86400;
const DAYS_OF_400_YEARS = 146097;
const SECONDS_OF_400_YEARS = BigInt(DAYS_OF_400_YEARS * DAY);
const TWO_32 = 0x1_0000_0000;

/** Seconds whose high word is beyond this are handled apart: with an offset added they might not be exact. */
const MAX_HIGH = 0x10_0000;

/** The years that the C library's `struct tm` holds, as an int that counts from 1900. */
const MIN_YEAR = -(2 ** 31) + 1900;
const MAX_YEAR = 2 ** 31 - 1 + 1900;

/** Proleptic Gregorian date of a day, counted from 1970-01-01. */
function dateOf(day: number): { year: number; month: number; day: number } {
  // Years that begin in March have their leap day at the end; eras of 400 years are all alike.
  const shifted = day + 719468;
  const era = Math.floor(shifted / DAYS_OF_400_YEARS);
  const ofEra = shifted - era * DAYS_OF_400_YEARS;
  const yearOfEra = Math.floor(
    (ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36524) - Math.floor(ofEra / 146096)) / 365,
  );
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * ofYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return {
    year: era * 400 + yearOfEra + (month <= 2 ? 1 : 0),
    month,
    day: ofYear - Math.floor((153 * marchMonth + 2) / 5) + 1,
  };
}

/** Writes times as `2024-05-01T12:00:00+0200`: the last day and the last stretch of the zone are remembered. */
export class LocalTime {
  readonly #zone: TimeZone;
  #span: ZoneSpan = { from: 0, until: 0, offset: 0 };
  #day = Number.NaN;
  #date = "";

  constructor(zone: TimeZone) {
    this.#zone = zone;
  }

  /** Writes the signed 64-bit seconds at `view[at]`. False when the C library could not: the year doesn't fit an int. */
  put(out: LineBuffer, view: DataView, at: number): boolean {
    const high = view.getInt32(at + 4, true);
    if (high >= MAX_HIGH || high < -MAX_HIGH) return this.#putFar(out, view.getBigInt64(at, true));
    const seconds = high * TWO_32 + view.getUint32(at, true);
    if (!(seconds >= this.#span.from && seconds < this.#span.until)) this.#span = this.#zone(seconds);
    const { offset } = this.#span;
    const local = seconds + offset;
    const day = Math.floor(local / DAY);
    return this.#putDay(out, day, local - day * DAY, offset, 0);
  }

  /** Far away: the same second of an era that numbers hold exactly. */
  #putFar(out: LineBuffer, seconds: bigint): boolean {
    const eras = seconds / SECONDS_OF_400_YEARS - (seconds < 0n ? 1n : 0n);
    const inEra = Number(seconds - eras * SECONDS_OF_400_YEARS);
    // Before its first change a zone has one offset, and after its last its rules repeat every 400 years.
    const near = seconds < 0n ? Number.MIN_SAFE_INTEGER : inEra + 10 * Number(SECONDS_OF_400_YEARS);
    const { offset } = this.#zone(near);
    const local = inEra + offset;
    const day = Math.floor(local / DAY);
    return this.#putDay(out, day, local - day * DAY, offset, Number(eras) * 400);
  }

  #putDay(out: LineBuffer, day: number, second: number, offset: number, moreYears: number): boolean {
    if (day !== this.#day || moreYears !== 0) {
      const { year, month, day: dayOfMonth } = dateOf(day);
      const whole = year + moreYears;
      if (whole < MIN_YEAR || whole > MAX_YEAR) return false;
      // The C library adds 1900 to an int, which wraps around.
      this.#date = `${whole | 0}-${String(month).padStart(2, "0")}-${String(dayOfMonth).padStart(2, "0")}T`;
      this.#day = moreYears === 0 ? day : Number.NaN;
    }
    const hour = Math.floor(second / 3600);
    const minute = Math.floor(second / 60) - hour * 60;
    out.ascii(this.#date);
    out.digits(hour, 2);
    out.byte(58);
    out.digits(minute, 2);
    out.byte(58);
    out.digits(second - hour * 3600 - minute * 60, 2);
    out.byte(offset < 0 ? 45 : 43);
    const minutes = Math.floor(Math.abs(offset) / 60);
    out.digits(Math.floor(minutes / 60), 2);
    out.digits(minutes % 60, 2);
    return true;
  }
}
