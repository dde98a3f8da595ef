import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { btrkit } from "./support.ts";

let folder: string;
let image: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "btrkit-image-"));
  image = join(folder, "disk.img");
  writeFileSync(image, "");
  truncateSync(image, 128 << 20);
  expect(btrkit(["mkfs", "--quiet", image]).status).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a command prints; it says nothing else, and succeeds. */
function done(...args: string[]): string {
  const { stdout, stderr, status } = btrkit(args);
  expect([stderr, status]).toEqual(["", 0]);
  return stdout.toString();
}

function refused(...args: string[]): string {
  const { stderr, status } = btrkit(args);
  expect(status).toBe(1);
  return stderr;
}

const listed = () =>
  JSON.parse(done("subvolume", "list", "--format", "json", image))["subvolume-list"].map(
    ({ path, read_only }: { path: string; read_only: boolean }) => `${path}${read_only ? " ro" : ""}`,
  );

test("subvolumes of an image are created, snapshotted and deleted in the words of btrfs", () => {
  expect(done("subvolume", "create", `${image}:/a`, `${image}:b`)).toBe(
    `Create subvolume '${image}:/a'\nCreate subvolume '${image}:b'\n`,
  );
  expect(done("subvolume", "create", "-p", `${image}:/a/x/y/inner`)).toContain("/a/x/y/inner");
  expect(done("subvolume", "snapshot", "-r", `${image}:/a`, `${image}:/a.ro`)).toBe(
    `Create a readonly snapshot of '${image}:/a' in '${image}:/a.ro'\n`,
  );
  // Into a directory, under the name of the source.
  expect(done("subvolume", "snapshot", `${image}:/b`, `${image}:/a/x/`)).toContain(`in '${image}:/a/x/b'`);
  expect(listed()).toEqual(["/a", "/b", "/a/x/y/inner", "/a.ro ro", "/a/x/b"]);
  expect(done("subvolume", "get-default", image)).toBe("ID 5 (FS_TREE)\n");
  expect(done("subvolume", "set-default", `${image}:/b`)).toBe("");
  expect(done("subvolume", "get-default", image)).toMatch(/^ID 257 gen \d+ top level 5 path b\n$/);
  expect(refused("subvolume", "delete", `${image}:/b`)).toContain("it is the default");
  done("subvolume", "set-default", "5", image);
  expect(refused("subvolume", "delete", `${image}:/a`)).toContain("another one lies in it");
  expect(done("subvolume", "delete", "--now", `${image}:/a/x/b`, `${image}:/a/x/y/inner`, `${image}:/a`)).toBe(
    ["a/x/b", "a/x/y/inner", "a"].map((path) => `Delete subvolume (commit): '${image}:/${path}'\n`).join(""),
  );
  expect(done("subvolume", "delete", "-i", "257", image)).toBe(`Delete subvolume (commit): '${image}:/b'\n`);
  expect(listed()).toEqual(["/a.ro ro"]);
  done("subvolume", "delete", "--now", `${image}:/a.ro`);
  expect(JSON.parse(done("scrub", "--format", "json", image)).scrub).toBeDefined();
}, 120_000);

test("what can't be is refused by name, and changes nothing", () => {
  done("subvolume", "create", `${image}:/s`);
  done("subvolume", "snapshot", "-r", `${image}:/s`, `${image}:/fixed`);
  expect(refused("subvolume", "create", `${image}:/s`)).toMatch(
    /^btrkit: cannot make name: the directory has it already/,
  );
  expect(refused("subvolume", "create", `${image}:/fixed/in`)).toContain("it is read-only");
  expect(refused("subvolume", "create", `${image}:/`)).toContain("does not end in a name");
  expect(refused("subvolume", "create", `${image}:/no/such/place`)).toContain("there is no such name");
  expect(refused("subvolume", "snapshot", `${image}:/s`, "/elsewhere")).toContain("not of the same filesystem");
  expect(refused("subvolume", "delete", `${image}:/`)).toContain("it is the top level");
  expect(btrkit(["subvolume", "delete", "--now", folder]).status).toBe(2);
  expect(listed()).toEqual(["/s", "/fixed ro"]);
}, 120_000);

test("properties are set and printed, and a read-only subvolume becomes writable that way", () => {
  done("property", "set", `${image}:/fixed`, "ro", "false");
  expect(done("property", "get", `${image}:/fixed`)).toBe("ro=false\n");
  done("subvolume", "create", "-q", `${image}:/fixed/in`);
  expect(btrkit(["property", "set", `${image}:/s`, "color", "red"]).status).toBe(2);
  done("property", "set", `${image}:/fixed`, "ro", "true");
}, 120_000);

test("the compression property is set and printed, and what is copied below it is compressed by it", () => {
  const text = join(folder, "text");
  writeFileSync(text, Buffer.alloc(300_000, "some text that repeats "));
  done("subvolume", "create", `${image}:/packed`);
  done("property", "set", `${image}:/packed`, "compression", "zstd");
  expect(done("property", "get", `${image}:/packed`)).toBe("ro=false\ncompression=zstd\n");
  expect(done("property", "list", `${image}:/packed`)).toMatch(/^ro .*\ncompression .*\n$/);
  done("cp", text, `${image}:/packed/text`);
  expect(done("property", "get", `${image}:/packed/text`, "compression")).toBe("compression=zstd\n");
  expect(done("du", `${image}:/packed`)).toContain("zstd");
  done("property", "set", `${image}:/packed/text`, "compression", "none");
  done("cp", "--compress", "lzo", text, `${image}:/packed/text`);
  expect(done("du", `${image}:/packed`)).not.toMatch(/zstd|lzo/);
  done("property", "set", `${image}:/packed/text`, "compression", "");
  expect(done("property", "get", `${image}:/packed/text`)).toBe("");
  expect(refused("property", "set", `${image}:/packed`, "compression", "brotli")).toContain("zlib, lzo, zstd");
  done("subvolume", "delete", "--now", `${image}:/packed`);
}, 120_000);

test("an extent read from one file is written to another, with the errors of the ioctl", () => {
  const metadata = join(folder, "metadata.json");
  const data = join(folder, "data");
  const plain = Buffer.alloc(100_000, "some text that repeats ");
  writeFileSync(join(folder, "plain"), plain);
  writeFileSync(data, Buffer.from("eJwzNDIGAAEtAJc=", "base64"));
  const options = ["--compression", "zlib", "--unencoded-length", "4096", "--data", data];
  expect(btrkit(["encoded", "write", "--create", ...options, `${image}:/new`])).toMatchObject({
    status: 0,
    stderr: "",
  });
  const read = btrkit(["encoded", "read", "-o", join(folder, "again"), `${image}:/new`]);
  expect(read).toMatchObject({ status: 0, stderr: "" });
  writeFileSync(metadata, read.stdout);
  const again = ["--metadata", metadata, "--data", join(folder, "again")];
  done("encoded", "write", "--create", ...again, `${image}:/copy`);
  expect(btrkit(["encoded", "read", `${image}:/copy`]).stdout).toEqual(
    btrkit(["encoded", "read", `${image}:/new`]).stdout,
  );
  expect(refused("encoded", "write", ...again, `${image}:/none`)).toContain("there is no such name");
  expect(refused("encoded", "write", "--offset", "100", ...again, `${image}:/copy`)).toContain(
    "not a multiple of 4096",
  );
  expect(refused("encoded", "write", "--create", ...again, `${image}:/fixed/x`)).toContain("read-only");
}, 120_000);
