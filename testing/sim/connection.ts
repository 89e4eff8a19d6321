/**
 * One end of a simulated connection: a pipe to the other end, in order and once, with bandwidth, delay and cuts. What the
 * network is like, and which frames suffer, is decided in `network.ts`.
 */
import type {
  Connection,
  ConnectionHandlers,
} from "../../raft/transport/transport.ts";
import { eventKind } from "./clock.ts";
import type { Scope } from "./clock.ts";
import type { SimNetwork } from "./network.ts";

/** A cut pipe takes so much before the sender's buffer fills. */
const socketBufferBytes = 256 * 1024;

/** A frame under way, or (undefined) the end of the connection. */
interface Carried {
  readonly frame: Uint8Array | undefined;
  readonly leavesUs: number;
}

/** One end of a connection, with the pipe that leads from it to the other end. */
export class SimConnection implements Connection {
  /** The other end; undefined once that is gone without a word. */
  remote: SimConnection | undefined;
  /** What it is for, as the watcher has read; 0 while not known. */
  purpose = 0;
  readonly #network: SimNetwork;
  #handlers: ConnectionHandlers | undefined;
  #early: Uint8Array[] = [];
  #closedAtUs: number | undefined;
  #hasToldClose = false;
  #closeReason = "";
  /** The machine of the other end, once it is gone. */
  #goneMachine = -1;
  #lastArrivalUs = 0;
  #freeUs = 0;
  #unsent: { leavesUs: number; bytes: number }[] = [];
  #unsentBytes = 0;
  #stalled: Carried[] = [];
  #stalledBytes = 0;
  #waiters: { bytes: number; resolve: () => void }[] = [];

  /** Made by {@link SimNetwork} in pairs. */
  constructor(
    network: SimNetwork,
    /** Where this end is. */
    readonly machine: number,
    /** The process that holds this end. */
    readonly scope: Scope,
    /** See {@link Connection}. */
    readonly remoteAddress: string,
  ) {
    this.#network = network;
  }

  /** See {@link Connection}. */
  get bufferedBytes(): number {
    if (this.#closedAtUs !== undefined) return 0;
    const { nowUs } = this.#network.timeline;
    while (this.#unsent.length > 0 && this.#unsent[0]!.leavesUs <= nowUs) {
      this.#unsentBytes -= this.#unsent.shift()!.bytes;
    }
    return this.#unsentBytes +
      Math.max(0, this.#stalledBytes - socketBufferBytes);
  }

  /** See {@link Connection}. */
  start(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    for (const frame of this.#early) handlers.onFrame(frame);
    this.#early = [];
    if (this.#closedAtUs !== undefined) this.#tellClose();
  }

  /** See {@link Connection}. */
  send(parts: readonly Uint8Array[]): void {
    if (this.#closedAtUs !== undefined) return;
    let length = 0;
    for (const part of parts) length += part.length;
    const frame = this.#network.frame(length);
    let at = 0;
    for (const part of parts) {
      frame.set(part, at);
      at += part.length;
    }
    this.#network.transmit(this, frame);
  }

  /** See {@link Connection}. */
  drained(bytes: number): Promise<void> {
    if (this.bufferedBytes <= bytes) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push({ bytes, resolve });
      this.#checkWaiters();
    });
  }

  /** See {@link Connection}. */
  close(): void {
    if (this.#closedAtUs !== undefined) return;
    this.#end("closed on this side");
    this.carry(undefined, this.#network.timeline.nowUs);
  }

  /** Accounts for a frame's time on the wire; returns when it leaves. */
  leaves(bytes: number, bytesPerUs: number): number {
    const { nowUs } = this.#network.timeline;
    this.#freeUs = Math.max(this.#freeUs, nowUs) + bytes / bytesPerUs;
    if (this.#freeUs - nowUs >= 1) {
      this.#unsent.push({ leavesUs: this.#freeUs, bytes });
      this.#unsentBytes += bytes;
    }
    return this.#freeUs;
  }

  /** Lets a frame, or the end, travel in the order of the pipe. */
  carry(frame: Uint8Array | undefined, leavesUs: number): void {
    const receiver = this.remote;
    if (receiver === undefined) return this.#sendToNobody();
    if (
      this.#stalled.length > 0 ||
      this.#network.isCut(this.machine, receiver.machine)
    ) {
      this.#stall({ frame, leavesUs });
      return;
    }
    const crossingUs = this.#network.crossingUs(this.machine, receiver.machine);
    this.#scheduleArrival({ frame, leavesUs }, leavesUs + crossingUs, receiver);
  }

  /** The time at which something sent now would arrive, with that place in the pipe's order taken. */
  reserveArrival(): number {
    const { nowUs } = this.#network.timeline;
    const crossingUs = this.#network.crossingUs(
      this.machine,
      this.remote!.machine,
    );
    this.#lastArrivalUs = this.#network.instantUs(
      Math.max(nowUs + crossingUs, this.#lastArrivalUs),
    );
    return this.#lastArrivalUs;
  }

  /** The cut is mended: what stalled is sent again after a while, in order. */
  resumeStalled(): void {
    const stalled = this.#stalled;
    this.#stalled = [];
    this.#stalledBytes = 0;
    const receiver = this.remote;
    if (receiver === undefined) return;
    const crossingUs = this.#network.crossingUs(this.machine, receiver.machine);
    const { nowUs } = this.#network.timeline;
    for (const carried of stalled) {
      this.#scheduleArrival(
        carried,
        Math.max(nowUs, carried.leavesUs) + 3 * crossingUs,
        receiver,
      );
    }
    this.#checkWaiters();
  }

  /** Both ends learn at once that the connection broke. */
  breakNow(): void {
    const other = this.remote;
    this.remote = undefined;
    this.#end("connection reset");
    this.#network.forget(this);
    if (other === undefined) return;
    other.remote = undefined;
    other.#end("connection reset");
    this.#network.forget(other);
  }

  /** The process at this end is gone. */
  die(withMachine: boolean): void {
    const other = this.remote;
    this.#closedAtUs = this.#network.timeline.nowUs;
    this.#hasToldClose = true;
    this.remote = undefined;
    this.#network.forget(this);
    if (other === undefined) return;
    if (withMachine) {
      other.remote = undefined;
      other.#goneMachine = this.machine;
      return;
    }
    // The kernel closes the socket. What was under way may still arrive, or a reset overtakes it.
    this.remote = other;
    if (this.#network.chance(0.5)) this.#lastArrivalUs = 0;
    this.carry(undefined, this.#network.timeline.nowUs);
    this.remote = undefined;
  }

  /** A frame has come to this end. */
  arrive(frame: Uint8Array): void {
    if (this.#closedAtUs !== undefined) return;
    this.#network.traceFrame(frame);
    if (this.#handlers === undefined) this.#early.push(frame);
    else this.#handlers.onFrame(frame);
  }

  #scheduleArrival(
    carried: Carried,
    earliestUs: number,
    receiver: SimConnection,
  ): void {
    const atUs = this.#network.instantUs(
      Math.max(earliestUs, this.#lastArrivalUs),
    );
    this.#lastArrivalUs = atUs;
    const { timeline } = this.#network;
    timeline.schedule(
      receiver.scope,
      atUs - timeline.nowUs,
      eventKind.network,
      () => {
        // A cut made meanwhile stops what was under way, too.
        if (
          this.remote !== undefined &&
          this.#network.isCut(this.machine, receiver.machine)
        ) {
          this.#stall(carried);
          return;
        }
        if (carried.frame === undefined) receiver.#otherEnded();
        else if (this.#hasLeft(carried)) receiver.arrive(carried.frame);
      },
    );
  }

  /** What had not left when the connection was closed is lost. */
  #hasLeft(carried: Carried): boolean {
    return this.#closedAtUs === undefined ||
      carried.leavesUs <= this.#closedAtUs;
  }

  #stall(carried: Carried): void {
    this.#stalled.push(carried);
    this.#stalledBytes += carried.frame?.length ?? 0;
  }

  #otherEnded(): void {
    this.remote = undefined;
    this.#end("closed by the other end");
    this.#network.forget(this);
  }

  /** The other machine lost its power: silence, or a reset once it runs again. */
  #sendToNobody(): void {
    const machine = this.#goneMachine;
    if (
      machine < 0 || this.#network.isDark(machine) ||
      this.#network.isCut(machine, this.machine)
    ) return;
    const { timeline } = this.#network;
    const backUs = 2 * this.#network.crossingUs(this.machine, machine);
    timeline.schedule(this.scope, backUs, eventKind.network, () => {
      this.#end("connection reset by the other machine");
      this.#network.forget(this);
    });
  }

  #end(reason: string): void {
    if (this.#closedAtUs !== undefined) return;
    this.#closedAtUs = this.#network.timeline.nowUs;
    this.#closeReason = reason;
    this.#unsent = [];
    this.#unsentBytes = 0;
    this.#checkWaiters();
    if (this.#handlers !== undefined) this.#tellClose();
  }

  /** `onClose` comes in an event of its own, never inside a call of the owner. */
  #tellClose(): void {
    if (this.#hasToldClose) return;
    this.#hasToldClose = true;
    this.#network.timeline.schedule(this.scope, 0, eventKind.network, () => {
      this.#handlers?.onClose(this.#closeReason);
    });
  }

  #checkWaiters(): void {
    if (this.#waiters.length === 0) return;
    const buffered = this.bufferedBytes;
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiting) {
      if (buffered <= waiter.bytes) waiter.resolve();
      else this.#waiters.push(waiter);
    }
    const next = this.#unsent[0];
    if (this.#waiters.length > 0 && next !== undefined) {
      const delayUs = Math.ceil(next.leavesUs - this.#network.timeline.nowUs);
      this.#network.timeline.schedule(
        this.scope,
        delayUs,
        eventKind.network,
        () => this.#checkWaiters(),
      );
    }
  }
}
