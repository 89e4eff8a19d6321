/** A log on a disk that fails, beside a model of what it must hold. */
import { Prng } from "../../../raft/core/prng.ts";
import { RaftError } from "../../../raft/errors.ts";
import { MemoryFileSystem } from "../../../storage/memory_file_system.ts";
import type { Wal } from "../../../storage/wal/wal.ts";
import { assert } from "../../deps.ts";
import { contentsOf, mortal, openLog, settle } from "./fixture.ts";
import {
  applyGroup,
  contentsOfModel,
  type Model,
  RandomWrites,
} from "./model.ts";

/** One log, what was written to it, and what of that was acknowledged. */
export class Run {
  readonly prng: Prng;
  readonly disk = new MemoryFileSystem();
  process = mortal(this.disk);
  readonly writes: RandomWrites;
  readonly segmentBytes: number;
  /** The model after each group since the log was opened. */
  models: Model[] = [new Map()];
  /** The groups up to this one are durable. */
  synced = 0;
  /** The groups up to this one were written, so that only a power cut can lose them. */
  written = 0;
  /** The groups up to this one must be there when the log is opened. */
  least = 0;
  crashes = 0;

  constructor(seed: number) {
    this.prng = new Prng(seed);
    this.writes = new RandomWrites(this.prng);
    this.segmentBytes = this.prng.pick([8, 16, 32, 64]) * 1024;
  }

  /** Opens the log, and checks that it holds a state that was, and all that was acknowledged. */
  async open(): Promise<Wal> {
    const log = await openLog(this.process.fileSystem, {
      segmentBytes: this.segmentBytes,
      seed: this.prng.uint32(),
    });
    const contents = JSON.stringify(contentsOf(log));
    const found = this.models.findLastIndex((model) =>
      JSON.stringify(contentsOfModel(model)) === contents
    );
    const known = `of ${this.models.length - 1}, at least ${this.least}`;
    assert.ok(found >= 0, `the log holds what never was, ${known}`);
    assert.ok(found >= this.least, `the log holds group ${found} ${known}`);
    this.models = [this.models[found]!];
    this.synced = 0;
    this.written = 0;
    this.least = 0;
    return log;
  }

  /** Writes a random group. */
  async write(log: Wal): Promise<void> {
    const model = this.models.at(-1)!;
    const writes = this.writes.group(model);
    const sync = this.prng.chance(3, 4);
    const { crashes } = this;
    this.models.push(applyGroup(model, writes));
    const group = this.models.length - 1;
    try {
      await log.commitGroup(writes, { sync });
    } catch (error) {
      const isDiskFull = error instanceof RaftError &&
        error.code === "diskFull";
      if (crashes === this.crashes && isDiskFull) this.models.pop();
      throw error;
    }
    if (crashes !== this.crashes) return; // Of a process that is dead.
    this.written = group;
    if (sync) this.synced = group;
  }

  /** Ends the process; with `isPowerCut`, or by chance, what was not synced is in danger. */
  crash(isPowerCut = this.prng.chance(3, 4)): void {
    this.crashes++;
    this.process.kill();
    this.process = mortal(this.disk);
    this.least = isPowerCut ? this.synced : Math.max(this.least, this.written);
    if (isPowerCut) this.disk.crash(this.prng);
    else this.disk.halt();
  }
}

/** Power cuts and ended processes at any moment, during recovery too. */
export async function powerCuts(run: Run): Promise<void> {
  const { prng } = run;
  let log = await run.open();
  for (let round = 0; round < 8; round++) {
    for (let count = prng.below(60); count > 0; count--) {
      await run.write(log);
      if (prng.chance(1, 10)) await log.idle();
      if (prng.chance(1, 20)) await settle();
    }
    if (prng.chance(1, 5)) {
      await log.close();
      run.synced = run.written;
    } else if (prng.chance(1, 2)) {
      run.write(log).catch(() => {});
      await settle(prng.below(20));
    }
    run.crash();
    // The power fails again while the log is being recovered.
    while (prng.chance(1, 3)) {
      run.open().catch(() => {});
      await settle(prng.below(40));
      run.crash(true);
    }
    log = await run.open();
  }
}

/** Writes or syncs that fail. Returns how many of them closed the log. */
export async function failures(run: Run): Promise<number> {
  const { prng, disk } = run;
  let count = 0;
  for (let round = 0; round < 6; round++) {
    const log = await run.open();
    let left = prng.between(1, 40);
    const fault = () => {
      if (left-- > 0) return;
      throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
    };
    disk.faults = prng.chance(1, 2) ? { beforeSync: fault } : {
      beforeWrite: (_path, _position, length) => {
        fault();
        return length > 1 ? prng.between(1, length) : length; // Short writes are finished.
      },
    };
    const error = await firstError(run, log);
    disk.faults = {};
    if (error.code === "diskFailed") {
      count++;
      assert.equal(error.outcome, "unknown");
      assert.equal(log.failure, error);
      run.written = run.synced; // A failed sync dropped the rest.
      // Never retried, although the disk is well again.
      await assert.rejects(log.commitGroup([], { sync: true }), error);
    } else {
      // It was the spare that could not be made, and that is no failure.
      assert.equal(error.code, "diskFull");
      assert.equal(log.failure, undefined);
    }
    await log.close();
    run.crash(prng.chance(1, 2));
  }
  await (await run.open()).close();
  return count;
}

/** Writes until that is refused. */
async function firstError(run: Run, log: Wal): Promise<RaftError> {
  while (true) {
    try {
      await run.write(log);
    } catch (error) {
      assert.ok(error instanceof RaftError);
      return error;
    }
  }
}

/** A disk that is full now and then. Returns how many groups were refused. */
export async function fullDisk(run: Run): Promise<number> {
  const { prng, disk } = run;
  let log = await run.open();
  let total = 0;
  for (let round = 0; round < 5; round++) {
    disk.capacityBytes = disk.usedBytes + prng.below(4) * run.segmentBytes;
    let refused = 0;
    for (let count = 0; count < 150 && refused < 20; count++) {
      await run.write(log).catch((error) => {
        assert.equal(error.code, "diskFull");
        assert.equal(error.outcome, "notApplied");
        assert.ok(log.isDiskFull);
        refused++;
      });
      assert.equal(log.failure, undefined);
    }
    assert.deepEqual(contentsOf(log), contentsOfModel(run.models.at(-1)!));
    disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    await log.idle();
    await settle(500);
    assert.equal(log.isDiskFull, false);
    await run.write(log);
    if (prng.chance(1, 2)) {
      run.crash();
      log = await run.open();
    }
    total += refused;
  }
  await log.close();
  return total;
}

/** Runs a scenario with each of some seeds; returns the sum of what it counts. */
export async function eachSeed(
  seeds: { readonly first: number; readonly count: number },
  scenario: (run: Run) => Promise<number | void>,
): Promise<number> {
  let sum = 0;
  for (let seed = seeds.first; seed < seeds.first + seeds.count; seed++) {
    try {
      sum += await scenario(new Run(seed)) ?? 0;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  return sum;
}
