import { BtrfsError } from "../../errors.ts";
import { treeIdByName } from "../../format/objectid.ts";
import { treeBlocks } from "../../tree/blocks.ts";
import { NodeTree } from "../../tree/tree.ts";
import { listTrees } from "../../volume/trees.ts";
import type { Volume } from "../../volume/volume.ts";
import { command } from "../command.ts";
import { FORMAT_OPTION } from "../common-options.ts";
import { EXIT } from "../exit.ts";
import { UsageError } from "../options.ts";
import { IMAGE_OPTIONS, imagePlace, OLD_ROOT_OPTIONS, openImage } from "../places.ts";
import { type TreePrinter, treePrinter } from "../tree-print.ts";

export const inspectTree = command({
  brief: "Print trees, item by item",
  usage: ["[options] IMAGE [TREE]"],
  details: `
TREE is a number, or a name: root, chunk, extent, dev, fs, csum, quota, uuid, free-space, block-group, tree-log,
data-reloc. Without it, all trees are printed. Damaged blocks are reported and passed over; the exit status is 4 then.
With --format jsonl there is one object for each tree, node, leaf and item. Names of files are in the output. In JSON,
numbers above 2^53 are text.`,
  options: {
    ...FORMAT_OPTION,
    ...OLD_ROOT_OPTIONS,
    ...IMAGE_OPTIONS,
  },
  example: "btrkit inspect tree disk.img fs",
  operands: [1, 2],
  async run(context, options, [word, tree]) {
    const wanted = tree === undefined ? undefined : parseTree(tree);
    await using volume = await openImage(context, imagePlace(word!).image, options);
    const printer = treePrinter(context.out, options.format ?? "text", {
      sectorSize: volume.sectorSize,
      checksumSize: volume.checksum.byteLength,
    });
    const { trees, faults } = await printTrees(volume, wanted, printer, context.signal);
    await printer.end();
    if (trees === 0 && faults === 0) {
      throw new BtrfsError("missing", `Cannot find tree ${tree}: it has no root item`);
    }
    return faults > 0 ? EXIT.damaged : EXIT.done;
  },
});

function parseTree(text: string): bigint {
  if (/^-?\d{1,20}$/.test(text)) return BigInt.asUintN(64, BigInt(text));
  const id = treeIdByName(text);
  if (id === undefined) throw new UsageError(`no tree is named '${text}', expected a number or a name`);
  return id;
}

async function printTrees(volume: Volume, wanted: bigint | undefined, printer: TreePrinter, signal: AbortSignal) {
  let trees = 0;
  let faults = 0;
  for await (const listed of listTrees(volume)) {
    if ("fault" in listed) {
      await printer.fault(undefined, listed.fault);
      faults++;
      continue;
    }
    if (wanted !== undefined && listed.id !== wanted) continue;
    trees++;
    await printer.tree(listed);
    try {
      for await (const found of treeBlocks(await NodeTree.open(volume, listed), { first: listed.first, signal })) {
        if ("fault" in found) {
          await printer.fault(listed, found.fault);
          faults++;
        } else {
          faults += await printer.block(listed, found.node);
        }
      }
    } catch (error) {
      if (!(error instanceof BtrfsError)) throw error;
      await printer.fault(listed, error);
      faults++;
    }
  }
  return { trees, faults };
}
