import { equalBytes, hex } from "../../bytes/bytes.ts";
import { BtrfsError } from "../../errors.ts";
import type { Native } from "../native.ts";
import { close } from "../open.ts";
import { Directories } from "./directories.ts";
import type { MountView } from "./mount.ts";
import { nameOf, openForReading, type Places, parentOf } from "./places.ts";

/** Subvolumes that are kept open at once. */
const MAX_SUBVOLUMES = 8;

interface Source {
  readonly root: number;
  readonly directories: Directories;
}

/** The files that are cloned from: of the subvolume being received, and of earlier ones by uuid. */
export class CloneSources {
  readonly #native: Native;
  readonly #mount: MountView;
  readonly #own: { readonly uuid: Uint8Array; readonly places: Places };
  readonly #subvolumes = new Map<string, Source>();
  #file: { readonly key: string; readonly fd: number } | undefined;

  /** @param own The uuid that the sender knows the subvolume being received by. */
  constructor(native: Native, mount: MountView, own: { readonly uuid: Uint8Array; readonly places: Places }) {
    this.#native = native;
    this.#mount = mount;
    this.#own = own;
  }

  /** The regular file at `path` of a subvolume, open until the next call. */
  open(uuid: Uint8Array, path: string): number {
    if (equalBytes(uuid, this.#own.uuid)) {
      const current = this.#own.places.current(path)?.fd;
      if (current !== undefined) return current;
      // Names of this subvolume change: the file is found anew each time.
      this.#release();
      return this.#keep("", openForReading(this.#native, this.#own.places.at(path)));
    }
    const id = hex(uuid);
    const key = `${id}/${path}`;
    if (this.#file?.key === key) return this.#file.fd;
    this.#release();
    const directory = this.#subvolume(id, uuid).directories.at(parentOf(path));
    return this.#keep(key, openForReading(this.#native, { directory, name: nameOf(path) }));
  }

  /** Closes the file at work. */
  forget(): void {
    this.#release();
  }

  close(): void {
    this.#release();
    for (const { root, directories } of this.#subvolumes.values()) {
      directories.clear();
      close(this.#native, root);
    }
    this.#subvolumes.clear();
  }

  #keep(key: string, fd: number): number {
    this.#file = { key, fd };
    return fd;
  }

  #release(): void {
    if (this.#file !== undefined) close(this.#native, this.#file.fd);
    this.#file = undefined;
  }

  #subvolume(id: string, uuid: Uint8Array): Source {
    const known = this.#subvolumes.get(id);
    if (known !== undefined) return known;
    if (this.#subvolumes.size >= MAX_SUBVOLUMES) this.close();
    const root = this.#mount.openByUuid(uuid);
    if (root === undefined) throw new BtrfsError("missing", "Cannot clone: did not find source subvol");
    const source = { root, directories: new Directories(this.#native, root) };
    this.#subvolumes.set(id, source);
    return source;
  }
}
