/**
 * The application's state machine in the two other kinds. Both keep the regular one inside, so that the same checks hold for
 * all of them; what they add is what these kinds may do: take their time, save while they go on, and keep what they
 * synced, and only that, when the process ends.
 */
import { SnapshotAborted } from "../../raft/state_machine.ts";
import type {
  ConcurrentStateMachine,
  Entry,
  OnDiskStateMachine,
  RecoveredSnapshot,
  Result,
  SnapshotWriter,
} from "../../raft/state_machine.ts";
import type { Clock } from "../../raft/ports.ts";
import { positionIn } from "./observed_machine.ts";
import type {
  ObservedAnswer,
  ObservedMachine,
  ObservedNode,
} from "./observed_machine.ts";
import type { SimRandom } from "./random.ts";
import type { SnapshotFiles } from "./snapshot_files.ts";

/** Bytes of a snapshot, in the pieces in which they were written. */
type Pieces = readonly Uint8Array[];

/** What a state machine on disk has there. It outlives the process. */
export interface StateDisk {
  /** What was synced last. */
  synced: { readonly index: number; readonly pieces: Pieces } | undefined;
  /** The cluster was rebuilt from an image since: what is here may be lost everywhere else, and must be replaced by that. */
  isOfBefore: boolean;
}

/** What time and chance do to a state machine. */
export interface MachineWhims {
  readonly clock: Clock;
  readonly random: SimRandom;
  /** Present if its snapshots have files of their own. */
  readonly files?: SnapshotFiles;
}

/** Takes commands while its snapshot is saved. */
export class ObservedConcurrent implements ConcurrentStateMachine<Pieces> {
  /** See `ConcurrentStateMachine`. */
  readonly kind = "concurrent";
  /** Present only if the application has one. */
  readonly hash?: () => bigint;
  readonly #inner: ObservedMachine;
  readonly #whims: MachineWhims;

  /** Wraps `inner`. */
  constructor(inner: ObservedMachine, whims: MachineWhims) {
    this.#inner = inner;
    this.#whims = whims;
    if (inner.hash !== undefined) this.hash = inner.hash;
  }

  /** How far it is. */
  get node(): ObservedNode {
    return this.#inner.node;
  }

  /** See `ConcurrentStateMachine`. */
  update(entries: readonly Entry[]): Result[] | Promise<Result[]> {
    const apply = () => entries.map((entry) => this.#inner.update(entry));
    return this.#whims.random.chance(0.5) ? apply() : this.#later(apply);
  }

  /** See `ConcurrentStateMachine`. */
  lookup(query: unknown): ObservedAnswer {
    return this.#inner.lookup(query);
  }

  /** See `ConcurrentStateMachine`. */
  prepareSnapshot(): Promise<Pieces> {
    return piecesOf(this.#inner);
  }

  /** See `ConcurrentStateMachine`. */
  async saveSnapshot(context: Pieces, writer: SnapshotWriter): Promise<void> {
    await writePieces(context, writer, this.#whims);
  }

  /** See `ConcurrentStateMachine`. */
  async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
    snapshot: RecoveredSnapshot,
  ): Promise<void> {
    await recover(this.#inner, reader, snapshot, this.#whims);
  }

  /** See `ConcurrentStateMachine`. */
  close(): void {
    this.#inner.close();
  }

  async #later(apply: () => Result[]): Promise<Result[]> {
    await rest(this.#whims, 3);
    return apply();
  }
}

/** Keeps its state on a disk of its own, and in memory what it has not synced yet. */
export class ObservedOnDisk implements OnDiskStateMachine<Pieces> {
  /** See `OnDiskStateMachine`. */
  readonly kind = "onDisk";
  /** Present only if the application has one. */
  readonly hash?: () => bigint;
  readonly #inner: ObservedMachine;
  readonly #disk: StateDisk;
  readonly #whims: MachineWhims;
  /** Last entry applied. */
  #index = 0;

  /** Wraps `inner`, whose state is on `disk`. */
  constructor(inner: ObservedMachine, disk: StateDisk, whims: MachineWhims) {
    this.#inner = inner;
    this.#disk = disk;
    this.#whims = whims;
    if (inner.hash !== undefined) this.hash = inner.hash;
  }

  /** How far it is. */
  get node(): ObservedNode {
    return this.#inner.node;
  }

  /** See `OnDiskStateMachine`. */
  async open(): Promise<number> {
    const { synced } = this.#disk;
    if (synced === undefined) return 0;
    const { index, pieces } = synced;
    if (this.#disk.isOfBefore) return index;
    const snapshot = { index, term: 0, files: [] };
    await this.#inner.recoverFromSnapshot(streamOf(pieces), snapshot);
    this.#index = index;
    return index;
  }

  /** See `OnDiskStateMachine`. */
  async update(entries: readonly Entry[]): Promise<Result[]> {
    await rest(this.#whims, 3);
    const results = entries.map((entry) => this.#inner.update(entry));
    this.#index = entries.at(-1)?.index ?? this.#index;
    // It may have made some of it durable by itself.
    if (this.#whims.random.chance(0.02)) await this.sync();
    return results;
  }

  /** See `OnDiskStateMachine`. */
  async sync(): Promise<void> {
    const index = this.#index;
    const pieces = await piecesOf(this.#inner);
    await rest(this.#whims, 10);
    this.#disk.synced = { index, pieces };
  }

  /** See `OnDiskStateMachine`. */
  lookup(query: unknown): ObservedAnswer {
    return this.#inner.lookup(query);
  }

  /** See `OnDiskStateMachine`. */
  prepareSnapshot(): Promise<Pieces> {
    return piecesOf(this.#inner);
  }

  /** See `OnDiskStateMachine`. */
  async saveSnapshot(context: Pieces, writer: SnapshotWriter): Promise<void> {
    await writePieces(context, writer, this.#whims);
  }

  /** See `OnDiskStateMachine`. */
  async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
    snapshot: RecoveredSnapshot,
  ): Promise<void> {
    await recover(this.#inner, reader, snapshot, this.#whims);
    this.#index = snapshot.index;
    if (!this.#disk.isOfBefore) return;
    this.#disk.isOfBefore = false;
    this.#disk.synced = undefined;
  }

  /** See `OnDiskStateMachine`. */
  close(): void {
    this.#inner.close();
  }
}

/** Waits up to so many milliseconds. */
function rest({ clock, random }: MachineWhims, maxMs: number): Promise<void> {
  const ms = random.below(1 + 1_000 * maxMs) / 1_000;
  return new Promise((resolve) => clock.setTimer(ms, resolve));
}

async function piecesOf(inner: ObservedMachine): Promise<Pieces> {
  const pieces: Uint8Array[] = [];
  await inner.saveSnapshot({
    write(bytes) {
      pieces.push(bytes.slice());
      return Promise.resolve();
    },
    addFile: () => Promise.reject(new Error("an application adds no files")),
  });
  return pieces;
}

async function writePieces(
  pieces: Pieces,
  writer: SnapshotWriter,
  whims: MachineWhims,
): Promise<void> {
  const { files } = whims;
  const { written, filed } = files?.divide(pieces) ??
    { written: pieces, filed: [] };
  for (const piece of written) {
    await rest(whims, 20);
    if (whims.random.chance(0.05)) throw new SnapshotAborted("a whim");
    await writer.write(piece);
  }
  if (filed.length > 0) await files?.add(writer, filed, positionIn(pieces));
}

async function recover(
  inner: ObservedMachine,
  reader: ReadableStream<Uint8Array>,
  snapshot: RecoveredSnapshot,
  { files }: MachineWhims,
): Promise<void> {
  const state = files === undefined
    ? reader
    : streamOf(await files.unite(inner.node, reader, snapshot.files));
  await inner.recoverFromSnapshot(state, snapshot);
}

function streamOf(pieces: Pieces): ReadableStream<Uint8Array> {
  const waiting = [...pieces];
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = waiting.shift();
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
  });
}
