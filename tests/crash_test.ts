/**
 * The log under crashes: cut at every byte, flipped at every byte (rule L1), power cuts at any moment, during recovery
 * too (rules L2, L6), failing syncs, full disks. Everything acknowledged is there afterwards, nothing is invented.
 */
import { Prng } from "../raft/core/prng.ts";
import { RaftError } from "../raft/errors.ts";
import type { NodeWrite } from "../storage/log_store.ts";
import { MemoryFileSystem } from "../storage/memory_file_system.ts";
import type { Wal } from "../storage/wal/wal.ts";
import { assert } from "./deps.ts";
import { contentsOf, mortal, openLog, settle } from "./storage/wal/fixture.ts";
import {
  applyGroup,
  contentsOfModel,
  type Model,
  RandomWrites,
} from "./storage/wal/model.ts";

/** One log, what was written to it, and what of that was acknowledged. */
class Run {
  readonly prng: Prng;
  readonly disk = new MemoryFileSystem();
  process = mortal(this.disk);
  readonly writes: RandomWrites;
  readonly segmentBytes: number;
  /** The model after each group since the last crash. */
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

  async open(): Promise<Wal> {
    const log = await openLog(this.process.fileSystem, {
      segmentBytes: this.segmentBytes,
      seed: this.prng.uint32(),
    });
    this.#check(log);
    return log;
  }

  #check(log: Wal): void {
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
  }

  async write(log: Wal): Promise<void> {
    const writes: NodeWrite[] = this.writes.group(this.models.at(-1)!);
    this.models.push(applyGroup(this.models.at(-1)!, writes));
    const group = this.models.length - 1;
    const sync = this.prng.chance(3, 4);
    const { crashes } = this;
    await log.commitGroup(writes, { sync });
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

for (const [name, first, count] of [["", 1, 600]] as const) {
  Deno.test(`Wal keeps what it acknowledged through power cuts (rules L2, L6)${name}`, async () => {
    for (let seed = first; seed < first + count; seed++) {
      const run = new Run(seed);
      try {
        await powerCuts(run);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  });
}

async function powerCuts(run: Run): Promise<void> {
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
    while (prng.chance(1, 3)) {
      run.open().catch(() => {});
      await settle(prng.below(40));
      run.crash(true);
    }
    log = await run.open();
  }
}
