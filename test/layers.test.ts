import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

// The house: a file imports its own folder and folders of a lower level. ARCHITECTURE.md draws the same table.
const LEVELS: Readonly<Record<string, number>> = {
  bytes: 0,
  format: 1,
  checksum: 1,
  codec: 1,
  device: 2,
  stream: 2,
  tree: 3,
  volume: 4,
  transaction: 5,
  fs: 5,
  edit: 6,
  encoded: 7,
  mkfs: 7,
  send: 8,
  receive: 8,
  verify: 8,
  restore: 8,
  scrub: 8,
  usage: 8,
  copy: 8,
  node: 9,
  linux: 10,
  cli: 11,
  web: 11,
};

/** `imports` of package.json that stand for a folder. */
const ALIASES: Readonly<Record<string, string>> = { "#checksum": "checksum", "#codec": "codec", "#workers": "node" };

/** Platform sides of an alias: only these may import Node from below level 9. */
const NODE_SIDES = new Set(["checksum/node.ts", "codec/node.ts", "codec/zstd-in-place.ts"]);

const root = resolve(import.meta.dirname, "../src");
const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
  (name) => name.endsWith(".ts") && !name.endsWith(".test.ts"),
);

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*["']([^"']+)["']/g)].map((match) => match[1]!);
}

function folderOf(file: string): string {
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : "";
}

function breachesOf(file: string): string[] {
  const from = folderOf(file);
  const level = LEVELS[from];
  const breaches: string[] = [];
  if (from === "" && file !== "errors.ts" && file !== "index.ts") breaches.push(`${file} belongs in a folder`);
  if (from !== "" && level === undefined) return [`${file} is in a folder that has no level`];
  for (const name of importsOf(file)) {
    if (name.startsWith("node:")) {
      if (from === "" || (level! < 9 && !NODE_SIDES.has(file))) breaches.push(`${file} imports ${name}`);
      continue;
    }
    if (!name.startsWith(".") && !name.startsWith("#")) continue;
    const target = name.startsWith("#") ? ALIASES[name]! : relative(root, resolve(root, dirname(file), name));
    const to = name.startsWith("#") ? target : folderOf(target);
    if (target === "errors.ts" || to === from || file === "index.ts") continue;
    if (from === "" || LEVELS[to] === undefined || LEVELS[to] >= level!) breaches.push(`${file} imports ${name}`);
  }
  return breaches;
}

test("every file imports only its own folder and lower levels", () => {
  expect(files.length).toBeGreaterThan(3);
  expect(files.flatMap(breachesOf)).toEqual([]);
});
