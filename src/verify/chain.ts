import { formatUuid } from "../bytes/uuid.ts";
import type { SubvolumeReport } from "./report.ts";

/** A subvolume of the chain while its commands are read. */
export interface ChainLink {
  readonly report: SubvolumeReport;
  /** Uuids of the subvolumes that it clones from or starts from, as text. */
  readonly sources: Set<string>;
  /** Bytes: the source that was noted last, as clones come in runs. */
  readonly lastSource: Uint8Array;
}

/** A link that nothing before it holds, or that came before already. */
export interface ChainFault {
  readonly code: "missing" | "exists";
  readonly report: SubvolumeReport;
  readonly message: string;
}

/** More distinct clone sources than a kernel takes for one send. */
const MAX_SOURCES = 200_000;

/** Which subvolumes the streams hold, and which ones each of them needs. */
export class Chain {
  readonly #links: ChainLink[] = [];

  begin(report: SubvolumeReport): void {
    const sources = new Set<string>();
    if (report.parent !== undefined) sources.add(formatUuid(report.parent.uuid));
    this.#links.push({ report, sources, lastSource: report.uuid.slice() });
  }

  /** The subvolume that is being read clones from `uuid` at `at`. */
  source(bytes: Uint8Array, at: number): void {
    const link = this.#links.at(-1);
    if (link === undefined) return;
    let same = true;
    for (let byte = 0; byte < 16; byte++) same &&= bytes[at + byte] === link.lastSource[byte];
    if (same) return;
    link.lastSource.set(bytes.subarray(at, at + 16));
    const uuid = formatUuid(link.lastSource);
    if (link.sources.size < MAX_SOURCES && uuid !== formatUuid(link.report.uuid)) link.sources.add(uuid);
  }

  /**
   * The subvolumes with what each needs from outside, and the faults of the chain.
   *
   * What the first subvolume needs is taken to be at the receiver: it is where the chain starts.
   */
  finish(): { subvolumes: SubvolumeReport[]; faults: ChainFault[] } {
    const places = new Map<string, number>();
    this.#links.forEach(({ report }, index) => {
      const uuid = formatUuid(report.uuid);
      if (!places.has(uuid)) places.set(uuid, index);
    });
    const atReceiver = new Set([...(this.#links[0]?.sources ?? [])].filter((uuid) => !places.has(uuid)));
    const faults: ChainFault[] = [];
    const subvolumes = this.#links.map(({ report, sources }, index) => {
      const own = formatUuid(report.uuid);
      const first = places.get(own)!;
      if (first < index) {
        const message = `Cannot follow the chain: subvolume ${own} came before, in stream ${this.#links[first]!.report.stream + 1}`;
        faults.push({ code: "exists", report, message });
      }
      const missing = [...sources].filter((uuid) => !((places.get(uuid) ?? index) < index));
      for (const uuid of missing) {
        if (atReceiver.has(uuid)) continue;
        const later = places.get(uuid);
        const place =
          later === undefined
            ? "is in none of the streams"
            : `comes later, in stream ${this.#links[later]!.report.stream + 1}`;
        const what = report.parent !== undefined && formatUuid(report.parent.uuid) === uuid ? "parent" : "clone source";
        faults.push({ code: "missing", report, message: `Cannot follow the chain: ${what} ${uuid} ${place}` });
      }
      return { ...report, needs: missing };
    });
    return { subvolumes, faults };
  }
}
