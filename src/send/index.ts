export type { LeftOut } from "./damage.ts";
export { ImageSource } from "./image-source.ts";
export type { CommandCount } from "./output.ts";
export { findParent, type Relative } from "./parent.ts";
export { estimateSend, type SendOptions, type SendProgress, type SendSummary, send } from "./send.ts";
export type { BlockSource, SendSource } from "./source.ts";
export { sendBytes, sendCommands } from "./streams.ts";
