/**
 * A network that is as unkind as a real one. Connections are pairs of pipes that carry whole frames: in order
 * and once, as `transport.ts` promises, until they break; then the frames under way are lost. Between two machines
 * a direction can be cut: frames stall, as TCP's do, until it is mended or somebody gives the connection up.
 *
 * Raft asks for less than an ordered connection, so frames that bear it are also lost, duplicated and reordered
 * inside a connection; the world says which ones do (`wire.ts`).
 */
import type {
  Connection,
  Listener,
  Network,
} from "../../raft/transport/transport.ts";
import { eventKind } from "./clock.ts";
import type { Scope, Timeline } from "./clock.ts";
import { SimConnection } from "./connection.ts";
import { digestOf } from "./digest.ts";
import type { SimRandom } from "./random.ts";
import type { Trace } from "./trace.ts";

/** What kind of network it is. */
export interface NetworkTraits {
  /** Microseconds from machine to machine: lowest, usual, highest. */
  readonly latencyUs: readonly [low: number, usual: number, high: number];
  /** Arrivals are rounded up to multiples of this, so that several share an instant. */
  readonly roundUs: number;
  /** Bandwidth of one connection. */
  readonly bytesPerUs: number;
}

/** Probabilities that a fault may raise for a while. */
export interface FrameFaults {
  /** A frame that bears it is lost. */
  loss: number;
  /** A frame that bears it arrives twice. */
  duplicate: number;
  /** A frame that bears it is overtaken by later ones. */
  reorder: number;
  /** A dial is refused although somebody listens. */
  refuseDial: number;
}

/** Counts for the report. */
export interface NetworkStatistics {
  frames: number;
  bytes: number;
  lost: number;
  duplicated: number;
  reordered: number;
  dials: number;
  dialsRefused: number;
  connections: number;
  connectionsBroken: number;
}

/** What the network asks about a frame, and tells about it. */
export interface FrameWatcher {
  /** A frame was handed to the network. */
  onSend(sender: SimConnection, frame: Uint8Array): void;
  /** Whether that frame may be lost, doubled or overtaken inside its connection. */
  bearsDisorder(sender: SimConnection, frame: Uint8Array): boolean;
}

interface Listening {
  readonly scope: Scope;
  readonly machine: number;
  readonly onConnection: (connection: Connection) => void;
}

const slabBytes = 64 * 1024;
const dialRetryUs = 1_000_000;
const dialAttempts = 10;

/** An error as Node words it. */
export function codedError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}

/** All machines' network. */
export class SimNetwork {
  /** Raised by faults, zero otherwise. */
  readonly faults: FrameFaults = {
    loss: 0,
    duplicate: 0,
    reorder: 0,
    refuseDial: 0,
  };
  /** Counts for the report. */
  readonly statistics: NetworkStatistics = {
    frames: 0,
    bytes: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    dials: 0,
    dialsRefused: 0,
    connections: 0,
    connectionsBroken: 0,
  };
  /** Time, shared with everything else. */
  readonly timeline: Timeline;
  readonly #trace: Trace;
  readonly #random: SimRandom;
  readonly #traits: NetworkTraits;
  readonly #watcher: FrameWatcher;
  readonly #machineOf: Map<string, number>;
  readonly #listening = new Map<string, Listening>();
  readonly #connections = new Set<SimConnection>();
  readonly #isDark: boolean[];
  readonly #cuts: number[];
  readonly #extraDelayUs: number[];
  readonly #machineCount: number;
  #slab = new Uint8Array(slabBytes);
  #slabUsed = 0;

  /** `addresses[i]` is the address of machine i. */
  constructor(
    options: {
      timeline: Timeline;
      trace: Trace;
      random: SimRandom;
      traits: NetworkTraits;
      addresses: readonly string[];
      watcher: FrameWatcher;
    },
  ) {
    this.timeline = options.timeline;
    this.#trace = options.trace;
    this.#random = options.random;
    this.#traits = options.traits;
    this.#watcher = options.watcher;
    this.#machineOf = new Map(
      options.addresses.map((address, i) => [address, i]),
    );
    const count = options.addresses.length;
    this.#machineCount = count;
    this.#isDark = new Array(count).fill(false);
    this.#cuts = new Array(count * count).fill(0);
    this.#extraDelayUs = new Array(count * count).fill(0);
  }

  /** A machine has one more address. */
  addAddress(address: string, machine: number): void {
    this.#machineOf.set(address, machine);
  }

  /** The network as one process on `machine` sees it. */
  host(machine: number, scope: Scope): Network {
    return {
      listen: (address, onConnection) =>
        this.#listen(address, { machine, scope, onConnection }),
      connect: (address, signal) =>
        this.#connect(machine, scope, address, signal),
    };
  }

  /** Cuts one direction. Cuts add up; each needs its {@link mend}. */
  cut(from: number, to: number): void {
    this.#cuts[from * this.#machineCount + to]!++;
  }

  /** Takes one cut back; with the last, what stalled goes on, or the connection breaks. */
  mend(from: number, to: number): void {
    const left = --this.#cuts[from * this.#machineCount + to]!;
    if (left > 0) return;
    for (const connection of [...this.#connections]) {
      if (connection.machine === from && connection.remote?.machine === to) {
        connection.resumeStalled();
      }
    }
  }

  /** Makes one direction slower by `deltaUs`, or with a negative value faster again. */
  slow(from: number, to: number, deltaUs: number): void {
    this.#extraDelayUs[from * this.#machineCount + to]! += deltaUs;
  }

  /** Breaks the connections between two machines; what is under way is lost. Returns how many there were. */
  breakConnections(a: number, b: number): number {
    let count = 0;
    for (const connection of [...this.#connections]) {
      if (connection.machine !== a || connection.remote?.machine !== b) {
        continue;
      }
      connection.breakNow();
      count++;
    }
    this.statistics.connectionsBroken += count;
    return count;
  }

  /**
   * The process in `scope` is gone. Killed: the other ends learn it soon. With its machine: nobody is told, and
   * frames sent to it vanish.
   */
  processDied(machine: number, scope: Scope, withMachine: boolean): void {
    for (const [address, listening] of [...this.#listening]) {
      if (listening.scope === scope) this.#listening.delete(address);
    }
    this.#isDark[machine] = withMachine;
    for (const connection of [...this.#connections]) {
      if (connection.scope === scope) connection.die(withMachine);
    }
  }

  /** The machine runs again: frames for its dead connections are answered by a reset. */
  machineStarted(machine: number): void {
    this.#isDark[machine] = false;
  }

  /** Whether frames from one machine to another stall. */
  isCut(from: number, to: number): boolean {
    return this.#cuts[from * this.#machineCount + to]! > 0;
  }

  /** Whether a machine has no power. */
  isDark(machine: number): boolean {
    return this.#isDark[machine]!;
  }

  /** Microseconds for one crossing, drawn anew. */
  crossingUs(from: number, to: number): number {
    const [low, usual, high] = this.#traits.latencyUs;
    return this.#random.longTail(low, usual, high) +
      this.#extraDelayUs[from * this.#machineCount + to]!;
  }

  /** Sends one frame down a pipe. */
  transmit(sender: SimConnection, frame: Uint8Array): void {
    this.statistics.frames++;
    this.statistics.bytes += frame.length;
    this.#watcher.onSend(sender, frame);
    const leavesUs = sender.leaves(frame.length, this.#traits.bytesPerUs);
    const { faults } = this;
    if (
      (faults.loss > 0 || faults.duplicate > 0 || faults.reorder > 0) &&
      this.#watcher.bearsDisorder(sender, frame)
    ) {
      if (this.#random.chance(faults.loss)) {
        this.statistics.lost++;
        return;
      }
      if (this.#random.chance(faults.duplicate)) {
        this.statistics.duplicated++;
        this.#deliverLate(sender, frame.slice(), leavesUs);
      }
      if (this.#random.chance(faults.reorder)) {
        this.statistics.reordered++;
        this.#deliverLate(sender, frame, leavesUs);
        return;
      }
    }
    sender.carry(frame, leavesUs);
  }

  /** Memory for a frame. Short ones share it, since making it costs more than all that is done with them. */
  frame(length: number): Uint8Array {
    if (length > slabBytes / 8) return new Uint8Array(length);
    if (this.#slabUsed + length > slabBytes) {
      this.#slab = new Uint8Array(slabBytes);
      this.#slabUsed = 0;
    }
    const from = this.#slabUsed;
    this.#slabUsed += length;
    return this.#slab.subarray(from, from + length);
  }

  /** Rounds an arrival to the instants of this network. */
  instantUs(timeUs: number): number {
    const { roundUs } = this.#traits;
    return Math.ceil(timeUs / roundUs) * roundUs;
  }

  /** Mixes a delivered frame into the trace. */
  traceFrame(frame: Uint8Array): void {
    this.#trace.mix(digestOf(frame), frame.length);
  }

  /** A decision of the network. */
  chance(probability: number): boolean {
    return this.#random.chance(probability);
  }

  /** Forgets a connection that ended at both ends. */
  forget(connection: SimConnection): void {
    this.#connections.delete(connection);
  }

  /** A frame outside the order of its pipe: between one and some ten crossings late. */
  #deliverLate(
    sender: SimConnection,
    frame: Uint8Array,
    leavesUs: number,
  ): void {
    const receiver = sender.remote;
    if (receiver === undefined) return;
    let lateUs = this.crossingUs(sender.machine, receiver.machine);
    for (let i = this.#random.below(10); i > 0; i--) {
      lateUs += this.crossingUs(sender.machine, receiver.machine);
    }
    const atUs = this.instantUs(leavesUs + lateUs);
    this.timeline.schedule(
      receiver.scope,
      atUs - this.timeline.nowUs,
      eventKind.network,
      () => {
        if (!this.isCut(sender.machine, receiver.machine)) {
          receiver.arrive(frame);
        }
      },
    );
  }

  #listen(address: string, listening: Listening): Promise<Listener> {
    const present = this.#listening.get(address);
    if (present !== undefined && present.scope.isAlive) {
      return Promise.reject(
        codedError("EADDRINUSE", `address already in use ${address}`),
      );
    }
    this.#listening.set(address, listening);
    return Promise.resolve({
      address,
      close: () => {
        if (this.#listening.get(address) === listening) {
          this.#listening.delete(address);
        }
      },
    });
  }

  #connect(
    machine: number,
    scope: Scope,
    address: string,
    signal: AbortSignal,
  ): Promise<Connection> {
    this.statistics.dials++;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const dial: Dial = {
        machine,
        scope,
        address,
        isOver: false,
        attempts: 0,
        resolve,
        reject,
      };
      signal.addEventListener("abort", () => {
        if (dial.isOver) return;
        dial.isOver = true;
        reject(signal.reason);
      }, { once: true });
      this.#knock(dial);
    });
  }

  /** One attempt to reach the listener; repeated while nobody answers at all. */
  #knock(dial: Dial): void {
    if (dial.isOver) return;
    const target = this.#machineOf.get(dial.address);
    if (target === undefined) return this.#refuse(dial, "ENOTFOUND", 0);
    if (
      this.isCut(dial.machine, target) || this.isCut(target, dial.machine) ||
      this.#isDark[target]
    ) {
      if (++dial.attempts >= dialAttempts) {
        return this.#refuse(dial, "ETIMEDOUT", 0);
      }
      this.timeline.schedule(
        dial.scope,
        dialRetryUs,
        eventKind.network,
        () => this.#knock(dial),
      );
      return;
    }
    const thereUs = this.crossingUs(dial.machine, target);
    const listening = this.#listening.get(dial.address);
    if (
      listening === undefined || !listening.scope.isAlive ||
      this.#random.chance(this.faults.refuseDial)
    ) {
      return this.#refuse(dial, "ECONNREFUSED", 2 * thereUs);
    }
    this.timeline.schedule(listening.scope, thereUs, eventKind.network, () => {
      if (dial.isOver || !dial.scope.isAlive) return;
      if (this.#listening.get(dial.address) !== listening) {
        return this.#refuse(dial, "ECONNREFUSED", thereUs);
      }
      this.#accept(dial, listening);
    });
  }

  #accept(dial: Dial, listening: Listening): void {
    this.statistics.connections++;
    const near = new SimConnection(
      this,
      dial.machine,
      dial.scope,
      dial.address,
    );
    const far = new SimConnection(
      this,
      listening.machine,
      listening.scope,
      `machine-${dial.machine}`,
    );
    near.remote = far;
    far.remote = near;
    this.#connections.add(near).add(far);
    const backUs = far.reserveArrival();
    this.timeline.schedule(
      dial.scope,
      backUs - this.timeline.nowUs,
      eventKind.network,
      () => {
        if (dial.isOver) return near.close();
        dial.isOver = true;
        dial.resolve(near);
      },
    );
    listening.onConnection(far);
  }

  #refuse(dial: Dial, code: string, delayUs: number): void {
    this.timeline.schedule(dial.scope, delayUs, eventKind.network, () => {
      if (dial.isOver) return;
      dial.isOver = true;
      this.statistics.dialsRefused++;
      dial.reject(codedError(code, `connect ${dial.address}`));
    });
  }
}

interface Dial {
  readonly machine: number;
  readonly scope: Scope;
  readonly address: string;
  readonly resolve: (connection: Connection) => void;
  readonly reject: (error: unknown) => void;
  isOver: boolean;
  attempts: number;
}
