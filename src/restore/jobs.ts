import { BtrfsError } from "../errors.ts";
import { joinPath } from "../fs/path.ts";
import { type LargeFile, NamesBuilder, type RestoreJob, type RestoreResult } from "./batch.ts";
import type { FilesJob } from "./files-job.ts";
import { LinkTable, type PendingName } from "./links.ts";
import type { Log } from "./log.ts";
import { type FilePlanner, NO_ROOM, PLANNED, type Planned, UNUSUAL } from "./planner.ts";
import { isFatal, type RestoreTarget, TargetError } from "./target.ts";
import { within } from "./within.ts";

/** Does jobs, several at a time: on threads, or here. */
export interface RestoreRunner {
  /** Jobs that it is worth while to have under way. */
  readonly width: number;
  /** Where it knows what to do with a `FilesJob`: files from this size on are left to several threads all the same. */
  readonly filesBelow?: number | undefined;
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
  /** Where plain files need not go the long way. */
  readonly #planner: FilePlanner | undefined;
  readonly #links = new LinkTable();
  readonly #token = Math.random().toString(36).slice(2, 10);
  readonly #running = new Set<Promise<void>>();
  /** Large files that have no name yet. */
  readonly #unfinished = new Set<LargeFile>();
  /** First names of inodes that have several: `linked`. */
  readonly #gathered = { plain: new Gathered(false), linked: new Gathered(true) };
  /** What the planner has. */
  #planned: PlannedName[] = [];
  #namesJobs = 0;
  #failure: { readonly error: unknown } | undefined;
  #temporaries = 0;

  constructor(
    target: RestoreTarget,
    runner: RestoreRunner,
    log: Log,
    planner: FilePlanner | undefined,
    options: JobOptions,
  ) {
    this.#target = target;
    this.#runner = runner;
    this.#log = log;
    this.#planner = planner;
    this.#options = options;
  }

  /** Takes a name over; its directory hears when it is done. A promise when enough is under way. */
  add(name: PendingName): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure.error;
    name.directory.retain();
    return this.#plan(name, false);
  }

  #plan(name: PendingName, isLinked: boolean): Promise<void> | undefined {
    const planned = this.#planner?.add(name, isLinked) ?? UNUSUAL;
    return planned instanceof Promise
      ? planned.then((found) => this.#place(name, isLinked, found))
      : this.#place(name, isLinked, planned);
  }

  #place(name: PendingName, isLinked: boolean, planned: Planned): Promise<void> | undefined {
    if (planned === PLANNED) {
      this.#planned.push({ name, isLinked });
      return this.#planner!.isFull ? this.#sendFiles() : undefined;
    }
    if (planned === NO_ROOM) return this.#sendFiles().then(() => this.#plan(name, isLinked));
    if (planned === UNUSUAL) {
      const gathered = isLinked ? this.#gathered.linked : this.#gathered.plain;
      gathered.add(name);
      return gathered.names.length >= JOB_NAMES ? this.#send() : undefined;
    }
    return this.#isFirst(name, planned) ? this.#plan(name, true) : undefined;
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
      if (this.#planned.length > 0) await this.#sendFiles();
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
    const { plain, linked } = this.#gathered;
    return this.#planned.length === 0 && plain.names.length === 0 && linked.names.length === 0;
  }

  /** Sends what has been gathered, as soon as there is room for it. */
  async #send(): Promise<void> {
    for (const kind of ["plain", "linked"] as const) {
      await this.#room();
      const gathered = this.#gathered[kind];
      if (gathered.names.length === 0) continue;
      this.#gathered[kind] = new Gathered(gathered.isLinked);
      this.#namesJobs++;
      this.start(() => this.#runNames(gathered).finally(() => this.#namesJobs--));
    }
  }

  /** Sends what the planner has. */
  async #sendFiles(): Promise<void> {
    await this.#room();
    const job = this.#planner!.take();
    const names = this.#planned;
    this.#planned = [];
    this.#namesJobs++;
    this.start(() => this.#runFiles(job, names).finally(() => this.#namesJobs--));
  }

  async #room(): Promise<void> {
    while (this.#namesJobs >= this.#runner.width) await Promise.race(this.#running);
    this.#check();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#options.signal?.throwIfAborted();
  }

  async #runFiles(job: FilesJob, names: readonly PlannedName[]): Promise<void> {
    const result = await this.#runner.run(job);
    if (result.memory !== undefined) this.#planner!.reuse(result.memory);
    this.#log.take(result);
    const failed = new Set(result.failed);
    for (let index = 0; index < names.length; index++) {
      const { name, isLinked } = names[index]!;
      if (!failed.has(index)) this.#settle(name, true, isLinked);
      else (isLinked ? this.#gathered.linked : this.#gathered.plain).add(name);
    }
  }

  async #runNames({ builder, names, isLinked }: Gathered): Promise<void> {
    const result = await this.#runner.run(builder.build(isLinked));
    this.#log.take(result);
    const failed = new Set(result.failed);
    const later = new Set<number>();
    for (const { index, nlink } of result.links) {
      later.add(index);
      if (this.#isFirst(names[index]!, nlink)) this.#gathered.linked.add(names[index]!);
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

  /** Whether the content of an inode with several names is restored under this one. Otherwise it is linked, now or later. */
  #isFirst(name: PendingName, nlink: number): boolean {
    const step = this.#links.add(name, nlink);
    if (step.step === "link") this.#link(step.first, name, step.isDone);
    return step.step === "restore";
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

interface PlannedName {
  readonly name: PendingName;
  /** It is the first name of an inode that has several. */
  readonly isLinked: boolean;
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
