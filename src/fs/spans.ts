import type { KeyRange } from "../format/key.ts";
import type { LeafSpan } from "../tree/source.ts";
import type { NodeTree } from "../tree/tree.ts";

/** Calls `visit` for the items of a range, leaf by leaf, waiting only for leaves that have to be read. */
export async function spansOf(tree: NodeTree, range: KeyRange, visit: (span: LeafSpan) => void): Promise<void> {
  const walk = tree.walk(range);
  for (;;) {
    const next = walk.next();
    const span = next instanceof Promise ? await next : next;
    if (span === undefined) return;
    visit(span);
  }
}
