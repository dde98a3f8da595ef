import { workerData } from "node:worker_threads";
import { ChunkRing, type SharedRing } from "./chunk-ring.ts";

// The thread that reads while the other one computes.
const ring = new ChunkRing(workerData as SharedRing);
for (let chunk = ring.claim(); chunk !== undefined; chunk = ring.claim()) {
  if (chunk < 0) ring.waitForRoom();
  else ring.read(chunk);
}
