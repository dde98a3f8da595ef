import { checkEncoded, type EncodedBatch } from "../verify/encoded.ts";
import { serveJobs } from "./worker-jobs.ts";

const JOBS = { checkEncoded };

export type Jobs = typeof JOBS;

serveJobs(JOBS, (result) => {
  const { bytes, table } = result as EncodedBatch;
  return [bytes.buffer, table.buffer];
});
