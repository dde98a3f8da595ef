import type { Command } from "../stream/commands.ts";
import type { ByteSink } from "../stream/output.ts";
import { readStream } from "../stream/reader.ts";
import { type SendOptions, send } from "./send.ts";
import type { SendSource } from "./source.ts";

/** Says that nobody takes the stream any more. */
class Left extends Error {}

/** The bytes that `send` writes, as they come; it waits while nobody takes them. Each is lent until the next is asked for. */
export async function* sendBytes(source: SendSource, options: SendOptions): AsyncGenerator<Uint8Array> {
  const handOver = new HandOver();
  const sent = send(source, options, handOver).then(
    () => handOver.end(undefined),
    (error: unknown) => handOver.end({ error }),
  );
  try {
    for (;;) {
      const chunk = await handOver.take();
      if (chunk === undefined) return;
      yield chunk;
    }
  } finally {
    handOver.leave();
    await sent;
  }
}

/** The commands that `send` writes, as `readStream` gives them. @param options With header and END. */
export async function* sendCommands(
  source: SendSource,
  options: Omit<SendOptions, "omitHeader" | "omitEnd">,
): AsyncGenerator<Command> {
  for await (const item of readStream(sendBytes(source, options))) if (item.name !== "segment") yield item;
}

/** One chunk at a time, from who makes them to who takes them. */
class HandOver implements ByteSink {
  #chunk: Uint8Array | undefined;
  #taken: (() => void) | undefined;
  #refused: ((error: Error) => void) | undefined;
  #given: (() => void) | undefined;
  #end: { readonly failure: { readonly error: unknown } | undefined } | undefined;
  #isLeft = false;

  write(chunk: Uint8Array): Promise<void> {
    if (this.#isLeft) return Promise.reject(new Left("nobody takes the stream"));
    this.#chunk = chunk;
    return new Promise((resolve, reject) => {
      this.#taken = resolve;
      this.#refused = reject;
      this.#given?.();
    });
  }

  /** The next chunk; the one before is given back by that. `undefined` at the end. */
  async take(): Promise<Uint8Array | undefined> {
    this.#taken?.();
    this.#taken = undefined;
    for (;;) {
      const chunk = this.#chunk;
      this.#chunk = undefined;
      if (chunk !== undefined) return chunk;
      if (this.#end?.failure !== undefined) throw this.#end.failure.error;
      if (this.#end !== undefined) return undefined;
      await new Promise<void>((resolve) => {
        this.#given = resolve;
      });
    }
  }

  end(failure: { readonly error: unknown } | undefined): void {
    this.#end = { failure };
    this.#given?.();
  }

  leave(): void {
    this.#isLeft = true;
    this.#refused?.(new Left("nobody takes the stream"));
  }
}
