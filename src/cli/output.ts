import { fstatSync, writeSync } from "node:fs";
import { FdSink } from "../node/fd-sink.ts";

/** What the formats of `--format` mean: for people, one JSON document, one JSON object a line. */
export const FORMATS = ["text", "json", "jsonl"] as const;
export type Format = (typeof FORMATS)[number];

const STDOUT = 1;
const STDERR = 2;
const CHUNK = 64 * 1024;
const encoder = new TextEncoder();

/**
 * Standard output: bytes and lines, gathered into large writes; `await` what it returns and back-pressure follows. Once
 * `signal` is aborted, nothing waits for a reader any more: what is being written and all that follows fails.
 */
export class Output {
  readonly #sink = new FdSink(STDOUT, "standard output");
  readonly #signal: AbortSignal;
  #text = "";
  /** What has been given to the sink, one write after the other. Once one has failed, so does all that follows. */
  #writing: Promise<void> = Promise.resolve();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Gathered until there is enough to write. */
  line(text: string): Promise<void> | undefined {
    return this.text(`${text}\n`);
  }

  /** As `line`, without ending it. */
  text(text: string): Promise<void> | undefined {
    this.#text += text;
    return this.#text.length >= CHUNK ? this.flush() : undefined;
  }

  /** Bytes as they are, after what was gathered. They are the caller's again when the promise resolves. */
  write(bytes: Uint8Array): Promise<void> {
    this.flush();
    return this.#append(bytes);
  }

  flush(): Promise<void> {
    if (this.#text === "") return this.#writing;
    const bytes = encoder.encode(this.#text);
    this.#text = "";
    return this.#append(bytes);
  }

  #append(bytes: Uint8Array): Promise<void> {
    this.#writing = this.#writing.then(() => unlessAborted(this.#signal, () => this.#sink.write(bytes)));
    // Judged by whoever awaits it or a later one; until then a failure is no unhandled rejection.
    this.#writing.catch(() => {});
    return this.#writing;
  }

  /** One JSON document in the manner of btrfs-progs: a header with the version, and the value under `name`. */
  document(name: string, value: unknown): Promise<void> | undefined {
    return this.line(JSON.stringify({ __header: { version: "1" }, [name]: value }, null, 2));
  }

  get isTerminal(): boolean {
    return isTerminal(STDOUT);
  }
}

/** Settles as `run` does, or with the reason of an abort that comes first. */
async function unlessAborted(signal: AbortSignal, run: () => Promise<void>): Promise<void> {
  signal.throwIfAborted();
  let stop: () => void;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    await Promise.race([run(), aborted]);
  } finally {
    signal.removeEventListener("abort", stop!);
  }
}

/** Without loading a terminal's machinery for files and pipes. */
function isTerminal(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice() && process.getBuiltinModule("node:tty").isatty(fd);
  } catch {
    return false;
  }
}

export const stderrIsTerminal = (): boolean => isTerminal(STDERR);

/** `say` for a line that holds bytes of a name. */
export function sayBytes(head: string, bytes: Uint8Array): void {
  try {
    writeSync(STDERR, Buffer.concat([Buffer.from(head), bytes, Buffer.from("\n")]));
  } catch {}
}

/** One line to standard error, at once. A closed or full one is no reason to fail. */
export function say(line: string): void {
  try {
    writeSync(STDERR, `${line}\n`);
  } catch {}
}
