import { readFileSync } from "node:fs";
import { run } from "./run.ts";

// btrfs-progs and the kernel behind it: the peer that btrkit is compared with.

export interface SendOptions {
  readonly protocol?: 1 | 2;
  readonly compressed?: boolean;
  readonly noData?: boolean;
  readonly omitEnd?: boolean;
  readonly parent?: string;
  readonly clones?: readonly string[];
}

/** `btrfs send` of snapshots, by path, into the file `stream`. */
export async function peerSend(snapshots: readonly string[], stream: string, options: SendOptions = {}): Promise<void> {
  const flags = ["--proto", String(options.protocol ?? 2)];
  if (options.compressed) flags.push("--compressed-data");
  if (options.noData) flags.push("--no-data");
  if (options.omitEnd) flags.push("-e");
  if (options.parent !== undefined) flags.push("-p", options.parent);
  for (const clone of options.clones ?? []) flags.push("-c", clone);
  await run("btrfs", ["-q", "send", ...flags, "-f", stream, ...snapshots]);
}

/** The same, into memory. */
export async function peerSendBytes(
  snapshots: readonly string[],
  scratch: string,
  options: SendOptions = {},
): Promise<Uint8Array> {
  await peerSend(snapshots, scratch, options);
  return readFileSync(scratch);
}

/** `btrfs receive` of a stream file into a directory. */
export async function peerReceive(stream: string, directory: string): Promise<void> {
  await run("btrfs", ["-q", "receive", "-f", stream, directory]);
}

/** What `btrfs receive --dump` prints, in the time zone `zone`. */
export async function peerDump(stream: string, zone = "UTC"): Promise<Buffer> {
  return (await run("btrfs", ["receive", "--dump", "-f", stream], { env: { TZ: zone } })).stdout;
}
