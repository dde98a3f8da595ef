import { CHECKSUM_TYPES } from "../../checksum/checksum.ts";
import { UnsupportedError } from "../../errors.ts";
import { describeSuperblock } from "../../format/describe/superblock.ts";
import type { Described } from "../../format/describe/value.ts";
import { SUPERBLOCK_BYTES } from "../../format/superblock.ts";
import { readSuperblockCopies, type SuperblockCopy } from "../../volume/superblock.ts";
import { command } from "../command.ts";
import { FORMAT_OPTION } from "../common-options.ts";
import { describedJson, describedTable } from "../described.ts";
import { EXIT } from "../exit.ts";
import { IMAGE_OPTIONS, imagePlace, openDevices } from "../places.ts";

const { device, partition, offset } = IMAGE_OPTIONS;

export const inspectSuper = command({
  brief: "Print the superblock, field by field",
  usage: ["[options] IMAGE"],
  details: `
Nothing is believed: a damaged superblock is printed as it is, and what is wrong with it. Exit status: 4 when one that
is printed is damaged. In JSON, numbers above 2^53 are text.`,
  options: {
    all: { short: "a", long: "all", brief: "all copies: at 64 KiB, 64 MiB and 256 GiB, as far as the device reaches" },
    full: { short: "f", long: "full", brief: "the array of system chunks and the backup roots, too" },
    ...FORMAT_OPTION,
    device,
    partition,
    offset,
  },
  example: "btrkit inspect super --all disk.img",
  operands: [1, 1],
  async run(context, options, [word]) {
    const { out } = context;
    const sources = await openDevices(context, imagePlace(word!).image, options);
    try {
      const shown: { device: string; found: SuperblockCopy }[] = [];
      for (const source of sources) {
        const copies = insideOnly(await readSuperblockCopies(source));
        for (const found of options.all ? copies : copies.slice(0, 1)) shown.push({ device: source.name, found });
      }
      if (options.format === "text" || options.format === undefined) {
        for (const { device, found } of shown)
          for (const line of lines(device, found, options.full)) await out.line(line);
      } else {
        const values = shown.map(({ device, found }) => json(device, found));
        if (options.format === "json") await out.document("inspect-super", values);
        else for (const value of values) await out.line(JSON.stringify(value));
      }
      return shown.some(({ found }) => isDamaged(found)) ? EXIT.damaged : EXIT.done;
    } finally {
      for (const source of sources) await source.close?.();
    }
  },
});

/** A device that is longer than its filesystem has no copies behind it. */
function insideOnly(copies: readonly SuperblockCopy[]): readonly SuperblockCopy[] {
  const sound = copies.find(({ problem }) => problem === undefined)?.superblock;
  if (sound === undefined) return copies;
  return copies.filter(({ physical }) => BigInt(physical + SUPERBLOCK_BYTES) < sound.devItem.totalBytes);
}

/** A feature that btrkit doesn't know is no damage. */
function isDamaged({ problem }: SuperblockCopy): boolean {
  return problem !== undefined && !(problem instanceof UnsupportedError);
}

function lines(device: string, { copy, physical, superblock, problem }: SuperblockCopy, full: boolean): string[] {
  const { sys_chunk_array, backup_roots, ...fields } = describeSuperblock(
    superblock,
    CHECKSUM_TYPES[superblock.csumType],
  );
  const rest: Described = full ? { sys_chunk_array: sys_chunk_array!, backup_roots: backup_roots! } : {};
  const verdict = problem === undefined ? "valid" : problem.sentence;
  return [
    `superblock copy ${copy}, at byte ${physical} of ${device}: ${verdict}`,
    ...describedTable({ ...fields, ...rest }),
    "",
  ];
}

function json(device: string, { copy, physical, superblock, problem }: SuperblockCopy): Record<string, unknown> {
  const head = { device, copy, physical, valid: problem === undefined, problem: problem?.sentence ?? null };
  return { ...head, ...describedJson(describeSuperblock(superblock, CHECKSUM_TYPES[superblock.csumType])) };
}
