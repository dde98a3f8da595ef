import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openVolume } from "../../src/volume/open.ts";
import { imageSource, unpackImage } from "../support.ts";
import { btrkit } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-tree-"));
afterAll(() => rmSync(folder, { recursive: true }));
const image = join(folder, "wide-4k.img");
unpackImage("wide-4k", image);

interface Line {
  readonly kind: string;
  readonly tree: number;
  readonly key?: { readonly objectid: number; readonly type_name: string };
  readonly children?: readonly { readonly logical: number }[];
}

function jsonLines(...args: string[]): { lines: Line[]; status: number | null } {
  const { stdout, status } = btrkit(["inspect", "tree", "--format", "jsonl", image, ...args]);
  const lines = stdout.toString().trimEnd().split("\n");
  return { lines: lines.map((line) => JSON.parse(line)), status };
}

test("inspect tree prints a tree that is named or numbered, in text and JSON", () => {
  const text = btrkit(["inspect", "tree", image, "FS_TREE"]);
  expect(text).toMatchObject({ stderr: "", status: 0 });
  expect(text.stdout.toString()).toMatch(
    /^tree FS_TREE \(5\), root item offset 0, root at \d+, level [12], generation \d+\n/,
  );
  const items = text.stdout.toString().match(/^ {4}item \d+ key /gm)!.length;
  const { lines, status } = jsonLines("5");
  expect(status).toBe(0);
  expect(lines.filter(({ kind }) => kind === "item")).toHaveLength(items);
  expect(new Set(lines.map(({ kind, tree }) => `${kind} ${tree}`))).toEqual(
    new Set(["tree 5", "node 5", "leaf 5", "item 5"]),
  );
  const document = JSON.parse(btrkit(["inspect", "tree", "--format=json", image, "fs"]).stdout.toString());
  expect(document["inspect-tree"]).toHaveLength(lines.length);
  expect(btrkit(["inspect", "tree", image, "nope"])).toMatchObject({ status: 2 });
  expect(btrkit(["inspect", "tree", image, "999"])).toMatchObject({
    status: 1,
    stderr: "btrkit: cannot find tree 999: it has no root item\n",
  });
});

test("damaged leaves are reported and passed over", async () => {
  const whole = jsonLines("fs").lines;
  const victim = whole.find(({ kind }) => kind === "node")!.children![1]!.logical;
  const volume = await openVolume([imageSource("wide-4k")]);
  const file = openSync(image, "r+");
  for (const { physical } of volume.copiesOf(victim, volume.nodeSize))
    writeSync(file, new Uint8Array(200), 0, 200, physical + 500);
  closeSync(file);
  const { lines, status } = jsonLines("fs");
  expect(status).toBe(4);
  const damaged = lines.filter(({ kind }) => kind === "damaged");
  expect(damaged).toMatchObject([
    { tree: 5, logical: victim, error: expect.stringContaining("checksum does not match") },
  ]);
  const lost = whole.filter((line) => (line as { leaf?: number; logical?: number }).leaf === victim).length;
  expect(lost).toBeGreaterThan(5);
  expect(lines.filter(({ kind }) => kind === "item")).toHaveLength(
    whole.filter(({ kind }) => kind === "item").length - lost,
  );
  const text = btrkit(["inspect", "tree", image, "fs"]).stdout.toString();
  expect(text).toMatch(/^ {2}damaged, passed over: Cannot trust node: .*\n {2}leaf /m);
});
