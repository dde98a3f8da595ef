import type { Format, Output } from "./output.ts";

/** Takes a list of JSON objects; `undefined` for text. @param format Of `--format`, which knows no other. */
export function recordsFor(out: Output, format: string | undefined, name: string): Records | undefined {
  return format === "json" || format === "jsonl" ? new Records(out, format, name) : undefined;
}

/** A list as JSON, written while it grows: one document with a header, as `Output.document`, or one object a line. */
export class Records {
  readonly #out: Output;
  readonly #format: Exclude<Format, "text">;
  #count = 0;

  constructor(out: Output, format: Exclude<Format, "text">, name: string) {
    this.#out = out;
    this.#format = format;
    if (format === "json") {
      out.line(`{\n  "__header": {\n    "version": "1"\n  },\n  ${JSON.stringify(name)}: [`);
    }
  }

  add(value: unknown): Promise<void> | undefined {
    const text = JSON.stringify(value);
    if (this.#format === "jsonl") return this.#out.line(text);
    return this.#out.text(`${this.#count++ === 0 ? "" : ",\n"}    ${text}`);
  }

  /** Also after a failure, so that what was written can be read. */
  end(): Promise<void> | undefined {
    if (this.#format === "jsonl") return undefined;
    return this.#out.line(`${this.#count === 0 ? "" : "\n"}  ]\n}`);
  }
}
