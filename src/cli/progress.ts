import { writeSync } from "node:fs";
import { UsageError } from "./options.ts";
import { stderrIsTerminal } from "./output.ts";
import { formatBytes, formatSeconds } from "./sizes.ts";

const STDERR = 2;
const INTERVAL_MS = 200;

export type ProgressMode = "off" | "line" | "lines" | "json";

/** `--progress`, `--progress=json`, or neither: then progress is for terminals. */
export function progressMode(given: string | undefined): ProgressMode {
  if (given === undefined) return stderrIsTerminal() ? "line" : "off";
  if (given === "json") return "json";
  if (given === "" || given === "text") return stderrIsTerminal() ? "line" : "lines";
  throw new UsageError(`option '--progress' can't be '${given}', expected text or json`);
}

/** Bytes done, on standard error, a few times a second. */
export class Progress {
  readonly #mode: ProgressMode;
  readonly #total: number | undefined;
  readonly #began = performance.now();
  #shown = 0;
  #last = 0;

  /** @param total In bytes; `undefined` where it is not known, as with a pipe. */
  constructor(mode: ProgressMode, total: number | undefined) {
    this.#mode = mode;
    this.#total = total;
  }

  update(bytes: number): void {
    this.#last = bytes;
    if (this.#mode === "off") return;
    const now = performance.now();
    const interval = this.#mode === "lines" ? 10 * INTERVAL_MS : INTERVAL_MS;
    if (now - this.#shown < interval) return;
    this.#shown = now;
    this.#show(bytes, (now - this.#began) / 1000, false);
  }

  end(): void {
    if (this.#mode === "off") return;
    if (this.#mode === "line") write(this.#shown === 0 ? "" : "\r\x1b[K");
    else this.#show(this.#last, (performance.now() - this.#began) / 1000, true);
  }

  #show(bytes: number, seconds: number, done: boolean): void {
    const rate = bytes / Math.max(seconds, 0.001);
    const left = this.#total === undefined || rate === 0 ? undefined : Math.max(0, this.#total - bytes) / rate;
    if (this.#mode === "json") {
      const value = {
        bytes,
        total_bytes: this.#total ?? null,
        seconds,
        bytes_per_second: rate,
        eta_seconds: left ?? null,
        done,
      };
      write(`${JSON.stringify(value)}\n`);
      return;
    }
    const share = this.#total === undefined ? "" : `, ${Math.floor((100 * bytes) / Math.max(1, this.#total))} %`;
    const eta = left === undefined || done ? "" : `, ${formatSeconds(left)} left`;
    const text = `${formatBytes(bytes)}${share}, ${formatBytes(rate)}/s${eta}`;
    write(this.#mode === "line" ? `\r\x1b[K${text}` : `${text}\n`);
  }
}

/** Progress is no reason to fail. */
function write(text: string): void {
  try {
    writeSync(STDERR, text);
  } catch {}
}
