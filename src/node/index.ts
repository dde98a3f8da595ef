export { FdSink } from "./fd-sink.ts";
export { type FileDeviceOptions, openFileDevice } from "./file-device.ts";
export { FileSource } from "./file-source.ts";
export { localZone } from "./time-zone.ts";
export { encodedThreads, WorkerPool } from "./worker-pool.ts";
