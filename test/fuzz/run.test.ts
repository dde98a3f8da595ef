import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mutate, Random } from "./mutate.ts";

// A target is a file in targets/: `seeds()` gives sound inputs, `fuzz(data)` throws when something is wrong with what `data` led to.
// `npm test` tries each for a moment with a fixed seed; `npm run fuzz -- TARGET --seconds N` goes on with new ones.
interface Target {
  seeds(): Uint8Array[];
  fuzz(data: Uint8Array): void | Promise<void>;
}

const { FUZZ_TARGET, FUZZ_SECONDS = "0.5", FUZZ_SEED = "1" } = process.env;
const MAX_INPUT_SECONDS = 20;
const MAX_BUFFER_BYTES = 200 * 1024 * 1024;

const targets = readdirSync(join(import.meta.dirname, "targets"))
  .map((name) => name.replace(/\.ts$/, ""))
  .filter((name) => FUZZ_TARGET === undefined || name === FUZZ_TARGET);

/** Writes the input down, so that it can be tried again. */
function keep(name: string, data: Uint8Array): string {
  const folder = join(import.meta.dirname, "../../.fuzz");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}-${Date.now()}.bin`);
  writeFileSync(file, data);
  return file;
}

test.each(targets)(
  "%s stands any bytes",
  async (name) => {
    const { seeds, fuzz } = (await import(
      /* @vite-ignore */ new URL(`./targets/${name}.ts`, import.meta.url).href
    )) as Target;
    const sound = seeds();
    const random = new Random(Number(FUZZ_SEED));
    const buffers = process.memoryUsage().arrayBuffers;
    const until = performance.now() + Number(FUZZ_SECONDS) * 1000;
    let inputs = 0;
    for (; inputs < 20 || performance.now() < until; inputs++) {
      const data = inputs < sound.length ? sound[inputs]! : mutate(random, sound);
      const start = performance.now();
      try {
        await fuzz(data);
        const seconds = (performance.now() - start) / 1000;
        if (seconds > MAX_INPUT_SECONDS) throw new Error(`took ${seconds} seconds`);
        if (process.memoryUsage().arrayBuffers - buffers > MAX_BUFFER_BYTES) throw new Error("holds too much memory");
      } catch (error) {
        throw new Error(`Input ${inputs} of seed ${FUZZ_SEED} is kept as ${keep(name, data)}`, { cause: error });
      }
    }
    if (FUZZ_TARGET !== undefined) process.stderr.write(`${name}: ${inputs} inputs from seed ${FUZZ_SEED}\n`);
    expect(inputs).toBeGreaterThanOrEqual(20);
  },
  (Number(FUZZ_SECONDS) + 60) * 1000,
);

test("the target that was asked for exists", () => {
  expect(targets).not.toEqual([]);
});
