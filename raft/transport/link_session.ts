import { crc32 } from "./deps.ts";
import { BatchKeeper } from "../codec/batch_keeper.ts";
import {
  isBulk,
  recordBytesAtMost,
  RecordReader,
  type WireRecord,
} from "../codec/record.ts";
import { ReusedRecords } from "../codec/message.ts";
import { wireVersionOf } from "../codec/record_versions.ts";
import type { TransportCounters } from "./counters.ts";
import { frameKind, type HostIdentity, wireVersions } from "./handshake.ts";
import type { PendingConnection } from "./pending_connection.ts";
import { RecordQueue } from "./record_queue.ts";

/**
 * At most this much lies in the connection, in front of which an urgent record cannot go (rule C6). One record may
 * be bigger.
 */
const windowBytes = 256 * 1024;
/** More is handed over when this much is left, so that the socket never runs dry. */
const refillBytes = windowBytes / 2;

const recordsHead = new Uint8Array([frameKind.records]);
const pingFrame = new Uint8Array([frameKind.ping]);

/** Limits of a session. */
export interface SessionLimits {
  /** Longest frame. */
  readonly maxFrameBytes: number;
  /** Bytes that may wait; a quarter more for what is urgent. */
  readonly maxQueuedBytes: number;
  /** Ticks without a frame from the other side after which it is given up. */
  readonly maxSilentTicks: number;
  /** Ticks without a frame to the other side after which it gets a ping. */
  readonly pingAfterTicks: number;
  /** Where it counts. */
  readonly counters: TransportCounters;
}

/** What a session tells its pool. */
export interface SessionEvents {
  /** The first record since the last flush is queued. */
  onQueued(session: LinkSession): void;
  /** A record arrived. If it is a message, it is overwritten when this returns. */
  onRecord(session: LinkSession, record: WireRecord): void;
  /** All records of a frame arrived. */
  onFrameEnd(): void;
  /** It is over; called once. */
  onEnd(session: LinkSession, reason: string): void;
}

/** One connection to another NodeHost between its handshake and its end. */
export class LinkSession {
  /** The other side. */
  readonly remote: HostIdentity;
  /** The wire version that both sides speak. */
  readonly version: number;
  /** Whether this side dialled. */
  readonly isDialledHere: boolean;
  /** Records refused because too many waited, or because one alone exceeds a frame. */
  droppedRecords = 0;
  readonly #connection: PendingConnection;
  readonly #limits: SessionLimits;
  readonly #events: SessionEvents;
  readonly #urgent = new RecordQueue();
  readonly #bulk = new RecordQueue();
  readonly #counters: TransportCounters;
  readonly #tools = {
    crc32,
    keeper: new BatchKeeper(),
    reused: new ReusedRecords(),
  };
  /** The other side knows only what the oldest version knows. */
  readonly #isOldest: boolean;
  #isOpen = true;
  #isMarked = false;
  #isDraining = false;
  #silentTicks = 0;
  #unsentTicks = 0;

  /** Takes over a held connection; `start` begins. */
  constructor(
    handshaken: {
      remote: HostIdentity;
      version: number;
      connection: PendingConnection;
      isDialledHere: boolean;
    },
    limits: SessionLimits,
    events: SessionEvents,
  ) {
    this.remote = handshaken.remote;
    this.version = handshaken.version;
    this.#isOldest = this.version === wireVersions.lowest;
    this.isDialledHere = handshaken.isDialledHere;
    this.#connection = handshaken.connection;
    this.#limits = limits;
    this.#events = events;
    this.#counters = limits.counters;
  }

  /** Whether it can still send. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Bytes that have not left this process. */
  get queuedBytes(): number {
    return this.#urgent.bytes + this.#bulk.bytes +
      this.#connection.bufferedBytes;
  }

  /** Frames arrive from now on. */
  start(): void {
    this.#connection.start({
      onFrame: (frame) => this.#onFrame(frame),
      onClose: (reason) => this.end(reason),
    });
  }

  /**
   * Queues a record until `flush`. False if it was dropped: nothing of it leaves. What the link's version does not know
   * is dropped here at the latest: it would end the connection, of all clusters that share it.
   */
  send(record: WireRecord): boolean {
    if (!this.#isOpen) return false;
    if (this.#isOldest && wireVersionOf(record) > this.version) {
      this.#counters.recordsDropped++;
      return false;
    }
    const isBulky = isBulk(record);
    const atMost = recordBytesAtMost(record);
    const { maxFrameBytes, maxQueuedBytes } = this.#limits;
    const limit = isBulky ? maxQueuedBytes : maxQueuedBytes * 1.25;
    if (
      atMost + recordsHead.length > maxFrameBytes ||
      this.queuedBytes + atMost > limit
    ) {
      this.droppedRecords++;
      this.#counters.recordsDropped++;
      return false;
    }
    (isBulky ? this.#bulk : this.#urgent).add(record, atMost);
    this.#counters.recordsSent++;
    if (!this.#isMarked) {
      this.#isMarked = true;
      this.#events.onQueued(this);
    }
    return true;
  }

  /** Hands what is queued to the connection, as far as its window goes; the rest follows by itself. */
  flush(): void {
    this.#isMarked = false;
    if (!this.#isDraining) this.#pump();
  }

  /** Counts time. A pause of the event loop counts as one tick: what arrived meanwhile was not read yet (rule C6). */
  tick(): void {
    if (!this.#isOpen) return;
    if (++this.#silentTicks > this.#limits.maxSilentTicks) {
      return this.end("silent for too long");
    }
    if (++this.#unsentTicks >= this.#limits.pingAfterTicks) this.ping();
  }

  /** Says that this side is alive, unless something else that waits will say so. */
  ping(): void {
    if (!this.#isOpen || this.#connection.bufferedBytes > 0) return;
    this.#unsentTicks = 0;
    this.#connection.send([pingFrame]);
  }

  /** Ends it. */
  end(reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#connection.close();
    this.#events.onEnd(this, reason);
  }

  #pump(): void {
    while (this.#isOpen) {
      const waiting = this.#urgent.bytes + this.#bulk.bytes;
      if (waiting === 0) return;
      const buffered = this.#connection.bufferedBytes;
      if (buffered > refillBytes) return this.#pumpWhenDrained();
      const room = Math.min(
        windowBytes - buffered,
        this.#limits.maxFrameBytes - recordsHead.length,
      );
      const parts = [recordsHead];
      const urgent = this.#urgent.take(parts, room, true);
      const bulk = this.#bulk.take(parts, room - urgent, urgent === 0);
      this.#counters.framesSent++;
      this.#counters.bytesSent += urgent + bulk + recordsHead.length;
      this.#unsentTicks = 0;
      this.#connection.send(parts);
    }
  }

  #pumpWhenDrained(): void {
    this.#isDraining = true;
    this.#connection.drained(refillBytes).then(() => {
      this.#isDraining = false;
      this.#pump();
    });
  }

  #onFrame(frame: Uint8Array): void {
    if (!this.#isOpen) return;
    this.#silentTicks = 0;
    this.#counters.framesReceived++;
    this.#counters.bytesReceived += frame.length;
    if (frame[0] === frameKind.ping && frame.length === 1) return;
    if (frame[0] !== frameKind.records) {
      return this.end(`not a frame of a link: its kind is ${frame[0]}`);
    }
    const reader = new RecordReader(frame.subarray(1), this.#tools);
    while (this.#isOpen) {
      const record = reader.next();
      if (record === undefined) break;
      if (typeof record === "string") {
        this.end(`not a record: ${record}`);
        break;
      }
      if (this.#isOldest && wireVersionOf(record) > this.version) {
        this.end(`not a record of wire version ${this.version}`);
        break;
      }
      this.#counters.recordsReceived++;
      this.#events.onRecord(this, record);
    }
    this.#events.onFrameEnd();
  }
}
