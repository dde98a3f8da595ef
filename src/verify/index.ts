export { type CheckEncoded, checkEncoded, type EncodedBatch } from "./encoded.ts";
export type {
  AlgorithmReport,
  LostRange,
  SegmentReport,
  StreamFault,
  SubvolumeReport,
  VerifyReport,
} from "./report.ts";
export { StreamVerifier, type VerifyOptions, verifyStreams } from "./verify.ts";
