import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandName } from "../stream/commands.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { ByteSink } from "../stream/output.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { DamageCheck, type LeftOut } from "./damage.ts";
import { Generator } from "./generator.ts";
import { type CommandCount, CommandOutput } from "./output.ts";
import type { Snapshot } from "./snapshot.ts";
import type { SendSource } from "./source.ts";

export interface SendOptions {
  /** Id of the read-only snapshot to send. */
  readonly snapshot: bigint;
  /** Id of the snapshot that the receiver has already: only what differs from it is sent. */
  readonly parent?: bigint | undefined;
  /** Ids of more snapshots that the receiver has, to clone from. */
  readonly cloneSources?: readonly bigint[] | undefined;
  /** With 3, what fs-verity knows of files is sent too; only receivers that were built for it take that. */
  readonly protocol: 1 | 2 | 3;
  /**
   * Whose behaviour to imitate, byte for byte, its faults too: that of Linux 6.18, the only one so far. Unless said, the
   * same, but for a stream that would give the receiver other bytes than the sender has: see "Where Linux is wrong" in
   * docs/send.md.
   */
  readonly kernelProfile?: "6.18" | undefined;
  /**
   * Sends also what is not read-only, from a filesystem that nobody has mounted. The stream of such a subvolume carries a uuid
   * of its own, so that no increment can be built on it.
   */
  readonly force?: boolean | undefined;
  /**
   * Leaves out files whose data can't be read: each is read before its first command. Full sends only. The stream carries a uuid
   * of its own, so that no increment can be built on it.
   */
  readonly skipDamaged?: boolean | undefined;
  /** Sends compressed extents as they are stored. Needs protocol 2. */
  readonly compressedData?: boolean | undefined;
  /** Names extents instead of sending their data. */
  readonly noData?: boolean | undefined;
  /** Leaves out the stream header, to go on with a segment. */
  readonly omitHeader?: boolean | undefined;
  /** Leaves out END, so that another snapshot can follow in the same segment. */
  readonly omitEnd?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: SendProgress) => void) | undefined;
}

export interface SendProgress {
  /** Bytes of the stream so far. */
  readonly bytes: number;
  /** Inode that was done last. */
  readonly inode: number;
}

export interface SendSummary {
  /** Of the stream. */
  readonly bytes: number;
  readonly counts: ReadonlyMap<CommandName, CommandCount>;
  /** Files that `skipDamaged` left out. */
  readonly leftOut: readonly LeftOut[];
}

/**
 * Sends a snapshot as Linux 6.18 would, byte for byte.
 *
 * @param sink Takes the stream; its chunks are lent until it settles.
 * @throws {BtrfsError} for what can't be read or sent. What was written by then has no END.
 */
export async function send(source: SendSource, options: SendOptions, sink: ByteSink): Promise<SendSummary> {
  return generate(source, options, sink);
}

/** What `send` would write: the exact size of the stream, by kind of command. Reads metadata only. */
export async function estimateSend(source: SendSource, options: SendOptions): Promise<SendSummary> {
  return generate(source, options, undefined);
}

async function generate(source: SendSource, options: SendOptions, sink: ByteSink | undefined): Promise<SendSummary> {
  const { compressedData = false, noData = false, protocol, signal, onProgress } = options;
  if (compressedData && protocol < 2)
    throw new TypeError("Cannot send compressed data: protocol 2 is needed, 1 was asked for");
  const { kernelProfile, skipDamaged = false, force = false } = options;
  if (kernelProfile !== undefined && kernelProfile !== "6.18")
    throw new TypeError(`Cannot send as Linux ${kernelProfile}: only 6.18 is known`);
  if (skipDamaged && (options.parent !== undefined || (options.cloneSources ?? []).length > 0)) {
    throw new TypeError("Cannot leave out damaged files against a parent: that is for full sends");
  }
  const opened = await source.openSnapshot(options.snapshot, force);
  const left = opened.isReadOnly && !skipDamaged ? opened : opened.withUuid(newUuid());
  const damage = skipDamaged ? new DamageCheck(source, left, compressedData) : undefined;
  const open = async (id: bigint): Promise<Snapshot> => (id === left.id ? left : source.openSnapshot(id));
  const right = options.parent === undefined ? undefined : await open(options.parent);
  const roots = new Map([[left.id, left]]);
  if (right !== undefined) roots.set(right.id, right);
  for (const id of options.cloneSources ?? []) if (!roots.has(id)) roots.set(id, await open(id));
  const out = new CommandOutput(sink && new ChunkQueue(source.filler(left), sink), protocol);
  if (!options.omitHeader) out.streamHeader();
  begin(out, left, right);
  const onInode = onProgress && ((inode: number) => onProgress({ bytes: out.position, inode }));
  const generator = new Generator(source, left, right, [...roots.values()], out, {
    compressed: compressedData,
    noData,
    imitatesFaults: kernelProfile !== undefined,
    signal,
    onInode,
    damage,
  });
  await generator.run();
  if (sink !== undefined) {
    await out.flush();
    await source.finish?.();
  }
  if (!options.omitEnd) {
    out.begin(COMMANDS.end);
    out.end();
  }
  await out.flush();
  return { bytes: out.position, counts: out.counts, leftOut: [...(damage?.leftOut.values() ?? [])] };
}

/** A random one, as the kernel gives to a new subvolume. */
function newUuid(): Uint8Array {
  const uuid = crypto.getRandomValues(new Uint8Array(16));
  uuid[6] = (uuid[6]! & 0x0f) | 0x40;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
}

function begin(out: CommandOutput, left: Snapshot, right: Snapshot | undefined): void {
  out.begin(right === undefined ? COMMANDS.subvol : COMMANDS.snapshot);
  out.path(ATTRIBUTES.path, left.name);
  out.bytes(ATTRIBUTES.uuid, left.uuid);
  out.number(ATTRIBUTES.ctransid, Number(left.ctransid));
  if (right !== undefined) {
    out.bytes(ATTRIBUTES.cloneUuid, right.uuid);
    out.number(ATTRIBUTES.cloneCtransid, Number(right.ctransid));
  }
  out.end();
}
