/** Virtual time, an unkind order of events and recording owners for the tests of the transport. */
import { setImmediate } from "./deps.ts";
import type { WireRecord } from "../../../raft/codec/record.ts";
import type { Clock, Logger, Random, Timer } from "../../../raft/ports.ts";
import {
  type HostIdentity,
  type Link,
  LinkPool,
  type LinkPoolOptions,
} from "../../../raft/transport/link_pool.ts";
import type {
  Connection,
  ConnectionHandlers,
  Network,
} from "../../../raft/transport/transport.ts";

/** A small generator for seeds in tests. */
export function randomFrom(seed: number): (below: number) => number {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

/** Lets promises settle; nothing else runs on the real event loop meanwhile. */
export function settlePromises(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A clock that stands still until it is told to go, and events that happen when it is told so. */
export class VirtualClock implements Clock {
  #now = 1_000;
  #nextId = 0;
  readonly #timers: { at: number; id: number; callback: () => void }[] = [];
  readonly #events: (() => void)[] = [];
  /** Picks which event comes next; the oldest by default. */
  pick: (count: number) => number = () => 0;

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return this.#now;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.#now + delayMs, id: this.#nextId++, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        const at = this.#timers.indexOf(timer);
        if (at >= 0) this.#timers.splice(at, 1);
      },
    };
  }

  readonly defer = (callback: () => void): void => {
    this.#events.push(callback);
  };

  /** Timers that have not fired. */
  get timerCount(): number {
    return this.#timers.length;
  }

  /** One event, and the promises it settles; false if there was none. */
  async step(): Promise<boolean> {
    await settlePromises();
    const event = this.#events.splice(this.pick(this.#events.length), 1)[0];
    if (event === undefined) return false;
    event();
    await settlePromises();
    return true;
  }

  /** All events. */
  async settle(): Promise<void> {
    while (await this.step());
  }

  /** Lets time pass, and everything happen that is due. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await this.settle();
    while (true) {
      this.#timers.sort((a, b) => a.at - b.at || a.id - b.id);
      const next = this.#timers[0];
      if (next === undefined || next.at > until) break;
      this.#timers.shift();
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await this.settle();
    }
    this.#now = until;
  }

  /** The event loop stands still for so long: then all timers that are due fire, in order, before anything arrives. */
  pause(ms: number): void {
    this.#now += ms;
    this.#timers.sort((a, b) => a.at - b.at || a.id - b.id);
    const due = this.#timers.filter((timer) => timer.at <= this.#now);
    this.#timers.splice(0, due.length);
    for (const timer of due) timer.callback();
  }
}

/** Remembers what was logged. */
export class RecordingLogger implements Logger {
  readonly lines: string[] = [];
  debug(message: string): void {
    this.lines.push(message);
  }
  info(message: string): void {
    this.lines.push(message);
  }
  warn(message: string): void {
    this.lines.push(message);
  }
  error(message: string): void {
    this.lines.push(message);
  }
}

/** Counts what passes through another network, and can cut it. */
export class WatchedNetwork implements Network {
  /** Both ends of every connection that is open. */
  readonly open = new Set<Connection>();
  /** Connections dialled so far. */
  dialled = 0;
  /** Addresses that nothing reaches. */
  readonly unreachable = new Set<string>();
  /** Every frame sent: its first byte and its length. */
  readonly frames: { kind: number; length: number }[] = [];
  /** Nothing that is sent arrives. */
  isMute = false;
  /** Nobody hears that a connection was closed, as when a machine dies. */
  isDeaf = false;
  /** Where the next connection seems to come from. */
  from: string | undefined;
  /** Other names of addresses. */
  readonly aliases = new Map<string, string>();
  readonly #network: Network;

  constructor(network: Network) {
    this.#network = network;
  }

  listen(
    address: string,
    onConnection: (connection: Connection) => void,
  ): ReturnType<Network["listen"]> {
    return this.#network.listen(
      address,
      (connection) => onConnection(this.#watch(connection, this.from)),
    );
  }

  async connect(address: string, signal: AbortSignal): Promise<Connection> {
    this.dialled++;
    if (this.unreachable.has(address)) throw new Error("unreachable");
    const target = this.aliases.get(address) ?? address;
    return this.#watch(await this.#network.connect(target, signal));
  }

  /** Ends all connections, as a network does. */
  cutAll(): void {
    for (const connection of [...this.open]) connection.close();
  }

  #watch(connection: Connection, from?: string): Connection {
    const { open, frames } = this;
    const isMute = () => this.isMute;
    const isDeaf = () => this.isDeaf;
    open.add(connection);
    return {
      get remoteAddress() {
        return from ?? connection.remoteAddress;
      },
      get bufferedBytes() {
        return connection.bufferedBytes;
      },
      start(handlers: ConnectionHandlers): void {
        connection.start({
          onFrame: (frame) => handlers.onFrame(frame),
          onClose: (reason) => {
            open.delete(connection);
            handlers.onClose(reason);
          },
        });
      },
      send: (parts) => {
        const length = parts.reduce((sum, part) => sum + part.length, 0);
        frames.push({ kind: parts[0]?.[0] ?? -1, length });
        if (!isMute()) connection.send(parts);
      },
      drained: (bytes) => connection.drained(bytes),
      close: () => {
        open.delete(connection);
        if (!isDeaf()) connection.close();
      },
    };
  }
}

/** A pool with an owner that writes down what it is told. */
export class TestHost {
  readonly identity: HostIdentity;
  readonly pool: LinkPool;
  readonly logger = new RecordingLogger();
  /** "up address host", "down address reason", "record kind", "end", "snapshot host". */
  readonly told: string[] = [];
  readonly records: WireRecord[] = [];
  readonly snapshots: { remote: HostIdentity; connection: Connection }[] = [];
  /** What to do with a snapshot connection. */
  onSnapshot: (connection: Connection) => void = (connection) =>
    connection.start({ onFrame: () => {}, onClose: () => {} });
  /** What to do with a record, beside noting it. */
  onRecord: (link: Link, record: WireRecord) => void = () => {};
  isClosed = false;

  constructor(
    id: string,
    address: string,
    options: { network: Network; clock: Clock } & Partial<LinkPoolOptions>,
  ) {
    this.identity = {
      nodeHostId: id,
      incarnation: 1,
      raftAddress: address,
      ...options.self,
    };
    const tell = (line: string) => {
      if (this.isClosed) throw new Error(`told after close: ${line}`);
      this.told.push(line);
    };
    this.pool = new LinkPool({
      random: seededRandom(id.length),
      logger: this.logger,
      deploymentId: 1n,
      listenAddress: address,
      maxFrameBytes: 16 * 1024 * 1024,
      handlers: {
        onRecord: (link, received) => {
          // A message is overwritten by the next one.
          const record = received.kind === "message"
            ? { ...received, message: { ...received.message } }
            : received;
          tell(`record ${record.kind}`);
          this.records.push(record);
          this.onRecord(link, record);
        },
        onFrameEnd: () => tell("end"),
        onLinkUp: (link) =>
          tell(`up ${link.address} ${link.remote?.nodeHostId}`),
        onLinkDown: (link, reason) => tell(`down ${link.address} ${reason}`),
        onSnapshotConnection: (remote, connection) => {
          tell(`snapshot ${remote.nodeHostId}`);
          this.snapshots.push({ remote, connection });
          this.onSnapshot(connection);
        },
      },
      ...options,
      self: this.identity,
    });
  }

  /** Sends one record and ends the turn; false if it was dropped. */
  send(address: string, record: WireRecord): boolean {
    const isQueued = this.pool.linkTo(address).send(record);
    this.pool.flush();
    return isQueued;
  }

  close(): void {
    this.isClosed = true;
    this.pool.close();
  }
}

/** Random bytes that are the same every time. */
export function seededRandom(seed: number): Random {
  const next = randomFrom(seed);
  return {
    fill: (bytes) => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = next(256);
    },
  };
}

/** A record to recognise by its round. */
export function heartbeat(round: number, clusterId = 1): WireRecord {
  const message = {
    type: "heartbeat",
    from: 1,
    to: 2,
    term: 1,
    commit: 0,
    round,
  } as const;
  return { kind: "message", clusterId, message };
}

/** The rounds of the heartbeats that arrived. */
export function roundsOf(records: readonly WireRecord[]): number[] {
  return records.flatMap((record) =>
    record.kind === "message" && record.message.type === "heartbeat"
      ? [record.message.round]
      : []
  );
}
