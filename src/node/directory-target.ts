import { randomUUID } from "node:crypto";
import { loadCodecs } from "#codec";
import { equalBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { formatUuid, parseUuid } from "../bytes/uuid.ts";
import type { Codecs } from "../codec/codec.ts";
import { BtrfsError } from "../errors.ts";
import { EncodedTally } from "../receive/encoded-tally.ts";
import {
  oneByOne,
  parentMissing,
  type ReceiveTarget,
  type Report,
  type SubvolumeStart,
  type Unfinished,
} from "../receive/target.ts";
import type { Handle } from "../restore/target.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { removeTree } from "./directory-cleanup.ts";
import { copyTree } from "./directory-copy.ts";
import type { DirectoryHost } from "./directory-host.ts";
import { loosenTree } from "./directory-loosen.ts";
import type { NotHeld } from "./directory-records.ts";
import { Sidecar } from "./directory-sidecar.ts";
import { type ReceivedSubvolume, SIDECAR } from "./directory-sidecar-lines.ts";
import { type CloneSource, OpenSubvolume } from "./directory-subvolume.ts";
import { foldsNames } from "./host-names.ts";

const TOP = new Uint8Array(0);

export interface DirectoryTargetOptions {
  /** Where the host's top directory is, for people. */
  readonly path: string;
  /** What this host or user can't hold is an error, not a line in the sidecar. */
  readonly strict?: boolean | undefined;
  /** An increment changes the directory of its parent, which then bears the new name. */
  readonly inPlace?: boolean | undefined;
  /** Sets setuid and setgid bits also where owners can't be set. */
  readonly preserveSetid?: boolean | undefined;
  /** Ends a copy of a parent. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Receives into a plain directory of any filesystem, also as an ordinary user: each subvolume becomes a directory.
 *
 * `.btrkit` beside them remembers which is which, so that increments find their parents, and what the host could not
 * hold. Nothing outside of the directory is touched, and no symbolic link followed. Close it after use.
 */
export class DirectoryTarget implements ReceiveTarget {
  readonly encoded = new EncodedTally();
  /** What the host could not hold and the sidecar does, of the subvolumes that were completed. */
  readonly notHeld: NotHeld = { owners: 0, modes: 0, nodes: 0, times: 0, xattrs: 0, verity: 0 };
  /** Extents that the stream named without their data: zeros, or what was there before, stand in their place. */
  withoutData = 0;
  readonly #host: DirectoryHost;
  readonly #options: DirectoryTargetOptions;
  readonly #codecs: Codecs;
  readonly #sidecar: Sidecar;
  readonly #top: Handle;
  readonly #foldsNames: boolean;
  readonly #sources = new Map<string, CloneSource>();
  #open: { readonly entry: ReceivedSubvolume; readonly subvolume: OpenSubvolume; readonly report: Report } | undefined;
  #applyOne: ReturnType<typeof oneByOne> | undefined;

  private constructor(host: DirectoryHost, options: DirectoryTargetOptions, codecs: Codecs) {
    this.#host = host;
    this.#options = options;
    this.#codecs = codecs;
    this.#sidecar = Sidecar.open(host);
    this.#top = host.openDirectory(TOP);
    this.#foldsNames = foldsNames(host);
  }

  /**
   * @param host With the directory to receive into as its top.
   * @throws {BtrfsError} `busy` while another process receives there.
   */
  static async open(host: DirectoryHost, options: DirectoryTargetOptions): Promise<DirectoryTarget> {
    return new DirectoryTarget(host, options, await loadCodecs());
  }

  close(): void {
    this.#host.close(this.#top);
    this.#sidecar.close();
  }

  async begin({ name, uuid, ctransid, parent }: SubvolumeStart, report: Report): Promise<void> {
    const fault = this.#host.nameFault(name);
    if (fault !== undefined) throw new BtrfsError("path", `Cannot create: this host can't have the name, ${fault}`);
    if (isSidecar(name)) throw new BtrfsError("exists", "Cannot create subvolume: .btrkit is the name of the sidecar");
    const source = parent === undefined ? undefined : this.#findParent(parent.uuid);
    const inPlace = source !== undefined && this.#options.inPlace === true;
    const isSameName = inPlace && equalBytes(source.path, name);
    if (!isSameName && this.#host.has(this.#top, name)) throw this.#taken(name);
    const entry: ReceivedSubvolume = {
      path: name,
      state: "receiving",
      uuid: randomUUID(),
      receivedUuid: formatUuid(uuid),
      ctransid,
      parentUuid: parent === undefined ? undefined : formatUuid(parent.uuid),
      inPlace,
    };
    this.#sources.clear();
    const rootTimes = source === undefined ? undefined : this.#host.stat(this.#top, source.path);
    // Known as unfinished before there is anything of it.
    this.#sidecar.note(entry);
    const root = inPlace ? this.#takeOver(source, entry, isSameName) : this.#makeDirectory(name);
    try {
      const around = {
        strict: this.#options.strict ?? false,
        preserveSetid: this.#options.preserveSetid ?? false,
        codecs: this.#codecs,
        encoded: this.encoded,
        foldsNames: this.#foldsNames,
        cloneSource: (wanted: Uint8Array) => this.#cloneSource(wanted),
      };
      const replaced = inPlace ? parseUuid(source.receivedUuid) : undefined;
      const subvolume = new OpenSubvolume(this.#host, root, around, uuid, replaced);
      subvolume.rootTimes = rootTimes;
      if (source !== undefined) await this.#beginFrom(source, subvolume, inPlace);
      this.#open = { entry, subvolume, report };
      this.#applyOne = oneByOne(subvolume.handlers);
    } catch (error) {
      this.#host.close(root);
      if (!inPlace) this.#undo(entry);
      throw error;
    }
  }

  /** What did not even begin is taken away; where that fails too, it stays and is known as unfinished. */
  #undo(entry: ReceivedSubvolume): void {
    try {
      removeTree(this.#host, this.#top, entry.path);
      this.#sidecar.note({ ...entry, state: "gone" });
    } catch {}
  }

  #makeDirectory(name: Uint8Array): Handle {
    this.#host.makeDirectory(this.#top, name);
    return this.#host.openDirectory(name);
  }

  /** From here on the parent is no more. */
  #takeOver(source: ReceivedSubvolume, entry: ReceivedSubvolume, isSameName: boolean): Handle {
    if (!isSameName) this.#host.move(this.#top, source.path, this.#top, entry.path);
    this.#sidecar.note({ ...source, state: "gone" });
    return this.#host.openDirectory(entry.path);
  }

  /** Makes of it what its parent is. */
  async #beginFrom(
    source: ReceivedSubvolume,
    { root, records, keeper }: OpenSubvolume,
    inPlace: boolean,
  ): Promise<void> {
    const host = this.#host;
    const differences = this.#sidecar.differences(source.uuid);
    if (inPlace) {
      loosenTree(host, root, records, differences);
      return;
    }
    const context = { host, records, keeper, differences, signal: this.#options.signal };
    await copyTree(context, this.#top, source.path, root);
  }

  apply(batch: CommandBatch, first: number, last: number): Promise<void> {
    return this.#applyOne!(batch, first, last, this.#open!.report);
  }

  async drain(): Promise<void> {}

  async complete(): Promise<void> {
    const { entry, subvolume } = this.#open!;
    const counts = subvolume.records.count();
    this.#sidecar.keepDifferences(entry.uuid, subvolume.finish());
    subvolume.close();
    // What is called complete must not be lost with the power.
    await this.#host.flush(this.#top);
    this.#sidecar.note({ ...entry, state: "complete" });
    for (const field of Object.keys(counts) as (keyof NotHeld)[]) this.notHeld[field] += counts[field];
    this.withoutData += subvolume.withoutData;
    this.#open = undefined;
  }

  async abandon(): Promise<Unfinished | undefined> {
    const open = this.#open;
    if (open === undefined) return undefined;
    this.#open = undefined;
    try {
      open.subvolume.close();
    } catch {}
    return { place: this.#placeOf(open.entry.path) };
  }

  #placeOf(name: Uint8Array): string {
    return `${this.#options.path.replace(/(.)\/+$/, "$1")}/${displayName(name)}`;
  }

  #taken(name: Uint8Array): BtrfsError {
    const state = this.#sidecar.at(name)?.state;
    const what = state === "receiving" ? "an unfinished one is there, see receive --cleanup" : "it is there already";
    return new BtrfsError("exists", `Cannot create subvolume: ${what}`, { where: { file: this.#placeOf(name) } });
  }

  #findParent(uuid: Uint8Array): ReceivedSubvolume {
    const found = this.#find(uuid);
    if (found === undefined) throw parentMissing();
    return found;
  }

  /** Complete, and still where it was received. */
  #find(uuid: Uint8Array): ReceivedSubvolume | undefined {
    return this.#sidecar.find(uuid, ({ path }) => {
      return this.#host.has(this.#top, path) && this.#host.stat(this.#top, path).kind === "directory";
    });
  }

  #cloneSource(uuid: Uint8Array): CloneSource {
    const key = formatUuid(uuid);
    let source = this.#sources.get(key);
    if (source === undefined) {
      const found = this.#find(uuid);
      if (found === undefined) {
        throw new BtrfsError("missing", `Cannot clone: subvolume ${key} is not among those received here`);
      }
      source = { host: this.#host, from: this.#top, subvolume: found.path };
      this.#sources.set(key, source);
    }
    return source;
  }
}

/** In any case: hosts may take them for the same. */
export function isSidecar(name: Uint8Array): boolean {
  return Buffer.from(name).toString("latin1").toLowerCase() === SIDECAR.toString("latin1");
}
