import { constants } from "node:os";
import { BtrfsError, KernelError } from "../errors.ts";
import { LiveSendSource } from "../linux/live-send-source.ts";
import { sendStream } from "../linux/send.ts";
import { getSubvolumeFlags, getSubvolumeInfo, SUBVOL_RDONLY } from "../linux/subvolume.ts";
import { listLiveSubvolumes } from "../linux/subvolume-list.ts";
import { type SendOptions, send } from "../send/send.ts";
import type { ByteSink } from "../stream/output.ts";
import { LivePlace, realPath } from "./live.ts";
import { livePath, parsePlace } from "./places.ts";
import { REASONS } from "./receive-words.ts";
import type { Engine, Sender } from "./sender.ts";

/** Sends subvolumes of one mounted filesystem. */
export function liveSender(engine: Engine): Sender {
  const places = new Map<bigint, LivePlace>();
  return {
    isLive: true,
    async find(word, what) {
      const place = openPlace(word, what === "subvolume");
      let isKept = false;
      try {
        if ((flagsOf(place, word) & SUBVOL_RDONLY) === 0n) {
          throw new BtrfsError("permission", `${what} ${realPath(word)} is not read-only`);
        }
        const { id } = getSubvolumeInfo(place.native, place.fd);
        isKept = !places.has(id);
        if (isKept) places.set(id, place);
        return id;
      } finally {
        if (!isKept) place[Symbol.dispose]();
      }
    },
    async all() {
      const { native, fd } = [...places.values()][0]!;
      return listLiveSubvolumes(native, fd);
    },
    async source() {
      const opened = [...places.values()];
      return LiveSendSource.open(
        opened[0]!.native,
        opened.map(({ fd }) => fd),
      );
    },
    send: (source, options, sink) =>
      engine === "btrkit" ? send(source, options, sink) : sendByKernel(places.get(options.snapshot)!, options, sink),
    async [Symbol.asyncDispose]() {
      for (const place of places.values()) place[Symbol.dispose]();
    },
  };
}

/** A file on a mounted filesystem looks like an image, of which it would be the top; here it is no subvolume. */
function pathOf(word: string): string {
  const place = parsePlace(word);
  return place.kind === "image" && place.image === word ? word : livePath(word, "send");
}

/** What is not there, or not on btrfs, is told as `btrfs send` does. */
function openPlace(word: string, isSent: boolean): LivePlace {
  try {
    return new LivePlace(pathOf(word));
  } catch (cause) {
    if (!(cause instanceof BtrfsError)) throw cause;
    const { code } = cause;
    if (code === "kind") throw new BtrfsError(code, `${realPath(word)} doesn't belong to btrfs mount point`, { cause });
    if (code !== "missing") throw cause;
    const sentence = isSent ? `unable to resolve ${word}` : `realpath ${word} failed: ${REASONS.ENOENT}`;
    throw new BtrfsError(code, sentence, { cause });
  }
}

function flagsOf({ native, fd }: LivePlace, word: string): bigint {
  try {
    return getSubvolumeFlags(native, fd);
  } catch (cause) {
    if (!(cause instanceof KernelError && cause.errno === "EINVAL")) throw cause;
    throw new BtrfsError("kind", `failed to get flags for subvolume ${realPath(word)}: Invalid argument`, { cause });
  }
}

async function sendByKernel(
  { native, fd }: LivePlace,
  options: SendOptions,
  sink: ByteSink,
): Promise<{ bytes: number; leftOut: [] }> {
  if (options.skipDamaged === true) {
    throw new BtrfsError("kind", "the kernel can't leave out damaged files: use --engine btrkit");
  }
  const { parent, cloneSources, protocol, compressedData, noData, omitHeader, omitEnd, signal, onProgress } = options;
  let bytes = 0;
  const stream = sendStream(native, fd, {
    parent,
    cloneSources,
    version: protocol === 1 ? undefined : protocol,
    compressed: compressedData,
    noFileData: noData,
    omitHeader,
    omitEnd,
    signal,
  });
  try {
    for await (const chunk of stream) {
      await sink.write(chunk);
      bytes += chunk.byteLength;
      onProgress?.({ bytes, inode: 0 });
    }
  } catch (error) {
    throw asPeerSays(error);
  }
  return { bytes, leftOut: [] };
}

/** A refusal of the kernel in the words that scripts look for. Who is not root does not come so far with the peer. */
function asPeerSays(error: unknown): unknown {
  if (!(error instanceof KernelError) || error.call !== "BTRFS_IOC_SEND" || error.errno === "EPERM") return error;
  const { call, errno } = error;
  const number = constants.errno[errno as keyof typeof constants.errno];
  const reason = REASONS[errno];
  if (number === undefined || reason === undefined) return error;
  return new KernelError(call, errno, `send ioctl failed with -${number}: ${reason}`, { cause: error });
}
