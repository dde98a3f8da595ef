import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { btrkit } from "./cli/support.ts";
import { imageFixtures, streamBytes, unpackImage } from "./support.ts";

// The examples of README.md and docs/library.md run as they are typed, in a folder where `btrkit` is installed and the
// files that they name are fixtures. Only names inside of the image are replaced by those of the fixture.
const ROOT = resolve(import.meta.dirname, "..");
const IMAGE = "everything";

const subvolume = (path: string) =>
  imageFixtures()
    .find(({ name }) => name === IMAGE)!
    .subvolumes.find((one) => one.path === path)!;
const REPLACED: readonly (readonly [string, string])[] = [
  ['"home/notes.txt"', '"first/data/zlib"'],
  ['"home"', '"first"'],
  ["259n", `${subvolume("second").id}n`],
  ["257n", `${subvolume("first").id}n`],
];

interface Example {
  readonly name: string;
  readonly code: string;
}

function examplesOf(document: string): Example[] {
  const text = readFileSync(join(ROOT, document), "utf8");
  return [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, code], index) => ({
    name: `${document}, example ${index + 1}`,
    code: code!,
  }));
}

const examples = [...examplesOf("README.md"), ...examplesOf("docs/library.md")];

describe("examples", () => {
  let folder: string;
  const path = (name: string) => join(folder, name);

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "btrkit-examples-"));
    mkdirSync(path("node_modules"));
    symlinkSync(ROOT, path("node_modules/btrkit"));
    symlinkSync(join(ROOT, "node_modules/@types"), path("node_modules/@types"));
    writeFileSync(path("package.json"), '{ "type": "module" }');
    writeFileSync(path("home.full.btrfs"), streamBytes("full-compressed"));
    writeFileSync(path("home.monday.btrfs"), streamBytes("increment-compressed"));
    unpackImage(IMAGE, path("disk.img"));
    examples.forEach(({ code }, index) => void writeFileSync(path(`${index}.ts`), replaced(code)));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("there are some", () => {
    expect(examples.length).toBeGreaterThan(5);
  });

  test("all are right to the type checker of a strict project", () => {
    const program = ts.createProgram(
      examples.map((_, index) => path(`${index}.ts`)),
      {
        strict: true,
        noEmit: true,
        skipLibCheck: true,
        module: ts.ModuleKind.NodeNext,
        moduleResolution: ts.ModuleResolutionKind.NodeNext,
        target: ts.ScriptTarget.ES2022,
        lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
        types: ["node"],
      },
    );
    const problems = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
      const sentence = ts.flattenDiagnosticMessageText(messageText, " ");
      return `${file === undefined ? "" : file.fileName}: ${sentence}`;
    });
    expect(problems).toEqual([]);
  });

  test.each(examples.map((example, index) => ({ ...example, index })))("$name runs", ({ code, index }) => {
    const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
    writeFileSync(path(`${index}.js`), ts.transpileModule(replaced(code), { compilerOptions: options }).outputText);
    const ran = spawnSync(process.execPath, [`${index}.js`], { cwd: folder, encoding: "utf8", timeout: 60_000 });
    expect({ stderr: ran.stderr, status: ran.status }).toEqual({ stderr: "", status: 0 });
    if (code.includes("console.log") && !code.includes("onFault")) expect(ran.stdout).not.toBe("");
  });

  test("the first command of the README says what stands below it", () => {
    const text = readFileSync(join(ROOT, "README.md"), "utf8");
    const [, words] = /^ {4}\$ btrkit (.*)$/m.exec(text)!;
    const { stdout, status, stderr } = btrkit(
      words!.split(" ").map((word) => (word.includes(".btrfs") ? path(word) : word)),
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const lines = stdout.toString().trimEnd().split("\n");
    expect(lines[0]).toMatch(/home\.full\.btrfs: protocol 2$/);
    expect(lines[1]).toMatch(/ full$/);
    expect(lines[3]).toMatch(/ increment of [0-9a-f-]{36}$/);
    expect(lines.at(-1)).toMatch(/^sound: .* in \d+ commands$/);
  });
});

function replaced(code: string): string {
  return REPLACED.reduce((text, [from, to]) => text.replaceAll(from, to), code);
}
