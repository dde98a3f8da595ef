export { type DataRef, Transaction } from "./transaction.ts";
export { openWritableVolume, type WritableOptions, WritableVolume } from "./writable.ts";
