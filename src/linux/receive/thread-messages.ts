import { BtrfsError, EncodedIoError, type ErrorCode, KernelError, type Where } from "../../errors.ts";
import type { CommandPlace } from "../../receive/command-error.ts";
import type { ApplyOptions } from "./writer.ts";

/** What a thread needs to write into the same subvolume; descriptors are those of the process. Bytes are hex. */
export interface ThreadSubvolume {
  readonly root: number;
  readonly uuid: string;
  readonly mount: { readonly root: number; readonly path: string };
  readonly sectorSize: number;
  readonly options: ApplyOptions;
}

/** An error as plain data: cloning keeps only the message. */
export interface PlainFailure {
  readonly code: ErrorCode;
  readonly sentence: string;
  readonly where: Where;
  readonly kind: "kernel" | "encoded" | "other";
  readonly call: string;
  readonly errno: string;
}

/** What a thread has done for a subvolume. */
export interface ThreadShare {
  readonly carried: number;
  readonly decoded: readonly (readonly [string, number])[];
  readonly withoutData: number;
}

/** From the thread. */
export type ThreadMessage =
  /** A command of a slot failed. `i` and `at`: its place among the commands and bytes of the slot. */
  | {
      readonly slot: number;
      readonly i: number;
      readonly at: number;
      readonly place: CommandPlace;
      readonly failure: PlainFailure;
    }
  /** The subvolume is closed. */
  | ThreadShare
  /** The thread can't go on. */
  | { readonly broken: string };

export function plainFailure(error: BtrfsError): PlainFailure {
  const { code, sentence, where } = error;
  if (error instanceof KernelError)
    return { code, sentence, where, kind: "kernel", call: error.call, errno: error.errno };
  if (error instanceof EncodedIoError) return { code, sentence, where, kind: "encoded", call: "", errno: error.errno };
  return { code, sentence, where, kind: "other", call: "", errno: "" };
}

export function failureOf({ code, sentence, where, kind, call, errno }: PlainFailure): BtrfsError {
  if (kind === "kernel") return new KernelError(call, errno, sentence, { where });
  if (kind === "encoded") return new EncodedIoError(errno, sentence, { where });
  return new BtrfsError(code, sentence, { where });
}
