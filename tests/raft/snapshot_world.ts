/** Two hosts with a snapshotter each, for its tests. */
import { assert } from "../deps.ts";
import type { SnapshotMeta } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import type { Clock, Logger, Timer } from "../../raft/ports.ts";
import {
  type SendRequest,
  type SnapshotOffer,
  Snapshotter,
  type SnapshotterOptions,
} from "../../raft/snapshotter.ts";
import { MemoryNetwork } from "../../raft/transport/memory.ts";
import type { Connection } from "../../raft/transport/transport.ts";
import { crc32 } from "../../storage/deps.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import { SnapshotStore } from "../../storage/snapshots.ts";

/** The cluster of all snapshots here. */
export const clusterId = 7;
export const sourceFolder = "data/snapshots/7-1";
const targetFolder = "data/snapshots/7-2";

/** A clock whose timers run only when told, and whose turns are those of the real event loop. */
export class ManualClock implements Clock {
  #now = 0;
  #timers = new Set<{ at: number; callback: () => void }>();
  readonly #channel = new MessageChannel();
  readonly #deferred: (() => void)[] = [];

  constructor() {
    this.#channel.port1.onmessage = () => this.#deferred.shift()?.();
  }

  now(): number {
    return this.#now;
  }
  wallTime(): number {
    return this.#now;
  }
  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }
  defer(callback: () => void): void {
    this.#deferred.push(callback);
    this.#channel.port2.postMessage(undefined);
  }

  get timerCount(): number {
    return this.#timers.size;
  }
  advance(ms: number): void {
    this.#now += ms;
    for (const timer of [...this.#timers]) {
      if (timer.at > this.#now || !this.#timers.delete(timer)) continue;
      timer.callback();
    }
  }
  /** Lets everything happen that needs no timer. */
  async settle(turns = 50): Promise<void> {
    for (let turn = 0; turn < turns; turn++) {
      await new Promise<void>((resolve) => this.defer(resolve));
    }
  }
  stop(): void {
    this.#channel.port1.close();
  }
}

const silent: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
};

/** Meta of a snapshot at `index`. */
export function metaAt(index: number): SnapshotMeta {
  const member = { nodeId: 1, address: "h:1", nodeHostId: "a" };
  const membership = {
    configChangeIndex: 1,
    members: [member],
    observers: [],
    witnesses: [],
    removed: [],
  };
  return { index, term: 3, membership };
}

/** A state of so many bytes. */
export function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 7 ^ i >> 9;
  return bytes;
}

/** Two hosts, the first of which has a snapshot of node 1 and sends it to node 2 on the second. */
export class World {
  readonly clock = new ManualClock();
  readonly network = new MemoryNetwork({
    defer: (callback) => this.clock.defer(callback),
  });
  readonly sourceDisk = new MemoryFileSystem();
  readonly targetDisk = new MemoryFileSystem();
  readonly source: Snapshotter;
  readonly target: Snapshotter;
  readonly sourceStore: SnapshotStore;
  readonly targetStore: SnapshotStore;
  readonly received: SnapshotOffer[] = [];
  /** What the second host says to offers. */
  onOffer: (offer: SnapshotOffer) => string | undefined = () => undefined;
  onReceived: (offer: SnapshotOffer) => void = (offer) =>
    this.received.push(offer);
  /** Takes connections to the second host. */
  onConnection: (connection: Connection) => void = (connection) =>
    this.target.accept(connection, {
      onOffer: (offer) => this.onOffer(offer),
      onReceived: (offer) => this.onReceived(offer),
    });

  constructor(options: Partial<SnapshotterOptions> = {}) {
    const { clock } = this;
    const turn = () => new Promise<void>((resolve) => clock.defer(resolve));
    const storeOn = (fileSystem: MemoryFileSystem) =>
      new SnapshotStore({ fileSystem, dir: "data", crc32, yield: turn });
    const hostOn = (store: SnapshotStore) =>
      new Snapshotter({ store, clock, logger: silent, crc32, ...options });
    this.sourceStore = storeOn(this.sourceDisk);
    this.targetStore = storeOn(this.targetDisk);
    this.source = hostOn(this.sourceStore);
    this.target = hostOn(this.targetStore);
  }

  async save(index: number, state: Uint8Array, nodeId = 1): Promise<void> {
    await this.source.save({
      clusterId,
      nodeId,
      begin: () => ({
        meta: metaAt(index),
        write: (writer) => writer.write(state),
      }),
    });
  }

  async listen(): Promise<void> {
    await this.network.listen(
      "target:1",
      (connection) => this.onConnection(connection),
    );
  }

  send(request: Partial<SendRequest> = {}): Promise<void> {
    return this.source.send({
      open: (signal) => this.network.connect("target:1", signal),
      clusterId,
      from: 1,
      to: 2,
      term: 4,
      meta: metaAt(100),
      fingerprint: "abc",
      generation: 1,
      ...request,
    });
  }

  files(): string[] {
    return this.targetDisk.stat(targetFolder) === undefined
      ? []
      : this.targetDisk.list(targetFolder);
  }
}

/** Registers a test with two hosts, and checks that they leave no timer behind. */
export function test(
  name: string,
  run: (world: World) => Promise<void>,
  options: Partial<SnapshotterOptions> = {},
): void {
  Deno.test(`Snapshotter ${name}`, async () => {
    const world = new World(options);
    try {
      await world.listen();
      await run(world);
      world.source.close();
      world.target.close();
      await world.clock.settle();
      assert.equal(world.clock.timerCount, 0, "timers are left");
    } finally {
      world.clock.stop();
    }
  });
}

/** The state in the snapshot at 100. */
export async function bodyOf(
  store: SnapshotStore,
  nodeId: number,
): Promise<Uint8Array> {
  const snapshot = store.open(clusterId, nodeId, 100);
  const body = await new Response(snapshot.body()).bytes();
  snapshot.close();
  return body;
}

/** Expects a `RaftError`. */
export function rejectsWith(
  promise: Promise<unknown>,
  code: string,
  message: RegExp,
): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}
