import { displayName } from "../../bytes/display.ts";
import { inodeFlagNames } from "../../format/inode.ts";
import type { Inode } from "../../fs/inode.ts";
import { UsageCounter } from "../../usage/usage.ts";
import { command } from "../command.ts";
import { FORMAT_OPTION } from "../common-options.ts";
import { Failures } from "../failures.ts";
import { Images, locate } from "../images.ts";
import { bytesJson, inodeJson, modeText, pathJson } from "../inode-text.ts";
import { IMAGE_OPTIONS, OLD_ROOT_OPTIONS } from "../places.ts";
import { recordsFor } from "../records.ts";
import { formatTime } from "../times.ts";
import { rawSize, usageJson, usageLines } from "../usage-report.ts";

export const stat = command({
  brief: "Describe files of an image or device: inode, times, flags, extents",
  usage: ["[options] IMAGE:PATH..."],
  details: `
All that stat(1) tells, and what btrfs knows beyond it: birth, the generations of creation and last change, flags, xattrs,
and for regular files their extents by algorithm, with stored, decoded and referenced bytes. In JSON, times are seconds
and nanoseconds, and numbers above 2^53 are text.`,
  options: {
    dereference: { short: "L", long: "dereference", brief: "what a symlink leads to, not the symlink" },
    ...FORMAT_OPTION,
    ...OLD_ROOT_OPTIONS,
    ...IMAGE_OPTIONS,
  },
  example: "btrkit stat disk.img:/home/notes.txt",
  operands: [1, Number.POSITIVE_INFINITY],
  async run(context, options, words) {
    const { out, say } = context;
    const { dereference } = options;
    const failures = new Failures(say);
    const records = recordsFor(out, options.format, "stat");
    await using images = new Images(context, options);
    for (const [index, word] of words.entries()) {
      try {
        const inode = await locate(await images.place(word), dereference);
        if (records !== undefined) await records.add(await json(inode));
        else for (const line of await lines(inode, index > 0)) await out.line(line);
      } catch (error) {
        failures.note(error);
      }
    }
    await records?.end();
    return failures.status;
  },
});

async function usageOf(inode: Inode) {
  const counter = new UsageCounter();
  await counter.add(inode);
  return counter.usage;
}

async function json(inode: Inode): Promise<Record<string, unknown>> {
  const xattrs = (await inode.xattrs()).map(({ name, value }) => ({
    ...bytesJson("name", name),
    ...bytesJson("value", value),
  }));
  const usage = inode.kind === "file" ? { usage: usageJson(await usageOf(inode)) } : {};
  const flagNames = inodeFlagNames(inode.stat.flags);
  return { ...pathJson(inode.path ?? NOWHERE), ...(await inodeJson(inode)), flag_names: flagNames, xattrs, ...usage };
}

async function lines(inode: Inode, isLater: boolean): Promise<string[]> {
  const { stat, kind, number, subvolume } = inode;
  const target = kind === "symlink" ? ` -> ${displayName(await inode.readSymlink())}` : "";
  const device = stat.rdev === undefined ? "" : `, device ${stat.rdev.major}:${stat.rdev.minor}`;
  const flags = inodeFlagNames(stat.flags).join("|");
  const octal = stat.mode.toString(8).padStart(4, "0");
  const rows: readonly (readonly [string, string])[] = [
    ["path", `/${displayName(inode.path ?? NOWHERE)}${target}`],
    ["type", `${kind}${device}`],
    ["size", kind === "file" ? `${stat.size}, in extents ${stat.nbytes}` : `${stat.size}`],
    ["mode", `${octal} (${modeText(kind, stat.mode)}), links ${stat.nlink}`],
    ["owner", `user ${stat.uid}, group ${stat.gid}`],
    ["inode", `${number} of subvolume ${subvolume.id}`],
    ["changed", `in generation ${stat.transid}, made in ${stat.generation}, sequence ${stat.sequence}`],
    ["flags", flags === "" ? "none" : flags],
    ["access", formatTime(stat.atime)],
    ["modify", formatTime(stat.mtime)],
    ["change", formatTime(stat.ctime)],
    ["birth", formatTime(stat.otime)],
  ];
  const xattrs = (await inode.xattrs()).map(({ name, value }) => `${displayName(name)} (${value.byteLength} bytes)`);
  const text = [...rows, ...xattrs.map((xattr) => ["xattr", xattr] as const)];
  const usage = kind === "file" ? usageLines(await usageOf(inode), rawSize) : [];
  return [
    ...(isLater ? [""] : []),
    ...text.map(([name, value]) => `${name.padEnd(9)}${value}`),
    ...usage.slice(1).map((line) => `  ${line}`),
  ];
}

const NOWHERE = new Uint8Array(0);
