import { CorruptError, type Where } from "../errors.ts";
import { viewOf } from "./bytes.ts";

/** What a generated view holds besides its fields: the bytes, and where the struct starts in them. */
export interface Located {
  view: DataView;
  at: number;
}

/** How one kind of field is read and written in place. */
export interface FieldKind<T> {
  /** Size in bytes. */
  readonly size: number;
  accessor(offset: number): { get(this: Located): T; set(this: Located, value: T): void };
}

type Fields = Readonly<Record<string, FieldKind<unknown>>>;
type ValueOf<K> = K extends FieldKind<infer T> ? T : never;
type View<F extends Fields> = Located & { -readonly [Name in keyof F]: ValueOf<F[Name]> };

/** A packed little-endian struct: `new` it over bytes and its fields read and write in place. */
export interface Struct<F extends Fields> {
  new (view: DataView, at?: number): View<F>;
  readonly structName: string;
  readonly byteLength: number;
  /** Byte offset of each field, for hot loops that read without a view. */
  readonly offsets: { readonly [Name in keyof F]: number };
}

export const u8: FieldKind<number> = {
  size: 1,
  accessor: (offset) => ({
    get() {
      return this.view.getUint8(this.at + offset);
    },
    set(value) {
      this.view.setUint8(this.at + offset, value);
    },
  }),
};

export const u16: FieldKind<number> = {
  size: 2,
  accessor: (offset) => ({
    get() {
      return this.view.getUint16(this.at + offset, true);
    },
    set(value) {
      this.view.setUint16(this.at + offset, value, true);
    },
  }),
};

export const u32: FieldKind<number> = {
  size: 4,
  accessor: (offset) => ({
    get() {
      return this.view.getUint32(this.at + offset, true);
    },
    set(value) {
      this.view.setUint32(this.at + offset, value, true);
    },
  }),
};

export const u64: FieldKind<bigint> = {
  size: 8,
  accessor: (offset) => ({
    get() {
      return this.view.getBigUint64(this.at + offset, true);
    },
    set(value) {
      this.view.setBigUint64(this.at + offset, value, true);
    },
  }),
};

export const s64: FieldKind<bigint> = {
  size: 8,
  accessor: (offset) => ({
    get() {
      return this.view.getBigInt64(this.at + offset, true);
    },
    set(value) {
      this.view.setBigInt64(this.at + offset, value, true);
    },
  }),
};

/** `size` raw bytes: reading gives a view into the struct, not a copy. */
export function bytes(size: number): FieldKind<Uint8Array> {
  return {
    size,
    accessor: (offset) => ({
      get() {
        return new Uint8Array(this.view.buffer, this.view.byteOffset + this.at + offset, size);
      },
      set(value) {
        if (value.byteLength > size) throw new RangeError(`Cannot set field: ${value.byteLength} bytes, ${size} fit`);
        const target = new Uint8Array(this.view.buffer, this.view.byteOffset + this.at + offset, size);
        target.fill(0);
        target.set(value);
      },
    }),
  };
}

/** A struct inside a struct. Assigning copies the bytes. */
export function nested<F extends Fields>(struct: Struct<F>): FieldKind<View<F>> {
  return {
    size: struct.byteLength,
    accessor: (offset) => ({
      get() {
        return new struct(this.view, this.at + offset);
      },
      set(value) {
        const from = new Uint8Array(value.view.buffer, value.view.byteOffset + value.at, struct.byteLength);
        new Uint8Array(this.view.buffer, this.view.byteOffset + this.at + offset, struct.byteLength).set(from);
      },
    }),
  };
}

/**
 * Declares a packed struct: the order of `fields` is the layout.
 *
 * @param byteLength The size that the format states, checked against the sum of the fields on load.
 */
export function struct<const F extends Fields>(name: string, byteLength: number, fields: F): Struct<F> {
  // No base class, and no fields that are initialised before the constructor: either costs ten times as much per view.
  class View {
    static readonly structName = name;
    static readonly byteLength = byteLength;
    static readonly offsets: Record<string, number> = {};
    declare view: DataView;
    declare at: number;
    constructor(view: DataView, at = 0) {
      this.view = view;
      this.at = at;
    }
  }
  let offset = 0;
  for (const [field, kind] of Object.entries(fields)) {
    View.offsets[field] = offset;
    Object.defineProperty(View.prototype, field, { enumerable: true, ...kind.accessor(offset) });
    offset += kind.size;
  }
  if (offset !== byteLength) {
    throw new RangeError(`${name}: fields add up to ${offset} bytes, the format says ${byteLength}`);
  }
  return View as unknown as Struct<F>;
}

/**
 * A view of foreign bytes as `struct`, after checking that they are long enough.
 *
 * @throws {CorruptError} when `data` is shorter than the struct.
 */
export function asStruct<F extends Fields>(struct: Struct<F>, data: Uint8Array | DataView, where: Where = {}): View<F> {
  if (data.byteLength < struct.byteLength) {
    throw new CorruptError(
      `Cannot read ${struct.structName}: ${data.byteLength} bytes, the format says ${struct.byteLength}`,
      where,
    );
  }
  return new struct(data instanceof DataView ? data : viewOf(data));
}

/** A zeroed struct of its own. */
export function newStruct<F extends Fields>(struct: Struct<F>): View<F> {
  return new struct(new DataView(new ArrayBuffer(struct.byteLength)));
}
