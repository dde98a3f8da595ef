import { COMMANDS } from "./commands.ts";
import type { Option } from "./options.ts";

/** A script for bash that completes commands, their options, the choices of an option, and else file names. */
export async function bashCompletion(): Promise<string> {
  const commands = await Promise.all(COMMANDS.map(async ({ name, load }) => ({ name, command: await load() })));
  const options = commands.map(({ name, command }) => {
    const words = [...Object.values(command.options).flatMap(wordsOf), "--help"].join(" ");
    return `    "${name}") words="${words}" ;;`;
  });
  const choices = commands.flatMap(({ name, command }) =>
    Object.values(command.options)
      .filter((option) => option.choices !== undefined)
      .map((option) => `    "${name} --${option.long}") choices="${option.choices!.join(" ")}" ;;`),
  );
  return `# bash completion for btrkit
_btrkit() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local command="" words="" choices="" index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "$command\${command:+ }\${COMP_WORDS[index]}" in
      ${[...new Set(commands.flatMap(({ name }) => prefixes(name)))].map((name) => `"${name}"`).join("|")})
        command="$command\${command:+ }\${COMP_WORDS[index]}" ;;
    esac
  done
  [[ "$previous" == "=" ]] && previous="\${COMP_WORDS[COMP_CWORD-2]}"
  [[ "$current" == "=" ]] && previous="\${COMP_WORDS[COMP_CWORD-1]}" && current=""
  case "$command $previous" in
${choices.join("\n")}
    *) ;;
  esac
  if [[ -n "$choices" ]]; then
    COMPREPLY=($(compgen -W "$choices" -- "$current"))
    return
  fi
  case "$command" in
${nextWords(commands.map(({ name }) => name))}
${options.join("\n")}
  esac
  if [[ "$current" == -* || -z "$command" || "$words" != -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    compopt -o filenames 2>/dev/null
    local IFS=$'\\n'
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -F _btrkit btrkit
`;
}

function wordsOf({ short, long }: Option): string[] {
  return [short && `-${short}`, long && `--${long}`].filter((word): word is string => Boolean(word));
}

/** `inspect tree`: first `inspect`, then the whole. */
function prefixes(name: string): string[] {
  const words = name.split(" ");
  return words.map((_, index) => words.slice(0, index + 1).join(" "));
}

/** What may follow nothing, and what may follow the first word of a command of two. */
function nextWords(names: readonly string[]): string {
  const next = new Map<string, Set<string>>();
  for (const name of names) {
    for (const prefix of prefixes(name)) {
      const words = prefix.split(" ");
      const before = words.slice(0, -1).join(" ");
      next.set(before, (next.get(before) ?? new Set()).add(words.at(-1)!));
    }
  }
  next.get("")?.add("--help").add("--version");
  return [...next].map(([before, words]) => `    "${before}") words="${[...words].join(" ")}" ;;`).join("\n");
}
