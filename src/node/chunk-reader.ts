import { workerData } from "node:worker_threads";
import { ChunkRing, type SharedRing } from "./chunk-ring.ts";

// The second of the threads that read a file.
const ring = new ChunkRing(workerData as SharedRing, 1);
for (let chunk = ring.claim(); chunk !== undefined; chunk = ring.claim()) {
  if (chunk < 0) ring.waitForRoom();
  else ring.read(chunk);
}
