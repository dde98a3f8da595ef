export { formatUuid, parseUuid } from "./bytes/uuid.ts";
export * from "./errors.ts";
export * from "./verify/index.ts";
