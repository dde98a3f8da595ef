// Issue 3: reading unmounted images. Rows join as their commands do.

/** @type {import("../benchmark.mjs").Benchmark[]} */
export const imageBenchmarks = [];
