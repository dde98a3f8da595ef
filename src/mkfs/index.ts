export type { SingleDeviceProfile } from "./layout.ts";
export { type MakeOptions, makeFilesystem } from "./mkfs.ts";
