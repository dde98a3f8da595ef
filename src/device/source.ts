/** One read of a batch: `target.byteLength` bytes from byte `at`. */
export interface Read {
  readonly at: number;
  readonly target: Uint8Array;
}

/** Bytes of an open file, from byte `start` on. */
export interface DeviceFile {
  readonly descriptor: number;
  readonly start: number;
}

/** Random-access bytes. A read fills the whole target or throws; many may be in flight. */
export interface ByteSource {
  /** Length in bytes. */
  readonly size: number;
  /** What people know it by: a path, `memory`, a URL. For error messages. */
  readonly name: string;
  /** @throws {BtrfsError} `truncated` past the end, `io` where the host fails. */
  read(at: number, target: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Where the host can: an awaited 16 KiB read from the page cache takes about 65 µs, a synchronous one 4 µs. */
  readSync?(at: number, target: Uint8Array): void;
  /** Where its bytes lie in an open file: whoever has the descriptor may read there, until the source is closed. */
  readonly file?: DeviceFile | undefined;
  /** Settles when all of them have: after that, failed or not, nothing is written to their targets any more. */
  readBatch?(reads: readonly Read[]): Promise<void>;
  close?(): Promise<void>;
}

/** A source that can be written. A write is durable once a later `flush` has resolved. */
export interface ByteStore extends ByteSource {
  write(at: number, data: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  resize(size: number): Promise<void>;
}
