/** The network port in memory: NodeHosts of one process talk to each other without sockets. For tests, users' too. */
import type {
  Connection,
  ConnectionHandlers,
  Listener,
  Network,
} from "./transport.ts";
import { closedByOtherEnd } from "./transport.ts";
import { joinAddress, splitAddress } from "./address.ts";
import { concatBytes } from "../codec/bytes.ts";

/** Calls `callback` later, never before it returns; in any order, since frames keep theirs by themselves. */
export type Defer = (callback: () => void) => void;

/** Options of a {@linkcode MemoryNetwork}. */
export interface MemoryNetworkOptions {
  /** How what is sent, and what ends, reaches the other side later. `queueMicrotask` by default. */
  readonly defer?: Defer;
  /** Longest frame, in bytes; a longer one ends the connection. 64 MiB by default. */
  readonly maxFrameBytes?: number;
}

const firstFreePort = 49_152;
const anyHosts = ["0.0.0.0", "::"];

/**
 * Connections within one process. Frames arrive whole, in order and later than they were sent; connecting fails with
 * `ECONNREFUSED` where nobody listens.
 */
export class MemoryNetwork implements Network {
  readonly #defer: Defer;
  readonly #maxFrameBytes: number;
  readonly #listeners = new Map<string, (connection: Connection) => void>();
  #nextPort = firstFreePort;

  /** Makes a network on which nobody listens. */
  constructor(options: MemoryNetworkOptions = {}) {
    this.#defer = options.defer ?? queueMicrotask;
    this.#maxFrameBytes = options.maxFrameBytes ?? 64 * 1024 * 1024;
  }

  /**
   * Listens on `host:port`; port 0 takes a free one.
   *
   * @throws {Error} with code `EADDRINUSE` if somebody listens there.
   */
  // deno-lint-ignore require-await
  async listen(
    address: string,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener> {
    const { hostname, port } = splitAddress(address);
    let bound = joinAddress({ hostname, port: port || this.#freePort() });
    while (this.#listeners.has(bound)) {
      if (port === 0) {
        bound = joinAddress({ hostname, port: this.#freePort() });
        continue;
      }
      throw codedError("EADDRINUSE", `Cannot listen on ${bound}: it is in use`);
    }
    this.#listeners.set(bound, onConnection);
    return {
      address: bound,
      close: () => {
        if (this.#listeners.get(bound) === onConnection) {
          this.#listeners.delete(bound);
        }
      },
    };
  }

  /** Connects to `host:port`. */
  async connect(address: string, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted();
    const { port } = splitAddress(address);
    await new Promise<void>((resolve) => this.#defer(resolve));
    signal.throwIfAborted();
    const candidates = [
      address,
      ...anyHosts.map((hostname) => joinAddress({ hostname, port })),
    ];
    const listening = candidates.find((name) => this.#listeners.has(name));
    const accept = this.#listeners.get(listening ?? "");
    if (accept === undefined) {
      throw codedError(
        "ECONNREFUSED",
        `Cannot connect to ${address}: nobody listens there`,
      );
    }
    const here = joinAddress({
      hostname: "127.0.0.1",
      port: this.#freePort(),
    });
    const dialled = new MemoryConnection(address, this.#settings());
    const accepted = new MemoryConnection(here, this.#settings());
    dialled.join(accepted);
    accepted.join(dialled);
    this.#defer(() => accept(accepted));
    return dialled;
  }

  #settings(): ConnectionSettings {
    return { defer: this.#defer, maxFrameBytes: this.#maxFrameBytes };
  }

  /** Ports are not given back: a closed listener's peers may still dial the old one. */
  #freePort(): number {
    const port = this.#nextPort;
    this.#nextPort = port === 65_535 ? firstFreePort : port + 1;
    return port;
  }
}

interface ConnectionSettings {
  readonly defer: Defer;
  readonly maxFrameBytes: number;
}

/** Something that reaches the other side: a frame, or the end with its reason. */
type Arrival = Uint8Array | string;

class MemoryConnection implements Connection {
  readonly remoteAddress: string;
  readonly #settings: ConnectionSettings;
  #other: MemoryConnection | undefined;
  #handlers: ConnectionHandlers | undefined;
  #isClosed = false;
  #bufferedBytes = 0;
  /** On its way to the other side, in order. */
  readonly #outbox: Arrival[] = [];
  /** Arrived before `start`, in order. */
  #early: Arrival[] = [];
  #waiters: { bytes: number; resolve: () => void }[] = [];

  constructor(remoteAddress: string, settings: ConnectionSettings) {
    this.remoteAddress = remoteAddress;
    this.#settings = settings;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  join(other: MemoryConnection): void {
    this.#other = other;
  }

  start(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    if (this.#early.length === 0) return;
    this.#settings.defer(() => {
      while (this.#early.length > 0 && !this.#isClosed) {
        this.#take(this.#early.shift()!, handlers);
      }
    });
  }

  send(parts: readonly Uint8Array[]): void {
    if (this.#isClosed) return;
    const frame = concatBytes(parts);
    this.#bufferedBytes += frame.length;
    this.#sendLater(frame);
  }

  drained(bytes: number): Promise<void> {
    if (this.#isClosed || this.#bufferedBytes <= bytes) {
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiters.push({ bytes, resolve }));
  }

  close(): void {
    this.#end("closed here");
  }

  #sendLater(arrival: Arrival): void {
    this.#outbox.push(arrival);
    this.#settings.defer(() => {
      const next = this.#outbox.shift()!;
      if (typeof next !== "string" && !this.#isClosed) {
        this.#bufferedBytes -= next.length;
        this.#settleWaiters();
      }
      const other = this.#other;
      if (other !== undefined) other.#arrive(next);
    });
  }

  #arrive(arrival: Arrival): void {
    if (this.#isClosed) return;
    if (this.#handlers === undefined || this.#early.length > 0) {
      this.#early.push(arrival);
    } else {
      this.#take(arrival, this.#handlers);
    }
  }

  #take(arrival: Arrival, handlers: ConnectionHandlers): void {
    if (typeof arrival === "string") return this.#end(arrival);
    const { maxFrameBytes } = this.#settings;
    if (arrival.length >= 1 && arrival.length <= maxFrameBytes) {
      return handlers.onFrame(arrival);
    }
    this.#end(
      `not a frame: its length is ${arrival.length}, ` +
        `allowed are 1 to ${maxFrameBytes}`,
    );
  }

  #end(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#bufferedBytes = 0;
    this.#early = [];
    this.#settleWaiters();
    // Behind what was sent: a frame that left before the end arrives before it.
    this.#sendLater(closedByOtherEnd);
    this.#handlers?.onClose(reason);
  }

  #settleWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (this.#isClosed || this.#bufferedBytes <= waiter.bytes) {
        waiter.resolve();
      } else {
        this.#waiters.push(waiter);
      }
    }
  }
}

function codedError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
