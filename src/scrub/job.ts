import { type BtrfsError, CorruptError } from "../errors.ts";
import type { Mirror } from "../volume/mirrors.ts";
import type { Volume } from "../volume/volume.ts";
import { FileNames } from "./file-names.ts";
import { ownersOf } from "./owners.ts";
import { type Finding, newTally, type Owner, type Tally } from "./report.ts";

export interface ScrubOptions {
  /** Writes good bytes over bad ones. The devices have to be open for writing. */
  readonly repair?: boolean | undefined;
  readonly onFinding?: ((finding: Finding) => void) | undefined;
  /** Bytes of extents that are done, copies not counted, and of all. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What every part of a scrub shares. */
export class ScrubJob {
  readonly volume: Volume;
  readonly repair: boolean;
  readonly signal: AbortSignal | undefined;
  readonly tally: Tally = newTally();
  readonly #onFinding: (finding: Finding) => void;
  readonly #names: FileNames;

  constructor(volume: Volume, { repair, onFinding, signal }: ScrubOptions) {
    this.volume = volume;
    this.repair = repair === true;
    this.signal = signal;
    this.#names = new FileNames(volume);
    this.#onFinding = onFinding ?? (() => {});
  }

  /** Copies that lie on devices which are there; bytes of the others are counted. */
  presentCopies(logical: number, length: number): Mirror[] {
    const stored = this.volume.copiesOf(logical, length).filter(({ kind }) => kind === "stored");
    const present = stored.filter(({ devid }) => this.volume.devices.get(devid)?.source !== undefined);
    this.tally.missingBytes += (stored.length - present.length) * length;
    return present;
  }

  /** A stored copy is bad. With `good`, those bytes are written over it where repair was asked for. */
  async copyIsBad(
    kind: Finding["kind"],
    copy: Pick<Mirror, "devid" | "physical" | "lengthBytes"> & { readonly logical?: number },
    error: BtrfsError,
    write: (() => Promise<void>) | undefined,
  ): Promise<void> {
    if (write !== undefined && this.repair) await write();
    const { devid, physical, lengthBytes } = copy;
    await this.tell({
      kind,
      state: write === undefined ? "unrepairable" : this.repair ? "repaired" : "repairable",
      device: devid,
      file: this.volume.devices.get(devid)?.source?.name,
      physical,
      logical: copy.logical,
      lengthBytes,
      error,
    });
  }

  /** No stored copy is there, and the bytes can't be had otherwise. */
  async isLost(kind: "metadata" | "data", logical: number, lengthBytes: number, error: BtrfsError): Promise<void> {
    const where = { device: undefined, file: undefined, physical: undefined };
    await this.tell({ kind, state: "unrepairable", ...where, logical, lengthBytes, error });
  }

  /** A block of the extent tree is lost, or says what can't be: what it lists is not verified. */
  async isUnlisted(error: BtrfsError): Promise<void> {
    const { logical } = error.where;
    const where = { device: undefined, file: undefined, physical: undefined, logical, lengthBytes: 0 };
    await this.tell({ kind: "tree", state: "unrepairable", ...where, error });
  }

  async tell(finding: Omit<Finding, "owners">): Promise<void> {
    const { kind, logical, state } = finding;
    this.tally[state]++;
    const named = logical !== undefined && (kind === "data" || kind === "metadata");
    this.#onFinding({ ...finding, owners: named ? await this.#ownersOf(logical) : [] });
  }

  async #ownersOf(logical: number): Promise<Owner[]> {
    const owners: Owner[] = [];
    for (const owner of await ownersOf(this.volume, logical)) {
      const path = owner.inode === undefined ? undefined : await this.#names.find(owner.root, owner.inode);
      owners.push(path === undefined ? owner : { ...owner, path });
    }
    return owners;
  }
}

export function checksumError(volume: Volume, what: string, copy: Mirror): CorruptError {
  const file = volume.devices.get(copy.devid)?.source?.name;
  const where = {
    ...(file === undefined ? {} : { file }),
    device: copy.devid,
    physical: copy.physical,
    logical: copy.logical,
  };
  return new CorruptError(`Cannot trust ${what}: its ${volume.checksum.name} checksum does not match`, where, {
    code: "checksum",
  });
}
