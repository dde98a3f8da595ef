import { foldableBytes } from "#checksum";
import type { Checksum } from "../checksum/checksum.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { NodeBlock } from "../format/node.ts";
import { CHECKSUM_FIELD_BYTES } from "../format/superblock.ts";
import type { NodeCache } from "../tree/cache.ts";
import { checkNode } from "../tree/check.ts";
import type { NodeLimits } from "../tree/limits.ts";
import { KnownLeaf } from "../tree/same-items.ts";
import type { LeavesAhead, LogicalSource, NodeExpectation } from "../tree/source.ts";
import type { OnEvent } from "./events.ts";
import type { Mirror, Mirrors } from "./mirrors.ts";

/** Nodes that may be read ahead of their use. */
const MAX_AHEAD = 64;

/** Tree blocks, each from the first of its mirrors that is what the parent expects. */
export class NodeReader implements LogicalSource {
  readonly cache: NodeCache;
  /** Where lent leaves come from, if they do. */
  ahead: LeavesAhead | undefined;
  readonly #mirrors: Mirrors;
  readonly #checksum: Checksum;
  readonly #limits: NodeLimits;
  readonly #onEvent: OnEvent;
  readonly #scratch: Uint8Array;
  readonly #scratchContent: Uint8Array;
  /** Nodes in bytes that are others' to use again, by address; and the addresses. */
  readonly #lent = new Map<number, NodeBlock>();
  readonly #lentIn = new WeakMap<Uint8Array, number>();
  /** The one that was lent last, as long as it is. */
  #latest: NodeBlock | undefined;
  /** First mirrors that are on their way, unverified: only who wants a node knows what it has to be. */
  readonly #ahead = new Map<number, Promise<Uint8Array | undefined>>();

  constructor(mirrors: Mirrors, checksum: Checksum, limits: NodeLimits, cache: NodeCache, onEvent: OnEvent) {
    this.#mirrors = mirrors;
    this.#checksum = checksum;
    this.#limits = limits;
    this.cache = cache;
    this.#onEvent = onEvent;
    this.#scratch = foldableBytes(limits.nodeSize);
    this.#scratchContent = this.#scratch.subarray(CHECKSUM_FIELD_BYTES);
  }

  cached(logical: number, expect: NodeExpectation): NodeBlock | undefined {
    const { generation } = expect;
    return (
      this.cache.get(logical, generation) ?? (this.#lent.size > 0 ? this.#keepLent(logical, generation) : undefined)
    );
  }

  lend(logical: number, expect: NodeExpectation, bytes: Uint8Array, known?: KnownLeaf): NodeBlock | undefined {
    this.takeBack(bytes);
    const node = this.#takeAhead(logical, expect, bytes) ?? this.#readInto(logical, expect, bytes, known);
    if (node !== undefined) {
      this.#lent.set(logical, node);
      this.#lentIn.set(bytes, logical);
      this.#latest = node;
    }
    return node;
  }

  /** A leaf that was found good on another thread. */
  #takeAhead(logical: number, { generation, owner }: NodeExpectation, bytes: Uint8Array): NodeBlock | undefined {
    if (this.ahead?.take(logical, generation, bytes) !== true) return undefined;
    return new NodeBlock(bytes, this.#mirrors.nodeAt(this.#firstMirror(logical), owner));
  }

  /** What is lent at the moment, to be looked at before the next call: no copy. */
  lentNow(logical: number, generation: number): NodeBlock | undefined {
    const node = this.#lent.get(logical);
    return node?.generation === generation ? node : undefined;
  }

  takeBack(bytes: Uint8Array): void {
    if (this.#latest?.bytes === bytes) this.#latest = undefined;
    const logical = this.#lentIn.get(bytes);
    if (logical !== undefined && this.#lent.get(logical)?.bytes === bytes) this.#lent.delete(logical);
  }

  /** A lent node that somebody else wants as well: as a copy, which may be kept. */
  #keepLent(logical: number, generation: number): NodeBlock | undefined {
    const node = this.#lent.get(logical);
    if (node === undefined || node.generation !== generation) return undefined;
    const copy = new NodeBlock(node.bytes.slice(), node.where);
    this.cache.put(copy);
    return copy;
  }

  async readNode(logical: number, expect: NodeExpectation): Promise<NodeBlock> {
    const mirrors = this.mirrorsOf(logical);
    const errors: BtrfsError[] = [];
    for (const mirror of mirrors) {
      if (this.#mirrors.isMissing(mirror) && mirrors.length > 1) continue;
      try {
        const node = await this.readMirror(mirror, expect, mirror === mirrors[0]);
        if (errors.length > 0) this.#tell("recovered", mirror);
        this.cache.put(node);
        return node;
      } catch (error) {
        if (!(error instanceof BtrfsError)) throw error;
        errors.push(error);
        if (mirror.kind === "stored") this.#tell("bad-copy", mirror, error);
      }
    }
    const error = noneGood(errors, logical);
    this.#tell("unreadable", mirrors[0]!, error);
    throw error;
  }

  /** The copies of a node, and the ways to rebuild it; devices that missed commits come after the others. */
  mirrorsOf(logical: number): Mirror[] {
    const mirrors = this.#mirrors.of(logical, this.#limits.nodeSize);
    if (mirrors.length === 1) return mirrors;
    return mirrors.sort((a, b) => this.#rank(a) - this.#rank(b));
  }

  /**
   * The node as one mirror has it.
   *
   * @throws {BtrfsError} when it can't be read or is not what `expect` says.
   */
  async readMirror(mirror: Mirror, expect: NodeExpectation, readAhead = false): Promise<NodeBlock> {
    const ahead = readAhead ? this.#ahead.get(mirror.logical) : undefined;
    let bytes = ahead === undefined ? undefined : await ahead;
    this.#ahead.delete(mirror.logical);
    if (bytes === undefined) {
      bytes = this.#readAtOnce(mirror);
      if (bytes === undefined) {
        bytes = new Uint8Array(this.#limits.nodeSize);
        await this.#mirrors.read(mirror, bytes);
      }
    }
    return this.#judge(bytes, mirror, expect);
  }

  /** As `readNode`, without waiting. What is wrong with the first copy is for `readNode` to find out and to tell. */
  readNow(logical: number, expect: NodeExpectation): NodeBlock | undefined {
    // Who goes through leaves looks at older versions of them by the way.
    const known = expect.level === 0 && this.#latest !== undefined ? new KnownLeaf(this.#latest) : undefined;
    const node = this.#readInto(logical, expect, undefined, known);
    if (node !== undefined) this.cache.put(node);
    return node;
  }

  /** @param bytes For the node; those of its own unless given. @param known See `checkNode`. */
  #readInto(
    logical: number,
    expect: NodeExpectation,
    bytes: Uint8Array | undefined,
    known?: KnownLeaf,
  ): NodeBlock | undefined {
    try {
      const mirror = this.#firstMirror(logical);
      const source = mirror.kind === "stored" ? this.#mirrors.devices.get(mirror.devid)?.source : undefined;
      if (source?.readSync === undefined) return undefined;
      if (bytes !== undefined) {
        source.readSync(mirror.physical, bytes);
        return this.#judge(bytes, mirror, expect, bytes.subarray(CHECKSUM_FIELD_BYTES), known);
      }
      source.readSync(mirror.physical, this.#scratch);
      return this.#judge(this.#scratch.slice(), mirror, expect, this.#scratchContent, known);
    } catch (error) {
      if (error instanceof BtrfsError) return undefined;
      throw error;
    }
  }

  /** @param content What the checksum covers: those bytes again, where that is quicker. */
  #judge(
    bytes: Uint8Array,
    mirror: Mirror,
    expect: NodeExpectation,
    content = bytes.subarray(CHECKSUM_FIELD_BYTES),
    known?: KnownLeaf,
  ): NodeBlock {
    const where = this.#mirrors.nodeAt(mirror, expect.owner);
    if (!this.#checksum.verify(content, bytes)) {
      const problem = `Cannot trust node: its ${this.#checksum.name} checksum does not match`;
      throw new CorruptError(problem, where, { code: "checksum" });
    }
    const node = new NodeBlock(bytes, where);
    checkNode(node, mirror.logical, expect, this.#limitsOn(mirror.devid), known);
    return node;
  }

  /** The first of `mirrorsOf`. */
  #firstMirror(logical: number): Mirror {
    const first = this.#mirrors.firstOf(logical, this.#limits.nodeSize);
    return this.#rank(first) === 0 ? first : this.mirrorsOf(logical)[0]!;
  }

  /** By way of a page, where the kernel writes fastest: the copy costs less than reading to where it does not. */
  #readAtOnce(mirror: Mirror): Uint8Array | undefined {
    const source = mirror.kind === "stored" ? this.#mirrors.devices.get(mirror.devid)?.source : undefined;
    if (source?.readSync === undefined) return undefined;
    source.readSync(mirror.physical, this.#scratch);
    return this.#scratch.slice();
  }

  /** Blocks on a seed device were written by the seed filesystem, and carry its UUID. */
  #limitsOn(devid: number): NodeLimits {
    const device = this.#mirrors.devices.get(devid);
    return device?.seed ? { ...this.#limits, fsid: device.fsid } : this.#limits;
  }

  /** Starts reading the first mirror of each, where reading means waiting. */
  prefetch(logicals: readonly number[]): void {
    for (const logical of logicals) {
      if (this.#ahead.has(logical)) continue;
      if (this.#ahead.size >= MAX_AHEAD) this.#ahead.delete(this.#ahead.keys().next().value!);
      const read = this.#startRead(logical);
      if (read !== undefined) this.#ahead.set(logical, read);
    }
  }

  #startRead(logical: number): Promise<Uint8Array | undefined> | undefined {
    try {
      const mirror = this.mirrorsOf(logical)[0]!;
      const source = this.#mirrors.devices.get(mirror.devid)?.source;
      if (mirror.kind !== "stored" || source === undefined || source.readSync !== undefined) return undefined;
      const bytes = new Uint8Array(this.#limits.nodeSize);
      // A failure shows when the node is really wanted, and is reported then.
      return source.read(mirror.physical, bytes).then(
        () => bytes,
        () => undefined,
      );
    } catch {
      return undefined;
    }
  }

  #rank(mirror: Mirror): number {
    return mirror.kind === "rebuilt" ? 2 : this.#mirrors.staleness(mirror);
  }

  #tell(kind: "bad-copy" | "recovered" | "unreadable", mirror: Mirror, error?: BtrfsError): void {
    const where = kind === "unreadable" ? { logical: mirror.logical } : this.#mirrors.where(mirror);
    const base = { content: "metadata" as const, where, lengthBytes: mirror.lengthBytes };
    if (kind === "recovered") this.#onEvent({ kind, ...base, rebuilt: mirror.kind === "rebuilt" });
    else this.#onEvent({ kind, ...base, error: error! });
  }
}

/** One error for all copies: what is wrong with the first that could be read at all. Those of all are in its cause. */
export function noneGood(errors: readonly BtrfsError[], logical: number): BtrfsError {
  if (errors.length === 1) return errors[0]!;
  if (errors.length === 0) {
    return new BtrfsError("missing", "Cannot read: all devices that hold it are missing", { where: { logical } });
  }
  const worst = errors.find((error) => error instanceof CorruptError) ?? errors[0]!;
  const sentence = `${worst.sentence}; none of ${errors.length} ways to read it gives good bytes`;
  const cause = new AggregateError(errors);
  if (worst instanceof CorruptError) {
    return new CorruptError(sentence, worst.where, { code: worst.code === "checksum" ? "checksum" : "corrupt", cause });
  }
  return new BtrfsError(worst.code, sentence, { where: worst.where, cause });
}
