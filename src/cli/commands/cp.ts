import { lstatSync, realpathSync } from "node:fs";
import { displayName } from "../../bytes/display.ts";
import { Batches, Copier, type CopyOptions, type CopyProblem, type CopyTarget, ImageSource } from "../../copy/index.ts";
import type { SourceNode } from "../../copy/source.ts";
import { BtrfsError, UnsupportedError } from "../../errors.ts";
import type { Inode } from "../../fs/inode.ts";
import { joinPath } from "../../fs/path.ts";
import { HostSource } from "../../linux/host-source.ts";
import { hostError } from "../../node/host-error.ts";
import { type Context, command } from "../command.ts";
import { PROGRESS_OPTION } from "../common-options.ts";
import { parseCompression } from "../compression.ts";
import { EXIT } from "../exit.ts";
import { Failures } from "../failures.ts";
import { demandReal, findIn, parentIn } from "../image-edit.ts";
import { locate } from "../images.ts";
import { parseWhole } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { imagePlace, parsePlace, WRITABLE_IMAGE_OPTIONS } from "../places.ts";
import { Progress, progressMode } from "../progress.ts";
import { formatBytes } from "../sizes.ts";
import { type WritableImage, withWritable } from "../writable-images.ts";

export const cp = command({
  brief: "Copy files and directories into an image, or from one place of it to another",
  usage: ["[-r|-a] [options] SOURCE... IMAGE:PATH"],
  details: `
A SOURCE is a path on this machine, or IMAGE:PATH of the same image. As with cp, an existing directory is copied into, and
files that are there are overwritten; each file is there as it was or whole. Much is copied in several commits. What is new
belongs to root, unless -a, -p or --owner say otherwise. Within an image, extents are shared, compressed ones as they are
stored. What could not be copied is listed, and the exit status is then 4. btrkit restore copies out of an image.`,
  options: {
    recursive: { short: "r", long: "recursive", brief: "go into directories; links and devices are copied as such" },
    recursive2: { short: "R", brief: "the same as -r" },
    archive: { short: "a", long: "archive", brief: "the same as -rp" },
    preserve: {
      short: "p",
      long: "preserve",
      brief: "keep modes, owners, times, extended attributes and hard links",
    },
    owner: { long: "owner", value: "UID[:GID]", brief: "whom all that is copied belongs to, in numbers" },
    reflink: {
      long: "reflink",
      value: "WHEN",
      optionalValue: true,
      choices: ["", "auto", "always", "never"],
      brief: "share extents within the image: auto (default), always (or it is not copied), never",
    },
    compress: { long: "compress", value: "ALGO[:LEVEL]", brief: "zlib, lzo or zstd: compress what gets smaller by it" },
    verbose: { short: "v", long: "verbose", brief: "print the name of each" },
    quiet: { short: "q", long: "quiet", brief: "print errors only" },
    ...PROGRESS_OPTION,
    ...WRITABLE_IMAGE_OPTIONS,
  },
  example: "btrkit cp -a /etc disk.img:/",
  operands: [2, Number.POSITIVE_INFINITY],
  async run(context, options, words) {
    const target = targetOf(words.at(-1)!);
    const isSilent = options.quiet && options.progress === undefined;
    const progress = new Progress(isSilent ? "off" : progressMode(options.progress), undefined);
    let listed = false;
    const wishes: CopyOptions = {
      recursive: options.recursive || options.recursive2 || options.archive,
      preserve: options.preserve || options.archive,
      owner: options.owner === undefined ? undefined : ownerOf(options.owner),
      reflink: (options.reflink === "" ? "always" : options.reflink) as CopyOptions["reflink"],
      compress: options.compress === undefined ? undefined : parseCompression("--compress", options.compress),
      onProblem: (problem) => {
        listed = true;
        context.say(problemLine(problem));
      },
      onCopied: (path) => {
        if (options.verbose) context.out.line(path);
      },
      onProgress: (bytes) => progress.update(bytes),
    };
    const failures = new Failures(context.say);
    await withWritable(context, target.image, options, async (writable) => {
      const job = new CopyJob(context, writable, { ...wishes, reflink: wishes.reflink ?? "auto" });
      try {
        await job.run(words.slice(0, -1), target.path, failures);
      } finally {
        progress.end();
      }
      const { files, bytes, directories, problems } = job.copier.counts;
      if (!options.quiet) {
        const more = problems > 0 ? `; ${problems} listed problems` : "";
        await context.out.line(`copied ${files} files (${formatBytes(bytes)}), ${directories} directories${more}`);
      }
    });
    return listed ? EXIT.damaged : failures.status;
  },
});

/** @throws {UnsupportedError} for what is no place in an image: that is the business of others. */
function targetOf(word: string): { readonly image: string; readonly path: Uint8Array } {
  const place = parsePlace(word);
  if (place.kind === "image") return place;
  throw new UnsupportedError(
    "Cannot copy: the target is no place in an image; btrkit restore copies out of images, cp does the rest",
    { file: word },
  );
}

function ownerOf(text: string): { uid: number; gid: number } {
  const [, uid, gid] = /^(\d+)(?::(\d+))?$/.exec(text) ?? [];
  if (uid === undefined) throw new UsageError(`option '--owner' can't be '${text}', expected numbers: UID[:GID]`);
  const owner = { uid: parseWhole("--owner", uid), gid: parseWhole("--owner", gid ?? uid) };
  if (owner.uid < 0xffff_ffff && owner.gid < 0xffff_ffff) return owner;
  throw new UsageError(`option '--owner' can't be '${text}', expected numbers below 4294967295`);
}

function problemLine({ kind, path, message }: CopyProblem): string {
  return `btrkit: ${kind}: ${path}: ${message.slice(0, 1).toLowerCase()}${message.slice(1)}`;
}

/** The sources of one command, one after the other. */
class CopyJob {
  readonly copier: Copier;
  readonly #writable: WritableImage;
  readonly #batches: Batches;
  readonly #options: CopyOptions;

  constructor({ signal }: Context, writable: WritableImage, options: CopyOptions) {
    this.#writable = writable;
    this.#batches = new Batches(writable.volume, { signal });
    this.#options = options;
    this.copier = new Copier(this.#batches, options);
  }

  async run(words: readonly string[], path: Uint8Array, failures: Failures): Promise<void> {
    try {
      const into = await findIn(this.#writable, path, true);
      if (into !== undefined) demandReal(into);
      if (into?.kind !== "directory" && (words.length > 1 || path.at(-1) === 0x2f)) {
        throw new BtrfsError("kind", "Cannot copy: the target is no directory", { where: { path: displayName(path) } });
      }
      for (const word of words) {
        try {
          await this.#copy(word, path, into?.kind === "directory" ? into : undefined);
        } catch (error) {
          // Of the source only: what fails while the image is changed ends it all.
          if (!(error instanceof OperandError)) throw error;
          failures.note(error.cause);
        }
      }
      await this.#batches.commit();
    } catch (error) {
      this.#batches.abandon();
      throw error;
    }
  }

  /** @param into The target, where it is a directory. */
  async #copy(word: string, path: Uint8Array, into: Inode | undefined): Promise<void> {
    // Paths are looked up as of the last commit.
    await this.#batches.commit();
    const place = parsePlace(word);
    if (place.kind === "path" || place.image === word) {
      const { source, name } = await operand(async () => openHost(word, !this.#options.recursive));
      using open = source;
      await this.#put(word, open, name, path, into);
      return;
    }
    const { source, at } = await operand(() => this.#openInImage(word));
    const isDirectory = source.stat.kind === "directory";
    if (isDirectory && isWithin(into?.path ?? (await this.#target(path)).path, at)) {
      throw new BtrfsError("path", "Cannot copy: the target lies in the source", { where: { path: source.shown } });
    }
    const name = at.subarray(at.lastIndexOf(0x2f) + 1);
    await this.#put(word, source, name, path, into);
  }

  async #put(word: string, source: SourceNode, name: Uint8Array, path: Uint8Array, into?: Inode): Promise<void> {
    // `a/.` is all that is in `a`.
    if (into !== undefined && /(^|[/:])\.$/.test(word)) {
      await this.copier.fill(source, { tree: into.subvolume.id, inode: into.number });
      return;
    }
    await this.copier.copy(source, await this.#target(into === undefined ? path : joinPath(withoutSlash(path), name)));
  }

  async #target(path: Uint8Array): Promise<CopyTarget & { readonly path: Uint8Array }> {
    const { subvolume: tree, directory, name, path: shown } = await parentIn(this.#writable, path);
    return { tree, directory, name, path: shown };
  }

  async #openInImage(word: string): Promise<{ readonly source: SourceNode; readonly at: Uint8Array }> {
    const { image, path } = imagePlace(word);
    if (realpathSync(image) !== realpathSync(this.#writable.image)) {
      throw new UnsupportedError("Cannot copy: the source lies in another image; btrkit restore copies out of it", {
        file: word,
      });
    }
    const inode = await locate(this.#writable.place(path), !this.#options.recursive);
    const at = inode.path ?? new Uint8Array(0);
    return { source: await ImageSource.open(this.#batches, inode.subvolume.id, inode.number, at), at };
  }
}

/** An operand can't be read: the others can. */
class OperandError extends Error {}

async function operand<T>(open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (cause) {
    throw new OperandError("operand", { cause });
  }
}

function openHost(
  word: string,
  follow: boolean,
): { readonly source: HostSource & Disposable; readonly name: Uint8Array } {
  let path: Buffer;
  let isDirectory: boolean;
  try {
    // `a/` is what `a` leads to.
    const isFollowed = follow || /\/\.?$/.test(word);
    path = isFollowed || /(^|\/)\.\.?$/.test(word) ? realpathSync(word, { encoding: "buffer" }) : Buffer.from(word);
    isDirectory = lstatSync(path).isDirectory();
  } catch (error) {
    throw hostError(error, "open", word);
  }
  const slash = path.lastIndexOf(0x2f);
  const name = path.subarray(slash + 1);
  if (isDirectory) return { source: HostSource.open(path.toString(), new Uint8Array(0), word), name };
  const directory = slash < 0 ? "." : slash === 0 ? "/" : path.subarray(0, slash).toString();
  return { source: HostSource.open(directory, name, word), name };
}

function withoutSlash(path: Uint8Array): Uint8Array {
  return path.at(-1) === 0x2f ? path.subarray(0, -1) : path;
}

function isWithin(path: Uint8Array, above: Uint8Array): boolean {
  if (above.byteLength === 0) return true;
  const isPrefix = above.every((byte, index) => path[index] === byte);
  return isPrefix && (path.byteLength === above.byteLength || path[above.byteLength] === 0x2f);
}
