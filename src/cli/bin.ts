#!/usr/bin/env node
import { main } from "./main.ts";

const controller = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // Once: a second signal ends the process at once.
  process.once(signal, () => controller.abort(signal));
}

// Not awaited: the file that this is bundled to has no `await` of its own.
main(process.argv.slice(2), controller.signal).then((status) => {
  if (!controller.signal.aborted) {
    process.exitCode = status;
    return;
  }
  // Ends by the signal itself, so that a shell sees 130 or 143, and a read that never returns holds nothing up.
  const signal = controller.signal.reason as NodeJS.Signals;
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
