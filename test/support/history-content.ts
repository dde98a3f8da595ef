import { loadCodecs } from "#codec";
import { toBytes } from "../../src/bytes/bytes.ts";
import * as edit from "../../src/edit/index.ts";
import { writeEncoded } from "../../src/encoded/write.ts";
import { BtrfsError, EncodedIoError } from "../../src/errors.ts";
import { ENCODED_LZO_4K, ENCODED_ZLIB, ENCODED_ZSTD } from "../../src/format/encoded-io.ts";
import { INODE_NODATACOW, INODE_NODATASUM } from "../../src/format/inode.ts";
import { INCOMPAT_NO_HOLES } from "../../src/format/superblock.ts";
import { compressibleData, overwritten, randomData, randomLength, randomOffset, resized } from "./history-data.ts";
import { inodeOf, type PickedFile, pickDirectory, pickFile, type Step } from "./history-step.ts";
import type { ModelFile } from "./image-model.ts";

const SECTOR = 4096;
const ALGORITHMS = [undefined, undefined, "zlib", "lzo", "zstd"] as const;
const ENCODED = { zlib: ENCODED_ZLIB, lzo: ENCODED_LZO_4K, zstd: ENCODED_ZSTD } as const;
const PLAIN = BigInt(INODE_NODATACOW | INODE_NODATASUM);

export async function create(step: Step): Promise<void> {
  await makeFile(step);
}

export async function write(step: Step): Promise<void> {
  const { inode, file } = await makeFile(step);
  await writeAt(step, inode, file, step.random.chance(80) ? 0 : randomOffset(step.random, 50_000));
}

export async function overwrite(step: Step): Promise<void> {
  const picked = await pickFile(step);
  if (picked === undefined) return;
  await writeAt(step, picked.inode, picked.file, randomOffset(step.random, picked.file.content.byteLength));
}

export async function truncate(step: Step): Promise<void> {
  const { at, random, note } = step;
  const picked = await pickFile(step);
  if (picked === undefined) return;
  const size = picked.file.content.byteLength;
  const next = random.chance(60) ? randomOffset(random, size) : size + randomLength(random, step.maxBytes);
  note(`to ${next}`);
  await edit.truncateFile(at, picked.inode, BigInt(next));
  picked.file.content = resized(picked.file.content, next);
}

export async function punch(step: Step): Promise<void> {
  const { at, random, note } = step;
  const picked = await pickFile(step);
  if (picked === undefined) return;
  const { content } = picked.file;
  const start = randomOffset(random, content.byteLength);
  const end = start + randomLength(random, step.maxBytes);
  note(`${start} to ${end}`);
  await edit.punchHole(at, picked.inode, BigInt(start), BigInt(end));
  picked.file.content = content.slice().fill(0, Math.min(start, content.byteLength), Math.min(end, content.byteLength));
}

export async function preallocate(step: Step): Promise<void> {
  const { at, random, note } = step;
  const picked = await pickFile(step);
  if (picked === undefined) return;
  const size = picked.file.content.byteLength;
  const start = randomOffset(random, size);
  const end = start + randomLength(random, step.maxBytes);
  // Without no-holes, Linux 6.18 forgets the length of a file that it writes past such an end after a mount.
  const keeps = end <= size || (at.tx.volume.superblock.incompatFlags & INCOMPAT_NO_HOLES) !== 0n;
  const keepSize = random.chance(50) && keeps;
  note(`${start} to ${end}${keepSize ? ", its length stays" : ""}`);
  await edit.preallocate(at, picked.inode, BigInt(start), BigInt(end), { keepSize });
  if (!keepSize && end > size) picked.file.content = resized(picked.file.content, end);
}

/** Whole sectors, or up to the end of both; from any subvolume, read-only ones too. */
export async function clone(step: Step): Promise<void> {
  const { at, model, random, note } = step;
  const picked = await pickFile(step);
  if (picked === undefined) return;
  const { inode, file } = picked;
  const source = random.pick([...model.subvolumes.values()]);
  const files = model.files(source.id).filter(({ file: other }) => other.content.byteLength > 0);
  if (files.length === 0) return;
  const { path, file: from } = random.pick(files);
  const size = from.content.byteLength;
  const start = Math.floor(randomOffset(random, size - 1) / SECTOR) * SECTOR;
  const offset = Math.floor(randomOffset(random, file.content.byteLength) / SECTOR) * SECTOR;
  const length = random.chance(40) ? size - start : Math.floor(random.between(0, size - start) / SECTOR) * SECTOR;
  if (length === 0) return;
  note(`${length} bytes from ${source.id} ${path.join("/")} at ${start} to ${offset}`);
  const origin = await inodeOf({ ...at, tree: source.id }, path);
  const isCut = length % SECTOR !== 0 && offset + length < file.content.byteLength;
  const overlaps = from === file && offset < start + length && start < offset + length;
  const cloning = edit.cloneRange(
    at,
    inode,
    BigInt(offset),
    { tree: source.id, inode: origin, offset: BigInt(start) },
    BigInt(length),
  );
  if (isCut || overlaps || from.isPlain !== file.isPlain) return demandRefusal(cloning, "kind");
  await cloning;
  file.content = overwritten(file.content, offset, from.content.slice(start, start + length));
}

/** An extent as a stream may bring it: all of it or a part, whole sectors or not, at the end or in the middle. */
export async function encoded(step: Step): Promise<void> {
  const { random } = step;
  const picked = random.chance(40) ? await makeFile(step) : await pickFile(step);
  if (picked === undefined) return;
  const sectors = random.weighted({ one: 2, few: 3, all: 3 });
  const most = { one: SECTOR, few: 40_000, all: 131_072 }[sectors];
  const decoded = compressibleData(random, sectors === "all" && random.chance(60) ? most : random.between(100, most));
  const from = random.chance(60) ? 0 : Math.floor(random.between(0, decoded.byteLength - 1) / SECTOR) * SECTOR;
  const rest = decoded.byteLength - from;
  const length = random.chance(60) ? rest : random.between(1, rest);
  const size = picked.file.content.byteLength;
  const beyond = random.chance(15) ? randomLength(random, step.maxBytes) : 0;
  const offset = random.chance(30) ? 0 : Math.floor((randomOffset(random, size) + beyond) / SECTOR) * SECTOR;
  await putEncoded(step, picked, offset, decoded, from, length);
}

async function putEncoded(
  step: Step,
  { inode, file }: Pick<PickedFile, "inode" | "file">,
  offset: number,
  decoded: Uint8Array,
  from: number,
  length: number,
): Promise<void> {
  const { at, random, note } = step;
  const algorithm = random.pick(["zlib", "lzo", "zstd"] as const);
  const output = new Uint8Array(131_072);
  const codecs = await loadCodecs();
  const inline = decoded.byteLength <= SECTOR && offset === 0 && from === 0 && length === decoded.byteLength;
  const options = { sectorSize: SECTOR, inline: inline && length >= file.content.byteLength };
  const stored = codecs.encode(algorithm, decoded, output, options);
  if (stored === 0) return;
  const size = file.content.byteLength;
  const end = offset + length;
  note(`${algorithm}, ${stored} stored, ${length} from ${from} of ${decoded.byteLength} at ${offset}`);
  const writing = writeEncoded(
    at,
    inode,
    {
      offset: BigInt(offset),
      length: BigInt(length),
      unencodedLength: BigInt(decoded.byteLength),
      unencodedOffset: BigInt(from),
      compression: ENCODED[algorithm],
      encryption: 0,
    },
    output.slice(0, stored),
  );
  const refused = file.isPlain || stored >= decoded.byteLength || (end < size && end % SECTOR !== 0);
  if (refused) return demandRefusal(writing, "EINVAL");
  await writing;
  file.content = overwritten(file.content, offset, decoded.subarray(from, from + length));
}

async function makeFile(step: Step): Promise<PickedFile> {
  const { at, random, note } = step;
  const { inode: parent, directory, path } = await pickDirectory(step);
  const name = step.newName();
  const isPlain = random.chance(6);
  note(`${[...path, name].join("/")}${isPlain ? ", without checksums" : ""}`);
  const mode = random.between(0o400, 0o777);
  const inode = await edit.createFile(at, parent, toBytes(name), isPlain ? { mode, flags: PLAIN } : { mode });
  const file: ModelFile = { kind: "file", content: new Uint8Array(0), mode, isPlain, xattrs: new Map() };
  directory.entries.set(name, file);
  return { inode, file, name, directory, parent };
}

async function writeAt(step: Step, inode: bigint, file: ModelFile, offset: number): Promise<void> {
  const { at, random, note } = step;
  const data = randomData(random, randomLength(random, step.maxBytes));
  const algorithm = random.pick(ALGORITHMS);
  note(`${data.byteLength} bytes at ${offset} ${algorithm ?? ""}`);
  await edit.writeFile(at, inode, BigInt(offset), data, {
    compress: algorithm === undefined ? undefined : { algorithm },
  });
  file.content = overwritten(file.content, offset, data);
}

/** What can't be done is refused by its name, and changes nothing. */
async function demandRefusal(doing: Promise<unknown>, reason: string): Promise<void> {
  const outcome = await doing.then(
    () => "it was done",
    (error: unknown) => error,
  );
  const isIt =
    outcome instanceof EncodedIoError
      ? outcome.errno === reason
      : outcome instanceof BtrfsError && outcome.code === reason;
  if (!isIt) throw new Error(`expected ${reason}`, { cause: outcome });
}
