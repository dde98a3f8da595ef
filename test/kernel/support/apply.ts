import { join } from "node:path";
import type { Operation } from "./operations.ts";
import { run } from "./run.ts";

/**
 * Carries out a history on a mounted btrfs. All of it must succeed; with `lenient`, what can't be done is left out.
 *
 * @returns How many operations were left out.
 */
export async function applyHistory(
  directory: string,
  operations: readonly Operation[],
  options: { readonly lenient?: boolean } = {},
): Promise<number> {
  const lines = operations.map((operation) => `${JSON.stringify(operation)}\n`).join("");
  const flags = options.lenient ? ["--lenient"] : [];
  const ran = await run("python3", [join(import.meta.dirname, "apply.py"), ...flags, directory], { input: lines });
  return Number(ran.stdout.toString());
}
