/** Where a file shows an extent from its first byte on. */
export interface DataRef {
  /** Object id of the subvolume. */
  readonly root: bigint;
  readonly inode: number;
  /** File offset in bytes. */
  readonly offset: number;
}

const PAGE_ROWS = 32_768;

interface Page {
  readonly logical: Float64Array;
  readonly offset: Float64Array;
  readonly bytes: Uint32Array;
  readonly inode: Uint32Array;
  readonly root: Uint32Array;
}

/** Every data extent in the order of addresses: 28 bytes for each, until the extent tree is written. */
export class ExtentTable {
  readonly #pages: Page[] = [];
  readonly #roots: bigint[] = [];
  /** References beyond the first, by row. */
  readonly #more = new Map<number, DataRef[]>();
  count = 0;

  /** @returns Its row. */
  add(logical: number, bytes: number, { root, inode, offset }: DataRef): number {
    const row = this.count++;
    const at = row % PAGE_ROWS;
    if (at === 0) this.#pages.push(newPage());
    const page = this.#pages.at(-1)!;
    page.logical[at] = logical;
    page.offset[at] = offset;
    page.bytes[at] = bytes;
    page.inode[at] = inode;
    page.root[at] = this.#rootNumber(root);
    return row;
  }

  share(row: number, ref: DataRef): void {
    const more = this.#more.get(row);
    if (more === undefined) this.#more.set(row, [ref]);
    else more.push(ref);
  }

  logical(row: number): number {
    return this.#page(row).logical[row % PAGE_ROWS]!;
  }

  bytes(row: number): number {
    return this.#page(row).bytes[row % PAGE_ROWS]!;
  }

  first(row: number): DataRef {
    const page = this.#page(row);
    const at = row % PAGE_ROWS;
    return { root: this.#roots[page.root[at]!]!, inode: page.inode[at]!, offset: page.offset[at]! };
  }

  more(row: number): readonly DataRef[] | undefined {
    return this.#more.get(row);
  }

  /** The first row whose address is not below `logical`. */
  rowAt(logical: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.logical(middle) < logical) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #page(row: number): Page {
    return this.#pages[Math.floor(row / PAGE_ROWS)]!;
  }

  #rootNumber(root: bigint): number {
    if (this.#roots.at(-1) !== root) this.#roots.push(root);
    return this.#roots.length - 1;
  }
}

function newPage(): Page {
  return {
    logical: new Float64Array(PAGE_ROWS),
    offset: new Float64Array(PAGE_ROWS),
    bytes: new Uint32Array(PAGE_ROWS),
    inode: new Uint32Array(PAGE_ROWS),
    root: new Uint32Array(PAGE_ROWS),
  };
}
