import { fstatSync } from "node:fs";
import { Socket } from "node:net";
import { newStruct } from "../bytes/struct.ts";
import { call } from "./call.ts";
import { bytesOf, ioctlAsync } from "./ioctl.ts";
import type { Native } from "./native.ts";
import { close, O_CLOEXEC } from "./open.ts";
import { SEND } from "./requests.ts";
import { SendArgs } from "./structs.ts";

const NO_FILE_DATA = 0x1n;
const OMIT_STREAM_HEADER = 0x2n;
const OMIT_END_CMD = 0x4n;
const VERSION = 0x8n;
const COMPRESSED = 0x10n;

/** What the kernel should send. Snapshots are named by subvolume id; all have to be read-only. */
export interface SendOptions {
  /** Send the changes since this snapshot. It is a clone source as well, as with `btrfs send -p`. */
  readonly parent?: bigint | undefined;
  /** Snapshots that the receiver has, to clone from. */
  readonly cloneSources?: readonly bigint[] | undefined;
  /** Protocol: 1 unless said, 0 is the newest that the kernel has. */
  readonly version?: number | undefined;
  /** Send compressed extents as they are stored; from protocol 2 on. */
  readonly compressed?: boolean | undefined;
  /** UPDATE_EXTENT in place of data. */
  readonly noFileData?: boolean | undefined;
  readonly omitHeader?: boolean | undefined;
  readonly omitEnd?: boolean | undefined;
  /** Bytes of stream so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

const HELP = {
  EPERM: "this needs root, and read-only snapshots",
  ENOENT: "no such parent or clone source; the top level can't be sent",
  EPROTO: "the kernel lacks this protocol version, see /sys/fs/btrfs/features/send_stream_version",
  EINVAL: "compressed data needs protocol version 2",
  EPIPE: "the reader of the stream went away",
};

function flagsOf(options: SendOptions): bigint {
  let flags = 0n;
  if (options.noFileData) flags |= NO_FILE_DATA;
  if (options.omitHeader) flags |= OMIT_STREAM_HEADER;
  if (options.omitEnd) flags |= OMIT_END_CMD;
  if (options.version !== undefined) flags |= VERSION;
  if (options.compressed) flags |= COMPRESSED;
  return flags;
}

async function send(native: Native, subvolume: number, output: number, options: SendOptions): Promise<void> {
  const { parent = 0n, cloneSources = [], version = 0 } = options;
  const sources = BigUint64Array.from(parent === 0n ? cloneSources : [...cloneSources, parent]);
  const memory = new Uint8Array(sources.buffer);
  const args = newStruct(SendArgs);
  args.sendFd = BigInt(output);
  args.cloneSourcesCount = BigInt(sources.length);
  args.cloneSources = sources.length === 0 ? 0n : native.addressOf(memory);
  args.parentRoot = parent;
  args.flags = flagsOf(options);
  args.version = version;
  await inTurn(() => ioctlAsync(native, subvolume, SEND, bytesOf(args), { act: "send subvolume", help: HELP }, memory));
}

// A send occupies a thread of the libuv pool until its reader has taken all; some threads, and calls in flight, have to be left for that reader.
const poolSize = Number(process.env.UV_THREADPOOL_SIZE ?? 4) || 4;
const MAX_SENDS = Math.max(1, Math.min(4, poolSize - 2));
const waiting: (() => void)[] = [];
let running = 0;

async function inTurn<T>(action: () => Promise<T>): Promise<T> {
  if (running >= MAX_SENDS) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    return await action();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}

/**
 * Lets the kernel send the read-only subvolume that `subvolume` lies in into `output`.
 *
 * @param output A pipe, socket or file open for writing. A file is written from its start, wherever it stands.
 */
export async function sendTo(
  native: Native,
  subvolume: number,
  output: number,
  options: SendOptions = {},
): Promise<void> {
  const { onProgress } = options;
  const isFile = fstatSync(output).isFile();
  const report = () => onProgress?.(fstatSync(output).size);
  const timer = onProgress !== undefined && isFile ? setInterval(report, 200) : undefined;
  try {
    await send(native, subvolume, output, options);
    if (isFile) report();
  } finally {
    clearInterval(timer);
  }
}

const F_SETPIPE_SZ = 1031;
const PIPE_BYTES = 1 << 20;

/**
 * The stream that the kernel sends, as it comes; it waits while nobody takes it. Leaving the loop ends the send.
 *
 * @throws {KernelError} after the chunks that came before the failure.
 */
export async function* sendStream(
  native: Native,
  subvolume: number,
  options: SendOptions & { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<Uint8Array> {
  options.signal?.throwIfAborted();
  const ends = new Int32Array(2);
  call(native, "pipe2", [new Uint8Array(ends.buffer), O_CLOEXEC], { act: "make a pipe" });
  const [read, write] = ends as unknown as [number, number];
  native.call("fcntl", [write, F_SETPIPE_SZ, PIPE_BYTES]); // a wish: a small pipe works too
  // A socket object reads a pipe by polling and needs no thread of the pool.
  const reader = new Socket({ fd: read, readable: true, writable: false });
  const abort = () => reader.destroy(options.signal?.reason);
  options.signal?.addEventListener("abort", abort, { once: true });
  const sent = send(native, subvolume, write, options).finally(() => close(native, write));
  let failed = false;
  const outcome = sent.catch((error: unknown) => {
    failed = true;
    return error;
  });
  let bytes = 0;
  try {
    for await (const chunk of reader as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      options.onProgress?.(bytes);
      yield chunk;
    }
    const error = await outcome;
    if (failed) throw error;
  } finally {
    options.signal?.removeEventListener("abort", abort);
    // Without its reader the kernel's write fails, and the send ends.
    reader.destroy();
    await outcome;
  }
}
