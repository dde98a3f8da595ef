import { expect, test } from "vitest";
import { CorruptError } from "../errors.ts";
import { accessAfterChmod, accessOf, initialAccess } from "./acl.ts";

const TAGS = { owner: 0x01, user: 0x02, group: 0x04, mask: 0x10, other: 0x20 } as const;

function aclOf(entries: Partial<Record<keyof typeof TAGS, number>>): Uint8Array {
  const names = Object.entries(entries) as [keyof typeof TAGS, number][];
  const view = new DataView(new ArrayBuffer(4 + 8 * names.length));
  view.setUint32(0, 2, true);
  for (const [index, [name, permissions]] of names.entries()) {
    view.setUint16(4 + 8 * index, TAGS[name], true);
    view.setUint16(6 + 8 * index, permissions, true);
    view.setInt32(8 + 8 * index, name === "user" ? 1000 : -1, true);
  }
  return new Uint8Array(view.buffer);
}

test("a new mode changes the owner, the mask and others, and leaves users and the group", () => {
  const acl = aclOf({ owner: 7, user: 6, group: 5, mask: 7, other: 4 });
  expect(accessAfterChmod(acl, 0o4620)).toEqual({
    mode: 0o4620,
    acl: aclOf({ owner: 6, user: 6, group: 5, mask: 2, other: 0 }),
  });
});

test("an ACL changes the mode, by its mask, and is not needed where the mode says all", () => {
  const acl = aclOf({ owner: 7, user: 6, group: 5, mask: 3, other: 4 });
  expect(accessOf(acl, 0o102000)).toEqual({ mode: 0o102734, acl });
  expect(accessOf(aclOf({ owner: 6, group: 5, other: 1 }), 0o777)).toEqual({ mode: 0o651, acl: undefined });
});

test("a default ACL and a mode allow what both allow", () => {
  const acl = aclOf({ owner: 7, user: 6, group: 5, mask: 6, other: 4 });
  const limited = aclOf({ owner: 6, user: 6, group: 5, mask: 4, other: 4 });
  expect(initialAccess(acl, 0o654)).toEqual({ mode: 0o644, acl: limited });
});

test.each([
  ["another version", Uint8Array.of(1, 0, 0, 0)],
  ["half an entry", aclOf({ owner: 7, group: 5, other: 4 }).subarray(0, 15)],
  ["no entry for the group", aclOf({ owner: 7, other: 4 })],
])("%s is no ACL", (_what, bytes) => {
  expect(() => accessOf(bytes, 0o644)).toThrow(CorruptError);
});
