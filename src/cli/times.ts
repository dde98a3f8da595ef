import { localZone } from "../node/time-zone.ts";

const BILLION = 1_000_000_000n;
/** Seconds that a date of JavaScript reaches, less a day for the offset of a zone. */
const MAX_DATE = 8_640_000_000_000n - 86_400n;

export interface TimeParts {
  readonly sec: bigint;
  readonly nsec: number;
}

/** @param time Nanoseconds since 1970. */
export function timeParts(time: bigint): TimeParts {
  const nsec = ((time % BILLION) + BILLION) % BILLION;
  return { sec: (time - nsec) / BILLION, nsec: Number(nsec) };
}

const zone = localZone();

/** `2024-05-01 12:00:00.123456789 +0200`, in local time; what no calendar reaches as `@` and seconds. */
export function formatTime(time: bigint): string {
  const { sec, nsec } = timeParts(time);
  const fraction = String(nsec).padStart(9, "0");
  if (sec > MAX_DATE || sec < -MAX_DATE) return `@${sec}.${fraction}`;
  const { offset } = zone(Number(sec));
  const minutes = Math.trunc(Math.abs(offset) / 60);
  const digits = (value: number) => String(value).padStart(2, "0");
  const shift = `${offset < 0 ? "-" : "+"}${digits(Math.trunc(minutes / 60))}${digits(minutes % 60)}`;
  return `${dateText(sec, offset)}.${fraction} ${shift}`;
}

/** `2024-05-01 12:00`. */
export function formatMinute(time: bigint): string {
  const { sec } = timeParts(time);
  if (sec > MAX_DATE || sec < -MAX_DATE) return `@${sec}`;
  return dateText(sec, zone(Number(sec)).offset).slice(0, -3);
}

function dateText(sec: bigint, offset: number): string {
  return new Date((Number(sec) + offset) * 1000).toISOString().slice(0, -5).replace("T", " ");
}
