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
const COLON = 58;

/** A power of two: three years of files, before a date is made twice. */
const CACHED_DAYS = 1024;

const encoder = new TextEncoder();
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

/** Writes times as `2024-05-01T12:00:00+0200`: dates and the last stretch of the zone are remembered. */
export class LocalTime {
  readonly #zone: TimeZone;
  #span: ZoneSpan = { from: 0, until: 0, offset: 0 };
  /** `+0200`, for the offset of the stretch. */
  #offset = encoder.encode(offsetText(0));
  /** Days, and `2024-05-01T` for each, by the low bits of the day. */
  readonly #days = new Float64Array(CACHED_DAYS).fill(Number.NaN);
  readonly #dates: Uint8Array[] = new Array(CACHED_DAYS).fill(new Uint8Array(0));

  constructor(zone: TimeZone) {
    this.#zone = zone;
  }

  /** Whether the C library could show the signed 64-bit seconds at `view[at]`: the year must fit an int. */
  canShow(view: DataView, at: number): boolean {
    return isNear(view.getInt32(at + 4, true)) || this.#far(view.getBigInt64(at, true)) !== undefined;
  }

  /** Writes the signed 64-bit seconds at `view[at]`, which can be shown. */
  put(out: LineBuffer, view: DataView, at: number): void {
    const high = view.getInt32(at + 4, true);
    if (!isNear(high)) {
      out.ascii(this.#far(view.getBigInt64(at, true)) ?? "");
      return;
    }
    const seconds = high * TWO_32 + view.getUint32(at, true);
    if (!(seconds >= this.#span.from && seconds < this.#span.until)) {
      this.#span = this.#zone(seconds);
      this.#offset = encoder.encode(offsetText(this.#span.offset));
    }
    const local = seconds + this.#span.offset;
    const day = Math.floor(local / DAY);
    const place = day & (CACHED_DAYS - 1);
    if (day !== this.#days[place]) {
      const { year, month, day: dayOfMonth } = dateOf(day);
      this.#dates[place] = encoder.encode(dateText(year, month, dayOfMonth));
      this.#days[place] = day;
    }
    const second = local - day * DAY;
    const minute = (second / 60) | 0;
    const hour = (minute / 60) | 0;
    out.text(this.#dates[place]!);
    out.pair(hour);
    out.byte(COLON);
    out.pair(minute - hour * 60);
    out.byte(COLON);
    out.pair(second - minute * 60);
    out.text(this.#offset);
  }

  /** Far away: the same second of an era that numbers hold exactly. */
  #far(seconds: bigint): string | undefined {
    const eras = seconds / SECONDS_OF_400_YEARS - (seconds < 0n ? 1n : 0n);
    const inEra = Number(seconds - eras * SECONDS_OF_400_YEARS);
    // Before its first change a zone has one offset, and after its last its rules repeat every 400 years.
    const near = seconds < 0n ? Number.MIN_SAFE_INTEGER : inEra + 10 * Number(SECONDS_OF_400_YEARS);
    const { offset } = this.#zone(near);
    const { year, month, day } = dateOf(Math.floor((inEra + offset) / DAY));
    const whole = year + Number(eras) * 400;
    if (whole < MIN_YEAR || whole > MAX_YEAR) return undefined;
    const ofDay = new Date((inEra + offset) * 1000).toISOString().slice(11, 19);
    // The C library adds 1900 to an int, which wraps around.
    return dateText(whole | 0, month, day) + ofDay + offsetText(offset);
  }
}

const two = (value: number): string => String(value).padStart(2, "0");

function isNear(high: number): boolean {
  return high < MAX_HIGH && high >= -MAX_HIGH;
}

function dateText(year: number, month: number, day: number): string {
  return `${year}-${two(month)}-${two(day)}T`;
}

function offsetText(offset: number): string {
  const minutes = Math.floor(Math.abs(offset) / 60);
  return `${offset < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}${two(minutes % 60)}`;
}
