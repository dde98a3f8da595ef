import { parentPort, type Transferable } from "node:worker_threads";
import { BtrfsError, type ErrorCode, type Where } from "../errors.ts";

/** What a worker thread can do, by name: what goes in and comes back is cloned, or moved. */
export type JobTable = Readonly<Record<string, (argument: never) => unknown>>;

/** From the pool to a thread. */
export interface JobMessage {
  readonly id: number;
  readonly name: string;
  readonly argument: never;
}

/** From a thread to the pool: the end of a job, or, without an id, something that it tells meanwhile. */
export interface JobReply {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: unknown;
  readonly told?: unknown;
}

/** A `BtrfsError` as plain data: cloning keeps only the message of an error. */
export interface PlainError {
  readonly isBtrfsError: true;
  readonly code: ErrorCode;
  readonly sentence: string;
  readonly where: Where;
}

export function plainError({ code, sentence, where }: BtrfsError): PlainError {
  return { isBtrfsError: true, code, sentence, where };
}

export function fromPlainError(error: unknown): unknown {
  const plain = error as Partial<PlainError> | undefined;
  if (plain?.isBtrfsError !== true) return error;
  return new BtrfsError(plain.code!, plain.sentence!, { where: plain.where! });
}

/** Does the pool's jobs on this thread. @param moved Memory of a result that moves to the pool in place of being copied. */
export function serveJobs(jobs: JobTable, moved: (result: unknown) => readonly Transferable[] = () => []): void {
  parentPort?.on("message", async ({ id, name, argument }: JobMessage) => {
    try {
      const result = await jobs[name]!(argument);
      parentPort!.postMessage({ id, result }, moved(result));
    } catch (error) {
      parentPort!.postMessage({ id, error: error instanceof BtrfsError ? plainError(error) : error });
    }
  });
}

/** Tells the pool something while a job runs. */
export function tellPool(told: unknown): void {
  parentPort?.postMessage({ told });
}
