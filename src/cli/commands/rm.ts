import { displayName } from "../../bytes/display.ts";
import { Batches, Remover } from "../../copy/index.ts";
import { BtrfsError } from "../../errors.ts";
import { command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { Failures } from "../failures.ts";
import { byImage, parentIn } from "../image-edit.ts";
import { WRITABLE_IMAGE_OPTIONS } from "../places.ts";
import { withWritable } from "../writable-images.ts";

export const rm = command({
  brief: "Remove files and directories of an image",
  usage: ["[-r] [-f] [options] IMAGE:PATH..."],
  details: `
As rm does. A symbolic link is removed, not what it leads to. Subvolumes stay: btrkit subvolume delete removes them. Much
is removed in several commits: what one of them removed is gone, whatever comes after it. Of a mounted filesystem, rm
removes.`,
  options: {
    recursive: { short: "r", long: "recursive", brief: "directories with all that is in them" },
    recursive2: { short: "R", brief: "the same as -r" },
    force: { short: "f", long: "force", brief: "what is not there is no error" },
    verbose: { short: "v", long: "verbose", brief: "print the name of each" },
    ...WRITABLE_IMAGE_OPTIONS,
  },
  example: "btrkit rm -r disk.img:/home/anna/cache",
  operands: [1, Number.POSITIVE_INFINITY],
  async run(context, options, words) {
    const { out, say, signal } = context;
    const failures = new Failures(say);
    let stayed = false;
    for (const [image, operands] of byImage(words)) {
      await withWritable(context, image, options, async (writable) => {
        const batches = new Batches(writable.volume, { signal });
        const remover = new Remover(batches, {
          recursive: options.recursive || options.recursive2,
          onProblem: (path, why) => {
            stayed = true;
            say(`btrkit: not removed: /${displayName(path)}: ${why}`);
          },
          onRemoved: (path) => {
            if (options.verbose) out.line(`removed '/${displayName(path)}'`);
          },
        });
        try {
          for (const { path } of operands) {
            try {
              // Each sees what the last one left.
              await batches.commit();
              const { subvolume: tree, directory, name, path: shown } = await parentIn(writable, path);
              await remover.remove({ tree, directory, name }, shown);
            } catch (error) {
              if (!(error instanceof BtrfsError) || error.code !== "missing") throw error;
              if (!options.force) failures.note(error);
            }
          }
          await batches.commit();
        } catch (error) {
          batches.abandon();
          throw error;
        }
      });
    }
    return Math.max(failures.status, stayed ? EXIT.failed : EXIT.done);
  },
});
