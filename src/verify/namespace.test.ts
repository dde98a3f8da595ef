import * as fc from "fast-check";
import { expect, test } from "vitest";
import { toBytes } from "../bytes/bytes.ts";
import { type Kind, Namespace } from "./namespace.ts";

/** The same claims over a plain map of paths: slow, and plainly right. */
class Model {
  readonly names = new Map<string, Kind>([["", "directory"]]);

  create(path: string, kind: Kind): boolean {
    if (this.names.has(path) || !this.#hasParent(path)) return false;
    this.names.set(path, kind);
    return true;
  }

  remove(path: string, what: "directory" | "other"): boolean {
    const kind = this.names.get(path);
    if (path === "" || kind === undefined || (kind === "directory") !== (what === "directory")) return false;
    if (this.#below(path).length > 0) return false;
    return this.names.delete(path);
  }

  rename(from: string, to: string): boolean {
    const kind = this.names.get(from);
    if (from === "" || kind === undefined || this.names.has(to) || !this.#hasParent(to)) return false;
    if (`${to}/`.startsWith(`${from}/`)) return false;
    for (const path of [from, ...this.#below(from)]) {
      const value = this.names.get(path)!;
      this.names.delete(path);
      this.names.set(to + path.slice(from.length), value);
    }
    return true;
  }

  link(to: string, from: string): boolean {
    const kind = this.names.get(from);
    return kind !== undefined && kind !== "directory" && this.create(to, kind);
  }

  #hasParent(path: string): boolean {
    return (
      path !== "" && this.names.get(path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "") === "directory"
    );
  }

  #below(path: string): string[] {
    return [...this.names.keys()].filter((name) => name.startsWith(`${path}/`));
  }
}

const path = fc.array(fc.constantFrom("a", "b", "cc", "o257-7-0"), { maxLength: 3 }).map((parts) => parts.join("/"));
const step = fc.oneof(
  fc.record({ op: fc.constant("create"), path, kind: fc.constantFrom<Kind>("file", "directory") }),
  fc.record({ op: fc.constant("remove"), path, what: fc.constantFrom("directory", "other") }),
  fc.record({ op: fc.constant("rename"), path, to: path }),
  fc.record({ op: fc.constant("link"), path, to: path }),
  fc.record({ op: fc.constant("use"), path }),
);

function pair(a: string, b: string): [Uint8Array, number, number, number, number] {
  const bytes = toBytes(a + b);
  return [bytes, 0, toBytes(a).byteLength, toBytes(a).byteLength, bytes.byteLength];
}

test("a full stream's names behave as a map of paths does", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const model = new Model();
      const names = new Namespace(true);
      for (const one of steps) {
        const bytes = toBytes(one.path);
        const to = "to" in one ? pair(one.path, one.to) : undefined;
        if (one.op === "create" && "kind" in one) {
          const sound = names.create(bytes, 0, bytes.byteLength, one.kind) === undefined;
          expect(sound).toBe(model.create(one.path, one.kind));
        } else if (one.op === "remove" && "what" in one) {
          const what = one.what as "directory" | "other";
          expect(names.remove(bytes, 0, bytes.byteLength, what) === undefined).toBe(model.remove(one.path, what));
        } else if (one.op === "rename" && to !== undefined && "to" in one) {
          expect(names.rename(...to) === undefined).toBe(model.rename(one.path, one.to));
        } else if (one.op === "link" && to !== undefined && "to" in one) {
          const [all, from, fromEnd, at, end] = to;
          expect(names.link(all, at, end, from, fromEnd) === undefined).toBe(model.link(one.to, one.path));
        } else expect(names.use(bytes, 0, bytes.byteLength) === undefined).toBe(model.names.has(one.path));
        expect(names.size).toBe(model.names.size - 1);
      }
    }),
    { numRuns: 500 },
  );
});

test("a directory is removed only when it is empty", () => {
  const names = new Namespace(true);
  const [d, file] = [toBytes("d"), toBytes("d/x")];
  expect(names.create(d, 0, 1, "directory")).toBeUndefined();
  expect(names.create(file, 0, 3, "file")).toBeUndefined();
  expect(names.remove(d, 0, 1, "directory")).toContain("is not empty: 1 name");
  expect(names.remove(file, 0, 3, "other")).toBeUndefined();
  expect(names.remove(d, 0, 1, "directory")).toBeUndefined();
});

test("what was remembered of a removed directory is not found in a new one", () => {
  const names = new Namespace(false);
  const all = toBytes("n d/y n/d n/e/y");
  const at = { n: [0, 1], d: [2, 3], dy: [2, 5], nd: [6, 9], ne: [10, 13], ney: [10, 15] } as const;
  expect(names.create(all, ...at.n, "directory")).toBeUndefined();
  expect(names.use(all, ...at.dy)).toBeUndefined();
  expect(names.rename(all, ...at.d, ...at.nd)).toBeUndefined();
  expect(names.remove(all, ...at.nd, "directory")).toBeUndefined();
  expect(names.create(all, ...at.ne, "directory")).toBeUndefined();
  expect(names.use(all, ...at.ney)).toContain("does not exist");
});

test("a name of an increment may come from the parent until the stream removes it", () => {
  const names = new Namespace(false);
  const [bytes, from, fromEnd, to, toEnd] = pair("old/dir", "new");
  expect(names.use(bytes, from, fromEnd)).toBeUndefined();
  expect(names.rename(bytes, from, fromEnd, to, toEnd)).toBeUndefined();
  expect(names.use(bytes, from, fromEnd)).toContain("does not exist");
  expect(names.create(bytes, from, fromEnd, "file")).toBeUndefined();
  expect(names.use(bytes, from, fromEnd, "directory")).toBe("is a file, not a directory");
  expect(names.create(bytes, from, fromEnd, "file")).toBe("exists already");
});

test("after lost commands nothing is held against a name that the stream did not make since", () => {
  const names = new Namespace(true);
  const bytes = toBytes("lost");
  expect(names.use(bytes, 0, 4)).toContain("does not exist");
  names.forget();
  expect(names.use(bytes, 0, 4)).toBeUndefined();
});

test("names that were removed or moved may be there again after lost commands, and nothing else is forgotten", () => {
  const names = new Namespace(false);
  const [bytes, from, fromEnd, to, toEnd] = pair("old", "new");
  names.create(bytes, to, toEnd, "directory");
  expect(names.remove(bytes, to, toEnd, "directory")).toBeUndefined();
  names.create(bytes, from, fromEnd, "file");
  expect(names.rename(bytes, from, fromEnd, to, toEnd)).toBeUndefined();
  names.forget();
  expect(names.use(bytes, from, fromEnd, "directory")).toBeUndefined();
  expect(names.use(bytes, to, toEnd, "directory")).toBe("is a file, not a directory");
  expect(names.remove(bytes, from, fromEnd, "directory")).toBeUndefined();
  expect(names.use(bytes, from, fromEnd)).toContain("does not exist");
});

test("a directory made after lost commands is known entirely, one made before is not", () => {
  const names = new Namespace(true);
  const step = (path: string, make: boolean) => {
    const bytes = toBytes(path);
    return make ? names.create(bytes, 0, bytes.byteLength, "directory") : names.use(bytes, 0, bytes.byteLength);
  };
  step("before", true);
  names.forget();
  step("after", true);
  expect(step("after/x", false)).toContain("does not exist");
  expect(step("before/x", false)).toBeUndefined();
});

test("losing commands over and over costs the same with many names as with few", () => {
  const names = new Namespace(true);
  for (let index = 0; index < 100_000; index++) {
    const bytes = toBytes(`${index}`);
    names.create(bytes, 0, bytes.byteLength, "file");
  }
  const before = process.cpuUsage();
  for (let time = 0; time < 100_000; time++) names.forget();
  expect(process.cpuUsage(before).user).toBeLessThan(1_000_000);
});

// Just after the arrays have doubled, when the most is unused.
test("names take less than 100 bytes each, however long they are", () => {
  const names = new Namespace(false);
  const bytes = new Uint8Array(255).fill(0x61);
  for (let index = 0; index < 270_000; index++) {
    bytes.set(toBytes(`${index}`));
    names.use(bytes, 0, bytes.byteLength);
  }
  expect(names.size).toBe(270_000);
  expect(names.byteLength / names.size).toBeLessThan(100);
});
