// Shows the main jobs on streams and images that a real kernel made: `npm run demo` needs nothing but Node and npm.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { gunzipSync } from "node:zlib";

const STREAMS = "test/fixtures/streams";
const IMAGES = "test/fixtures/images";
const DEMO = ".demo";

function must(command, args) {
  const { status, error } = spawnSync(command, args, {
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32",
  });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** Runs btrkit as a person would, shows at most `lines` of what it prints, and expects an exit status. */
function btrkit(args, { expect = 0, lines = 30 } = {}) {
  console.log(`\n$ btrkit ${args.join(" ")}`);
  const { status, stdout, stderr } = spawnSync(process.execPath, ["dist/cli/bin.js", ...args], { encoding: "utf8" });
  const printed = `${stdout}${stderr}`.trimEnd().split("\n");
  console.log(printed.slice(0, lines).join("\n"));
  if (printed.length > lines) console.log(`… ${printed.length - lines} more lines`);
  if (status === expect) return;
  console.error(`demo: exit status is ${status}, expected ${expect}`);
  process.exit(1);
}

function say(text) {
  console.log(`\n── ${text}`);
}

/** Holds the files of received subvolumes to the checksums that were taken where the streams were sent. */
function compareFiles(directory, subvolumes) {
  let files = 0;
  for (const subvolume of subvolumes) {
    const lines = readFileSync(`${STREAMS}/${subvolume}.tree`, "utf8").trimEnd().split("\n");
    for (const { path, type, sha256 } of lines.map((line) => JSON.parse(line))) {
      if (type !== "file" || sha256 === undefined) continue;
      const name = Buffer.from(`${directory}/${subvolume}/${Buffer.from(path, "latin1")}`);
      const found = createHash("sha256").update(readFileSync(name)).digest("hex");
      files++;
      if (found === sha256) continue;
      console.error(`demo: ${name} has the checksum ${found}, ${sha256} was sent`);
      process.exit(1);
    }
  }
  console.log(`${files} files of ${subvolumes.join(" and ")}: every SHA-256 is what was sent`);
}

/** Images are kept as records of what is not zero: offset, length, bytes; last the size of the device. */
function unpackImage(name, path) {
  const packed = gunzipSync(readFileSync(`${IMAGES}/${name}.1.gz`));
  const file = openSync(path, "w");
  for (let at = 0; ; ) {
    const offset = Number(packed.readBigUInt64LE(at));
    const length = packed.readUInt32LE(at + 8);
    if (length === 0) {
      ftruncateSync(file, offset);
      break;
    }
    writeSync(file, packed, at + 12, length, offset);
    at += 12 + length;
  }
  closeSync(file);
}

if (!existsSync("node_modules/typescript")) {
  console.log("Installing what is missing …");
  must("npm", ["ci", "--no-audit", "--no-fund"]);
}
console.log("Building …");
must(process.execPath, ["scripts/build.mjs"]);
rmSync(DEMO, { recursive: true, force: true });
mkdirSync(DEMO);

say("A send stream of Linux with compressed extents, command by command:");
btrkit(["receive", "--dump", "-f", `${STREAMS}/small-v2.stream`]);

say("Is a full stream and its increment good? Every checksum, every compressed extent:");
btrkit(["verify", `${STREAMS}/small-v2.stream`, `${STREAMS}/small-increment-v2.stream`]);

say("Both, received into a plain directory, on any filesystem and without root:");
const received = `${DEMO}/received`;
mkdirSync(received);
for (const name of ["small-v2", "small-increment-v2"]) {
  btrkit(["receive", "--target", "directory", "-v", "-f", `${STREAMS}/${name}.stream`, received]);
}
compareFiles(received, ["small-1", "small-2"]);

say("The same for zlib, LZO and zstd:");
for (const name of ["zlib", "lzo", "zstd"]) {
  btrkit(["verify", `${STREAMS}/${name}.stream`], { lines: 40 });
  btrkit(["receive", "--target", "directory", "-v", "-f", `${STREAMS}/${name}.stream`, received]);
  compareFiles(received, [`${name}-1`]);
}

say("One bit flips on the way. What is lost?");
const damaged = readFileSync(`${STREAMS}/zlib.stream`);
damaged[20_000] ^= 1;
writeFileSync(`${DEMO}/damaged.stream`, damaged);
btrkit(["verify", `${DEMO}/damaged.stream`], { expect: 4 });

say("An image of Linux with zlib, LZO and zstd files, read without a kernel:");
const image = `${DEMO}/compressed.img`;
unpackImage("compressed", image);
btrkit(["ls", "--long", `${image}:/zstd`]);

say("What does it hold, compressed and not, by algorithm and subvolume?");
btrkit(["du", "--by", "subvolume", image]);

say("One extent as it is stored, unopened: what is in it, and where the file uses it:");
btrkit(["encoded", "read", `${image}:/zstd/text-140k`, "--offset", "8K", "--output", `${DEMO}/extent.zst`]);

say("And the file:");
btrkit(["stat", `${image}:/zstd/text-140k`]);

say("All of it, out of the image:");
btrkit(["restore", `${image}:/zstd`, `${DEMO}/restored`]);

say("Streams become an image that a kernel can mount, made without one:");
const made = `${DEMO}/backup.img`;
btrkit(["receive", "--create", "-v", "-f", `${STREAMS}/full-compressed.stream`, made]);
btrkit(["receive", "--grow", "-v", "-f", `${STREAMS}/increment-compressed.stream`, made]);
btrkit(["ls", "--long", `${made}:/`]);
btrkit(["subvolume", "list", made]);

say("Its extents are compressed as they were sent, and shared between the two snapshots:");
btrkit(["du", "--by", "subvolume", made]);

say("Every checksum of it, and every file against what was sent:");
btrkit(["scrub", made]);
btrkit(["restore", `${made}:/first`, `${made}:/second`, `${DEMO}/from-made`], { lines: 5 });
compareFiles(`${DEMO}/from-made`, ["first", "second"]);
console.log(`\nTo mount it: sudo mount -o loop,ro ${made} /mnt`);
