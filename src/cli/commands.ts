import type { Command } from "./command.ts";

/** A command by its words. It is loaded when it runs, so that the start of one doesn't pay for the others. */
export interface CommandEntry {
  readonly name: string;
  readonly load: () => Promise<Command>;
}

/** Every command, in the order in which `--help` lists them. */
export const COMMANDS: readonly CommandEntry[] = [
  { name: "send", load: async () => (await import("./commands/send.ts")).send as Command },
  { name: "receive", load: async () => (await import("./commands/receive.ts")).receive as Command },
  { name: "verify", load: async () => (await import("./commands/verify.ts")).verify as Command },
  { name: "ls", load: async () => (await import("./commands/ls.ts")).ls as Command },
  { name: "cat", load: async () => (await import("./commands/cat.ts")).cat as Command },
  { name: "stat", load: async () => (await import("./commands/stat.ts")).stat as Command },
  { name: "du", load: async () => (await import("./commands/du.ts")).du as Command },
  { name: "encoded read", load: async () => (await import("./commands/encoded-read.ts")).encodedRead as Command },
  { name: "encoded write", load: async () => (await import("./commands/encoded-write.ts")).encodedWrite as Command },
  {
    name: "subvolume list",
    load: async () => (await import("./commands/subvolume-list.ts")).subvolumeList as Command,
  },
  {
    name: "subvolume show",
    load: async () => (await import("./commands/subvolume-show.ts")).subvolumeShow as Command,
  },
  {
    name: "subvolume create",
    load: async () => (await import("./commands/subvolume-create.ts")).subvolumeCreate as Command,
  },
  {
    name: "subvolume snapshot",
    load: async () => (await import("./commands/subvolume-snapshot.ts")).subvolumeSnapshot as Command,
  },
  {
    name: "subvolume delete",
    load: async () => (await import("./commands/subvolume-delete.ts")).subvolumeDelete as Command,
  },
  {
    name: "subvolume get-default",
    load: async () => (await import("./commands/subvolume-default.ts")).subvolumeGetDefault as Command,
  },
  {
    name: "subvolume set-default",
    load: async () => (await import("./commands/subvolume-default.ts")).subvolumeSetDefault as Command,
  },
  { name: "property get", load: async () => (await import("./commands/property.ts")).propertyGet as Command },
  { name: "property list", load: async () => (await import("./commands/property.ts")).propertyList as Command },
  { name: "property set", load: async () => (await import("./commands/property.ts")).propertySet as Command },
  { name: "restore", load: async () => (await import("./commands/restore.ts")).restore as Command },
  { name: "cp", load: async () => (await import("./commands/cp.ts")).cp as Command },
  { name: "rm", load: async () => (await import("./commands/rm.ts")).rm as Command },
  { name: "mkfs", load: async () => (await import("./commands/mkfs.ts")).mkfs as Command },
  { name: "inspect super", load: async () => (await import("./commands/inspect-super.ts")).inspectSuper as Command },
  { name: "inspect tree", load: async () => (await import("./commands/inspect-tree.ts")).inspectTree as Command },
  { name: "scrub", load: async () => (await import("./commands/scrub.ts")).scrub as Command },
  { name: "completion", load: async () => (await import("./commands/completion.ts")).completion as Command },
];

/** The command that the first words of `args` name, and the rest of them. */
export function findCommand(args: readonly string[]): { entry: CommandEntry; rest: readonly string[] } | undefined {
  for (const entry of COMMANDS) {
    const words = entry.name.split(" ");
    if (words.every((word, index) => args[index] === word)) return { entry, rest: args.slice(words.length) };
  }
  return undefined;
}
