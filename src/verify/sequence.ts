import type { ErrorCode } from "../errors.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS } from "../stream/commands.ts";
import { type Complaint, type Kind, Namespace } from "./namespace.ts";

const PATH = ATTRIBUTES.path.number;
const PATH_TO = ATTRIBUTES.pathTo.number;
const PATH_LINK = ATTRIBUTES.pathLink.number;
const CLONE_PATH = ATTRIBUTES.clonePath.number;
const CLONE_UUID = ATTRIBUTES.cloneUuid.number;
const UUID = ATTRIBUTES.uuid.number;

/** What a command does to the name in its PATH. */
type Step =
  | { readonly does: "create"; readonly kind: Kind }
  | { readonly does: "remove"; readonly what: "directory" | "other" }
  | { readonly does: "use"; readonly kind?: "file" }
  | { readonly does: "rename" | "link" | "clone" };

const FILE_DATA: Step = { does: "use", kind: "file" };
const ANY: Step = { does: "use" };

const STEPS: readonly (Step | undefined)[] = (() => {
  const steps: (Step | undefined)[] = [];
  const set = (name: keyof typeof COMMANDS, step: Step) => {
    steps[COMMANDS[name].number] = step;
  };
  set("mkfile", { does: "create", kind: "file" });
  set("mkdir", { does: "create", kind: "directory" });
  set("symlink", { does: "create", kind: "symlink" });
  for (const name of ["mknod", "mkfifo", "mksock"] as const) set(name, { does: "create", kind: "special" });
  set("rename", { does: "rename" });
  set("link", { does: "link" });
  set("unlink", { does: "remove", what: "other" });
  set("rmdir", { does: "remove", what: "directory" });
  set("clone", { does: "clone" });
  for (const name of ["write", "encodedWrite", "truncate", "updateExtent", "fallocate", "enableVerity"] as const) {
    set(name, FILE_DATA);
  }
  for (const name of ["setXattr", "removeXattr", "chmod", "chown", "utimes", "fileattr"] as const) set(name, ANY);
  return steps;
})();

/** What is wrong with a command where it stands. */
export interface SequenceFault {
  readonly code: ErrorCode;
  /** Tail of a sentence about the path at `at`. */
  readonly complaint: string;
  /** The path in the batch's bytes. */
  readonly at: number;
  readonly end: number;
}

/** Whether commands make sense in their order: the names of one subvolume while the stream is carried out. */
export class Sequence {
  #names: Namespace | undefined;
  #uuid = new Uint8Array(16);

  /** Whether a subvolume has begun in this segment. */
  get begun(): boolean {
    return this.#names !== undefined;
  }

  get names(): number {
    return this.#names?.size ?? 0;
  }

  /** Bytes that are held for names. */
  get byteLength(): number {
    return this.#names?.byteLength ?? 0;
  }

  /** A new segment: nothing may come before its SUBVOL or SNAPSHOT. */
  reset(): void {
    this.#names = undefined;
  }

  /** A SUBVOL, or a SNAPSHOT, whose names are those of a parent that is not at hand. */
  begin(batch: CommandBatch, i: number, complete: boolean): void {
    this.#names = new Namespace(complete);
    this.#uuid.set(batch.value(i, UUID)!);
  }

  /** Commands were lost: from here on a name may exist or not. A subvolume may have begun. */
  forget(): void {
    this.#names ??= new Namespace(false);
    this.#names.forget();
  }

  check(batch: CommandBatch, i: number): SequenceFault | undefined {
    const step = STEPS[batch.type(i)];
    const names = this.#names;
    if (step === undefined || names === undefined) return undefined;
    const slot = batch.find(i, PATH);
    const at = batch.valueAt(slot);
    const end = at + batch.valueLength(slot);
    switch (step.does) {
      case "create":
        return faultOf(names.create(batch.bytes, at, end, step.kind), at, end);
      case "remove":
        return faultOf(names.remove(batch.bytes, at, end, step.what), at, end);
      case "use":
        return faultOf(names.use(batch.bytes, at, end, step.kind), at, end);
      case "rename":
      case "link": {
        const other = batch.find(i, step.does === "rename" ? PATH_TO : PATH_LINK);
        const otherAt = batch.valueAt(other);
        const otherEnd = otherAt + batch.valueLength(other);
        const complaint = names[step.does](batch.bytes, at, end, otherAt, otherEnd);
        return faultOf(complaint, at, end);
      }
      case "clone":
        return faultOf(names.use(batch.bytes, at, end, "file"), at, end) ?? this.#checkSource(batch, i, names);
    }
  }

  /** A clone from the subvolume itself names a file that is there now; what another one holds is not known here. */
  #checkSource(batch: CommandBatch, i: number, names: Namespace): SequenceFault | undefined {
    const uuid = batch.valueAt(batch.find(i, CLONE_UUID));
    for (let byte = 0; byte < 16; byte++) if (batch.bytes[uuid + byte] !== this.#uuid[byte]) return undefined;
    const slot = batch.find(i, CLONE_PATH);
    const at = batch.valueAt(slot);
    const end = at + batch.valueLength(slot);
    return faultOf(names.use(batch.bytes, at, end, "file"), at, end);
  }
}

function faultOf(complaint: Complaint, at: number, end: number): SequenceFault | undefined {
  if (complaint === undefined) return undefined;
  const code = complaint.includes("exists already") ? "exists" : complaint.includes("not exist") ? "missing" : "kind";
  return { code, complaint, at, end };
}
