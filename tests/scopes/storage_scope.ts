/**
 * All power cuts of short runs of the log (most crash bugs need no more than three operations: Mohan et al., "Finding
 * Crash-Consistency Bugs with Bounded Black-Box Crash Testing", OSDI '18). For every sequence of operations, for every
 * moment at which the last of them touches the disk, and for every subset of what was not synced: the log must open
 * and hold a state that was, with all that was acknowledged, and nothing else.
 */
import { Prng } from "../../raft/core/prng.ts";
import type { HardState } from "../../raft/core/types.ts";
import type { FileSystem } from "../../storage/file_system.ts";
import type { NodeWrite } from "../../storage/log_store.ts";
import type { DiskPrng } from "../../storage/memory_file.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import type { Wal } from "../../storage/wal/wal.ts";
import { assert } from "../deps.ts";
import {
  batch,
  bootstrap,
  contentsOf,
  mortal,
  openLog,
  settle,
  snapshot,
} from "../storage/wal/fixture.ts";
import {
  applyGroup,
  contentsOfModel,
  lastOf,
  type Model,
} from "../storage/wal/model.ts";

/** Small: a few groups fill a segment. */
const segmentBytes = 4096;
/** More than all subsets of ten sectors: what has more is drawn from. */
const outcomesMax = 1_024;
const drawnOutcomes = 200;

/** What was explored. */
export interface StorageScopeReport {
  readonly sequences: number;
  /** Moments at which the power failed. */
  readonly crashPoints: number;
  /** Of these, how many had too many outcomes to try them all. */
  readonly drawn: number;
  /** Disks that were opened after it. */
  readonly outcomes: number;
}

interface LogOperation {
  readonly name: string;
  /** The group that it writes; undefined if it writes none. */
  group(model: Model): readonly NodeWrite[] | undefined;
  readonly sync: boolean;
}

const one = { clusterId: 1, nodeId: 1 };
const other = { clusterId: 2, nodeId: 1 };

function lastIndexOf(model: Model): number {
  return lastOf(model.get("1-1")!);
}

function hardStateOf(model: Model): HardState {
  return model.get("1-1")!.hardState!;
}

/** Everything that a NodeHost does with its log. */
export const logOperations: readonly LogOperation[] = [
  {
    name: "append",
    sync: true,
    group: (model) => [
      { ...one, batches: [batch(lastIndexOf(model) + 1, 2, termOf(model))] },
    ],
  },
  {
    name: "vote",
    sync: true,
    group: (model) => {
      const { term, commit } = hardStateOf(model);
      return [{ ...one, hardState: { term: term + 1, votedFor: 2, commit } }];
    },
  },
  {
    name: "commit",
    sync: false,
    group: (model) => [{
      ...one,
      hardState: { ...hardStateOf(model), commit: lastIndexOf(model) },
    }],
  },
  {
    name: "snapshot and compact",
    sync: true,
    group: (model) => {
      const index = lastIndexOf(model);
      const { batches, compacted } = model.get("1-1")!;
      const term = batches.at(-1)?.term ?? compacted[1];
      return [{ ...one, snapshot: snapshot(index, term), compactTo: index }];
    },
  },
  {
    name: "overwrite",
    sync: true,
    group: (model) => {
      const { batches } = model.get("1-1")!;
      const first = batches.at(-1)?.firstIndex ?? lastIndexOf(model) + 1;
      const { term, commit } = hardStateOf(model);
      const hardState = { term: term + 1, votedFor: 3, commit };
      return [{ ...one, hardState, batches: [batch(first, 1, term + 1)] }];
    },
  },
  {
    name: "rotate",
    sync: true,
    group: (model) => {
      const next = lastIndexOf(model) + 1;
      return [{ ...one, batches: [batch(next, 1, termOf(model), 2_600)] }];
    },
  },
  {
    name: "remove",
    sync: true,
    group: (model) =>
      model.has("2-1")
        ? [{ ...other, remove: true }]
        : [{ ...other, bootstrap, batches: [batch(1)] }],
  },
  { name: "idle", sync: true, group: () => undefined },
];

function termOf(model: Model): number {
  return hardStateOf(model).term;
}

/** A log with two nodes, durable in whole. */
const firstGroup: readonly NodeWrite[] = [
  {
    ...one,
    bootstrap,
    hardState: { term: 1, votedFor: 1, commit: 0 },
    batches: [batch(1, 2)],
  },
  { ...other, batches: [batch(1)] },
];

/** Answers a power cut's questions one way, and knows which way comes next. */
class Choices implements DiskPrng {
  readonly #choices: { value: number; limit: number }[] = [];
  #at = 0;

  below(limit: number): number {
    // Which changes of folders survive, which versions of sectors: any, instead of the disk's favourite shapes.
    if (limit === 5 || limit === 6) return limit - 1;
    if (this.#at === this.#choices.length) {
      this.#choices.push({ value: 0, limit });
    }
    const { value } = this.#choices[this.#at++]!;
    // Of the sizes that a growing file may have, the ends and the middle.
    return limit <= 64 ? value : [0, limit >> 1, limit - 1][value]!;
  }

  /** Goes on to the next way; false if there is none. */
  next(): boolean {
    this.#at = 0;
    for (let last = this.#choices.at(-1); last; last = this.#choices.at(-1)) {
      last.value++;
      if (last.value < Math.min(last.limit, last.limit <= 64 ? 64 : 3)) {
        return true;
      }
      this.#choices.pop();
    }
    return false;
  }
}

/** One run up to a power cut. */
interface Run {
  readonly disk: MemoryFileSystem;
  readonly models: readonly Model[];
  /** The first of `models` that a reopened log may hold. */
  readonly least: number;
  /** Whether the last operation touched the disk that often. */
  readonly wasReached: boolean;
}

/** Does the operations, and ends the process when the last of them touches the disk for the `crashAt`th time. */
async function runTo(
  operations: readonly LogOperation[],
  crashAt: number,
  wrap: (disk: FileSystem) => FileSystem,
): Promise<Run> {
  const disk = new MemoryFileSystem();
  const process = mortal(disk);
  const log = await openLog(wrap(process.fileSystem), { segmentBytes });
  const models: Model[] = [applyGroup(new Map(), firstGroup)];
  await log.commitGroup(firstGroup, { sync: true });
  await settle();
  let least = 0;
  for (const operation of operations.slice(0, -1)) {
    if (await perform(log, operation, models)) least = models.length - 1;
    await settle();
  }
  let left = crashAt;
  const die = () => {
    process.kill();
    throw new Error("the power failed");
  };
  disk.faults = {
    beforeWrite: (_path, _position, length) => left-- === 0 ? die() : length,
    beforeChange: () => left-- === 0 ? die() : undefined,
    beforeSync: () => {
      if (left-- !== 0) return;
      process.kill();
      return new Promise<never>(() => {}); // What it asked for is under way.
    },
  };
  const last = operations.at(-1)!;
  perform(log, last, models).then((isSynced) => {
    if (isSynced) least = models.length - 1;
  }, () => {});
  await settle(120);
  const wasReached = left < 0;
  process.kill();
  disk.faults = {};
  return { disk, models, least, wasReached };
}

/** Returns whether all that was written is durable now. */
async function perform(
  log: Wal,
  operation: LogOperation,
  models: Model[],
): Promise<boolean> {
  const model = models.at(-1)!;
  const group = operation.group(model);
  if (group === undefined) {
    await log.idle();
    return true;
  }
  models.push(applyGroup(model, group));
  await log.commitGroup(group, { sync: operation.sync });
  return operation.sync;
}

async function checkReopened(run: Run, where: string): Promise<void> {
  const log = await openLog(run.disk, { segmentBytes, seed: 2 }).catch(
    (error) => {
      throw new Error(`${where}: ${error.message}`, { cause: error });
    },
  );
  const contents = JSON.stringify(contentsOf(log));
  const found = run.models.findLastIndex((model) =>
    JSON.stringify(contentsOfModel(model)) === contents
  );
  assert.ok(
    found >= run.least,
    `${where}: the log holds ${
      found < 0 ? "what never was" : `state ${found}`
    }, at least ${run.least} of ${run.models.length - 1} was acknowledged`,
  );
  await log.close();
}

/**
 * Tries every power cut in the last operation of every sequence of `length` operations. Those in the operations before
 * it are those of shorter sequences.
 */
export async function exploreStorage(
  length: number,
  /** Puts something between log and disk: to see that a bug is found. */
  wrap: (disk: FileSystem) => FileSystem = (disk) => disk,
): Promise<StorageScopeReport> {
  let sequences = 0;
  let crashPoints = 0;
  let drawn = 0;
  let outcomes = 0;
  const tryAll = async (
    operations: readonly LogOperation[],
    crashAt: number,
    where: string,
  ): Promise<boolean> => {
    const choices = new Choices();
    for (let count = 0;; count++) {
      const run = await runTo(operations, crashAt, wrap);
      const prng = new Prng(count);
      run.disk.crash(count < outcomesMax ? choices : prng);
      outcomes++;
      await checkReopened(run, `${where}, outcome ${count}`);
      const isLast = count < outcomesMax
        ? !choices.next()
        : count === outcomesMax + drawnOutcomes;
      if (isLast) {
        if (count >= outcomesMax) drawn++;
        return run.wasReached;
      }
    }
  };
  const visit = async (operations: readonly LogOperation[]): Promise<void> => {
    if (operations.length < length) {
      for (const next of logOperations) await visit([...operations, next]);
      return;
    }
    sequences++;
    const names = operations.map(({ name }) => name).join(", ");
    for (let crashAt = 0;; crashAt++) {
      crashPoints++;
      if (!await tryAll(operations, crashAt, `${names}, touch ${crashAt}`)) {
        return;
      }
    }
  };
  await visit([]);
  return { sequences, crashPoints, drawn, outcomes };
}
