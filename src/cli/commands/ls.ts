import { BtrfsError } from "../../errors.ts";
import type { Inode } from "../../fs/inode.ts";
import { command } from "../command.ts";
import { FORMAT_OPTION } from "../common-options.ts";
import { Failures } from "../failures.ts";
import { Images, locate, type OpenPlace } from "../images.ts";
import { Listing } from "../listing.ts";
import { JsonPrinter, TextPrinter } from "../listing-printer.ts";
import { IMAGE_OPTIONS, OLD_ROOT_OPTIONS } from "../places.ts";
import { recordsFor } from "../records.ts";

export const ls = command({
  brief: "List directories of an image or device",
  usage: ["[options] IMAGE:PATH..."],
  details: `
Names are sorted byte by byte, one a line; bytes that are not UTF-8 are shown as \\xNN, and a JSON object has path_b64
then. A directory with more names than memory should hold is listed in the order of creation, which is said. Goes on
past damage. Exit status: 4 when something could not be read.`,
  options: {
    all: { short: "a", long: "all", brief: "names that begin with a dot, too" },
    long: { short: "l", long: "long", brief: "modes, links, owners, sizes in bytes, times" },
    recursive: { short: "R", long: "recursive", brief: "what is below directories, too, subvolumes included" },
    directory: { short: "d", long: "directory", brief: "directories themselves, not what is in them" },
    unsorted: { short: "U", long: "unsorted", brief: "in the order of creation" },
    ...FORMAT_OPTION,
    ...OLD_ROOT_OPTIONS,
    ...IMAGE_OPTIONS,
  },
  example: "btrkit ls --long disk.img:/home",
  operands: [1, Number.POSITIVE_INFINITY],
  async run(context, options, words) {
    const { long, recursive } = options;
    const failures = new Failures(context.say);
    const records = recordsFor(context.out, options.format, "ls");
    const printer = records === undefined ? new TextPrinter(context.out, long) : new JsonPrinter(records, long);
    const listing = new Listing(context, options, printer, failures);
    await using images = new Images(context, options);
    for (const word of words) {
      try {
        const place = await images.place(word);
        const inode = await find(place, !long && !options.directory);
        if (inode.kind !== "directory" || options.directory) await printer.named(word, inode);
        else await listing.list(inode, words.length > 1 || recursive ? word : "");
      } catch (error) {
        failures.note(error);
      }
    }
    await records?.end();
    return failures.status;
  },
});

/** A symlink that leads nowhere is shown itself. */
async function find(place: OpenPlace, follow: boolean): Promise<Inode> {
  try {
    return await locate(place, follow);
  } catch (error) {
    if (!follow || !(error instanceof BtrfsError) || error.code !== "missing") throw error;
    return locate(place, false);
  }
}
