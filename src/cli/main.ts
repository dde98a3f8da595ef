import { isBrokenPipe } from "../node/host-error.ts";
import type { Command, Context } from "./command.ts";
import { findCommand } from "./commands.ts";
import { EXIT, errorLines, exitStatus } from "./exit.ts";
import { parseOptions, UsageError } from "./options.ts";
import { Output, say } from "./output.ts";

/** Options that every command has; they are taken before the command sees its words. */
interface Globals {
  readonly debug: boolean;
  readonly help: boolean;
  readonly args: readonly string[];
}

/** Runs one command line. Never throws; resolves to the exit status. */
export async function main(words: readonly string[], signal: AbortSignal): Promise<number> {
  const { debug, help, args } = takeGlobals(words);
  const context: Context = { out: new Output(signal), say, signal };
  let name = "";
  let dropIn = false;
  try {
    const found = findCommand(args);
    if (found === undefined) return await withoutCommand(context, args, help);
    name = found.entry.name;
    const command = await found.entry.load();
    dropIn = command.dropIn ?? false;
    const status = help ? await printHelp(context, name, command) : await runCommand(context, command, found.rest);
    await context.out.flush();
    return status;
  } catch (error) {
    await context.out.flush().catch(() => {});
    if (!isBrokenPipe(error) && !signal.aborted) for (const line of errorLines(error, name, dropIn, debug)) say(line);
    return exitStatus(error, dropIn);
  }
}

async function runCommand(context: Context, command: Command, args: readonly string[]): Promise<number> {
  const { options, operands } = parseOptions(command.options, args);
  const [least, most] = command.operands ?? [0, Number.POSITIVE_INFINITY];
  if (operands.length < least || operands.length > most) {
    const expected = least === most ? `${least}` : `${least} or more`;
    throw new UsageError(`${operands.length} arguments given, expected ${expected}`);
  }
  return (await command.run(context, options, operands)) ?? EXIT.done;
}

async function printHelp({ out }: Context, name: string, command: Command): Promise<number> {
  const { commandHelp } = await import("./help.ts");
  out.line(commandHelp(name, command).trimEnd());
  return EXIT.done;
}

/** Only options, or words that name no command. */
async function withoutCommand({ out }: Context, args: readonly string[], help: boolean): Promise<number> {
  if (args[0] === "--version") {
    const { version } = await import("./version.ts");
    out.line(`btrkit ${version()}`);
  } else if (help || args.length === 0) {
    const { topHelp } = await import("./help.ts");
    out.line((await topHelp()).trimEnd());
  } else {
    throw new UsageError(args[0]!.startsWith("-") ? `unrecognized option '${args[0]}'` : `no command '${args[0]}'`);
  }
  await out.flush();
  return help || args.length > 0 ? EXIT.done : EXIT.usage;
}

function takeGlobals(words: readonly string[]): Globals {
  const end = words.includes("--") ? words.indexOf("--") : words.length;
  const own = new Set(["--debug", "--no-color", "--help"]);
  const has = (word: string) => words.slice(0, end).includes(word);
  const args = words.filter((word, index) => index >= end || !own.has(word));
  return { debug: has("--debug"), help: has("--help"), args };
}
