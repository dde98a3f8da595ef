import type { BtrfsError } from "../../errors.ts";
import type { OpenFile } from "../../fs/file.ts";
import { command } from "../command.ts";
import { Failures } from "../failures.ts";
import { Images, locate } from "../images.ts";
import type { Output } from "../output.ts";
import { IMAGE_OPTIONS, OLD_ROOT_OPTIONS } from "../places.ts";

export const cat = command({
  brief: "Print files of an image or device",
  usage: ["[options] IMAGE:PATH..."],
  details: `
What is printed has been verified, unless the file has no checksums (NODATASUM). A damaged file is printed up to the damage, and then
the next one. Exit status: 4 when something could not be read.`,
  options: { ...OLD_ROOT_OPTIONS, ...IMAGE_OPTIONS },
  example: "btrkit cat disk.img:/etc/fstab",
  operands: [1, Number.POSITIVE_INFINITY],
  async run(context, options, words) {
    const failures = new Failures(context.say);
    await using images = new Images(context, options);
    for (const word of words) {
      try {
        const inode = await locate(await images.place(word), true);
        await print(inode.openFile(), context.out, context.signal);
      } catch (error) {
        failures.note(error);
      }
    }
    return failures.status;
  },
});

/** @throws {BtrfsError} for the first bytes that can't be read; those before them have been printed. */
async function print(file: OpenFile, out: Output, signal: AbortSignal): Promise<void> {
  let bad: { readonly offset: bigint; readonly error: BtrfsError } | undefined;
  const onUnreadable = (offset: bigint, _length: number, error: BtrfsError): void => {
    if (bad === undefined || offset < bad.offset) bad = { offset, error };
  };
  let at = 0n;
  for await (const chunk of file.chunks({ signal, onUnreadable })) {
    const end = at + BigInt(chunk.byteLength);
    if (bad !== undefined && bad.offset < end) {
      await out.write(chunk.subarray(0, Number(bad.offset - at)));
      throw bad.error;
    }
    await out.write(chunk);
    at = end;
  }
}
