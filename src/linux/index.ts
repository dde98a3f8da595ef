export * from "./attributes.ts";
export { AT_FDCWD, type Name, pathOf } from "./call.ts";
export * from "./entries.ts";
export * from "./file.ts";
export { loadNative, type Native, type SyscallArgument } from "./native.ts";
export type { SyscallName } from "./numbers.ts";
export * from "./open.ts";
export * from "./xattr.ts";
