/**
 * Drives all nodes of a NodeHost: in one turn of the event loop many nodes share one frame per peer, one write and
 * one sync (rules B3, C1). Here stands the order that makes Raft safe: appends leave before the sync, promises
 * after it, and nothing is applied that is not durable.
 */
import { assert } from "./core/assert.ts";
import { RaftError } from "./errors.ts";
import type { HealthWatch } from "./health.ts";
import type { LogStore, NodeWrite } from "../storage/log_store.ts";
import type { Clock, Logger, Timer } from "./ports.ts";
import type { LinkPool } from "./transport/link_pool.ts";

/** How long all nodes together may apply in one turn. */
const applyMs = 5;
/** What the turns of all nodes may take together before messages leave and the event loop goes on. */
const turnMs = 5;

/** One member of one cluster, as the engine sees it (`node.ts` is one). */
export interface EngineNode {
  /** The cluster. */
  readonly clusterId: number;
  /** Whether the node is in the engine's list of nodes with something to do. */
  isDirty: boolean;
  /** Whether the engine ticks it; the engine's to set. */
  isTicking: boolean;
  /** Whether it needs no ticks until it has had a turn (rule C10). */
  readonly isQuiet: boolean;
  /** One tick has passed. */
  tick(): void;
  /** Hands on what callers and peers gave: stages writes, queues messages. */
  turn(): void;
  /** Whether there is something to apply. */
  readonly hasToApply: boolean;
  /** Applies committed entries until there are none, or the clock shows `deadline`. */
  apply(deadline: number): void;
  /** The log has written up to `writeId`. */
  written(writeId: number): void;
  /** An error of ours, the disk's or the user's: this node stops, and only this node. */
  fail(error: unknown): void;
}

/** The log is proven once it was quiet for so long. */
const quietBeforeProofMs = 1_000;
/** On a full disk that nothing is written to, space is looked for so often; each time may fill the disk and empty it again. */
const spaceSoughtMs = 5_000;

/** What arrives while a group is being written forms the next one. The arrays run parallel: one element a write. */
interface Group {
  readonly writes: NodeWrite[];
  /** Whose record it is; undefined for a write that is no record of the core's. */
  readonly nodes: (EngineNode | undefined)[];
  readonly writeIds: number[];
  readonly callbacks: ((() => void) | undefined)[];
  /** Where the profiles stand that {@link Engine.stageProfile} staged, by cluster. */
  profiles: Map<number, number> | undefined;
  mustSync: boolean;
  /** Somebody waits for a callback. */
  isAwaited: boolean;
}

function emptyGroup(): Group {
  return {
    writes: [],
    nodes: [],
    writeIds: [],
    callbacks: [],
    profiles: undefined,
    mustSync: false,
    isAwaited: false,
  };
}

/** Appends `second` to `first`. */
function joinGroups(first: Group, second: Group): void {
  for (let i = 0; i < second.writes.length; i++) {
    first.writes.push(second.writes[i]!);
    first.nodes.push(second.nodes[i]);
    first.writeIds.push(second.writeIds[i]!);
    first.callbacks.push(second.callbacks[i]);
  }
  first.profiles = undefined; // What is staged from here on must not overtake the second's.
  first.mustSync ||= second.mustSync;
  first.isAwaited ||= second.isAwaited;
}

/** One group for each cluster, in the order of their first writes. */
function splitByCluster(group: Group): Group[] {
  const parts = new Map<number, Group>();
  for (let i = 0; i < group.writes.length; i++) {
    const write = group.writes[i]!;
    let part = parts.get(write.clusterId);
    if (part === undefined) {
      part = emptyGroup();
      part.mustSync = group.mustSync;
      parts.set(write.clusterId, part);
    }
    part.writes.push(write);
    part.nodes.push(group.nodes[i]);
    part.writeIds.push(group.writeIds[i]!);
    part.callbacks.push(group.callbacks[i]);
  }
  return [...parts.values()];
}

function isDiskFull(error: unknown): boolean {
  return error instanceof RaftError && error.code === "diskFull";
}

/** The engine of one NodeHost. */
export class Engine {
  /** Ticks since the NodeHost opened, by the clock: a pause counts in full here, though as one tick for elections (C6). */
  tickNow = 0;
  readonly #clock: Clock;
  readonly #log: LogStore;
  readonly #links: LinkPool;
  readonly #logger: Logger;
  readonly #health: HealthWatch | undefined;
  readonly #tickMs: number;
  readonly #onDiskFailure: (error: unknown) => void;
  readonly #onTick: ((now: number) => void) | undefined;
  readonly #openedAt: number;
  readonly #nodes = new Map<number, EngineNode>();
  /** Those of them that are not quiet: idle clusters cost nothing, not even a look (rule C10). */
  readonly #ticking = new Set<EngineNode>();
  /** Nodes with something to do, `#dirtyCount` of them; the arrays are kept, since to fill them anew takes memory. */
  #dirty: (EngineNode | undefined)[] = [];
  #dirtyCount = 0;
  #spareDirty: (EngineNode | undefined)[] = [];
  #applying: EngineNode[] = [];
  #isTurnDue = false;
  #isWriting = false;
  #writingTicks = 0;
  #group = emptyGroup();
  #timer: Timer | undefined;
  #lastWriteTick = 0;
  #isProven = false;
  #isStalled = false;
  #isClosed = false;
  /** Nothing will be written any more. */
  #isAbandoned = false;
  #whenIdle: (() => void)[] = [];
  /** What to call if a write that somebody waits for is never made. */
  readonly #whenAbandoned = new Set<() => void>();
  #nextCounter = 1;

  /** An engine without nodes; `start` sets it going. */
  constructor(options: {
    clock: Clock;
    log: LogStore;
    links: LinkPool;
    logger: Logger;
    tickMs: number;
    /** Told how long writes, ticks and state machines take. */
    health?: HealthWatch;
    onDiskFailure: (error: unknown) => void;
    /** Called once in each tick, with the ticks since the NodeHost opened. */
    onTick?: ((now: number) => void) | undefined;
  }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#links = options.links;
    this.#logger = options.logger;
    this.#health = options.health;
    this.#tickMs = options.tickMs;
    this.#onDiskFailure = options.onDiskFailure;
    this.#onTick = options.onTick;
    this.#openedAt = this.#clock.now();
  }

  /** Ticks that came while the write under way has not ended. */
  get writingTicks(): number {
    return this.#isWriting ? this.#writingTicks : 0;
  }

  /** Begins to tick. */
  start(): void {
    this.#armTimer();
  }

  /** Adds a node that has started. */
  add(node: EngineNode): void {
    assert(
      !this.#nodes.has(node.clusterId),
      "a cluster must have one node on a NodeHost",
    );
    this.#nodes.set(node.clusterId, node);
    this.#keepTicking(node);
    this.schedule(node);
  }

  /** Takes a node out; its writes under way still complete. */
  remove(node: EngineNode): void {
    if (this.#nodes.get(node.clusterId) === node) {
      this.#nodes.delete(node.clusterId);
    }
    this.#ticking.delete(node);
    node.isTicking = false;
  }

  #keepTicking(node: EngineNode): void {
    node.isTicking = true;
    this.#ticking.add(node);
  }

  /** A node that was stopped in its turn stays out. */
  #wake(node: EngineNode): void {
    if (this.#nodes.get(node.clusterId) === node) this.#keepTicking(node);
  }

  /** The node has something to do: it gets its turn before the event loop goes on waiting. */
  schedule(node: EngineNode): void {
    if (!node.isDirty) {
      node.isDirty = true;
      this.#dirty[this.#dirtyCount++] = node;
    }
    this.requestTurn();
  }

  /** Asks for a turn once pending input was handled. */
  requestTurn(): void {
    if (this.#isTurnDue || this.#isClosed) return;
    this.#isTurnDue = true;
    this.#clock.defer(this.#deferredTurn);
  }

  /** Adds a write to the next group; `node` hears of it by `written(writeId)`. */
  stage(
    node: EngineNode,
    write: NodeWrite,
    record: { writeId: number; mustSync: boolean },
  ): void {
    const group = this.#group;
    group.writes.push(write);
    group.nodes.push(node);
    group.writeIds.push(record.writeId);
    group.callbacks.push(undefined);
    if (record.mustSync) group.mustSync = true;
  }

  /**
   * Adds what changes seldom of a node: its bootstrap record, or the identities it saw. While the group waits, they are
   * one write: thousands of clusters that start at once would write each of these records several times over.
   */
  stageProfile(
    write: Pick<NodeWrite, "clusterId" | "nodeId" | "bootstrap" | "peers">,
    mustSync: boolean,
    done: () => void,
  ): void {
    const { profiles, writes, callbacks } = this.#group;
    const { clusterId, nodeId } = write;
    const at = profiles?.get(clusterId);
    if (at === undefined || writes[at]!.nodeId !== nodeId) {
      this.stageOther(write, mustSync, done);
      if (this.#isAbandoned) return;
      this.#group.profiles ??= new Map();
      this.#group.profiles.set(clusterId, writes.length - 1);
      return;
    }
    writes[at] = { ...writes[at]!, ...write };
    const before = callbacks[at]!;
    callbacks[at] = () => {
      this.#call(before);
      done();
    };
    if (mustSync) this.#group.mustSync = true;
  }

  /**
   * Adds a write that is no record of the core's; `done` is called when it is in place, `abandoned` if it never will
   * be: the log failed, or was closed before.
   */
  stageOther(
    write: NodeWrite,
    mustSync: boolean,
    done: () => void,
    abandoned?: () => void,
  ): void {
    if (this.#isAbandoned) return abandoned?.();
    const group = this.#group;
    group.profiles?.delete(write.clusterId); // It comes last.
    group.writes.push(write);
    group.nodes.push(undefined);
    group.writeIds.push(0);
    if (abandoned === undefined) group.callbacks.push(done);
    else {
      this.#whenAbandoned.add(abandoned);
      group.callbacks.push(() => {
        this.#whenAbandoned.delete(abandoned);
        done();
      });
    }
    group.isAwaited = true;
    if (mustSync) group.mustSync = true;
    this.requestTurn();
  }

  /** Resolves when nothing is being written and nothing waits to be, or the disk is full. */
  idle(): Promise<void> {
    if (!this.#isWriting && this.#group.writes.length > 0) this.#writeGroup();
    if (!this.#isWriting) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** Stops ticking and turning. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  /** Gives up what was not written, for want of space or because the log failed. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#group = emptyGroup();
    const callbacks = [...this.#whenAbandoned];
    this.#whenAbandoned.clear();
    for (const callback of callbacks) this.#call(callback);
  }

  /**
   * So many numbers in a row that this NodeHost gave to nobody before; returns the first. A node that is stopped and
   * started again must not take the answer to a request of its life before for one of its own (rules R1, C7).
   */
  takeCounters(count: number): number {
    const first = this.#nextCounter;
    this.#nextCounter += count;
    return first;
  }

  readonly #deferredTurn = (): void => {
    this.#isTurnDue = false;
    this.#turn();
  };

  #turn(): void {
    if (this.#isClosed) return;
    this.#turnNodes();
    this.#links.flush(); // Appends promise nothing: followers' disks work beside ours.
    if (!this.#isWriting && this.#group.mustSync) this.#writeGroup();
    this.#applyAll();
    // Commit-only records wait for company: they are written in order, and need no sync of their own (L3).
    const group = this.#group;
    if (!this.#isWriting && (group.mustSync || group.isAwaited)) {
      this.#writeGroup();
    }
  }

  /**
   * Gives nodes their turns for a few milliseconds: after a restart each reads its log, and hundreds would hold the event
   * loop for seconds. Who had none is first next time (C6).
   */
  #turnNodes(): void {
    const nodes = this.#dirty;
    const count = this.#dirtyCount;
    if (count === 0) return;
    this.#dirty = this.#spareDirty;
    this.#dirtyCount = 0;
    this.#spareDirty = nodes;
    const deadline = this.#clock.now() + turnMs;
    let done = 0;
    while (done < count) {
      const node = nodes[done++]!;
      node.isDirty = false;
      try {
        node.turn();
        if (!node.isTicking && !node.isQuiet) this.#wake(node);
        if (node.hasToApply) this.#applying.push(node);
      } catch (error) {
        node.fail(error);
      }
      if (done < count && this.#clock.now() >= deadline) break;
    }
    if (done < count) {
      const left = nodes.slice(done, count);
      for (let i = 0; i < this.#dirtyCount; i++) left.push(this.#dirty[i]);
      this.#dirty = left;
      this.#dirtyCount = left.length;
      this.requestTurn();
    }
    nodes.fill(undefined, 0, count); // They may be stopped, and must not be held.
  }

  /** Applies for a few milliseconds; who had no turn is first in the next one, before who was not done (C6). */
  #applyAll(): void {
    const nodes = this.#applying;
    let deadline = 0;
    let done = 0;
    let last: EngineNode | undefined;
    let lastSince = 0;
    for (; done < nodes.length; done++) {
      const node = nodes[done]!;
      if (!node.hasToApply) continue;
      const now = this.#clock.now();
      if (last !== undefined) {
        this.#health?.applied(last.clusterId, now - lastSince);
      }
      last = undefined;
      if (deadline === 0) deadline = now + applyMs;
      else if (now >= deadline) break;
      last = node;
      lastSince = now;
      try {
        node.apply(deadline);
      } catch (error) {
        node.fail(error);
      }
    }
    if (last !== undefined && this.#health !== undefined) {
      this.#health.applied(last.clusterId, this.#clock.now() - lastSince);
    }
    for (let i = done; i < nodes.length; i++) this.schedule(nodes[i]!);
    for (let i = 0; i < done; i++) {
      if (nodes[i]!.hasToApply) this.schedule(nodes[i]!);
    }
    nodes.length = 0;
  }

  #writeGroup(): void {
    if (this.#isStalled) return; // Tried again at the next tick.
    const group = this.#group;
    this.#group = emptyGroup();
    this.#beginWriting();
    this.#log.commitGroup(group.writes, { sync: group.mustSync }).then(
      () => {
        this.#isWriting = false;
        this.#health?.writeEnded(group.writes.length, group.mustSync);
        this.#tellWritten(group);
        this.#goOn();
      },
      (error) => {
        if (!isDiskFull(error)) return this.#writeFailed(error);
        this.#isWriting = false;
        this.#health?.writeFailed();
        this.#stall(group);
        this.#wakeIdle();
      },
    );
  }

  /** Nothing of `group` was written for want of space (L5): it goes before what came since. */
  #stall(group: Group): void {
    joinGroups(group, this.#group);
    this.#group = group;
    this.#isStalled = true;
  }

  /**
   * Writes what fits while the disk is full: each cluster for itself, so that votes, removals and the like of one do not
   * wait for big entries of another (L5).
   */
  async #writeWhatFits(): Promise<void> {
    const group = this.#group;
    this.#group = emptyGroup();
    this.#isStalled = false;
    this.#beginWriting();
    const left = emptyGroup();
    for (const part of splitByCluster(group)) {
      this.#health?.writeBegan();
      try {
        await this.#log.commitGroup(part.writes, { sync: part.mustSync });
      } catch (error) {
        this.#health?.writeFailed();
        if (!isDiskFull(error)) return this.#writeFailed(error);
        joinGroups(left, part);
        continue;
      }
      this.#health?.writeEnded(part.writes.length, part.mustSync);
      this.#tellWritten(part);
    }
    this.#isWriting = false;
    if (left.writes.length > 0) this.#stall(left);
    this.#goOn();
  }

  #beginWriting(): void {
    this.#isWriting = true;
    this.#writingTicks = 0;
    this.#lastWriteTick = this.tickNow;
    this.#isProven = false;
    this.#health?.writeBegan();
  }

  #tellWritten(group: Group): void {
    for (let i = 0; i < group.writes.length; i++) {
      const node = group.nodes[i];
      if (node === undefined) {
        const callback = group.callbacks[i];
        if (callback !== undefined) this.#call(callback);
        continue;
      }
      try {
        node.written(group.writeIds[i]!);
      } catch (error) {
        node.fail(error);
      }
    }
  }

  /** Whatever comes of it, the other writes of the group are told as well. */
  #call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#logger.error("what was to follow a write failed", {
        error: String(error),
      });
    }
  }

  /** After a write: the next turn at once, since promises and commits wait for it. */
  #goOn(): void {
    if (!this.#isClosed) this.#turn();
    else if (this.#group.writes.length > 0) this.#writeGroup();
    this.#wakeIdle();
  }

  #wakeIdle(): void {
    if (this.#whenIdle.length === 0 || this.#isWriting) return;
    if (this.#group.writes.length > 0 && !this.#isStalled) {
      return this.#writeGroup();
    }
    const waiters = this.#whenIdle;
    this.#whenIdle = [];
    for (const resolve of waiters) resolve();
  }

  #writeFailed(error: unknown): void {
    this.#isWriting = false;
    this.#health?.writeFailed();
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#logger.error("the log failed and is closed for good", {
      error: String(error),
    });
    this.#onDiskFailure(error);
    this.abandon();
    this.#wakeIdle();
  }

  #armTimer(): void {
    const elapsed = this.#clock.now() - this.#openedAt;
    const next = (Math.floor(elapsed / this.#tickMs) + 1) * this.#tickMs;
    this.#timer = this.#clock.setTimer(next - elapsed, () => {
      // What peers sent while this process was held up comes first, then the tick (C6).
      this.#clock.defer(() => this.#tick(next));
    });
  }

  /** A tick that was due `due` milliseconds after the NodeHost opened. */
  #tick(due: number): void {
    if (this.#isClosed) return;
    const elapsed = this.#clock.now() - this.#openedAt;
    this.#health?.tick(elapsed - due, this.#log.isDiskFull);
    this.tickNow = Math.floor(elapsed / this.#tickMs);
    this.#writingTicks++;
    this.#onTick?.(this.tickNow);
    for (const node of this.#ticking) {
      try {
        node.tick();
      } catch (error) {
        node.fail(error);
      }
      if (node.isQuiet) {
        this.#ticking.delete(node);
        node.isTicking = false;
      }
    }
    this.#armTimer();
    this.#turn();
    this.#writeLeftovers();
  }

  /** Writes commit-only records that no entry came after, and proves the last sync once the log is quiet (L1). */
  #writeLeftovers(): void {
    if (this.#isWriting || this.#isClosed) return;
    if (this.#isStalled) {
      this.#writeWhatFits();
      return;
    }
    if (this.#group.writes.length > 0) return this.#writeGroup();
    if (this.#isProven && !this.#log.isDiskFull) return;
    // A follower of a full disk takes no entries, so nothing else may ever be written: the log looks for space again.
    const quietMs = this.#isProven ? spaceSoughtMs : quietBeforeProofMs;
    const quietTicks = Math.max(1, Math.ceil(quietMs / this.#tickMs));
    if (this.tickNow - this.#lastWriteTick < quietTicks) return;
    this.#lastWriteTick = this.tickNow;
    this.#isWriting = true;
    this.#writingTicks = 0;
    this.#isProven = true;
    this.#health?.writeBegan();
    this.#log.idle().then(
      () => {
        this.#isWriting = false;
        this.#health?.writeEnded(0, false);
        this.#goOn();
      },
      (error) => this.#writeFailed(error),
    );
  }
}
