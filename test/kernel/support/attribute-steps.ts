import { fillBytes } from "./operations.ts";
import type { Random } from "./random.ts";
import { type Place, pickPlace, type Step } from "./world.ts";

const hasUserXattrs = ({ inode }: Place): boolean => inode.kind === "file" || inode.kind === "dir";

const chmod: Step = (world) => {
  const place = pickPlace(world, ({ inode }) => inode.kind !== "symlink");
  const mode = world.random.pick([0o644, 0o600, 0o755, 0o444, 0o4755, 0o2755, 0o1777, 0o700]);
  if (place !== undefined) world.emit({ op: "chmod", path: place.path, mode });
};

const chown: Step = (world) => {
  const place = pickPlace(world, () => true);
  if (place === undefined) return;
  const [uid, gid] = [world.random.pick([0, 1000, 1001, 65534, 4_294_967_294]), world.random.pick([0, 1000, 100])];
  world.emit({ op: "chown", path: place.path, uid, gid });
};

/** From 1901 to 2446, which is what an ext4 can hold too. */
function someTime(random: Random): string {
  const seconds = random.pick([0, -1, -2_147_483_648, 15_032_385_535, random.between(0, 2_000_000_000)]);
  return String(BigInt(seconds) * 1_000_000_000n + BigInt(random.pick([0, 1, 999_999_999, 123_456_789])));
}

const utimes: Step = (world) => {
  const place = pickPlace(world, () => true);
  if (place === undefined) return;
  const [atime, mtime] = [someTime(world.random), someTime(world.random)];
  world.emit({ op: "utimes", path: place.path, atime, mtime });
};

const setXattr: Step = (world) => {
  const { random } = world;
  const place = pickPlace(world, () => true);
  if (place === undefined) return;
  const space = hasUserXattrs(place) && random.chance(80) ? "user" : "trusted";
  const name = `${space}.${random.pick(["a", "b", "c", "note", "n\xf6 utf-8", "l".repeat(200)])}`;
  const length = random.pick([0, 1, random.between(2, 60), random.between(100, 1000), random.between(3000, 5000)]);
  const value = fillBytes({ kind: random.pick(["text", "noise"]), seed: random.word() }, length);
  world.emit({ op: "setXattr", path: place.path, name, value: Buffer.from(value).toString("hex") });
  place.inode.xattrs.add(name);
};

const removeXattr: Step = (world) => {
  const place = pickPlace(world, ({ inode }) => inode.xattrs.size > 0);
  if (place === undefined) return;
  const name = world.random.pick([...place.inode.xattrs]);
  world.emit({ op: "removeXattr", path: place.path, name });
  place.inode.xattrs.delete(name);
};

/** `struct posix_acl_xattr_header` and its entries: user, one named user, group, mask, other. */
function aclValue(uid: number, permissions: number): string {
  const undefinedId = 0xffffffff;
  const entries = [
    [0x01, 6, undefinedId],
    [0x02, permissions, uid],
    [0x04, 4, undefinedId],
    [0x10, 7, undefinedId],
    [0x20, 4, undefinedId],
  ] as const;
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(2, 0);
  entries.forEach(([tag, bits, id], index) => {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(bits, 6 + 8 * index);
    value.writeUInt32LE(id, 8 + 8 * index);
  });
  return value.toString("hex");
}

const acl: Step = (world) => {
  const { random } = world;
  const place = pickPlace(world, hasUserXattrs);
  if (place === undefined) return;
  const isDefault = place.inode.kind === "dir" && random.chance(50);
  const name = `system.posix_acl_${isDefault ? "default" : "access"}`;
  const value = aclValue(random.between(1000, 1003), random.between(0, 7));
  world.emit({ op: "setXattr", path: place.path, name, value });
};

/** `struct vfs_cap_data`, revision 2, effective. The kernel drops it at the next write or chown, so it is never removed here. */
const capability: Step = (world) => {
  const place = pickPlace(world, ({ inode }) => inode.kind === "file");
  if (place === undefined) return;
  const value = Buffer.alloc(20);
  value.writeUInt32LE(0x02000001, 0);
  value.writeUInt32LE(1 << world.random.between(0, 20), 4);
  world.emit({ op: "setXattr", path: place.path, name: "security.capability", value: value.toString("hex") });
};

/** Steps that change what is said of an inode. */
export const attributeSteps = { chmod, chown, utimes, setXattr, removeXattr, acl, capability } satisfies Record<
  string,
  Step
>;
