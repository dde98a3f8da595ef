import { displayName } from "../bytes/display.ts";
import { treeName } from "../format/objectid.ts";
import { type Finding, isClean, type Owner, type ScrubReport } from "../scrub/report.ts";
import { jsonNumber } from "./described.ts";
import { pathJson } from "./inode-text.ts";
import { formatBytes } from "./sizes.ts";

/** One line for people. */
export function findingLine({ state, kind, lengthBytes, error, owners, logical }: Finding): string {
  const size = lengthBytes === 0 ? "" : `${lengthBytes} bytes of `;
  const users = owners.length === 0 ? "" : `; belongs to ${owners.map((owner) => ownerWords(owner)).join(", ")}`;
  const place = error.where.logical === undefined && logical !== undefined ? ` (logical ${logical})` : "";
  return `${state}: ${size}${KIND_WORDS[kind]}: ${error.message}${place}${users}`;
}

const KIND_WORDS: Readonly<Record<Finding["kind"], string>> = {
  superblock: "a superblock",
  metadata: "a tree block",
  data: "data",
  parity: "parity",
  tree: "the extent tree, what it lists there is not verified",
};

function ownerWords({ root, inode, path }: Owner): string {
  if (path !== undefined) return `/${displayName(path)}`;
  return inode === undefined ? `tree ${treeName(root)}` : `inode ${inode} of subvolume ${root}`;
}

export function findingJson(finding: Finding): Record<string, unknown> {
  return {
    state: finding.state,
    kind: finding.kind,
    device: finding.device ?? null,
    file: finding.file ?? null,
    physical: finding.physical ?? null,
    logical: finding.logical ?? null,
    length: finding.lengthBytes,
    error: finding.error.sentence,
    owners: finding.owners.map(({ root, inode, fileOffset, path }) => ({
      root: jsonNumber(root),
      inode: inode === undefined ? null : jsonNumber(inode),
      file_offset: fileOffset === undefined ? null : jsonNumber(fileOffset),
      ...(path === undefined ? {} : pathJson(path)),
    })),
  };
}

/** Bytes are counted on every copy. */
export function reportJson(report: ScrubReport): Record<string, unknown> {
  return {
    superblocks: report.superblocks,
    metadata_bytes: report.metadataBytes,
    data_bytes: report.dataBytes,
    parity_bytes: report.parityBytes,
    no_checksum_bytes: report.noChecksumBytes,
    missing_bytes: report.missingBytes,
    repaired: report.repaired,
    repairable: report.repairable,
    unrepairable: report.unrepairable,
    clean: isClean(report),
  };
}

export function reportLines(report: ScrubReport, raw: boolean): string[] {
  const size = raw ? String : formatBytes;
  const { metadataBytes, dataBytes, parityBytes, noChecksumBytes, missingBytes } = report;
  const verified = [
    `${report.superblocks} superblocks`,
    `${size(metadataBytes)} of metadata`,
    `${size(dataBytes)} of data`,
  ];
  if (parityBytes > 0) verified.push(`${size(parityBytes)} of parity`);
  const lines = [`verified on every copy: ${verified.join(", ")}`];
  if (noChecksumBytes > 0) lines.push(`not verified: ${size(noChecksumBytes)} of data without checksums`);
  if (missingBytes > 0) lines.push(`not verified: ${size(missingBytes)} on missing devices`);
  return [...lines, verdict(report)];
}

function verdict({ repaired, repairable, unrepairable }: ScrubReport): string {
  const counts = [
    repaired > 0 ? `${repaired} repaired` : "",
    repairable > 0 ? `${repairable} can be repaired (--repair)` : "",
    unrepairable > 0 ? `${unrepairable} can't be repaired` : "",
  ].filter((text) => text !== "");
  return counts.length === 0 ? "no damage" : `damaged places: ${counts.join(", ")}`;
}
