import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { declaredStructs, differences, type Layout } from "../support/layout.ts";

const { HEADER, uapiLayout } = (await import("../../scripts/uapi-layout.mjs" as string)) as {
  HEADER: string;
  uapiLayout(): Record<string, Layout>;
};

const compiler = ["/usr/bin/gcc", "/usr/local/bin/gcc"].some(existsSync);

test.skipIf(!existsSync(HEADER) || !compiler)(
  "declared structs lie in memory as this machine's header and compiler say (skipped without the header or gcc)",
  async () => {
    const layout = uapiLayout();
    const declared = await declaredStructs();
    expect(declared.flatMap((struct) => differences(struct, layout))).toEqual([]);
    expect(declared.filter(({ structName }) => structName in layout).length).toBeGreaterThan(25);
  },
);
