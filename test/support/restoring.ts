import type { ByteSource } from "../../src/device/source.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import type { RestoreProblem, RestoreSummary } from "../../src/restore/report.ts";
import { restore } from "../../src/restore/restore.ts";
import { Restorer } from "../../src/restore/restorer.ts";
import type { RestoreTarget } from "../../src/restore/target.ts";

export interface Restoring {
  readonly summary: RestoreSummary;
  readonly problems: readonly RestoreProblem[];
}

/** Restores all of an image into a target, on this thread. */
export async function restoreAll(sources: readonly ByteSource[], target: RestoreTarget): Promise<Restoring> {
  const filesystem = await openFilesystem(sources, { degraded: true });
  const options = { overwrite: false, dryRun: false, largeBytes: 100_000, token: "t", stop: { throwIfAborted() {} } };
  const restorer = await Restorer.make(filesystem, target, options);
  let last: Promise<unknown> = Promise.resolve();
  const runner = {
    width: 2,
    filesBelow: options.largeBytes,
    run: (job: Parameters<Restorer["run"]>[0]) => {
      const result = last.then(() => restorer.run(job));
      last = result.catch(() => {});
      return result;
    },
  };
  const problems: RestoreProblem[] = [];
  const top = await filesystem.top();
  const summary = await restore([{ inode: top, name: undefined, isNew: true }], target, runner, {
    onProblem: (problem) => problems.push(problem),
  });
  return { summary, problems };
}
