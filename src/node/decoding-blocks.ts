import { loadCodecs } from "#codec";
import { decodedUpTo } from "../verify/encoded-frames.ts";
import type { ChunkThreads } from "./chunk-threads.ts";
import { FileBlocks } from "./file-blocks.ts";

/** Blocks whose encoded writes have been decoded, by whichever thread has read them. */
export async function openDecodingBlocks(threads: ChunkThreads, name: string): Promise<FileBlocks> {
  const codecs = await loadCodecs();
  return new FileBlocks(threads, name, (bytes, view, from, to) => decodedUpTo(codecs, bytes, view, from, to));
}
