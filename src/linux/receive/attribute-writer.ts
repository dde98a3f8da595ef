import { BtrfsError } from "../../errors.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import { fchmodat, fchownat, utimensat } from "../attributes.ts";
import type { Native } from "../native.ts";
import { removeXattr, setXattr } from "../xattr.ts";
import { number, timeAt } from "./command-values.ts";
import { setFileAttributes } from "./file-attributes.ts";
import { MARK } from "./mark.ts";
import type { Places } from "./places.ts";

/** Sets attributes of what a subvolume has, through the open file where it is the current object. */
export class AttributeWriter {
  readonly #native: Native;
  readonly #places: Places;

  constructor(native: Native, places: Places) {
    this.#native = native;
    this.#places = places;
  }

  setXattr(batch: CommandBatch, i: number, path: string): void {
    const attribute = this.#xattrName(batch, i, path);
    const value = batch.value(i, number("xattrData"))!;
    const current = this.#places.current(path);
    if (current === undefined) this.#places.release();
    this.#onObject(path, (fd, name) => setXattr(this.#native, fd, name, attribute, value));
    // An ACL is the mode, too; and an owner that is set, though it is the same, takes capabilities away.
    if (current !== undefined) Object.assign(current, { uid: undefined, gid: undefined, mode: undefined });
    this.#places.directories.changed(path);
  }

  removeXattr(batch: CommandBatch, i: number, path: string): void {
    const attribute = this.#xattrName(batch, i, path);
    this.#onObject(path, (fd, name) => removeXattr(this.#native, fd, name, attribute));
  }

  setMode(path: string, mode: number): void {
    const current = this.#places.current(path);
    if (current?.mode === mode) return;
    // It may be the current one under another name.
    if (current === undefined) this.#places.release();
    this.#onObject(path, (fd, name) => fchmodat(this.#native, fd, name, mode));
    if (current !== undefined) current.mode = mode;
    this.#places.directories.changed(path);
  }

  setOwner(path: string, uid: number, gid: number): void {
    const current = this.#places.current(path);
    if (current !== undefined && current.uid === uid && current.gid === gid) return;
    if (current === undefined) this.#places.release();
    this.#onObject(path, (fd, name) => fchownat(this.#native, fd, name, uid, gid));
    if (current === undefined) return;
    current.uid = uid;
    current.gid = gid;
    // The kernel takes setuid and setgid away.
    if (current.mode !== undefined && (current.mode & 0o6000) !== 0) current.mode = undefined;
  }

  setTimes(batch: CommandBatch, i: number, path: string): void {
    const [atime, mtime] = [timeAt(batch, i, "atime"), timeAt(batch, i, "mtime")];
    this.#onObject(path, (fd, name) => utimensat(this.#native, fd, name, { atime, mtime }));
  }

  /** @returns False where not all of the flags can be had. */
  setFlags(path: string, flags: bigint): boolean {
    let isDone = true;
    this.#onObject(path, (fd, name) => {
      isDone = setFileAttributes(this.#native, fd, name, flags);
    });
    return isDone;
  }

  #xattrName(batch: CommandBatch, i: number, path: string): Uint8Array {
    const attribute = batch.value(i, number("xattrName"))!;
    if (path === "" && Buffer.from(attribute).toString("latin1") === MARK) {
      throw new BtrfsError("kind", `Cannot change ${MARK}: it marks the subvolume while it is received`);
    }
    return attribute;
  }

  /** Does something to the object at `path`: by its descriptor where it is open, else by its name. */
  #onObject(path: string, action: (fd: number, name: Uint8Array | undefined) => void): void {
    const fd = this.#places.current(path)?.fd;
    if (fd !== undefined) {
      action(fd, undefined);
      return;
    }
    const { directory, name } = this.#places.at(path);
    action(directory.fd, name);
  }
}
