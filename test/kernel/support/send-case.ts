import { readFileSync } from "node:fs";
import { join } from "node:path";
import { concatBytes } from "../../../src/bytes/bytes.ts";
import { openFileDevice } from "../../../src/node/file-device.ts";
import { ImageSource, type SendOptions, send } from "../../../src/send/index.ts";
import { readStream } from "../../../src/stream/index.ts";
import { openVolume } from "../../../src/volume/open.ts";
import type { Volume } from "../../../src/volume/volume.ts";
import { applyHistory } from "./apply.ts";
import { type FilesystemOptions, TestFilesystem } from "./filesystem.ts";
import { snapshotNames } from "./history.ts";
import type { Operation } from "./operations.ts";
import { type SendOptions as PeerOptions, peerSend } from "./peer.ts";
import { run } from "./run.ts";

/** One send: of the snapshot `from` names, by name. */
export interface Sending extends Omit<PeerOptions, "omitEnd"> {
  readonly snapshot: string;
}

export interface Difference {
  readonly sending: Sending;
  /** What is different, in words. */
  readonly what: string;
}

/** Every snapshot in full and against every other one, in all three forms. */
export function allSendings(snapshots: readonly string[]): Sending[] {
  const forms = [{ protocol: 1 }, { protocol: 2 }, { compressed: true }] as const;
  const sendings: Sending[] = [];
  for (const snapshot of snapshots) {
    for (const form of forms) {
      sendings.push({ snapshot, ...form });
      for (const parent of snapshots) if (parent !== snapshot) sendings.push({ snapshot, parent, ...form });
    }
  }
  const [first, second, third] = snapshots;
  if (third !== undefined) {
    sendings.push({ snapshot: third, parent: first!, clones: [second!], compressed: true });
    sendings.push({ snapshot: third, parent: second!, noData: true, protocol: 1 });
    sendings.push({ snapshot: third, parent: second!, noData: true, protocol: 2 });
  }
  return sendings;
}

/**
 * Carries out a history, and compares the kernel's streams with ours of the same image. Where the kernel's send fails,
 * ours has to fail too.
 */
export async function sendDifferences(
  operations: readonly Operation[],
  options: {
    readonly filesystem?: FilesystemOptions;
    readonly lenient?: boolean;
    readonly sendings?: readonly Sending[];
    readonly afterwards?: (filesystem: TestFilesystem) => Promise<void>;
    /** Told where the kernel's streams are, in the order of the sendings, while the filesystem is mounted. */
    readonly onStreams?: (filesystem: TestFilesystem, streams: readonly string[]) => Promise<void>;
  } = {},
): Promise<{ readonly same: number; readonly differences: Difference[] }> {
  await using filesystem = await TestFilesystem.make(options.filesystem);
  await applyHistory(filesystem.directory, operations, { lenient: options.lenient ?? false });
  await filesystem.sync();
  await options.afterwards?.(filesystem);
  const sendings = options.sendings ?? allSendings(snapshotNames(operations));
  const at = (name: string): string => join(filesystem.directory, name);
  const ids = new Map<string, bigint>();
  const expected: (Uint8Array | undefined)[] = [];
  const streams: string[] = [];
  for (const { snapshot, parent, clones = [], ...rest } of sendings) {
    for (const name of [snapshot, parent, ...clones]) {
      if (name !== undefined && !ids.has(name)) ids.set(name, await rootId(at(name)));
    }
    const places = { ...(parent === undefined ? {} : { parent: at(parent) }), clones: clones.map(at) };
    const stream = join(filesystem.work, `stream-${expected.length}`);
    streams.push(stream);
    try {
      await peerSend([at(snapshot)], stream, { ...rest, ...places });
      expected.push(readFileSync(stream));
    } catch {
      // Against a newer parent, the kernel's own send fails now and then in the middle of the stream.
      expected.push(undefined);
    }
  }
  await options.onStreams?.(filesystem, streams);
  await filesystem.unmount();
  const devices = await Promise.all(filesystem.images.map((image) => openFileDevice(image)));
  await using volume = await openVolume(devices);
  const differences: Difference[] = [];
  for (const [index, sending] of sendings.entries()) {
    const what = await compare(volume, ids, sending, expected[index]);
    if (what !== undefined) differences.push({ sending, what });
  }
  return { same: sendings.length - differences.length, differences };
}

async function rootId(path: string): Promise<bigint> {
  return BigInt((await run("btrfs", ["inspect-internal", "rootid", path])).stdout.toString().trim());
}

async function compare(
  volume: Volume,
  ids: ReadonlyMap<string, bigint>,
  { snapshot, parent, clones = [], protocol = 2, compressed, noData }: Sending,
  expected: Uint8Array | undefined,
): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  const options: SendOptions = {
    snapshot: ids.get(snapshot)!,
    parent: parent === undefined ? undefined : ids.get(parent)!,
    cloneSources: clones.map((name) => ids.get(name)!),
    protocol,
    compressedData: compressed,
    kernelProfile: "6.18",
    noData,
  };
  try {
    await send(new ImageSource(volume), options, { write: (chunk) => void chunks.push(chunk.slice()) });
  } catch (error) {
    if (expected === undefined) return undefined;
    return `ours failed: ${error instanceof Error ? error.stack : error}`;
  }
  if (expected === undefined) return "the kernel's send failed, ours did not";
  const ours = concatBytes(chunks);
  if (Buffer.compare(ours, expected) === 0) return undefined;
  return firstDifference(await linesOf(ours), await linesOf(expected));
}

function firstDifference(ours: readonly string[], kernel: readonly string[]): string {
  const index = kernel.findIndex((line, at) => line !== ours[at]);
  const at = index < 0 ? kernel.length : index;
  const before = kernel.slice(Math.max(0, at - 6), at).map((line) => `  ${line}`);
  const theirs = kernel.slice(at, at + 4).map((line) => `- ${line}`);
  const own = ours.slice(at, at + 4).map((line) => `+ ${line}`);
  return [`command ${at} of ${kernel.length} (ours ${ours.length}):`, ...before, ...theirs, ...own].join("\n");
}

async function linesOf(stream: Uint8Array): Promise<string[]> {
  const lines: string[] = [];
  for await (const item of readStream(stream)) {
    const { name, ...fields } = item as unknown as Record<string, unknown>;
    lines.push(
      `${name} ${Object.entries(fields)
        .map(([key, value]) => `${key}=${shown(key, value)}`)
        .join(" ")}`,
    );
  }
  return lines;
}

function shown(key: string, value: unknown): string {
  if (key === "data")
    return `<${(value as Uint8Array).byteLength}: ${Buffer.from(value as Uint8Array).toString("hex", 0, 8)}>`;
  if (value instanceof Uint8Array)
    return key.endsWith("uuid") || key.endsWith("Uuid")
      ? Buffer.from(value).toString("hex", 0, 4)
      : JSON.stringify(Buffer.from(value).toString("latin1"));
  if (typeof value === "object" && value !== null) return Object.values(value).join(".");
  return String(value);
}
