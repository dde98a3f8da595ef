import { textOf } from "../bytes/display.ts";
import type { DirectoryHost } from "./directory-host.ts";
import { SIDECAR } from "./directory-sidecar-lines.ts";

/** Names that Windows keeps for devices, with any ending. */
const DEVICES = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$/i;

/**
 * Why a host can't have a file of this name, in words; `undefined` where it can. Only Linux takes any bytes; what else
 * would be turned into another name silently, or read as a path, is a fault.
 *
 * @param platform As `process.platform`.
 */
export function hostNameFault(name: Uint8Array, platform: string): string | undefined {
  if (platform === "linux") return undefined;
  const text = textOf(name);
  if (text === undefined) return "it is no UTF-8";
  if (platform !== "win32") return undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Windows has no files with them.
  const character = /[\x00-\x1f<>:"/\\|?*]/.exec(text)?.[0];
  if (character !== undefined) return `it has the character ${JSON.stringify(character)}`;
  if (/[. ]$/.test(text)) return `it ends in "${text.at(-1)}"`;
  if (DEVICES.test(text)) return "it is the name of a device";
  return undefined;
}

/** Whether the host takes names for one that differ in case, or in how their characters are composed. */
export function foldsNames(host: DirectoryHost): boolean {
  const directory = host.openDirectory(SIDECAR);
  try {
    const probe = Buffer.from("Probe-\u00e9");
    host.remove(directory, probe);
    host.close(host.createFile(directory, probe));
    const folds = ["probe-\u00e9", "Probe-e\u0301"].some((other) => host.has(directory, Buffer.from(other)));
    host.remove(directory, probe);
    return folds;
  } finally {
    host.close(directory);
  }
}
