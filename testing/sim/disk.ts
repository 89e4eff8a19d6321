/**
 * One machine's disk on virtual time: syncs that take a while, stall or fail, writes that fail or are torn in two,
 * a disk that is full, and power cuts that lose what was not synced (rule L6; `storage/memory_file_system.ts` knows how).
 */
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import { eventKind } from "./clock.ts";
import type { Scope, Timeline } from "./clock.ts";
import { readFolder, writeFolder } from "./folder_images.ts";
import type { FolderImage } from "./folder_images.ts";
import { codedError } from "./network.ts";
import type { SimRandom } from "./random.ts";
import { rotOneBit } from "./rot.ts";
import type { Trace } from "./trace.ts";

/** What kind of disk it is. */
export interface DiskTraits {
  /** Microseconds of one sync: lowest, usual, highest. */
  readonly syncUs: readonly [low: number, usual: number, high: number];
}

/** Counts for the report. */
export interface DiskStatistics {
  writes: number;
  bytesWritten: number;
  syncs: number;
}

/** A disk, which outlives the processes that use it. */
export class SimDisk {
  /** The files. */
  readonly fileSystem: MemoryFileSystem;
  /** Counts for the report. */
  readonly statistics: DiskStatistics = {
    writes: 0,
    bytesWritten: 0,
    syncs: 0,
  };
  /** Added to every sync while a fault lasts. */
  stallUs = 0;
  /** How many syncs succeed before one fails; negative: none fails. */
  syncsUntilFailure = -1;
  /** How many writes succeed before one fails; negative: none fails. */
  writesUntilFailure = -1;
  /** Whether an injected error has hit the process now running. */
  hasFailed = false;
  /** Whether damage was done to what it holds. */
  isRotten = false;
  /** Probability that a write needs two calls. */
  shortWrites = 0;
  /** Called when an injected error hits the process. */
  onFailure: () => void = () => {};
  readonly #timeline: Timeline;
  readonly #trace: Trace;
  readonly #random: SimRandom;
  readonly #traits: DiskTraits;
  #scope: Scope;

  /** An empty disk. */
  constructor(
    options: {
      timeline: Timeline;
      trace: Trace;
      random: SimRandom;
      traits: DiskTraits;
      machine: number;
    },
  ) {
    this.#timeline = options.timeline;
    this.#trace = options.trace;
    this.#random = options.random;
    this.#traits = options.traits;
    this.#scope = options.timeline.world;
    this.fileSystem = new MemoryFileSystem({ device: options.machine + 1 });
    this.#inject();
  }

  #inject(): void {
    this.fileSystem.faults = {
      beforeWrite: (_path, position, length) =>
        this.#beforeWrite(position, length),
      beforeSync: () => this.#beforeSync(),
    };
  }

  /** Damages the log, while no process uses the disk; returns whether there was something to damage. */
  rot(): boolean {
    const place = this.#quietly(() => rotOneBit(this.fileSystem, this.#random));
    if (place === undefined) return false;
    this.isRotten = true;
    const { path, offset } = place;
    this.#trace.note(this.#timeline.nowUs, "rot", `${path} at ${offset}`);
    return true;
  }

  /** A folder as it is now, or undefined. */
  readFolder(dir: string): FolderImage | undefined {
    return this.#quietly(() => readFolder(this.fileSystem, dir));
  }

  /** Writes a folder that is not there, durably, as somebody does who has space enough. */
  writeFolder(dir: string, image: FolderImage): void {
    this.#note(`folder ${dir} is written`);
    this.changeFolders((fileSystem) => writeFolder(fileSystem, dir, image));
  }

  /** Moves or removes folders at the top, durably. */
  changeFolders(change: (fileSystem: MemoryFileSystem) => void): void {
    const { fileSystem } = this;
    const freeBytes = this.isLimited
      ? Math.max(0, fileSystem.capacityBytes - fileSystem.usedBytes)
      : undefined;
    this.limitSpace(undefined);
    this.#quietly(() => {
      change(fileSystem);
      fileSystem.syncDirectory("/");
    });
    this.limitSpace(freeBytes);
  }

  /** Does something to the disk that nobody asked the process for. */
  #quietly<T>(work: () => T): T {
    this.fileSystem.faults = {};
    try {
      return work();
    } finally {
      this.#inject();
    }
  }

  #note(what: string): void {
    this.#trace.note(this.#timeline.nowUs, "disk", what);
  }

  /** No injected error is to come any more. */
  disarm(): void {
    this.syncsUntilFailure = -1;
    this.writesUntilFailure = -1;
  }

  /** A new process uses the disk from now on. */
  attach(scope: Scope): void {
    this.#scope = scope;
    this.hasFailed = false;
    this.disarm();
  }

  /** The process was killed: nothing is lost but what a failed sync had dropped. */
  processDied(): void {
    this.fileSystem.halt();
  }

  /** The power was cut. */
  powerLost(): void {
    this.fileSystem.crash(this.#random);
  }

  /** Leaves `bytes` of space from now on, or all space with undefined. */
  limitSpace(bytes: number | undefined): void {
    this.fileSystem.capacityBytes = bytes === undefined
      ? Number.MAX_SAFE_INTEGER
      : this.fileSystem.usedBytes + bytes;
  }

  /** Whether space is limited now. */
  get isLimited(): boolean {
    return this.fileSystem.capacityBytes < Number.MAX_SAFE_INTEGER;
  }

  #failed(): void {
    this.hasFailed = true;
    this.onFailure();
  }

  #beforeWrite(position: number, length: number): number | void {
    this.statistics.writes++;
    this.statistics.bytesWritten += length;
    this.#trace.mix(position | 0, length);
    if (this.writesUntilFailure >= 0 && this.writesUntilFailure-- === 0) {
      this.#failed();
      throw codedError("EIO", "i/o error, write (injected)");
    }
    if (length > 1 && this.#random.chance(this.shortWrites)) {
      return this.#random.between(1, length - 1);
    }
  }

  #beforeSync(): Promise<void> {
    this.statistics.syncs++;
    const [low, usual, high] = this.#traits.syncUs;
    const takesUs = this.#random.longTail(low, usual, high) + this.stallUs;
    const wait = this.#timeline.wait(this.#scope, takesUs, eventKind.disk);
    if (this.syncsUntilFailure < 0 || this.syncsUntilFailure-- > 0) return wait;
    return wait.then(() => {
      this.#failed();
      throw codedError("EIO", "i/o error, fdatasync (injected)");
    });
  }
}
