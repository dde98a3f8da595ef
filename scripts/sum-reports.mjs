// node scripts/sum-reports.mjs REPORT.json...: one line with the counts of all suites together.
import { countTests, sayCounts } from "./report.mjs";

const counts = process.argv.slice(2).map(countTests);
for (const { problem } of counts) if (problem !== undefined) console.log(problem);
const sum = (field) => counts.reduce((total, count) => total + count[field], 0);
console.log(sayCounts({ passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") }));
process.exitCode = sum("failed") > 0 ? 1 : 0;
