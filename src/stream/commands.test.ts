import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ATTRIBUTES, attributeName, MAX_ATTRIBUTE } from "./attributes.ts";
import { COMMANDS, commandWord, MAX_COMMAND } from "./commands.ts";

const page = readFileSync(join(import.meta.dirname, "../../docs/format/send-stream.md"), "utf8");

/** The rows of a table of the page under `heading`, without the first two. */
function rowsUnder(heading: string): string[][] {
  const section = page.slice(page.indexOf(`\n## ${heading}\n`)).split("\n## ")[1]!;
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

test("docs/format/send-stream.md has the attributes that the code has", () => {
  const documented = rowsUnder("Attributes").map(([number, name, type, since]) => [number, name, type, since]);
  const coded = Object.values(ATTRIBUTES).map(({ number, type, since }) => [
    `${number}`,
    attributeName(number),
    type,
    `${since}`,
  ]);
  expect(documented).toEqual(coded);
  expect(coded).toHaveLength(MAX_ATTRIBUTE);
});

test("docs/format/send-stream.md has the commands that the code has", () => {
  const coded = Object.values(COMMANDS).map(({ number, attributes, since }) => {
    const names = attributes.map((entry) => {
      const field = entry.replace("?", "") as keyof typeof ATTRIBUTES;
      return attributeName(ATTRIBUTES[field].number) + (entry.endsWith("?") ? "?" : "");
    });
    return [`${number}`, commandWord(number), names.join(", "), `${since}`];
  });
  expect(rowsUnder("Commands")).toEqual(coded);
  expect(coded).toHaveLength(MAX_COMMAND);
});
