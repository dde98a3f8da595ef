import type { Algorithm } from "../edit/content.ts";
import { UsageError } from "./options.ts";

/** What an option `--compress` asks for. */
export interface Compression {
  readonly algorithm: Algorithm;
  readonly level?: number;
}

/** Highest level, as the mount option `compress` has them; LZO has none. */
const LEVELS: Readonly<Record<string, number>> = { zlib: 9, lzo: 0, zstd: 15 };

/** `zstd`, `zlib:9`. @throws {UsageError} */
export function parseCompression(option: string, text: string): Compression {
  const [, algorithm = "", level] = /^([a-z]+)(?::(\d{1,2}))?$/.exec(text) ?? [];
  const highest = LEVELS[algorithm];
  const number = Number(level ?? 1);
  if (highest === undefined || number < 1 || (level !== undefined && number > highest)) {
    throw new UsageError(`option '${option}' can't be '${text}', expected zlib[:1-9], lzo or zstd[:1-15]`);
  }
  return level === undefined
    ? { algorithm: algorithm as Algorithm }
    : { algorithm: algorithm as Algorithm, level: number };
}
