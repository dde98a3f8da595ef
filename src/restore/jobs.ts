import { BtrfsError } from "../errors.ts";
import { joinPath } from "../fs/path.ts";
import { type LargeFile, NamesBuilder, type RestoreJob, type RestoreResult } from "./batch.ts";
import { LinkTable, type PendingName } from "./links.ts";
import type { Log } from "./log.ts";
import { isFatal, type RestoreTarget, TargetError } from "./target.ts";
import { within } from "./within.ts";

/** Does jobs, several at a time: on threads, or here. */
export interface RestoreRunner {
  /** Jobs that it is worth while to have under way. */
  readonly width: number;
  run(job: RestoreJob): Promise<RestoreResult>;
}

export interface JobOptions {
  readonly signal?: AbortSignal | undefined;
  readonly overwrite: boolean;
  readonly dryRun: boolean;
}

/** Names of one job: few enough that the last ones don't keep one thread long, and enough to be worth a message. */
const JOB_NAMES = 256;

/** Gathers names, has them restored side by side, and links what has several names. */
export class Jobs {
  readonly #target: RestoreTarget;
  readonly #runner: RestoreRunner;
  readonly #log: Log;
  readonly #options: JobOptions;
  readonly #links = new LinkTable();
  readonly #token = Math.random().toString(36).slice(2, 10);
  readonly #running = new Set<Promise<void>>();
  /** Large files that have no name yet. */
  readonly #unfinished = new Set<LargeFile>();
  /** First names of inodes that have several: `linked`. */
  readonly #gathered = { plain: new Gathered(false), linked: new Gathered(true) };
  #namesJobs = 0;
  #failure: { readonly error: unknown } | undefined;
  #temporaries = 0;

  constructor(target: RestoreTarget, runner: RestoreRunner, log: Log, options: JobOptions) {
    this.#target = target;
    this.#runner = runner;
    this.#log = log;
    this.#options = options;
  }

  /** Takes a name over; its directory hears when it is done. A promise when enough is under way. */
  add(name: PendingName): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure.error;
    name.directory.retain();
    this.#gathered.plain.add(name);
    return this.#gathered.plain.names.length >= JOB_NAMES ? this.#send() : undefined;
  }

  /** Runs beside what else goes on. The first failure ends everything. */
  start(run: () => Promise<void>): void {
    const running: Promise<void> = run()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when everything is done. */
  async drain(): Promise<void> {
    for (;;) {
      await this.#send();
      if (this.#running.size > 0) await Promise.race(this.#running);
      else if (this.#isEmpty) return;
    }
  }

  /** Waits for what is under way, and leaves nothing half-written behind. */
  async abort(error: unknown): Promise<void> {
    this.#failure ??= { error };
    while (this.#running.size > 0) await Promise.race(this.#running);
    for (const { target, temporary } of this.#unfinished) {
      try {
        within(this.#target, target, (handle) => this.#target.remove(handle, temporary));
      } catch (failure) {
        if (!(failure instanceof TargetError)) throw failure;
      }
    }
  }

  get #isEmpty(): boolean {
    return this.#gathered.plain.names.length === 0 && this.#gathered.linked.names.length === 0;
  }

  /** Sends what has been gathered, as soon as there is room for it. */
  async #send(): Promise<void> {
    for (const kind of ["plain", "linked"] as const) {
      while (this.#namesJobs >= this.#runner.width) await Promise.race(this.#running);
      this.#check();
      const gathered = this.#gathered[kind];
      if (gathered.names.length === 0) continue;
      this.#gathered[kind] = new Gathered(gathered.isLinked);
      this.#namesJobs++;
      this.start(() => this.#runNames(gathered).finally(() => this.#namesJobs--));
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#options.signal?.throwIfAborted();
  }

  async #runNames({ builder, names, isLinked }: Gathered): Promise<void> {
    const result = await this.#runner.run(builder.build(isLinked));
    this.#log.take(result);
    const failed = new Set(result.failed);
    const later = new Set<number>();
    for (const { index, nlink } of result.links) {
      later.add(index);
      this.#addLink(names[index]!, nlink);
    }
    for (const { index, file, edges } of result.large) {
      later.add(index);
      this.#unfinished.add(file);
      this.start(() => this.#runLarge(file, edges, names[index]!, isLinked));
    }
    for (const [index, name] of names.entries()) {
      if (!later.has(index)) this.#settle(name, !failed.has(index), isLinked);
    }
  }

  async #runLarge(file: LargeFile, edges: readonly bigint[], name: PendingName, isLinked: boolean): Promise<void> {
    let isDamaged = false;
    const ranges = edges.slice(1).map((end, index) => ({ start: edges[index]!, end }));
    const next = ranges.values();
    const work = async (): Promise<void> => {
      for (const { start, end } of next) {
        this.#check();
        const result = await this.#runner.run({ job: "range", file, start, end });
        this.#log.take(result);
        isDamaged ||= result.counts.lostBytes > 0;
      }
    };
    const settled = await Promise.allSettled(Array.from({ length: this.#runner.width }, work));
    const failure = settled.find((one) => one.status === "rejected");
    if (failure !== undefined) throw failure.reason;
    const result = await this.#runner.run({ job: "finish", file });
    this.#unfinished.delete(file);
    if (isDamaged) result.counts.damagedFiles++;
    this.#log.take(result);
    this.#settle(name, result.failed.length === 0, isLinked);
  }

  #settle(name: PendingName, isDone: boolean, isLinked: boolean): void {
    if (isDone) this.#log.restored(name.directory.source, name.name);
    if (isLinked) for (const waiting of this.#links.settle(name, isDone)) this.#link(name, waiting, isDone);
    name.directory.release();
  }

  #addLink(name: PendingName, nlink: number): void {
    const step = this.#links.add(name, nlink);
    if (step.step === "restore") this.#gathered.linked.add(name);
    else if (step.step === "link") this.#link(step.first, name, step.isDone);
  }

  /** Gives what `first` names another name. */
  #link(first: PendingName, name: PendingName, isDone: boolean): void {
    const { directory } = name;
    const source = joinPath(directory.source, name.name);
    try {
      if (!isDone) {
        const sentence = "Cannot restore: it is another name of a file that could not be restored";
        this.#log.tell("lost", source, new BtrfsError("missing", sentence));
        return;
      }
      if (!this.#options.dryRun) this.#makeLink(first, name);
      this.#log.counts.hardLinks++;
      this.#log.restored(directory.source, name.name);
    } catch (error) {
      if (!(error instanceof TargetError) || isFatal(error)) throw error;
      this.#log.tell(error.code === "exists" ? "exists" : "failed", source, error);
    } finally {
      directory.release();
    }
  }

  #makeLink(first: PendingName, { directory, name }: PendingName): void {
    first.directory.within(this.#target, (from) =>
      directory.within(this.#target, (to) => {
        if (!this.#options.overwrite) return this.#target.link(from, first.name, to, name);
        const temporary = new TextEncoder().encode(`.btrkit-${this.#token}-link-${this.#temporaries++}`);
        this.#target.link(from, first.name, to, temporary);
        try {
          this.#target.rename(to, temporary, name, true);
        } finally {
          this.#target.remove(to, temporary);
        }
      }),
    );
  }
}

/** Names that wait to become a job. */
class Gathered {
  readonly isLinked: boolean;
  readonly builder = new NamesBuilder();
  readonly names: PendingName[] = [];

  constructor(isLinked: boolean) {
    this.isLinked = isLinked;
  }

  add(name: PendingName): void {
    this.builder.add(name.directory, name);
    this.names.push(name);
  }
}
