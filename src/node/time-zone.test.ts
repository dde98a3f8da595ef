import { expect, test } from "vitest";
import { localZone } from "./time-zone.ts";
import { parseZoneRule } from "./zone-rule.ts";

const at = (text: string) => Date.parse(text) / 1000;

test("a rule changes the offset on its days, in either hemisphere", () => {
  const vienna = parseZoneRule("CET-1CEST,M3.5.0,M10.5.0/3")!;
  expect(vienna(at("2024-03-31T00:59:59Z")).offset).toBe(3600);
  expect(vienna(at("2024-03-31T01:00:00Z")).offset).toBe(7200);
  expect(vienna(at("2024-10-27T00:59:59Z")).offset).toBe(7200);
  expect(vienna(at("2024-10-27T01:00:00Z")).offset).toBe(3600);
  const sydney = parseZoneRule("AEST-10AEDT,M10.1.0,M4.1.0/3")!;
  expect(sydney(at("2024-01-01T00:00:00Z")).offset).toBe(39_600);
  expect(sydney(at("2024-07-01T00:00:00Z")).offset).toBe(36_000);
});

test("a stretch holds for all of its seconds", () => {
  const zone = parseZoneRule("XXX3YYY,J60/0,300/25:30")!;
  for (let seconds = at("2023-12-01T00:00:00Z"); seconds < at("2025-02-01T00:00:00Z"); seconds += 86_400) {
    const { from, until, offset } = zone(seconds);
    expect(from <= seconds && seconds < until).toBe(true);
    for (const other of [Math.max(from, seconds - 1e6), Math.min(until - 1, seconds + 1e6)]) {
      expect(zone(other).offset).toBe(offset);
    }
  }
});

test.each(["", "X", "Foo/Bar", "XYZ", "CET-1CEST,M3.5", "CET-1CEST,M13.5.0,M10.5.0", "CET-1,M3.5.0,M10.5.0"])(
  "%j is no rule",
  (text) => expect(parseZoneRule(text)).toBeUndefined(),
);

test("a zone that does not exist is UTC, and a rule in TZ is followed", () => {
  expect(localZone({ TZ: "Foo/Bar" })(0).offset).toBe(0);
  expect(localZone({ TZ: "" })(0).offset).toBe(0);
  expect(localZone({ TZ: "XYZ-3:30:15" })(0).offset).toBe(12_615);
});
