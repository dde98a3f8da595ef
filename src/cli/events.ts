import { describeWhere } from "../errors.ts";
import type { VolumeEvent } from "../volume/events.ts";

/** Says the events of a volume, as lines on standard error: each place once, however often it is read. */
export class EventTeller {
  readonly #say: (line: string) => void;
  readonly #told = new Set<string>();

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  tell(event: VolumeEvent): void {
    const line = eventLine(event);
    if (this.#told.has(line)) return;
    if (this.#told.size < MAX_TOLD) this.#told.add(line);
    this.#say(line);
  }
}

/** Bounds memory on a device that gives nothing but noise; later lines may repeat. */
const MAX_TOLD = 10_000;

function eventLine(event: VolumeEvent): string {
  const place = describeWhere(event.where);
  const at = place === "" ? "" : ` (${place})`;
  switch (event.kind) {
    case "warning":
      return `btrkit: warning: ${event.message}${at}`;
    case "bad-copy":
      return `btrkit: warning: a copy of ${event.content} is bad: ${event.error.message}`;
    case "recovered": {
      const how = event.rebuilt ? "rebuilt from parity" : "taken from another copy";
      return `btrkit: warning: ${event.lengthBytes} bytes of ${event.content} were ${how}${at}`;
    }
    case "unreadable":
      return `btrkit: warning: ${event.content} is lost: ${event.error.message}`;
  }
}
