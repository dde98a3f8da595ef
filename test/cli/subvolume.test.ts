import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { imageFixtures, unpackImage } from "../support.ts";
import { btrkit } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-subvolume-"));
afterAll(() => rmSync(folder, { recursive: true }));
const image = join(folder, "everything.img");
unpackImage("everything", image);
const { subvolumes } = imageFixtures().find(({ name }) => name === "everything")!;

test("subvolume list has every subvolume with its fields", () => {
  const { stdout, stderr, status } = btrkit(["subvolume", "list", "--format", "json", image]);
  expect([status, stderr]).toEqual([0, ""]);
  const listed = JSON.parse(stdout.toString())["subvolume-list"];
  expect(listed.map((one: { path_b64?: string }) => one.path_b64 !== undefined)).toEqual([
    false,
    false,
    false,
    false,
    true,
  ]);
  expect(
    listed.map((one: Record<string, string>) => ({
      id: one.id,
      path:
        one.path_b64 === undefined
          ? one.path!.slice(1)
          : Buffer.from(one.path_b64, "base64").toString("latin1").slice(1),
      generation: one.generation,
      parent: one.parent_id,
      uuid: one.uuid,
      parentUuid: one.parent_uuid,
      receivedUuid: one.received_uuid,
      readOnly: one.read_only,
    })),
  ).toEqual(subvolumes);
});

test("subvolume list prints lines of btrfs, filtered and with the columns that are asked for", () => {
  const list = (...options: string[]) => btrkit(["subvolume", "list", ...options, image]).stdout.toString();
  expect(list().split("\n")[2]).toBe("ID 258 gen 12 top level 256 path vol/moves/nested");
  expect(list("-r").match(/^ID \d+/gm)).toEqual(["ID 257", "ID 259"]);
  expect(list("-spuq").split("\n")[0]).toMatch(
    /^ID 257 gen 11 cgen \d+ parent 5 top level 5 otime [\d-]+ [\d:]+ parent_uuid e9e5b379-\S+ uuid 9fe116a0-\S+ path first$/,
  );
});

test("subvolume show describes one, by its path, with its snapshots", () => {
  const shown = btrkit(["subvolume", "show", `${image}:/vol`]);
  expect([shown.status, shown.stderr]).toEqual([0, ""]);
  const text = shown.stdout.toString();
  expect(text).toMatch(/^vol\n\tName: \t\t\tvol\n\tUUID: \t\t\te9e5b379-/);
  expect(text).toMatch(/\tSnapshot\(s\):\n\t\t\t\tfirst\n\t\t\t\tsecond\n$/);
  expect(btrkit(["subvolume", "show", image]).stdout.toString()).toMatch(/^\/\n\tName: \t\t\t<FS_TREE>\n/);
  const inside = btrkit(["subvolume", "show", `${image}:vol/moves`]);
  expect(inside).toMatchObject({ status: 1 });
  expect(inside.stderr).toMatch(/^btrkit: cannot show subvolume: it is a directory inside of one \(path vol\/moves, /);
});
