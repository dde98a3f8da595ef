// Tables for people: Markdown, as closing notes and docs/benchmarks.md take it.

/**
 * One benchmark's figures. `amount` is the work done once, in `unit`.
 *
 * @typedef {object} Row
 * @property {string} name
 * @property {string} title
 * @property {number} issue
 * @property {number} amount
 * @property {"bytes" | "commands" | "files"} unit
 * @property {Record<string, import("./measure.mjs").Outcome>} outcomes by contender: `ours`, `peer`, `limit`
 * @property {string} peer what stands in the peer's place
 * @property {import("./benchmark.mjs").Bar} bar
 * @property {string[]} notes
 */

/**
 * @param {readonly string[]} heads
 * @param {readonly (readonly string[])[]} rows
 */
export function markdown(heads, rows) {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (/** @type {readonly string[]} */ cells) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  return [line(heads), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

const HEADS = ["benchmark", "ours", "peer", "ratio", "bar", "limit", "CPU s: ours / peer", "peak MiB: ours / peer"];

/** @param {readonly Row[]} rows */
export function table(rows) {
  const cells = rows.map((row) => {
    const { ours, peer, limit } = row.outcomes;
    return [
      row.name,
      speed(row, ours),
      speed(row, peer),
      ratioCell(row),
      barCell(row),
      speed(row, limit),
      `${cpu(ours)} / ${cpu(peer)}${cpuRatio(ours, peer)}`,
      `${peak(ours)} / ${peak(peer)}`,
    ];
  });
  const notes = rows.flatMap((row) => [
    `- \`${row.name}\` (issue ${row.issue}): ${row.title}; ${amount(row)}; peer: ${row.peer}.`,
    ...[...row.notes, ...absences(row)].map((note) => `  - ${note}`),
  ]);
  return `${markdown(HEADS, cells)}\n\n${notes.join("\n")}\n`;
}

/**
 * How many times as fast as the peer, in elapsed time.
 *
 * @param {Row} row
 */
export function ratioOf({ outcomes: { ours, peer } }) {
  return ours !== undefined && peer !== undefined && "cost" in ours && "cost" in peer
    ? peer.cost.elapsed / ours.cost.elapsed
    : undefined;
}

/** @param {Row} row */
function ratioCell(row) {
  const ratio = ratioOf(row);
  return ratio === undefined ? "–" : `${ratio.toFixed(2)}×`;
}

/**
 * Whether the bar is met, from this run's figures alone; `undefined` where a figure or a bar is missing.
 *
 * @param {Row} row
 */
export function verdict(row) {
  const ratio = ratioOf(row);
  const ours = row.outcomes.ours;
  const { atLeast, peakMiB } = row.bar;
  return {
    speed: atLeast === undefined || ratio === undefined ? undefined : ratio >= atLeast,
    memory: peakMiB === undefined || ours === undefined || "absent" in ours ? undefined : mebibytes(ours) < peakMiB,
  };
}

/** @param {Row} row */
function barCell(row) {
  const met = verdict(row);
  const word = (/** @type {boolean | undefined} */ is) =>
    is === undefined ? "not measured" : is ? "met" : "**not met**";
  const parts = [];
  if (row.bar.atLeast !== undefined) parts.push(`≥ ${row.bar.atLeast}×: ${word(met.speed)}`);
  if (row.bar.peakMiB !== undefined) parts.push(`< ${row.bar.peakMiB} MiB: ${word(met.memory)}`);
  return parts.join(", ") || "–";
}

/**
 * @param {Row} row
 * @param {import("./measure.mjs").Outcome | undefined} outcome
 */
function speed({ amount, unit }, outcome) {
  if (outcome === undefined || "absent" in outcome) return "–";
  const rate = amount / outcome.cost.elapsed;
  return `${outcome.cost.elapsed.toFixed(2)} s, ${unit === "bytes" ? bytesPerSecond(rate) : `${count(rate)} ${unit}/s`}`;
}

/** @param {number} rate */
export function bytesPerSecond(rate) {
  return rate >= 1e9 ? `${(rate / 1e9).toFixed(2)} GB/s` : `${(rate / 1e6).toFixed(0)} MB/s`;
}

/** @param {number} rate */
function count(rate) {
  return rate >= 1e6 ? `${(rate / 1e6).toFixed(2)} M` : `${(rate / 1e3).toFixed(0)} k`;
}

/** @param {import("./measure.mjs").Outcome | undefined} outcome */
function cpu(outcome) {
  return outcome !== undefined && "cost" in outcome ? (outcome.cost.user + outcome.cost.sys).toFixed(2) : "–";
}

/**
 * On a busy machine it says more than elapsed time does.
 *
 * @param {import("./measure.mjs").Outcome | undefined} ours
 * @param {import("./measure.mjs").Outcome | undefined} peer
 */
function cpuRatio(ours, peer) {
  return ours !== undefined && peer !== undefined && "cost" in ours && "cost" in peer
    ? ` (${((peer.cost.user + peer.cost.sys) / (ours.cost.user + ours.cost.sys)).toFixed(2)}×)`
    : "";
}

/** @param {{ cost: import("./measure.mjs").Cost }} outcome */
function mebibytes({ cost }) {
  return cost.rss / 2 ** 20;
}

/** @param {import("./measure.mjs").Outcome | undefined} outcome */
function peak(outcome) {
  return outcome !== undefined && "cost" in outcome ? mebibytes(outcome).toFixed(0) : "–";
}

/** @param {Row} row */
function amount({ amount, unit }) {
  return unit === "bytes" ? `${(amount / 2 ** 20).toFixed(0)} MiB` : `${amount} ${unit}`;
}

/** @param {Row} row */
function absences({ outcomes }) {
  return Object.entries(outcomes).flatMap(([name, outcome]) =>
    "absent" in outcome ? [`${name} not measured: ${outcome.absent}`] : [],
  );
}
