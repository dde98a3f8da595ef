import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { btrkit } from "./support.ts";

let folder: string;
let image: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "btrkit-mkfs-"));
  image = join(folder, "disk.img");
  writeFileSync(image, "");
  truncateSync(image, 128 << 20);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("mkfs makes what the other commands read, and nothing over a filesystem", () => {
  const options = ["--label", "backup", "-n", "4K", "--checksum", "xxhash64", "-O", "block-group-tree"];
  expect(btrkit(["mkfs", ...options, image])).toMatchObject({ status: 0, stderr: "" });
  const shown = btrkit(["inspect", "super", "--format", "jsonl", image]).stdout.toString();
  expect(JSON.parse(shown)).toMatchObject({ valid: true, label: "backup", node_size: 4096 });
  expect(btrkit(["ls", `${image}:/`])).toMatchObject({ status: 0, stderr: "" });
  const again = btrkit(["mkfs", image]);
  expect(again.status).toBe(1);
  expect(again.stderr).toContain("there is a btrfs already");
  expect(btrkit(["mkfs", "--force", "--quiet", image])).toMatchObject({ status: 0, stderr: "" });
  expect(btrkit(["mkfs", "-f", "-n", "5000", image])).toMatchObject({ status: 2 });
  expect(btrkit(["mkfs", "-f", "-O", "nope", image])).toMatchObject({ status: 2 });
}, 180_000);
