import { type SharedMemory, sharedMemory } from "../checksum/shared-memory.ts";
import { HEADROOM_BYTES } from "../stream/source.ts";

/** What is read at a time. Commands that lie across its ends are left to the reader of the stream. */
export const CHUNK_BYTES = 1024 * 1024;
/** Each thread reads to slots of its own: memory that another one has just written to is slow to write to. */
export const SLOTS = 4;
export const SLOT_BYTES = HEADROOM_BYTES + CHUNK_BYTES;

/** Words of each chunk that is in use, and of all. */
export const ROW_WORDS = 8;
export const COMMON_WORDS = 4;

/** What all threads of a `ChunkRing` are given. */
export interface SharedRing {
  readonly fd: number;
  readonly words: Int32Array;
  /** By chunk: where in the file the first command begins that goes on behind it; `NaN` when nobody knows. */
  readonly following: Float64Array;
  /** By thread. */
  readonly memories: readonly SharedMemory[];
}

/** Apart from the rest, as threads are started before that is loaded. */
export function sharedRing(fd: number, threads: number): SharedRing {
  const chunks = threads * SLOTS;
  return {
    fd,
    words: new Int32Array(new SharedArrayBuffer((COMMON_WORDS + chunks * ROW_WORDS) * 4)),
    following: new Float64Array(new SharedArrayBuffer(chunks * 8)),
    memories: Array.from({ length: threads }, () => sharedMemory(SLOTS * SLOT_BYTES)),
  };
}
