import { readFileSync } from "node:fs";

/**
 * Counts of a vitest JSON report. A file that could not be loaded has no tests to count, so it counts as one failure;
 * a report that is missing as well.
 */
export function countTests(file) {
  let report;
  try {
    report = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return { passed: 0, failed: 1, skipped: 0, problem: `no report in ${file}: the suite did not run to its end` };
  }
  const unloaded = report.testResults.filter(
    (suite) => suite.status === "failed" && suite.assertionResults.length === 0,
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded.length,
    skipped: report.numPendingTests + report.numTodoTests,
    problem: unloaded.length > 0 ? `not loaded: ${unloaded.map((suite) => suite.name).join(", ")}` : undefined,
  };
}

export function sayCounts({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
