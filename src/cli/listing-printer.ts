import { displayLines, displayName } from "../bytes/display.ts";
import type { DirectoryEntry } from "../fs/directory.ts";
import type { Inode } from "../fs/inode.ts";
import { jsonNumber } from "./described.ts";
import { inodeJson, longText, pathJson } from "./inode-text.ts";
import { entryPath } from "./listing.ts";
import type { Output } from "./output.ts";
import type { Records } from "./records.ts";

type Written = Promise<void> | undefined;

/** How what `ls` finds is printed. */
export interface ListingPrinter {
  /** Before what is in a directory. @param shown Empty for none. */
  heading(shown: string): Written;
  entries(directory: Inode, entries: readonly DirectoryEntry[]): Written;
  /** @param inode `undefined` where it can't be read. */
  long(directory: Inode, entry: DirectoryEntry, inode: Inode | undefined): Promise<void>;
  /** What was named itself. @param shown How. */
  named(shown: string, inode: Inode): Promise<void>;
}

export class TextPrinter implements ListingPrinter {
  readonly #out: Output;
  readonly #long: boolean;
  #isFirst = true;

  constructor(out: Output, long: boolean) {
    this.#out = out;
    this.#long = long;
  }

  heading(shown: string): Written {
    const gap = this.#isFirst ? "" : "\n";
    this.#isFirst = false;
    return shown === "" ? undefined : this.#out.text(`${gap}${shown}:\n`);
  }

  entries(_directory: Inode, entries: readonly DirectoryEntry[]): Written {
    return entries.length === 0 ? undefined : this.#out.text(displayLines(entries));
  }

  async long(_directory: Inode, { name }: DirectoryEntry, inode: Inode | undefined): Promise<void> {
    await this.#line(displayName(name), inode);
  }

  async named(shown: string, inode: Inode): Promise<void> {
    this.#isFirst = false;
    if (this.#long) await this.#line(shown, inode);
    else await this.#out.line(shown);
  }

  async #line(name: string, inode: Inode | undefined): Promise<void> {
    const stat = inode === undefined ? UNREADABLE : longText(inode.stat);
    const target = inode?.kind === "symlink" ? ` -> ${displayName(await inode.readSymlink())}` : "";
    await this.#out.line(`${stat} ${name}${target}`);
  }
}

/** Under the columns of `longText`. */
const UNREADABLE = "??????????   ?     ?     ?            ?                ?";

export class JsonPrinter implements ListingPrinter {
  readonly #records: Records;
  readonly #long: boolean;

  constructor(records: Records, long: boolean) {
    this.#records = records;
    this.#long = long;
  }

  heading(): undefined {
    return undefined;
  }

  entries(directory: Inode, entries: readonly DirectoryEntry[]): Written {
    let written: Written;
    for (const entry of entries) written = this.#records.add(entryJson(directory, entry));
    return written;
  }

  async long(directory: Inode, entry: DirectoryEntry, inode: Inode | undefined): Promise<void> {
    const fields = inode === undefined ? {} : await inodeJson(inode);
    await this.#records.add({ ...entryJson(directory, entry), ...fields });
  }

  async named(_shown: string, inode: Inode): Promise<void> {
    const path = pathJson(inode.path ?? new Uint8Array(0));
    const { type, inode: number, subvolume, ...rest } = await inodeJson(inode);
    await this.#records.add({ ...path, type, inode: number, subvolume, ...(this.#long ? rest : {}) });
  }
}

function entryJson(directory: Inode, entry: DirectoryEntry): Record<string, unknown> {
  const { kind, inode, subvolume = directory.subvolume.id } = entry;
  return {
    ...pathJson(entryPath(directory, entry)),
    type: kind,
    inode: jsonNumber(inode),
    subvolume: jsonNumber(subvolume),
  };
}
