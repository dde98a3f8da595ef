import { command } from "../command.ts";
import { bashCompletion } from "../completion.ts";
import { UsageError } from "../options.ts";

export const completion = command({
  brief: "Print the completion of btrkit for a shell",
  usage: ["bash"],
  options: {},
  example: 'eval "$(btrkit completion bash)"',
  operands: [1, 1],
  async run({ out }, _options, [shell]) {
    if (shell !== "bash") throw new UsageError(`no completion for '${shell}', expected bash`);
    await out.line((await bashCompletion()).trimEnd());
    return undefined;
  },
});
