import fc from "fast-check";
import { expect, test } from "vitest";
import { parseOptions, UsageError } from "./options.ts";

const RECEIVE = {
  file: { short: "f", value: "FILE", brief: "" },
  maxErrors: { short: "E", long: "max-errors", value: "N", brief: "" },
  verbose: { short: "v", long: "verbose", many: true, brief: "" },
  dump: { long: "dump", brief: "" },
  clone: { short: "c", value: "CLONE", many: true, brief: "" },
  format: { long: "format", value: "FORMAT", choices: ["text", "jsonl"], brief: "" },
} as const;

test("options may follow operands, be grouped, cut short, and carry their value in the same word", () => {
  const { options, operands } = parseOptions(RECEIVE, [
    "dest",
    "-vvf",
    "a",
    "--max-errors=0",
    "--du",
    "-cx",
    "-c",
    "y",
  ]);
  expect(options).toEqual({
    file: "a",
    maxErrors: "0",
    verbose: 2,
    dump: true,
    clone: ["x", "y"],
    format: undefined,
  });
  expect(operands).toEqual(["dest"]);
});

test("of a value given twice the last one counts", () => {
  expect(parseOptions(RECEIVE, ["-E1", "-E", "2"]).options.maxErrors).toBe("2");
});

test("a lone dash is an operand, and two dashes end the options", () => {
  expect(parseOptions(RECEIVE, ["-", "--", "--dump", "-f"]).operands).toEqual(["-", "--dump", "-f"]);
  expect(parseOptions(RECEIVE, ["-f", "--", "x"])).toMatchObject({ options: { file: "--" }, operands: ["x"] });
});

test.each([
  [["-x"], "invalid option 'x'"],
  [["-vx"], "invalid option 'x'"],
  [["--nope"], "unrecognized option '--nope'"],
  [["--dump=3"], "option '--dump' doesn't allow an argument"],
  [["-f"], "option '-f' requires an argument"],
  [["--max-errors"], "option '--max-errors' requires an argument"],
  [["--format", "xml"], "option '--format' can't be 'xml', expected text, jsonl"],
])("%j is refused: %s", (args, message) => {
  expect(() => parseOptions(RECEIVE, args)).toThrow(new UsageError(message));
});

test("a long name that fits two options is ambiguous", () => {
  const two = { fsync: { long: "fsync", brief: "" }, force: { long: "force", brief: "" } };
  expect(() => parseOptions(two, ["--f"])).toThrow("option '--f' is ambiguous; possibilities: '--fsync' '--force'");
});

// Whatever the words are, they end as options, operands or a UsageError: nothing is lost, nothing else is thrown.
test("any words are either understood or refused", () => {
  const word = fc.oneof(fc.string(), fc.constantFrom("-f", "--dump", "-v", "--", "-", "--max-errors", "x"));
  fc.assert(
    fc.property(fc.array(word), (args) => {
      try {
        const { operands } = parseOptions(RECEIVE, args);
        expect(operands.every((operand) => args.includes(operand))).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
      }
    }),
  );
});
