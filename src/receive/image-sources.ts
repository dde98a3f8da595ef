import { equalBytes, viewOf } from "../bytes/bytes.ts";
import { isZeroUuid } from "../bytes/uuid.ts";
import { UUID_RECEIVED_SUBVOL, UUID_SUBVOL } from "../format/key-type.ts";
import { UUID_TREE_OBJECTID } from "../format/objectid.ts";
import { decodeSubvolumeIds, uuidKey } from "../format/uuid-tree.ts";
import type { Transaction } from "../transaction/transaction.ts";

/** The subvolume that is a copy of the one with this uuid, or that one itself. */
export async function findReceived(tx: Transaction, uuid: Uint8Array): Promise<bigint | undefined> {
  if (isZeroUuid(uuid)) return undefined;
  return (await findByUuid(tx, UUID_RECEIVED_SUBVOL, uuid)) ?? (await findByUuid(tx, UUID_SUBVOL, uuid));
}

/** The first that really bears it: the tree is kept by the kernel, and a little behind after a crash. */
async function findByUuid(
  tx: Transaction,
  type: typeof UUID_RECEIVED_SUBVOL | typeof UUID_SUBVOL,
  uuid: Uint8Array,
): Promise<bigint | undefined> {
  if ((await tx.rootItem(UUID_TREE_OBJECTID)) === undefined) return undefined;
  const data = await tx.get(UUID_TREE_OBJECTID, uuidKey(uuid, type));
  if (data === undefined) return undefined;
  for (const id of decodeSubvolumeIds(viewOf(data.slice()))) {
    const item = (await tx.rootItem(id))?.item;
    if (item === undefined || item.refs === 0) continue;
    if (equalBytes(type === UUID_SUBVOL ? item.uuid : item.receivedUuid, uuid)) return id;
  }
  return undefined;
}
