import { workerData } from "node:worker_threads";
import { loadCodecs } from "#codec";
import { decodedUpTo } from "../verify/encoded-frames.ts";
import { ChunkRing, readChunks } from "./chunk-ring.ts";
import type { ChunkThreadData } from "./chunk-threads.ts";

const { ring, thread } = workerData as ChunkThreadData;
// Not awaited: the file that this is bundled to has no `await` of its own.
loadCodecs().then((codecs) => {
  readChunks(new ChunkRing(ring, thread, (bytes, view, from, to) => decodedUpTo(codecs, bytes, view, from, to)));
});
