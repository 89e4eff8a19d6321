/** State machines of the other kinds, for tests: they add up first bytes, as `Counter` does. */
import type {
  ConcurrentStateMachine,
  Entry,
  OnDiskStateMachine,
  RecoveredSnapshot,
  Result,
  SnapshotWriter,
} from "../../raft/state_machine.ts";

/** What all of them hold. */
export interface Sums {
  total: number;
  count: number;
}

async function readSums(reader: ReadableStream<Uint8Array>): Promise<Sums> {
  const text = await new Response(
    reader as ReadableStream<Uint8Array<ArrayBuffer>>,
  ).text();
  return JSON.parse(text.trimEnd()) as Sums;
}

function bytesOf(sums: Sums, padding: number): Uint8Array {
  const text = JSON.stringify({ total: sums.total, count: sums.count });
  return new TextEncoder().encode(text + " ".repeat(padding));
}

/** Takes commands while its snapshot is saved. */
export class ConcurrentCounter implements ConcurrentStateMachine<Sums> {
  readonly kind = "concurrent";
  sums: Sums = { total: 0, count: 0 };
  /** Sizes of the batches it was given. */
  batches: number[] = [];
  /** What `update` waits for. */
  gate: Promise<void> | undefined;
  /** What `saveSnapshot` waits for. */
  saveGate: Promise<void> | undefined;
  isClosed = false;
  /** Calls of `prepareSnapshot` and of `saveSnapshot`. */
  prepared = 0;
  saved = 0;
  isUpdating = false;
  wasDisturbed = false;

  update(entries: readonly Entry[]): Result[] | Promise<Result[]> {
    this.batches.push(entries.length);
    if (this.gate === undefined) return this.#apply(entries);
    return this.#applyLater(entries, this.gate);
  }

  lookup(query: unknown): unknown {
    if (query === "later") return Promise.resolve(this.sums.total);
    return query === "count" ? this.sums.count : this.sums.total;
  }

  prepareSnapshot(): Sums {
    if (this.isUpdating) this.wasDisturbed = true;
    this.prepared++;
    return { ...this.sums };
  }

  async saveSnapshot(context: Sums, writer: SnapshotWriter): Promise<void> {
    this.saved++;
    await this.saveGate;
    await writer.write(bytesOf(context, 0));
  }

  async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
  ): Promise<void> {
    this.sums = await readSums(reader);
  }

  hash(): bigint {
    return BigInt(this.sums.total) * 1_000_003n + BigInt(this.sums.count);
  }

  close(): void {
    this.isClosed = true;
  }

  async #applyLater(
    entries: readonly Entry[],
    gate: Promise<void>,
  ): Promise<Result[]> {
    this.isUpdating = true;
    await gate;
    this.isUpdating = false;
    return this.#apply(entries);
  }

  #apply(entries: readonly Entry[]): Result[] {
    return entries.map((entry) => {
      if (entry.command[0] === 255) throw new Error("told to fail");
      this.sums.total += entry.command[0] ?? 0;
      this.sums.count++;
      return { value: this.sums.total };
    });
  }
}

/** What an {@link OnDiskCounter} has on its disk; survives the object. */
export interface CounterDisk {
  durable: Sums & { index: number };
}

/** Keeps its sums on a disk, of which a crash keeps what was synced. */
export class OnDiskCounter implements OnDiskStateMachine<Sums> {
  readonly kind = "onDisk";
  readonly disk: CounterDisk;
  sums: Sums & { index: number };
  /** Indexes it was given. */
  given: number[] = [];
  recovered: RecoveredSnapshot[] = [];
  prepared = 0;
  saved = 0;
  syncs = 0;
  isClosed = false;
  /** Bytes of blanks that a snapshot has more than it needs. */
  padding = 0;
  saveGate: Promise<void> | undefined;
  saveErrors: unknown[] = [];

  constructor(disk: CounterDisk) {
    this.disk = disk;
    this.sums = { ...disk.durable };
  }

  open(): Promise<number> {
    return Promise.resolve(this.sums.index);
  }

  async update(entries: readonly Entry[]): Promise<Result[]> {
    await Promise.resolve();
    return entries.map((entry) => {
      this.given.push(entry.index);
      this.sums.total += entry.command[0] ?? 0;
      this.sums.count++;
      this.sums.index = entry.index;
      return { value: this.sums.total };
    });
  }

  sync(): Promise<void> {
    this.syncs++;
    this.disk.durable = { ...this.sums };
    return Promise.resolve();
  }

  lookup(query: unknown): unknown {
    return query === "count" ? this.sums.count : this.sums.total;
  }

  prepareSnapshot(): Sums {
    this.prepared++;
    return { ...this.sums };
  }

  async saveSnapshot(context: Sums, writer: SnapshotWriter): Promise<void> {
    this.saved++;
    try {
      await this.saveGate;
      await writer.write(bytesOf(context, this.padding));
    } catch (error) {
      this.saveErrors.push(error);
      throw error;
    }
  }

  async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
    snapshot: RecoveredSnapshot,
  ): Promise<void> {
    const sums = await readSums(reader);
    this.sums = { ...sums, index: snapshot.index };
    this.recovered.push(snapshot);
  }

  hash(): bigint {
    return BigInt(this.sums.total) * 1_000_003n + BigInt(this.sums.count);
  }

  close(): void {
    this.isClosed = true;
  }
}
