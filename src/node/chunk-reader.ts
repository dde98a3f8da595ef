import { workerData } from "node:worker_threads";
import { ChunkRing, readChunks } from "./chunk-ring.ts";
import type { ChunkThreadData } from "./chunk-threads.ts";

const { ring, thread } = workerData as ChunkThreadData;
readChunks(new ChunkRing(ring, thread));
