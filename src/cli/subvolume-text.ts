import { displayName } from "../bytes/display.ts";
import { formatUuid } from "../bytes/uuid.ts";
import type { ListedSubvolume } from "../fs/subvolume-list.ts";
import { jsonNumber } from "./described.ts";
import { pathJson } from "./inode-text.ts";
import { formatTime, timeParts } from "./times.ts";

/** What `subvolume list` shows beside the usual. */
export interface ListFields {
  readonly parent: boolean;
  readonly created: boolean;
  readonly uuid: boolean;
  readonly parentUuid: boolean;
  readonly receivedUuid: boolean;
  readonly time: boolean;
}

const UUID_WIDTH = 36;

/** What a line says of where a subvolume is. */
export type PathText = (subvolume: ListedSubvolume) => string;

/**
 * The paths of `btrfs subvolume list`: with `-o` and `-a` from the top of the filesystem, else from the subvolume `top`
 * where it is below that.
 */
export function linePaths(
  all: readonly ListedSubvolume[],
  top: bigint,
  options: { readonly below: boolean; readonly all: boolean },
): PathText {
  const byId = new Map(all.map((subvolume) => [subvolume.id, subvolume]));
  return (subvolume) => {
    const { path, place } = subvolume;
    if (options.all) return `${place?.parent === top ? "" : "<FS_TREE>/"}${pathText(subvolume)}`;
    if (options.below || path === undefined) return pathText(subvolume);
    let above = place?.parent;
    // No chain is longer than the list: that ends a ring.
    for (let step = 0; step < all.length && above !== undefined && above !== top; step++) {
      above = byId.get(above)?.place?.parent;
    }
    const start = above === top ? byId.get(top)?.path : undefined;
    return start === undefined || start.byteLength === 0
      ? pathText(subvolume)
      : displayName(path.subarray(start.byteLength + 1));
  };
}

/** A line of `btrfs subvolume list`. */
export function listLine(subvolume: ListedSubvolume, fields: ListFields, path: PathText = pathText): string {
  const parent = subvolume.place?.parent ?? 0n;
  const uuid = (bytes: Uint8Array | undefined) => (bytes === undefined ? "-" : formatUuid(bytes)).padEnd(UUID_WIDTH);
  return [
    `ID ${subvolume.id} gen ${subvolume.generation}`,
    fields.created ? `cgen ${subvolume.otransid}` : "",
    fields.parent ? `parent ${parent}` : "",
    `top level ${parent}`,
    fields.time ? `otime ${shortTime(subvolume.otime).slice(0, -6)}` : "",
    fields.parentUuid ? `parent_uuid ${uuid(subvolume.parentUuid)}` : "",
    fields.receivedUuid ? `received_uuid ${uuid(subvolume.receivedUuid)}` : "",
    fields.uuid ? `uuid ${uuid(subvolume.uuid)}` : "",
    `path ${path(subvolume)}`,
  ]
    .filter((part) => part !== "")
    .join(" ");
}

/**
 * What `btrfs subvolume show` prints, in the same places. The time of sending is that of the item; btrfs-progs
 * shows the time of creation there.
 */
export function showLines(subvolume: ListedSubvolume, snapshots: readonly ListedSubvolume[]): string[] {
  const { id, place, readOnly } = subvolume;
  const isTop = place === undefined && subvolume.path?.byteLength === 0;
  const uuid = (bytes: Uint8Array | undefined) => (bytes === undefined ? "-" : formatUuid(bytes));
  const time = (value: bigint) => (value === 0n ? "-" : shortTime(value));
  const parent = place?.parent ?? 0n;
  const rows: readonly (readonly [string, string])[] = [
    ["Name", isTop ? "<FS_TREE>" : place === undefined ? "-" : displayName(place.name)],
    ["UUID", uuid(subvolume.uuid)],
    ["Parent UUID", uuid(subvolume.parentUuid)],
    ["Received UUID", uuid(subvolume.receivedUuid)],
    ["Creation time", time(subvolume.otime)],
    ["Subvolume ID", `${id}`],
    ["Generation", `${subvolume.generation}`],
    ["Gen at creation", `${subvolume.otransid}`],
    ["Parent ID", `${parent}`],
    ["Top level ID", `${parent}`],
    ["Flags", readOnly ? "readonly" : "-"],
    ["Send transid", `${subvolume.stransid}`],
    ["Send time", time(subvolume.stime)],
    ["Receive transid", `${subvolume.rtransid}`],
    ["Receive time", time(subvolume.rtime)],
  ];
  return [
    isTop ? "/" : pathText(subvolume),
    ...rows.map(([name, value]) => `\t${name}: ${tabsAfter(name)}${value}`),
    "\tSnapshot(s):",
    ...snapshots.map((snapshot) => `\t\t\t\t${pathText(snapshot)}`),
  ];
}

/** Values stand in column 32. */
function tabsAfter(name: string): string {
  return "\t".repeat(4 - Math.floor((8 + name.length + 2) / 8));
}

export function subvolumeJson(subvolume: ListedSubvolume): Record<string, unknown> {
  const uuid = (bytes: Uint8Array | undefined) => (bytes === undefined ? null : formatUuid(bytes));
  const time = (value: bigint) => {
    const { sec, nsec } = timeParts(value);
    return value === 0n ? null : { sec: jsonNumber(sec), nsec };
  };
  const { id, place, path, generation, ctransid, otransid, stransid, rtransid } = subvolume;
  return {
    id: jsonNumber(id),
    ...(path === undefined ? { path: null } : pathJson(path)),
    parent_id: place === undefined ? null : jsonNumber(place.parent),
    read_only: subvolume.readOnly,
    uuid: uuid(subvolume.uuid),
    parent_uuid: uuid(subvolume.parentUuid),
    received_uuid: uuid(subvolume.receivedUuid),
    generation: jsonNumber(generation),
    ctransid: jsonNumber(ctransid),
    otransid: jsonNumber(otransid),
    stransid: jsonNumber(stransid),
    rtransid: jsonNumber(rtransid),
    ctime: time(subvolume.ctime),
    otime: time(subvolume.otime),
    stime: time(subvolume.stime),
    rtime: time(subvolume.rtime),
  };
}

/** From the top of the filesystem, without a slash before it, as `btrfs` has it. */
function pathText({ path }: ListedSubvolume): string {
  return path === undefined ? "<unreachable>" : displayName(path);
}

/** `2024-05-01 12:00:00 +0200`. */
function shortTime(time: bigint): string {
  return formatTime(time).replace(/\.\d{9}/, "");
}
