/** What a lookup throws when a part of a tree has to be read first, and be waited for. No error: the stack would be in vain. */
export class Unread {
  /** Reads it. After that, the same lookup does not lack it again, until `forget`. */
  readonly read: () => Promise<unknown>;
  /** What was read for lookups that lacked it is no longer kept for them. */
  readonly forget: () => void;

  constructor(read: () => Promise<unknown>, forget: () => void) {
    this.read = read;
    this.forget = forget;
  }
}

/**
 * Runs a step that looks up all that it needs before it does anything: once more, each time that something had to be
 * read first. A promise only then, so where trees can be read at once, nothing waits.
 */
export function whenRead<T>(step: () => T): T | Promise<T> {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof Unread)) throw error;
    return again(step, error);
  }
}

async function again<T>(step: () => T, first: Unread): Promise<T> {
  const lacked = [first];
  try {
    for (;;) {
      await lacked.at(-1)!.read();
      try {
        return step();
      } catch (error) {
        if (!(error instanceof Unread)) throw error;
        lacked.push(error);
      }
    }
  } finally {
    for (const { forget } of lacked) forget();
  }
}

/** Goes on with a value once it is there. */
export function andThen<T, U>(value: T | Promise<T>, step: (value: T) => U | Promise<U>): U | Promise<U> {
  return value instanceof Promise ? value.then(step) : step(value);
}

/** What lookups had to wait for, until the steps that wanted it are done. */
export class Waited {
  readonly #found = new Map<string, unknown>();
  #waiting = 0;

  /** What was read under this name. @throws {Unread} when it was not, so far. */
  get<T>(name: string, read: () => Promise<T>): T {
    if (this.#found.has(name)) return this.#found.get(name) as T;
    throw new Unread(
      async () => {
        this.#waiting++;
        this.#found.set(name, await read());
      },
      () => {
        if (--this.#waiting === 0) this.#found.clear();
      },
    );
  }
}
