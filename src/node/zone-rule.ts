import type { TimeZone, ZoneSpan } from "../receive/local-time.ts";

const DAY = 86400;

/** What a rule without dates means, in all years: those of the United States since 2007. */
const USUAL_DATES = "M3.2.0,M11.1.0";

/** A day of the year, and the second of that day in local time, at which the offset changes. */
interface Change {
  readonly dayOf: (year: number) => number;
  readonly second: number;
}

/** A zone as POSIX writes it: `CET-1CEST,M3.5.0,M10.5.0/3`. `undefined` unless it is one. */
export function parseZoneRule(text: string): TimeZone | undefined {
  const name = "(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)";
  const offset = "[+-]?\\d{1,3}(?::\\d{1,2}(?::\\d{1,2})?)?";
  const found = new RegExp(`^${name}(${offset})(?:${name}(${offset})?(?:,(.*))?)?$`).exec(text);
  if (found === null) return undefined;
  const standard = -secondsOf(found[1]!);
  const hasSummer = new RegExp(`^${name}${offset}${name}`).test(text);
  if (!hasSummer) return () => ({ from: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY, offset: standard });
  const summer = found[2] === undefined ? standard + 3600 : -secondsOf(found[2]);
  const changes = (found[3] ?? USUAL_DATES).split(",").map(parseChange);
  const [begin, end] = changes;
  if (changes.length !== 2 || begin === undefined || end === undefined) return undefined;
  return (seconds) => spanAt(seconds, standard, summer, begin, end);
}

/** As the C library does it: by the changes of the year in UTC, and for all time before 1970 by those of 1970. */
function spanAt(seconds: number, standard: number, summer: number, begin: Change, end: Change): ZoneSpan {
  const year = Math.max(yearOf(seconds), 1970);
  const toSummer = (firstDay(year) + begin.dayOf(year)) * DAY + begin.second - standard;
  const toStandard = (firstDay(year) + end.dayOf(year)) * DAY + end.second - summer;
  const inSummer =
    toSummer > toStandard ? seconds < toStandard || seconds >= toSummer : seconds >= toSummer && seconds < toStandard;
  const firstSecond = year === 1970 ? Number.NEGATIVE_INFINITY : firstDay(year) * DAY;
  const edges = [firstSecond, toSummer, toStandard, firstDay(year + 1) * DAY];
  return {
    from: Math.max(...edges.filter((edge) => edge <= seconds)),
    until: Math.min(...edges.filter((edge) => edge > seconds)),
    offset: inSummer ? summer : standard,
  };
}

function parseChange(text: string): Change | undefined {
  const found = /^(?:J(\d{1,3})|(\d{1,3})|M(\d{1,2})\.([1-5])\.([0-6]))(?:\/([+-]?\d{1,3}(?::\d{1,2}){0,2}))?$/.exec(
    text,
  );
  if (found === null) return undefined;
  const [, julian, zeroBased, month, week, weekday, time] = found;
  const second = time === undefined ? 7200 : secondsOf(time);
  if (julian !== undefined) {
    // 29 February is never counted.
    return { dayOf: (year) => Number(julian) - 1 + (isLeap(year) && Number(julian) >= 60 ? 1 : 0), second };
  }
  if (zeroBased !== undefined) return { dayOf: () => Number(zeroBased), second };
  if (Number(month) < 1 || Number(month) > 12) return undefined;
  return { dayOf: (year) => weekdayOf(year, Number(month), Number(week), Number(weekday)), second };
}

/** The day of the year of, for week 2, the second such weekday of the month; week 5 is the last. */
function weekdayOf(year: number, month: number, week: number, weekday: number): number {
  const first = dayOfYear(year, month);
  const firstWeekday = modulo(firstDay(year) + first + 4, 7);
  let day = modulo(weekday - firstWeekday, 7) + (week - 1) * 7;
  const length = dayOfYear(year, month + 1) - first;
  while (day >= length) day -= 7;
  return first + day;
}

/** Days from 1970-01-01 to the first of January. */
function firstDay(year: number): number {
  const before = year - 1;
  return before * 365 + Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400) - 719162;
}

const MONTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Days from the first of January to the first of the month, from 1; 13 gives the length of the year. */
function dayOfYear(year: number, month: number): number {
  let days = 0;
  for (let before = 1; before < month; before++) days += MONTHS[before - 1]! + (before === 2 && isLeap(year) ? 1 : 0);
  return days;
}

function yearOf(seconds: number): number {
  const days = Math.floor(seconds / DAY);
  let year = 1970 + Math.floor(days / 365.2425);
  while (firstDay(year) > days) year--;
  while (firstDay(year + 1) <= days) year++;
  return year;
}

function isLeap(year: number): boolean {
  return modulo(year, 4) === 0 && (modulo(year, 100) !== 0 || modulo(year, 400) === 0);
}

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}

/** `-3:30:15` */
function secondsOf(text: string): number {
  const [hours, minutes = "0", seconds = "0"] = text.replace(/^[+-]/, "").split(":");
  const value = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return text.startsWith("-") ? -value : value;
}
