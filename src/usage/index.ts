export { USAGE_TYPES, type Usage, type UsageBytes, type UsageType } from "./tally.ts";
export { UsageCounter, type UsageOptions, type UsageRow } from "./usage.ts";
