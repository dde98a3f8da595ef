import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import type { Option } from "./options.ts";

const WIDTH = 26;

export async function topHelp(): Promise<string> {
  const list = await Promise.all(COMMANDS.map(async ({ name, load }) => `  ${name.padEnd(23)}${(await load()).brief}`));
  return `usage: btrkit COMMAND [options]

btrfs images, send streams and compressed extents, with and without a kernel.

Commands:
${list.join("\n")}

Options:
  --help            this text; after a command, its own
  --version         the version of btrkit
  --debug           where an error comes from, with its stack
  --no-color        no colours (also: NO_COLOR in the environment)

Example, from a snapshot in an image to one on a mounted btrfs:
  btrkit send -f home.btrfs disk.img:/home.monday
  btrkit verify home.btrfs
  sudo btrkit receive -f home.btrfs /mnt/backup
`;
}

export function commandHelp(name: string, { brief, usage, details, options, example }: Command): string {
  const forms = usage.map((form) => `btrkit ${name} ${form}`.trimEnd());
  const lines = Object.values(options).map(optionLine);
  return `usage: ${forms.join("\n       ")}

${brief}.
${details === undefined ? "" : `\n${details.trim()}\n`}
Options:
${[...lines, optionLine({ long: "help", brief: "this text" })].join("\n")}

Example:
  ${example}
`;
}

function optionLine({ short, long, value, optionalValue, brief, choices }: Option): string {
  const names = [short && `-${short}`, long && `--${long}`].filter(Boolean).join(", ");
  const word = choices?.join("|") ?? value;
  const head = `  ${names}${word === undefined ? "" : optionalValue ? `[=${word}]` : ` ${word}`}`;
  return head.length + 2 > WIDTH ? `${head}\n${" ".repeat(WIDTH)}${brief}` : head.padEnd(WIDTH) + brief;
}
