import { displayName } from "../bytes/display.ts";
import { SourceError, type SourceNode, type SourceStat, type Stretch } from "../copy/source.ts";
import { BtrfsError } from "../errors.ts";
import type { Xattr } from "../fs/xattr.ts";
import type { DirectoryHost } from "../node/directory-host.ts";
import type { Handle } from "../restore/target.ts";
import { openDirectoryHost } from "./directory-host.ts";

/** Something on this host, to be copied. Symbolic links are not followed; what goes on meanwhile is seen or not. */
export class HostSource implements SourceNode {
  readonly shown: string;
  readonly stat: SourceStat;
  readonly #host: DirectoryHost;
  /** The open directory that has the name; for the one that was opened, its own. */
  readonly #parent: Handle;
  readonly #name: Uint8Array | undefined;
  #own: Handle | undefined;

  private constructor(host: DirectoryHost, parent: Handle, name: Uint8Array | undefined, shown: string) {
    this.#host = host;
    this.#parent = parent;
    this.#name = name;
    this.shown = shown;
    const found = told(() => host.stat(parent, name));
    this.stat = { ...found, identity: `host ${found.device} ${found.inode}` };
  }

  /**
   * A name in a directory of this host.
   *
   * @param directory Its path; with an empty name, itself.
   * @param shown For people.
   * @throws {SourceError}
   */
  static open(directory: string, name: Uint8Array, shown: string): HostSource & Disposable {
    const { host, close } = told(() => openDirectoryHost(directory));
    const top = told(() => host.openDirectory(new Uint8Array(0)));
    const end = () => {
      host.close(top);
      close();
    };
    try {
      const source = new HostSource(host, top, name.byteLength === 0 ? undefined : name, shown);
      return Object.assign(source, {
        [Symbol.dispose]: () => {
          source.close();
          end();
        },
      });
    } catch (error) {
      end();
      throw error;
    }
  }

  async names(): Promise<Uint8Array[]> {
    return this.#told(() => this.#host.list(this.#directory()).sort(Buffer.compare));
  }

  async enter(name: Uint8Array): Promise<HostSource> {
    const directory = this.#told(() => this.#directory());
    return new HostSource(this.#host, directory, name, `${this.shown.replace(/\/$/, "")}/${displayName(name)}`);
  }

  async readLink(): Promise<Uint8Array> {
    return this.#told(() => this.#host.readLink(this.#parent, this.#name!));
  }

  async xattrs(): Promise<Xattr[]> {
    return this.#told(() =>
      this.#host.xattrs(this.#own ?? this.#parent, this.#own === undefined ? this.#name : undefined),
    );
  }

  async *content(bytes: number): AsyncGenerator<Stretch> {
    const { size } = this.stat;
    const file = this.#told(() => this.#file());
    const buffer = new Uint8Array(size < BigInt(bytes) ? Number(size) : bytes);
    for (const { start, end, isHole } of this.#told(() => [...this.#host.segments(file, 0n, size)])) {
      for (let at = start; !isHole && at < end; ) {
        const left = end - at;
        const wanted = left < BigInt(buffer.byteLength) ? buffer.subarray(0, Number(left)) : buffer;
        const count = this.#told(() => this.#host.read(file, wanted, at));
        // It has become shorter: `isUnchanged` tells.
        if (count === 0) return;
        yield { at, data: wanted.subarray(0, count) };
        at += BigInt(count);
      }
    }
  }

  isUnchanged(): boolean {
    if (this.stat.kind !== "file" || this.#own === undefined) return true;
    try {
      const { size, mtime } = this.#host.stat(this.#own, undefined);
      return size === this.stat.size && mtime === this.stat.mtime;
    } catch {
      return false;
    }
  }

  close(): void {
    if (this.#own !== undefined) this.#host.close(this.#own);
    this.#own = undefined;
  }

  #directory(): Handle {
    if (this.#name === undefined) return this.#parent;
    this.#own ??= this.#host.enterDirectory(this.#parent, this.#name);
    return this.#own;
  }

  #file(): Handle {
    this.#own ??= this.#host.openRegular(this.#parent, this.#name!, "read");
    return this.#own;
  }

  #told<T>(use: () => T): T {
    return told(use);
  }
}

function told<T>(use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (error instanceof BtrfsError) throw new SourceError(error.code, error.sentence, { cause: error });
    throw error;
  }
}
