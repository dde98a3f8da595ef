import { expect, test } from "vitest";
import { findParent, type Relative } from "./parent.ts";

const uuid = (byte: number): Uint8Array => new Uint8Array(16).fill(byte);

function subvolume(id: number, ctransid: number, of?: number): Relative {
  return {
    id: BigInt(id),
    uuid: uuid(id),
    parentUuid: of === undefined ? undefined : uuid(of),
    ctransid: BigInt(ctransid),
  };
}

const all = [
  subvolume(10, 50),
  subvolume(11, 20, 10),
  subvolume(12, 30, 10),
  subvolume(13, 40, 10),
  subvolume(20, 5),
  subvolume(21, 49, 20),
];

test("the parent is what the snapshot was made of, where it may be cloned from", () => {
  expect(findParent(all, 13n, [11n, 10n, 12n])).toBe(10n);
});

test("else the snapshot of the same subvolume nearest to it in ctransid", () => {
  expect(findParent(all, 13n, [11n, 12n, 21n])).toBe(12n);
});

test("there is none among strangers, nor for what is no snapshot", () => {
  expect(findParent(all, 13n, [21n, 20n])).toBeUndefined();
  expect(findParent(all, 10n, [11n])).toBeUndefined();
});
