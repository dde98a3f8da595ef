export { checkEncoded, type EncodedBatch, type EncodedThreads } from "./encoded.ts";
export type {
  AlgorithmReport,
  LostRange,
  SegmentReport,
  StreamFault,
  SubvolumeReport,
  VerifyReport,
} from "./report.ts";
export { StreamVerifier, type VerifyOptions, verifyStreams } from "./verify.ts";
