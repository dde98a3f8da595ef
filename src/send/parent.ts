import { equalBytes } from "../bytes/bytes.ts";

/** What choosing a parent needs to know of a subvolume. `SubvolumeInfo` has it. */
export interface Relative {
  readonly id: bigint;
  readonly uuid: Uint8Array | undefined;
  readonly parentUuid: Uint8Array | undefined;
  readonly ctransid: bigint;
}

/**
 * The clone source to send a snapshot against, where none was named, as `btrfs send` chooses: what it is a snapshot of,
 * else of those that are snapshots of the same subvolume the one nearest to that in ctransid, the first of equals.
 *
 * @param all Every subvolume of the filesystem.
 * @param cloneSources Ids, in the order in which they were named.
 */
export function findParent(
  all: readonly Relative[],
  snapshot: bigint,
  cloneSources: readonly bigint[],
): bigint | undefined {
  const byId = (id: bigint): Relative | undefined => all.find((one) => one.id === id);
  const originOf = (one: Relative | undefined): Relative | undefined => {
    const uuid = one?.parentUuid;
    return uuid && all.find((other) => other.uuid !== undefined && equalBytes(other.uuid, uuid));
  };
  const origin = originOf(byId(snapshot));
  if (origin === undefined) return undefined;
  if (cloneSources.includes(origin.id)) return origin.id;
  let best: { readonly id: bigint; readonly distance: bigint } | undefined;
  for (const id of cloneSources) {
    const sibling = byId(id);
    if (sibling === undefined || originOf(sibling)?.id !== origin.id) continue;
    const difference = sibling.ctransid - origin.ctransid;
    const distance = difference < 0n ? -difference : difference;
    if (best === undefined || distance < best.distance) best = { id, distance };
  }
  return best?.id;
}
