import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { Statfs, Statx } from "./attributes.ts";
import { GENERIC, X64 } from "./numbers.ts";
import { OpenHow } from "./open.ts";
import * as requests from "./requests.ts";
import * as structs from "./structs.ts";

/** What a C compiler makes of the kernel's headers: scripts/linux-abi.mjs writes it. */
interface Abi {
  readonly ioctls: Record<string, number>;
  readonly sizes: Record<string, number>;
  readonly offsets: Record<string, number>;
  readonly syscalls: { readonly x64: Record<string, number>; readonly generic: Record<string, number> };
}
const golden: Abi = JSON.parse(readFileSync(resolve(import.meta.dirname, "../../test/golden/linux-abi.json"), "utf8"));

interface Declared {
  readonly structName: string;
  readonly byteLength: number;
  readonly offsets: Readonly<Record<string, number>>;
}

/** Fields of ours that the headers have no name for, or have only in newer versions. */
const UNNAMED = /^(padding|spare\d*|rest|fsid|unused|align|reserved\d*|mountId|dio.*|subvol|subvolid)$/;
const PREFIXES = ["", "iov_", "fm_", "fe_", "stx_", "f_", "tv_"];

function offsetInHeader(struct: string, field: string): number | undefined {
  const snake = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  for (const prefix of PREFIXES) {
    const offset = golden.offsets[`${struct}.${prefix}${snake}`];
    if (offset !== undefined) return offset;
  }
  return undefined;
}

const declared = [...Object.values(structs), Statx, Statfs, OpenHow] as unknown as Declared[];

test.each(declared.map((struct) => [struct.structName, struct] as const))(
  "%s lies as the header says",
  (name, struct) => {
    expect(struct.byteLength).toBe(golden.sizes[name]);
    for (const [field, offset] of Object.entries(struct.offsets)) {
      // The search argument begins with the key, whose fields are ours.
      const owner = name === "btrfs_ioctl_search_args_v2" && field !== "bufSize" ? "btrfs_ioctl_search_key" : name;
      const inHeader = offsetInHeader(owner, field);
      if (inHeader === undefined) expect(field).toMatch(UNNAMED);
      else expect([field, offset]).toEqual([field, inHeader]);
    }
  },
);

test("every ioctl has the number that the header gives it, and its argument the size that the number carries", () => {
  const ours = Object.values(requests).filter((value) => typeof value === "object") as requests.Request[];
  expect(Object.fromEntries(ours.map(({ name, number }) => [name, number]))).toEqual(golden.ioctls);
  expect(requests.ENCODED_READ.number).toBe(0x80809440);
  expect(requests.ENCODED_WRITE.number).toBe(0x40809440);
});

test("system calls have the numbers of the headers, on x86-64 and on the platforms with the shared table", () => {
  // fchmodat2 is younger than the headers of the machine that wrote the table; it is 452 everywhere.
  const { fchmodat2, ...x64 } = X64;
  const { fchmodat2: generic2, ...generic } = GENERIC;
  expect([fchmodat2, generic2]).toEqual([452, 452]);
  expect(x64).toEqual(golden.syscalls.x64);
  expect(generic).toEqual(golden.syscalls.generic);
});

test("platforms with other direction bits swap the two encoded ioctls", () => {
  const mips = requests.iocLayoutOf("mips64el");
  expect(requests.ioc(mips, mips.read, 0x94, 64, 128)).toBe(0x40809440);
  expect(requests.ioc(mips, mips.write, 0x94, 64, 128)).toBe(0x80809440);
  expect(requests.ioc(mips, mips.none, 0x94, 8, 0)).toBe(0x20009408);
  expect(() => requests.ioc(mips, mips.read, 0x94, 1, 8192)).toThrow(RangeError);
});
