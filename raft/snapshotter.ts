/**
 * Snapshots of a NodeHost: saves them from state machines, streams them to and from other hosts, and sees to it that
 * only so many are under way that the log keeps its share of the disk (rule L5).
 */
import type { SnapshotFile } from "../storage/snapshot_reader.ts";
import type { SnapshotStore } from "../storage/snapshots.ts";
import type { SnapshotFileWriter } from "../storage/snapshot_writer.ts";
import type { Crc32, SnapshotMeta } from "./core/types.ts";
import { RaftError } from "./errors.ts";
import type { Clock, Logger } from "./ports.ts";
import { type SnapshotHandler, SnapshotReceiver } from "./snapshot_receiver.ts";
import { SnapshotPipe } from "./snapshot_pipe.ts";
import {
  type ChunkSource,
  FileSource,
  SnapshotSender,
} from "./snapshot_sender.ts";
import type { BegunSnapshot } from "./machine_snapshots.ts";
import type { SnapshotWriter } from "./state_machine.ts";
import { Throttle } from "./throttle.ts";
import type { Connection } from "./transport/transport.ts";
import type { SnapshotOffer } from "./codec/snapshot_chunk.ts";

export type { SnapshotHandler } from "./snapshot_receiver.ts";
export type { SnapshotOffer } from "./codec/snapshot_chunk.ts";

/** How a {@link Snapshotter} is made. */
export interface SnapshotterOptions {
  /** Where snapshots are. */
  readonly store: SnapshotStore;
  /** Time, and turns of the event loop. */
  readonly clock: Clock;
  /** Where failures are told. */
  readonly logger: Logger;
  /** The checksum of all formats. */
  readonly crc32: Crc32;
  /** Snapshots saved at the same time, 2 by default; more wait. */
  readonly maxConcurrentSaves?: number;
  /** Snapshots sent at the same time, 4 by default; more wait. */
  readonly maxConcurrentSends?: number;
  /** Snapshots received at the same time, 8 by default; more are refused, and the sender comes again. */
  readonly maxConcurrentReceives?: number;
  /** Bytes per second that all sends take together; no limit if undefined. */
  readonly maxSendBytesPerSecond?: number | undefined;
  /** Bytes per second that all receives take together; no limit if undefined. */
  readonly maxReceiveBytesPerSecond?: number | undefined;
  /** Milliseconds without progress after which the other side is given up, 30,000 by default. */
  readonly stallMs?: number;
}

/** A snapshot to save. */
export interface SaveRequest {
  /** The cluster. */
  readonly clusterId: number;
  /** The node of it on this host. */
  readonly nodeId: number;
  /** Gives up; what was written is removed. */
  readonly signal?: AbortSignal;
  /**
   * Called when it is this snapshot's turn. Returns where the state stands and how to write it, or undefined if a
   * snapshot is no longer wanted. `write` is called once in any case, so whatever waits for its end goes on also if no
   * file can be made (it is then given a writer that refuses).
   */
  begin(): BegunSnapshot | undefined | Promise<BegunSnapshot | undefined>;
  /** Where the file goes, if it is not one of the node's own snapshots. */
  pathOf?(meta: SnapshotMeta): string;
}

/** What every snapshot that is sent has. */
interface OutgoingSnapshot {
  /** Makes the connection, which has its handshake behind it; `signal` ends the attempt. */
  open(signal: AbortSignal): Promise<Connection>;
  /** The cluster. */
  readonly clusterId: number;
  /** The node of it on this host. */
  readonly from: number;
  /** The node that is to have it. */
  readonly to: number;
  /** The sender's term. */
  readonly term: number;
  /** Digest of the cluster's initial members (rule I3). */
  readonly fingerprint: string;
  /** Generation of the cluster (rule I3). */
  readonly generation: number;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

/** A snapshot to send from its file. */
export interface SendRequest extends OutgoingSnapshot {
  /** Which snapshot. */
  readonly meta: SnapshotMeta;
}

/** A snapshot to send straight from the state machine. */
export interface StreamRequest extends OutgoingSnapshot {
  /** Fixes the state, as for a {@link SaveRequest}. */
  begin(): Promise<BegunSnapshot | undefined>;
}

/** Saves, sends and receives snapshots. */
export class Snapshotter {
  readonly #options: SnapshotterOptions;
  readonly #saves: Slots;
  readonly #sends: Slots;
  readonly #receivers = new Set<SnapshotReceiver>();
  /** Ends everything under way. */
  readonly #closing = new AbortController();
  readonly #stallMs: number;
  readonly #sendThrottle: Throttle | undefined;
  readonly #receiveThrottle: Throttle | undefined;

  /** Begins nothing. */
  constructor(options: SnapshotterOptions) {
    this.#options = options;
    this.#stallMs = options.stallMs ?? 30_000;
    const { clock, maxSendBytesPerSecond, maxReceiveBytesPerSecond } = options;
    this.#sendThrottle = throttleOf(clock, maxSendBytesPerSecond);
    this.#receiveThrottle = throttleOf(clock, maxReceiveBytesPerSecond);
    this.#saves = new Slots(options.maxConcurrentSaves ?? 2);
    this.#sends = new Slots(options.maxConcurrentSends ?? 4);
  }

  /**
   * Saves a snapshot durably. Settles after `write` has; returns undefined if `begin` no longer wanted one.
   *
   * @throws {RaftError} `diskFull` or `diskFailed`, also if the state machine made another error of that; `closed`.
   * @throws whatever `write` threw of its own, and `signal.reason`.
   */
  async save(
    request: SaveRequest,
  ): Promise<{ meta: SnapshotMeta; bytes: number } | undefined> {
    return await this.#inTurn(this.#saves, request.signal, async (signal) => {
      const begun = await request.begin();
      if (begun === undefined) return undefined;
      const { meta } = begun;
      let writer: SnapshotFileWriter;
      try {
        signal.throwIfAborted();
        writer = this.#writerFor(request, begun);
      } catch (error) {
        await begun.write(refusingWriter(error)).catch(() => {});
        throw error;
      }
      const forget = onAbort(signal, () => writer.abort());
      try {
        await writeSnapshot(begun, writer);
        const { bytes } = await writer.finish();
        return { meta, bytes };
      } catch (error) {
        writer.abort();
        signal.throwIfAborted();
        // A full disk is told as such, whatever the state machine made of it.
        throw writer.failure ?? error;
      } finally {
        forget();
      }
    });
  }

  /**
   * Opens a snapshot for reading; the caller closes it.
   *
   * @throws {RaftError} `corruption`, with path and offset, or `diskFailed`.
   */
  open(clusterId: number, nodeId: number, index: number): SnapshotFile {
    return this.#options.store.open(clusterId, nodeId, index);
  }

  /**
   * Sends a snapshot. Settles when the receiver has it on its disk.
   *
   * @throws {RaftError} `rejected` if the receiver refused it or failed, `dropped` if the connection ended, `timeout`
   * if it stalled, `corruption` if our own file is damaged, `closed`.
   * @throws what `open` throws, and `signal.reason`.
   */
  async send(request: SendRequest): Promise<void> {
    await this.#inTurn(this.#sends, request.signal, async (signal) => {
      const { clusterId, from, meta } = request;
      const snapshot = this.#options.store.open(clusterId, from, meta.index);
      let forget = () => {};
      try {
        const offer = offerOf(request, snapshot);
        const connection = await request.open(signal);
        const source = new FileSource(snapshot, this.#options.crc32);
        const sender = this.#senderOf(connection, source, offer);
        forget = onAbort(signal, () => sender.abort(signal.reason));
        await sender.run();
      } finally {
        forget();
        snapshot.close();
      }
    });
  }

  /**
   * Sends a snapshot straight from a state machine, whose writing waits for the network. Settles when the receiver has it
   * on its disk, and `write` of what `begin` returned has settled. Returns where it stands.
   *
   * @throws {RaftError} as {@link send}.
   * @throws what `begin`, `write` and `open` throw, and `signal.reason`.
   */
  async stream(request: StreamRequest): Promise<SnapshotMeta | undefined> {
    return await this.#inTurn(this.#sends, request.signal, async (signal) => {
      const begun = await request.begin();
      if (begun === undefined) return undefined;
      let connection: Connection;
      try {
        connection = await request.open(signal);
      } catch (error) {
        await begun.write(refusingWriter(error)).catch(() => {});
        throw error;
      }
      const { meta, making } = begun;
      const { clusterId } = request;
      const pipe = new SnapshotPipe();
      const offer = { ...offerFields(request), meta, fileBytes: 0 };
      const sender = this.#senderOf(connection, pipe, offer);
      const { store } = this.#options;
      const header = { clusterId, meta };
      const writer = store.createInto(pipe, header, making ?? {});
      const forget = onAbort(signal, () => {
        sender.abort(signal.reason);
        pipe.fail(signal.reason);
      });
      const written = writeSnapshot(begun, writer).then(() => writer.finish());
      const sent = sender.run();
      // Whichever fails ends the other, and both have ended before anybody is told.
      written.catch((error) => {
        sender.abort(error);
        pipe.fail(error); // The sender may be waiting for what comes next.
      });
      sent.catch((error) => {
        pipe.fail(error);
        writer.abort();
      });
      try {
        await Promise.allSettled([written, sent]);
        await sent;
        await written;
      } finally {
        forget();
      }
      return meta;
    });
  }

  /**
   * Receives one snapshot over a connection that another host opened for it. Must be called in the turn in which the
   * connection was handed over.
   */
  accept(connection: Connection, handler: SnapshotHandler): void {
    const { store, clock, crc32, logger } = this.#options;
    const receiver = new SnapshotReceiver(connection, {
      store,
      clock,
      crc32,
      logger,
      stallMs: this.#stallMs,
      throttle: this.#receiveThrottle,
      handler,
      admit: (offer) => this.#admit(offer),
      onEnd: () => this.#receivers.delete(receiver),
    });
    this.#receivers.add(receiver);
    receiver.start();
    if (this.#closing.signal.aborted) receiver.close("the host is closing");
  }

  /** The node stops, or its data are removed: gives up what is being received for it. */
  abortReceives(clusterId: number, nodeId: number, reason: string): void {
    for (const receiver of [...this.#receivers]) {
      const { offer } = receiver;
      if (offer?.clusterId === clusterId && offer.to === nodeId) {
        receiver.abort(reason);
      }
    }
  }

  /** Ends everything under way; what comes later is refused. */
  close(): void {
    const reason = new RaftError(
      "closed",
      "Cannot go on with the snapshot: the host is closing",
    );
    this.#closing.abort(reason);
    this.#sendThrottle?.close();
    this.#receiveThrottle?.close();
    for (const receiver of [...this.#receivers]) {
      receiver.close("the host is closing");
    }
  }

  #writerFor(request: SaveRequest, begun: BegunSnapshot): SnapshotFileWriter {
    const { clusterId, nodeId } = request;
    const { meta, making } = begun;
    const { store } = this.#options;
    const path = request.pathOf?.(meta);
    return path === undefined
      ? store.create(clusterId, nodeId, meta, making)
      : store.createAt(path, { clusterId, meta }, making ?? {});
  }

  #senderOf(
    connection: Connection,
    source: ChunkSource,
    offer: SnapshotOffer,
  ): SnapshotSender {
    const { clock, crc32 } = this.#options;
    return new SnapshotSender(connection, source, offer, {
      clock,
      crc32,
      stallMs: this.#stallMs,
      throttle: this.#sendThrottle,
    });
  }

  /** One snapshot per node: that of the highest term, and of two in one term the newer. */
  #admit(offer: SnapshotOffer): string | undefined {
    const { clusterId, to, term } = offer;
    const others = [...this.#receivers].filter((one) =>
      one.offer !== undefined
    );
    const rival = others.find((one) =>
      one.offer?.clusterId === clusterId && one.offer.to === to
    );
    if (rival?.offer !== undefined) {
      if (rival.offer.term > term) {
        return `a snapshot of term ${rival.offer.term} is being received`;
      }
      // A leader that comes again lost its first connection; one of an older term leads no longer.
      rival.abort("a newer one is offered");
      return undefined;
    }
    const most = this.#options.maxConcurrentReceives ?? 8;
    return others.length < most
      ? undefined
      : `${others.length} snapshots are being received`;
  }

  /** Runs a task when it has a slot, under a signal that the caller's or `close` aborts. */
  async #inTurn<T>(
    slots: Slots,
    signal: AbortSignal | undefined,
    task: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const controller = new AbortController();
    const closing = this.#closing.signal;
    const forgets = [closing, ...(signal === undefined ? [] : [signal])].map(
      (source) => onAbort(source, () => controller.abort(source.reason)),
    );
    try {
      const release = await slots.take(controller.signal);
      try {
        controller.signal.throwIfAborted();
        return await task(controller.signal);
      } finally {
        release();
      }
    } finally {
      for (const forget of forgets) forget();
    }
  }
}

/** Calls `callback` when the signal is aborted, or at once; returns what takes that back. */
function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) callback();
  else signal.addEventListener("abort", callback, { once: true });
  return () => signal.removeEventListener("abort", callback);
}

/** A writer for a snapshot that has no file. */
function refusingWriter(error: unknown): SnapshotWriter {
  const refusal = Promise.reject(error);
  refusal.catch(() => {}); // Whoever does not wait must not end the process.
  return { write: () => refusal, addFile: () => refusal };
}

/** Writes the sessions, if there are any, and lets the state machine write its state behind them. */
async function writeSnapshot(
  begun: BegunSnapshot,
  writer: SnapshotFileWriter,
): Promise<void> {
  // In order, before what follows; a failure is told by what follows, too.
  if (begun.sessions !== undefined) {
    writer.writeSessions(begun.sessions).catch(() => {});
  }
  await begun.write({
    write: (bytes) => writer.write(bytes),
    addFile: (id, path, metadata) => writer.addFile(id, path, metadata),
  });
}

function throttleOf(
  clock: Clock,
  bytesPerSecond: number | undefined,
): Throttle | undefined {
  return bytesPerSecond === undefined
    ? undefined
    : new Throttle(clock, bytesPerSecond);
}

function offerFields(
  request: OutgoingSnapshot,
): Omit<SnapshotOffer, "meta" | "fileBytes"> {
  const { clusterId, from, to, term, fingerprint, generation } = request;
  return { clusterId, from, to, term, fingerprint, generation };
}

function offerOf(request: SendRequest, snapshot: SnapshotFile): SnapshotOffer {
  const { meta } = request;
  if (snapshot.meta.term !== meta.term) {
    throw new RaftError(
      "corruption",
      `Cannot send snapshot ${snapshot.path}: it is of term ${snapshot.meta.term}, and the log has ${meta.term}`,
    );
  }
  const { fileBytes } = snapshot;
  return { ...offerFields(request), meta: snapshot.meta, fileBytes };
}

/** Lets so many through at a time, and the others in the order in which they came. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Waits for a slot, and returns what gives it back. Rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    return () => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    };
  }

  /** Resolves when a slot was handed over. */
  #wait(signal: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const go = () => {
        forget();
        resolve();
      };
      const forget = onAbort(signal, () => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        reject(signal.reason);
      });
      this.#waiting.push(go);
    });
  }
}
