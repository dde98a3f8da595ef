import { expect, test } from "vitest";
import { type Attribute, commandOf, END, stream, time, u64 } from "../../test/support/raw-stream.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { readBatches } from "../stream/reader.ts";
import { unitAt } from "./schedule.ts";

const path = (text: string): Attribute => [15, text];
const make = (number: number, ...attributes: Attribute[]) => commandOf(1, number, attributes);
const mkfile = (at: string) => make(3, path(at), [3, u64(1)]);
const mkdir = (at: string) => make(4, path(at), [3, u64(1)]);
const rename = (from: string, to: string) => make(9, path(from), [16, to]);
const link = (at: string, to: string) => make(10, path(at), [17, to]);
const write = (at: string) => make(15, path(at), [18, u64(0)], [19, "data"]);
const clone = (at: string) =>
  make(16, [18, u64(0)], [24, u64(1)], path(at), [20, new Uint8Array(16)], [21, u64(1)], [22, "x"], [23, u64(0)]);
const chmod = (at: string) => make(18, path(at), [5, u64(0o644)]);
const utimes = (at: string) => make(20, path(at), [11, time(1)], [10, time(1)], [9, time(1)]);

/** The units of a stream, as `kind path commands`. */
async function unitsOf(...commands: Uint8Array[]): Promise<string[]> {
  const found: string[] = [];
  const note = (batch: CommandBatch): void => {
    for (let i = 0; i < batch.count - 1; ) {
      const { kind, path, end, readsOthers } = unitAt(batch, i, batch.count - 1);
      found.push(`${kind} ${path} ${end - i}${readsOthers ? " reads" : ""}`);
      i = end;
    }
  };
  for await (const batch of readBatches(stream(1, ...commands, END))) note(batch);
  return found;
}

test("what is about one new file is one unit, under its final name", async () => {
  const one = [mkfile("o1"), rename("o1", "d/a"), write("d/a"), write("d/a"), chmod("d/a"), utimes("d/a")];
  const units = await unitsOf(...one, mkfile("o2"), rename("o2", "d/b"), clone("d/b"));
  expect(units).toEqual(["newFile d/a 6", "newFile d/b 3 reads"]);
});

test("a new directory takes its attributes along, but nothing of its entries", async () => {
  const units = await unitsOf(
    mkdir("o1"),
    rename("o1", "d"),
    chmod("d"),
    utimes("d"),
    mkfile("o2"),
    rename("o2", "d/a"),
  );
  expect(units).toEqual(["newName d 4", "newFile d/a 2"]);
});

test("times alone are a unit, as a directory gets them long after what is in it", async () => {
  expect(await unitsOf(utimes("d"), utimes("e"), chmod("e"))).toEqual(["times d 1", "times e 1", "alone e 1"]);
});

test("data for a file that is there is a unit; other attributes alone may be those of a directory", async () => {
  expect(await unitsOf(write("a"), chmod("a"), utimes("a"))).toEqual(["file a 3"]);
  expect(await unitsOf(chmod("a"), utimes("a"), write("b"))).toEqual(["alone a 1", "times a 1", "file b 1"]);
  expect(await unitsOf(utimes("a"), write("a"))).toEqual(["file a 2"]);
});

test("what changes or joins names stands alone, and so does what is made and not renamed at once", async () => {
  expect(await unitsOf(rename("a", "b"), link("c", "b"))).toEqual(["alone a 1", "alone c 1"]);
  expect(await unitsOf(mkfile("a"), write("a"))).toEqual(["alone a 1", "file a 1"]);
  expect(await unitsOf(mkfile("a"), rename("b", "c"), write("a"))).toEqual(["alone a 1", "alone b 1", "file a 1"]);
  expect(await unitsOf(mkfile("a"))).toEqual(["alone a 1"]);
});

test("paths that begin alike are different ones", async () => {
  expect(await unitsOf(write("ab"), write("a"), write("ac"))).toEqual(["file ab 1", "file a 1", "file ac 1"]);
});
