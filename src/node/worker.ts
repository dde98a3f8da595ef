import { parentPort } from "node:worker_threads";
import { checkEncoded } from "../verify/encoded.ts";

/** What a worker thread can do: bytes and numbers go in and come back, so that nothing is copied. */
const JOBS = { checkEncoded };

export type Jobs = typeof JOBS;
export type JobName = keyof Jobs;

export interface JobMessage {
  readonly id: number;
  readonly name: JobName;
  readonly argument: Parameters<Jobs[JobName]>[0];
}

parentPort?.on("message", async ({ id, name, argument }: JobMessage) => {
  try {
    const result = await JOBS[name](argument);
    parentPort!.postMessage({ id, result }, [result.bytes.buffer, result.table.buffer]);
  } catch (error) {
    parentPort!.postMessage({ id, error });
  }
});
