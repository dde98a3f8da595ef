import { openDirectoryHost } from "../linux/directory-host.ts";
import { cleanDirectory } from "../node/directory-cleanup.ts";
import type { NotHeld } from "../node/directory-records.ts";
import { DirectoryTarget } from "../node/directory-target.ts";
import type { FileSource } from "../node/file-source.ts";
import { receive } from "../receive/receive.ts";
import type { Context } from "./command.ts";
import { type ReceiveFlags, type ReceiveWords, receiveInto } from "./receive-live.ts";

export interface DirectoryFlags {
  readonly strict: boolean;
  readonly inPlace: boolean;
  readonly preserveSetid: boolean;
}

const WORDS: ReceiveWords = {
  unfinished: (place) => [
    `WARNING: ${place} is unfinished, as its sidecar says`,
    "WARNING: btrkit receive --cleanup DEST deletes what is unfinished, unless it was received in place",
  ],
  received: undefined,
};

/** Receives into a plain directory of any filesystem. @returns The exit status. */
export async function receiveDirectory(
  context: Context,
  source: FileSource,
  destination: string,
  flags: ReceiveFlags,
  options: DirectoryFlags,
): Promise<number> {
  const input = (await source.readAhead()) ?? source;
  const { host, close } = openDirectoryHost(destination);
  try {
    const target = await DirectoryTarget.open(host, { path: destination, signal: context.signal, ...options });
    try {
      const status = await receiveInto(context, source, flags, (wishes) => receive(input, target, wishes), WORDS);
      const notHeld = notHeldText(target.notHeld);
      if (notHeld !== undefined && !flags.quiet) {
        context.say(`not held by ${destination}, but kept in its .btrkit: ${notHeld}`);
      }
      if (target.withoutData > 0) {
        context.say(`WARNING: the stream has no data: ${target.withoutData} extents are holes, or as they were`);
      }
      return status;
    } finally {
      target.close();
    }
  } finally {
    close();
  }
}

const NOT_HELD = [
  ["owners", "owners"],
  ["modes", "modes"],
  ["nodes", "devices, fifos and sockets"],
  ["times", "times"],
  ["xattrs", "extended attributes"],
  ["verity", "fs-verity seals"],
] as const satisfies readonly (readonly [keyof NotHeld, string])[];

/** `3 owners, 1 modes`; `undefined` where all is held. */
function notHeldText(counts: NotHeld): string | undefined {
  const parts = NOT_HELD.filter(([field]) => counts[field] > 0).map(([field, words]) => `${counts[field]} ${words}`);
  return parts.length === 0 ? undefined : parts.join(", ");
}

/** Deletes what interrupted receives have left in a plain directory. @returns The exit status. */
export async function cleanUpDirectory({ out, say }: Context, destination: string): Promise<number> {
  const { host, close } = openDirectoryHost(destination);
  let status = 0;
  try {
    for (const { name, state } of cleanDirectory(host, { remove: true })) {
      if (state === "removed") await out.line(`deleted ${destination}/${name}, an unfinished receive`);
      else {
        say(
          `ERROR: ${destination}/${name} is an unfinished receive in place: what is left of the snapshot before is in it, delete it by hand`,
        );
        status = 1;
      }
    }
  } finally {
    close();
  }
  return status;
}
