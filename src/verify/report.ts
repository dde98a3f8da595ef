import type { ErrorCode } from "../errors.ts";
import type { CommandName } from "../stream/commands.ts";

/** A part of a file that a fault took, or may have taken. */
export interface LostRange {
  /** Bytes of the path, as the stream names the file at this point. */
  readonly path: Uint8Array;
  /** First lost byte of the file; absent when it is not known. */
  readonly from?: bigint;
  /** Behind the last lost byte; absent when it is not known, so that all up to the end may be lost. */
  readonly to?: bigint;
}

/** Something wrong with a stream, and where. Verifying goes on behind it. */
export interface StreamFault {
  /** Which of the given streams, from 0. */
  readonly stream: number;
  readonly code: ErrorCode;
  /** A sentence without the place. */
  readonly message: string;
  /** Byte offset in the stream. */
  readonly streamOffset: number;
  /** Bytes of the stream that could not be used; 0 when only what the command says is wrong. */
  readonly skippedBytes: number;
  readonly commandIndex?: number;
  /** As `ENCODED_WRITE`. */
  readonly command?: string;
  readonly attribute?: string;
  readonly path?: Uint8Array;
  /** Empty when nothing of a file is lost. */
  readonly lost: readonly LostRange[];
  /** Whether files may be lost besides that are named nowhere else: any number of commands may have stood where the fault is. */
  readonly lostUnnamed: boolean;
}

/** One subvolume of a stream. */
export interface SubvolumeReport {
  readonly stream: number;
  readonly streamOffset: number;
  readonly path: Uint8Array;
  readonly uuid: Uint8Array;
  readonly ctransid: bigint;
  /** Of an increment: the subvolume that it starts from. */
  readonly parent?: { readonly uuid: Uint8Array; readonly ctransid: bigint };
  /** Uuids, as text, of the subvolumes that it needs and that were not among those given before it. */
  readonly needs: readonly string[];
}

/** Encoded writes of one algorithm. */
export interface AlgorithmReport {
  count: number;
  /** Bytes as they are stored, padding included. */
  stored: number;
  /** Bytes that they say they decode to. */
  decoded: number;
  /** Bytes of files that they cover. */
  covered: number;
}

export interface SegmentReport {
  readonly stream: number;
  readonly streamOffset: number;
  readonly version: number;
  /** Whether END closed it. */
  readonly end: boolean;
}

/** What there is in the streams, and whether it is good. */
export interface VerifyReport {
  readonly sound: boolean;
  readonly bytes: number;
  readonly commands: number;
  readonly byCommand: Partial<Record<CommandName | "unknown", number>>;
  /** By `zlib`, `zstd`, `lzo` with the sector size, as `lzo 4096`. */
  readonly byAlgorithm: Record<string, AlgorithmReport>;
  readonly segments: readonly SegmentReport[];
  readonly subvolumes: readonly SubvolumeReport[];
  readonly faults: readonly StreamFault[];
  /** Faults that were found but are not in the list, because it is full. */
  readonly faultsOmitted: number;
  /** Bytes of the streams that could not be used. */
  readonly skippedBytes: number;
}
