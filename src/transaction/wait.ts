import type { MaybePromise } from "./editor.ts";

/** What a step without waiting throws where something is not in memory: it is to begin anew when that is there. */
export class Wait extends Error {
  readonly until: Promise<unknown>;

  constructor(until: Promise<unknown>) {
    super("Cannot go on: something is not in memory yet");
    this.until = until;
  }
}

/** `value`, where it need not be waited for. @throws {Wait} */
export function atOnce<T>(value: MaybePromise<T>): T {
  if (value instanceof Promise) throw new Wait(value);
  return value;
}
