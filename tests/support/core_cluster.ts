/**
 * A small cluster of cores in memory, without time: whoever uses it decides which node ticks, which message arrives,
 * which write becomes durable, who crashes. After every step it checks what must hold of the node that took it and
 * of the cluster (paper, figure 3).
 */
import { assert } from "../../raft/core/assert.ts";
import { checkStep } from "../../raft/core/invariants.ts";
import { decideChange } from "../../raft/core/membership.ts";
import { decodeConfigChange } from "../../raft/core/membership_format.ts";
import { entryKind, hasPayloads } from "../../raft/core/entry_batch.ts";
import { Peer, type PeerConfig, type Refusal } from "../../raft/core/peer.ts";
import { Prng } from "../../raft/core/prng.ts";
import type {
  CommittedRange,
  ConfigChange,
  EntryBatch,
  Membership,
  Message,
  ReadContext,
  ReadState,
  SnapshotMeta,
  Update,
} from "../../raft/core/types.ts";
import { ClusterChecks } from "./cluster_checks.ts";
import { crc32, decodeEntries, encodeEntries } from "./entries.ts";
import { MemoryLog } from "./memory_log.ts";

/** Settings that tests may change. */
export type CoreSettings = Partial<
  Omit<PeerConfig, "nodeId" | "prng" | "crc32" | "mayVote" | "isWitness">
>;

/** A write that was handed out and is not durable yet. */
interface PendingWrite {
  readonly update: Update;
}

/** Messages that wait for a write. */
interface PendingPromises {
  readonly after: number;
  readonly messages: readonly Message[];
}

/** One node: its disk survives a crash, the rest does not. */
export class CoreNode {
  readonly nodeId: number;
  readonly disk = new MemoryLog();
  readonly initialMembership: Membership;
  /** Undefined while the node is down. */
  peer: Peer | undefined;
  writes: PendingWrite[] = [];
  promises: PendingPromises[] = [];
  durableWriteId = 0;
  applying: CommittedRange | undefined;
  restoring: SnapshotMeta | undefined;
  membership: Membership;
  readStates: ReadState[] = [];
  droppedReads: ReadContext[] = [];
  /** Changes that took effect or were refused, as they were applied. */
  decisions: { index: number; accepted: boolean; reason: string }[] = [];
  incarnation = 0;
  /** Stores no payloads (rule C9). */
  isWitness = false;

  constructor(nodeId: number, initialMembership: Membership) {
    this.nodeId = nodeId;
    this.initialMembership = initialMembership;
    this.membership = initialMembership;
  }

  /** The core of a node that is up. */
  get core(): Peer {
    assert(this.peer !== undefined, "the node must be up");
    return this.peer;
  }
}

/** The members with these ids, as a cluster begins with them. */
export function initialMembership(nodeIds: readonly number[]): Membership {
  return {
    configChangeIndex: 0,
    members: [...nodeIds].sort((left, right) => left - right).map((
      nodeId,
    ) => ({ nodeId, address: `host-${nodeId}`, nodeHostId: "" })),
    observers: [],
    witnesses: [],
    removed: [],
  };
}

/** A change for tests. */
export function change(
  type: ConfigChange["type"],
  nodeId: number,
): ConfigChange {
  return {
    type,
    nodeId,
    address: type.startsWith("add") ? `host-${nodeId}` : "",
    nodeHostId: type === "identify" ? `nodehost-${nodeId}` : "",
    expectedConfigChangeIndex: undefined,
  };
}

/** A cluster of cores. */
export class CoreCluster {
  readonly nodes = new Map<number, CoreNode>();
  readonly prng: Prng;
  readonly checks = new ClusterChecks(this.nodes);
  /** Messages on their way, in the order they were sent. */
  queue: Message[] = [];
  /** If set, decides which messages get lost when they arrive. */
  dropWhen: ((message: Message) => boolean) | undefined;
  readonly #settings: CoreSettings;
  /** The members it began with. */
  readonly initialMembership: Membership;
  #cuts = new Set<string>();
  #readCounter = 0;
  #readFloors = new Map<number, number>();

  constructor(
    options: {
      nodeIds: readonly number[];
      seed?: number;
      settings?: CoreSettings;
      /** Nodes that are not started yet, to write to their disks first. */
      isDown?: boolean;
    },
  ) {
    this.prng = new Prng(options.seed ?? 1);
    this.#settings = options.settings ?? {};
    const membership = initialMembership(options.nodeIds);
    this.initialMembership = membership;
    for (const nodeId of options.nodeIds) {
      this.nodes.set(nodeId, new CoreNode(nodeId, membership));
    }
    if (options.isDown !== true) {
      for (const nodeId of options.nodeIds) this.start(nodeId);
    }
  }

  /** The node with this id. */
  node(nodeId: number): CoreNode {
    const node = this.nodes.get(nodeId);
    assert(node !== undefined, "the node must exist");
    return node;
  }

  /** The core of a node that is up. */
  core(nodeId: number): Peer {
    return this.node(nodeId).core;
  }

  /** Ids of the nodes that are up. */
  up(): number[] {
    return [...this.nodes.values()].filter((node) => node.peer !== undefined)
      .map((node) => node.nodeId);
  }

  /** The leader of the highest term among the nodes that are up, or undefined. */
  leader(): CoreNode | undefined {
    let leader: CoreNode | undefined;
    for (const node of this.nodes.values()) {
      if (!node.peer?.isLeader()) continue;
      if (leader === undefined || node.core.term > leader.core.term) {
        leader = node;
      }
    }
    return leader;
  }

  /** A node that is not a member and waits to be added. It was told how the cluster began. */
  join(nodeId: number, options: { isWitness?: boolean } = {}): void {
    const node = new CoreNode(nodeId, this.initialMembership);
    node.isWitness = options.isWitness === true;
    this.nodes.set(nodeId, node);
    this.start(nodeId);
  }

  /** Starts a node from its disk. */
  start(nodeId: number, options: { mayVote?: boolean } = {}): void {
    const node = this.node(nodeId);
    assert(node.peer === undefined, "a node must not be started twice");
    const snapshot = node.disk.snapshot();
    node.membership = snapshot?.membership ?? node.initialMembership;
    node.incarnation++;
    node.durableWriteId = 0;
    node.peer = new Peer(
      {
        nodeId,
        electionTimeoutTicks: 10,
        heartbeatTicks: 1,
        maxAppendBytes: 4_096,
        maxInflightAppends: 16,
        maxInflightBytes: 65_536,
        maxApplyBytes: 4_096,
        retainBytes: 1_024,
        ...this.#settings,
        mayVote: options.mayVote ?? true,
        isWitness: node.isWitness,
        prng: this.prng.fork(),
        crc32,
      },
      node.disk,
      { membership: node.membership, applied: snapshot?.index ?? 0 },
    );
    this.#pump(node);
  }

  /** Kills a node. The first `survivingWrites` of its unsynced writes are on disk nevertheless. */
  crash(nodeId: number, survivingWrites = 0): void {
    const node = this.node(nodeId);
    for (const write of node.writes.slice(0, survivingWrites)) {
      this.#writeToDisk(node, write);
    }
    node.peer = undefined;
    node.writes = [];
    node.promises = [];
    node.applying = undefined;
    node.restoring = undefined;
    node.readStates = [];
    node.droppedReads = [];
  }

  /** Calls the core of a node, and does what it wants done at once. */
  act<Result>(nodeId: number, call: (core: Peer) => Result): Result {
    const node = this.node(nodeId);
    const before = node.core.status();
    const result = call(node.core);
    checkStep(before, node.core.status());
    this.#pump(node);
    return result;
  }

  /** Ticks a node. */
  tick(nodeId: number, count = 1): void {
    for (let tick = 0; tick < count; tick++) {
      this.act(nodeId, (core) => core.tick());
    }
  }

  /** Ticks all nodes that are up, settling after each tick. */
  run(count: number): void {
    for (let tick = 0; tick < count; tick++) {
      for (const nodeId of this.up()) this.tick(nodeId);
      this.settle();
    }
  }

  /** Proposes entries. */
  propose(nodeId: number, ...commands: string[]): EntryBatch | Refusal {
    return this.act(
      nodeId,
      (core) => core.propose(encodeEntries(commands), commands.length),
    );
  }

  /** Proposes a membership change. */
  proposeChange(nodeId: number, change: ConfigChange): EntryBatch | Refusal {
    const key = new Uint8Array(16).fill(nodeId);
    return this.act(nodeId, (core) => core.proposeChange(change, key));
  }

  /** Begins a read, and remembers what it must see at least. */
  read(nodeId: number): ReadContext {
    const counter = ++this.#readCounter;
    const { incarnation } = this.node(nodeId);
    const context = { nodeId, incarnation, counter };
    this.#readFloors.set(counter, this.checks.committedIndex);
    this.act(nodeId, (core) => core.readIndex(context));
    return context;
  }

  /** Makes the first `count` pending writes of a node durable. */
  sync(nodeId: number, count = Infinity): void {
    const node = this.node(nodeId);
    const writes = node.writes.splice(0, count);
    for (const write of writes) {
      this.#writeToDisk(node, write);
      const { records, snapshot } = write.update;
      if (snapshot !== undefined) node.restoring = snapshot;
      if (records === undefined) continue;
      node.durableWriteId = records.writeId;
    }
    if (writes.length === 0) return;
    const { durableWriteId } = node;
    this.act(nodeId, (core) => core.persisted({ writeId: durableWriteId }));
    this.#releasePromises(node);
  }

  /** Applies what a node was told to apply, or the first `count` entries of it. */
  apply(nodeId: number, count = Infinity): void {
    const node = this.node(nodeId);
    const { restoring, applying } = node;
    if (restoring !== undefined) {
      node.restoring = undefined;
      node.applying = undefined;
      node.membership = restoring.membership;
      this.act(nodeId, (core) => core.applied(restoring.index));
    } else if (applying !== undefined) {
      const firstIndex = node.core.appliedIndex + 1;
      const lastIndex = Math.min(applying.lastIndex, firstIndex + count - 1);
      if (lastIndex === applying.lastIndex) node.applying = undefined;
      this.#applyRange(node, { ...applying, firstIndex, lastIndex });
      this.act(nodeId, (core) => core.applied(lastIndex));
    }
  }

  /** A node takes a snapshot of what it applied, and compacts its log except for the last `keep` entries. */
  snapshot(nodeId: number, keep = 0): void {
    const node = this.node(nodeId);
    const index = node.core.appliedIndex;
    const term = node.disk.termOf(index);
    if (index <= (node.disk.snapshot()?.index ?? 0)) return;
    assert(term !== undefined, "what is applied must be durable");
    node.disk.takeSnapshot({ index, term, membership: node.membership });
    node.disk.compactTo(Math.max(0, index - keep));
  }

  /** Delivers the message at `position`, or loses it if nobody is there. */
  deliver(position: number, options: { keep?: boolean } = {}): void {
    const message = this.queue[position];
    assert(message !== undefined, "there must be a message");
    if (options.keep !== true) this.queue.splice(position, 1);
    const target = this.nodes.get(message.to);
    const isLost = target?.peer === undefined ||
      this.#cuts.has(`${message.from}>${message.to}`) ||
      this.dropWhen?.(message) === true;
    if (!isLost) this.act(message.to, (core) => core.step(message));
    if (message.type !== "snapshot") return;
    // The sender's driver learns how the streaming ended.
    if (this.nodes.get(message.from)?.peer === undefined) return;
    this.act(
      message.from,
      (core) => core.reportSnapshot(message.to, !isLost),
    );
  }

  /** Loses the message at `position`. */
  drop(position: number): void {
    const [message] = this.queue.splice(position, 1);
    assert(message !== undefined, "there must be a message");
    if (message.type !== "snapshot") return;
    if (this.nodes.get(message.from)?.peer === undefined) return;
    this.act(message.from, (core) => core.reportSnapshot(message.to, false));
  }

  /** Lets disks, state machines and messages run until nothing is left to do. */
  settle(): void {
    for (let round = 0; round < 100_000; round++) {
      let isQuiet = this.queue.length === 0;
      for (const node of this.nodes.values()) {
        if (node.peer === undefined) continue;
        if (node.writes.length > 0) {
          isQuiet = false;
          this.sync(node.nodeId);
        }
        if (node.applying !== undefined || node.restoring !== undefined) {
          isQuiet = false;
          this.apply(node.nodeId);
        }
      }
      if (isQuiet) return;
      if (this.queue.length > 0) this.deliver(0);
    }
    assert(false, "a cluster must come to rest between ticks");
  }

  /** Ticks one node until it campaigns, and lets it win. */
  elect(nodeId: number): void {
    for (let tick = 0; tick < 100; tick++) {
      this.tick(nodeId);
      this.settle();
      if (this.core(nodeId).isLeader()) return;
      // The others must not hear a leader any more.
      for (const other of this.up()) {
        if (other !== nodeId && !this.core(other).isLeader() && tick < 10) {
          this.tick(other);
        }
      }
    }
    assert(false, "the node must win when nobody hinders it");
  }

  /** Cuts the link in one direction. */
  cut(from: number, to: number): void {
    this.#cuts.add(`${from}>${to}`);
  }

  /** Whether the link is cut in either direction. */
  isCut(one: number, other: number): boolean {
    return this.#cuts.has(`${one}>${other}`) ||
      this.#cuts.has(`${other}>${one}`);
  }

  /** Tells quiet nodes that their leader is silent, as the beat between NodeHosts would (rule C10). */
  noticeSilence(): void {
    for (const nodeId of this.up()) {
      const { leaderId } = this.core(nodeId);
      if (leaderId === 0 || leaderId === nodeId) continue;
      const isDown = this.nodes.get(leaderId)?.peer === undefined;
      if (isDown || this.isCut(nodeId, leaderId)) {
        this.act(nodeId, (core) => core.leaderSilent(0));
      }
    }
  }

  /** Cuts all links between the groups, both ways. */
  partition(...groups: number[][]): void {
    this.#cuts.clear();
    for (const group of groups) {
      for (const other of groups) {
        if (group === other) continue;
        for (const from of group) for (const to of other) this.cut(from, to);
      }
    }
  }

  /** Mends all links. */
  heal(): void {
    this.#cuts.clear();
  }

  #pump(node: CoreNode): void {
    for (let round = 0; node.core.hasUpdate(); round++) {
      assert(round < 1_000, "a core must come to rest");
      const before = node.core.status();
      const update = node.core.update();
      checkStep(before, node.core.status());
      this.queue.push(...update.appends);
      if (update.records !== undefined) {
        node.writes.push({ update });
        this.checks.appended(update.records.batches);
        assert(
          node.isWitness || update.records.batches.every(hasPayloads),
          "nobody but a witness stores headers alone",
        );
      }
      assert(
        update.snapshot === undefined || update.records !== undefined,
        "a snapshot must come with a record",
      );
      if (update.promises.length > 0) {
        node.promises.push({
          after: update.promisesAfter,
          messages: update.promises,
        });
        this.#releasePromises(node);
      }
      if (update.committed !== undefined) {
        assert(node.applying === undefined, "one range at a time");
        node.applying = update.committed;
      }
      node.readStates.push(...update.readStates);
      node.droppedReads.push(...update.droppedReads);
      for (const { context, index } of update.readStates) {
        assert(
          index >= (this.#readFloors.get(context.counter) ?? 0),
          "a read must see what was committed before it began",
        );
      }
    }
    node.core.checkState();
    this.checks.stepped(node);
  }

  #releasePromises(node: CoreNode): void {
    while (
      node.promises.length > 0 &&
      (node.promises[0] as PendingPromises).after <= node.durableWriteId
    ) {
      const { messages } = node.promises.shift() as PendingPromises;
      this.queue.push(...messages);
    }
  }

  #writeToDisk(node: CoreNode, write: PendingWrite): void {
    node.disk.write({
      hardState: write.update.records?.hardState,
      batches: write.update.records?.batches ?? [],
      snapshot: write.update.snapshot,
    });
  }

  #applyRange(node: CoreNode, range: CommittedRange): void {
    let next = range.firstIndex;
    for (const batch of range.batches) {
      if (!hasPayloads(batch)) {
        assert(node.isWitness, "only a witness holds headers alone");
        next = Math.min(batch.lastIndex, range.lastIndex) + 1;
        continue;
      }
      for (const entry of decodeEntries(batch)) {
        if (entry.index < range.firstIndex) continue;
        if (entry.index > range.lastIndex) break;
        assert(entry.index === next, "entries must be applied in order");
        next++;
        this.checks.applied(entry.index, entry.command);
        assert(
          !node.isWitness || entry.kind === entryKind.configChange,
          "a witness gets nothing but membership changes in full",
        );
        if (entry.kind !== entryKind.configChange) continue;
        this.#applyChange(node, entry.index, entry.command);
      }
    }
    assert(next === range.lastIndex + 1, "a range must be complete");
  }

  #applyChange(node: CoreNode, index: number, command: Uint8Array): void {
    const change = decodeConfigChange(command);
    assert(change !== undefined, "a membership change must decode");
    const decision = decideChange(node.membership, change, index);
    node.membership = decision.membership;
    node.decisions.push({
      index,
      accepted: decision.accepted,
      reason: decision.reason,
    });
    this.act(
      node.nodeId,
      (core) => core.applyMembership(decision.membership),
    );
  }
}
