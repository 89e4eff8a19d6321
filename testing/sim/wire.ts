/**
 * Reads what NodeHosts send to each other. Everything that a node says is a promise, so most of what Raft forbids shows
 * on the wire: two votes in a term, two entries with one index and term, a commit of an older term by
 * counting. What was promised is kept here, to be compared with what a restarted node still knows.
 */
import { BatchKeeper } from "../../raft/codec/batch_keeper.ts";
import { RecordReader } from "../../raft/codec/record.ts";
import { hasPayloads } from "../../raft/core/entry_batch.ts";
import type { EntryBatch, Message } from "../../raft/core/types.ts";
import { removedReason } from "../../raft/routes.ts";
import { frameKind } from "../../raft/transport/handshake.ts";
import { crc32 } from "../deps.ts";
import type { Scope } from "./clock.ts";
import { SimulationFailure } from "./failure.ts";
import type { CheckName } from "./failure.ts";
import type { SimConnection } from "./connection.ts";
import type { FrameWatcher } from "./network.ts";

/** What a node has promised to others and so must not forget. */
export interface NodePromises {
  /** It answered or campaigned in this term. */
  term: number;
  /** It acknowledged the log up to here, in `indexTerm`, and no later leader has spoken to it since. */
  index: number;
  /** See {@link index}. */
  indexTerm: number;
}

/** What is known of a term's leader from what it sends. */
interface Leadership {
  /** Its commit index when it was elected: it cannot commit before its first append is answered. */
  readonly commitAtFirst: number;
  /** First index of its own term, once seen. */
  firstOwnIndex: number;
}

/** What is known of one node from the outside. */
interface WireNode {
  readonly promises: NodePromises;
  /** Last index that it has applied in this run. */
  applied: number;
  /**
   * By last index and term of each batch sent to it: what it had applied by then, or what the message itself says to be
   * committed. An entry is not written before the commit index that was known when it arrived (rule L3), so a log
   * that ends there knows at least this.
   */
  readonly floors: Map<number, number>;
  /** Floors of batches up to here were forgotten, to bound the memory. */
  forgottenTo: number;
  /** It had promised something, and lost its folder with that: it must not promise anything more (rule I2). */
  isSilenced: boolean;
}

const floorCountMax = 4096;

interface WireCluster {
  readonly votes: Map<string, number>;
  /** Who ever gave a vote, their own included. */
  readonly voters: Set<number>;
  readonly batches: Map<
    number,
    {
      readonly lastIndex: number;
      digest: number;
      /** Undefined while nobody said it. */
      prevTerm: number | undefined;
    }
  >;
  readonly leaderships: Map<number, Leadership>;
  readonly nodes: Map<number, WireNode>;
}

const purposeLink = 1;
const purposeOffset = 25;
const termLimit = 2 ** 20;
const promisingTypes: ReadonlySet<Message["type"]> = new Set<Message["type"]>([
  "append",
  "appendResponse",
  "heartbeat",
  "heartbeatResponse",
  "vote",
  "voteResponse",
]);

/** Watches all frames of a world. */
export class WireWatch implements FrameWatcher {
  /** Messages by type, for the report. */
  readonly messageCounts = new Map<string, number>();
  /** Called when a member tells a node that it was removed. */
  onRemovedTold: (clusterId: number, nodeId: number) => void = () => {};
  /** Called when a node asks for votes in a new term, or gives its own. */
  onVote: (clusterId: number, nodeId: number) => void = () => {};
  readonly #clusters = new Map<number, WireCluster>();
  readonly #fail: (failure: SimulationFailure) => void;
  readonly #tools = { crc32, keeper: new BatchKeeper() };
  /** Whether the frame last sent holds nothing but messages of the core. */
  #isOnlyMessages = false;

  /** Tells `fail` what should not be. */
  constructor(fail: (failure: SimulationFailure) => void) {
    this.#fail = fail;
  }

  /** What a node has promised. */
  promises(clusterId: number, nodeId: number): NodePromises {
    return this.#node(clusterId, nodeId).promises;
  }

  /** Whether a node ever voted: it need not be admitted by others any more (rule I2). */
  hasVoted(clusterId: number, nodeId: number): boolean {
    return this.#cluster(clusterId).voters.has(nodeId);
  }

  /** The folder of a node was lost, and with it what the node had promised, if it had. */
  wiped(clusterId: number, nodeId: number): void {
    const node = this.#node(clusterId, nodeId);
    node.isSilenced = node.promises.term > 0;
  }

  /** A cluster was rebuilt, in another generation: nothing that was said of it counts any more. */
  rebuilt(clusterId: number): void {
    this.#clusters.delete(clusterId);
  }

  /** Whether a node may promise nothing any more. */
  isSilenced(clusterId: number, nodeId: number): boolean {
    return this.#node(clusterId, nodeId).isSilenced;
  }

  /** A node has applied `index`. */
  applied(clusterId: number, nodeId: number, index: number): void {
    this.#node(clusterId, nodeId).applied = index;
  }

  /** A node starts anew: it has applied nothing. */
  restarted(clusterId: number, nodeId: number): void {
    this.#node(clusterId, nodeId).applied = 0;
  }

  /** What a node whose log ends with this entry must know to be committed. */
  commitFloor(
    clusterId: number,
    nodeId: number,
    last: { index: number; term: number },
  ): number {
    return this.#node(clusterId, nodeId).floors.get(
      keyOf(last.index, last.term),
    ) ?? 0;
  }

  /**
   * Whether the frame that was just sent may be lost, doubled or overtaken: the core must bear that of its messages.
   * Handshakes, greetings and forwarded proposals rely on the connection, as the transport's contract lets them.
   */
  bearsDisorder(sender: SimConnection, _frame: Uint8Array): boolean {
    return sender.purpose === purposeLink && this.#isOnlyMessages;
  }

  /** Reads a frame as it leaves. */
  onSend(sender: SimConnection, frame: Uint8Array): void {
    this.#isOnlyMessages = false;
    if (frame[0] === frameKind.hello && sender.purpose === 0) {
      const purpose = frame[purposeOffset] ?? 0;
      sender.purpose = purpose;
      if (sender.remote !== undefined) sender.remote.purpose = purpose;
      return;
    }
    if (sender.purpose !== purposeLink || frame[0] !== frameKind.records) {
      return;
    }
    const reader = new RecordReader(frame.subarray(1), this.#tools);
    let isOnlyMessages = true;
    for (;;) {
      const record = reader.next();
      if (record === undefined) break;
      if (typeof record === "string") {
        this.#failed(
          "logs match",
          `${sender.scope.name} sends what cannot be read: ${record}`,
        );
        break;
      }
      this.#count(
        record.kind === "message" ? record.message.type : record.kind,
      );
      if (record.kind === "refused" && record.reason === removedReason) {
        this.onRemovedTold(record.clusterId, record.to);
      }
      if (record.kind === "message") {
        this.#read(record.clusterId, record.message, sender.scope);
      } else isOnlyMessages = false;
    }
    this.#isOnlyMessages = isOnlyMessages;
  }

  #read(clusterId: number, message: Message, scope: Scope): void {
    const cluster = this.#cluster(clusterId);
    const { from, term } = message;
    if (promisingTypes.has(message.type)) {
      const { promises, isSilenced } = this.#node(clusterId, from);
      promises.term = Math.max(promises.term, term);
      if (isSilenced && isPromise(message)) {
        this.#failed(
          "wiped means silent",
          `node ${from} of cluster ${clusterId} (${scope.name}) sends ${message.type} in term ${term}, and its folder, ` +
            `with what it had promised before, was lost`,
        );
      }
    }
    switch (message.type) {
      case "vote":
        this.onVote(clusterId, from);
        return this.#vote(
          cluster,
          { term, voter: from, candidate: from },
          scope,
        );
      case "voteResponse":
        if (message.granted) {
          this.onVote(clusterId, from);
          this.#vote(
            cluster,
            { term, voter: from, candidate: message.to },
            scope,
          );
        }
        return;
      case "append":
        return this.#append(clusterId, cluster, message, scope);
      case "appendResponse":
        if (!message.rejected) {
          const promised = this.promises(clusterId, from);
          if (term > promised.indexTerm) promised.index = 0;
          promised.indexTerm = term;
          promised.index = Math.max(promised.index, message.index);
        }
        return;
    }
  }

  #vote(
    cluster: WireCluster,
    vote: { term: number; voter: number; candidate: number },
    scope: Scope,
  ): void {
    const key = `${vote.term}/${vote.voter}`;
    cluster.voters.add(vote.voter);
    const before = cluster.votes.get(key);
    if (before === undefined) cluster.votes.set(key, vote.candidate);
    else if (before !== vote.candidate) {
      this.#failed(
        "one vote per term",
        `node ${vote.voter} (${scope.name}) votes for node ${vote.candidate} in term ${vote.term}, ` +
          `and has voted for node ${before}`,
      );
    }
  }

  #append(
    clusterId: number,
    cluster: WireCluster,
    message: Extract<Message, { type: "append" }>,
    scope: Scope,
  ): void {
    const { term, commit } = message;
    let leadership = cluster.leaderships.get(term);
    if (leadership === undefined) {
      leadership = { commitAtFirst: commit, firstOwnIndex: 0 };
      cluster.leaderships.set(term, leadership);
    }
    // What the follower got in a snapshot is not seen here as a batch.
    if (message.prevLogTerm === term) {
      lowerFirstOwn(leadership, message.prevLogIndex);
    }
    let prevTerm = this.#prevTermOf(clusterId, message, scope);
    for (const batch of message.batches) {
      this.#batch(cluster, batch, prevTerm, scope);
      prevTerm = batch.term;
      if (batch.term !== term) continue;
      lowerFirstOwn(leadership, batch.firstIndex);
      // The leader made it and has it; what it knew then is not known here.
      lower(
        this.#node(clusterId, message.from).floors,
        keyOf(batch.lastIndex, term),
        0,
      );
    }
    // Who asked nobody for a vote is the only voter, and commits before an observer hears of its term.
    const isOnlyVoter = !cluster.votes.has(`${term}/${message.from}`);
    const isUnseen = leadership.firstOwnIndex === 0 && !isOnlyVoter;
    if (
      commit > leadership.commitAtFirst &&
      (isUnseen || commit < leadership.firstOwnIndex)
    ) {
      this.#failed(
        "commits its own term first",
        `the leader of term ${term} (${scope.name}) has committed index ${commit}, and its own term begins at ` +
          `${leadership.firstOwnIndex}`,
      );
    }
    const promised = this.promises(clusterId, message.to);
    if (term > promised.indexTerm) {
      promised.indexTerm = term;
      promised.index = 0; // From here on this leader may have truncated what was promised to another.
    }
    this.#noteFloors(
      this.#node(clusterId, message.to),
      message.batches,
      commit,
    );
  }

  #noteFloors(
    node: WireNode,
    batches: readonly EntryBatch[],
    commit: number,
  ): void {
    const end = batches[batches.length - 1]?.lastIndex ?? 0;
    const known = Math.max(node.applied, Math.min(commit, end));
    for (const { lastIndex, term } of batches) {
      if (lastIndex <= node.forgottenTo) continue; // It may have been sent before, when less was known.
      lower(node.floors, keyOf(lastIndex, term), known);
    }
    if (node.floors.size <= floorCountMax) return;
    for (const key of node.floors.keys()) {
      node.floors.delete(key);
      node.forgottenTo = Math.max(
        node.forgottenTo,
        Math.floor(key / termLimit),
      );
      if (node.floors.size <= floorCountMax / 2) break;
    }
  }

  /** Log matching (paper 5.3): same index and term, same entries, and the same entry before them. */
  /**
   * The term before an append's entries; undefined where the sender's own log begins inside a batch behind a snapshot. It
   * may leave it out then, to one who has acknowledged more and does not look at it (rule B2).
   */
  #prevTermOf(
    clusterId: number,
    message: Extract<Message, { type: "append" }>,
    scope: Scope,
  ): number | undefined {
    const { prevLogIndex, prevLogTerm, term, to } = message;
    if (prevLogTerm > 0 || prevLogIndex === 0) return prevLogTerm;
    const { indexTerm, index } = this.promises(clusterId, to);
    if (indexTerm !== term || index <= prevLogIndex) {
      this.#failed(
        "logs match",
        `${scope.name} sends what follows index ${prevLogIndex} without the term of that to node ${to}, which has not ` +
          `acknowledged it in term ${term}`,
      );
    }
    return undefined;
  }

  #batch(
    cluster: WireCluster,
    batch: EntryBatch,
    prevTerm: number | undefined,
    scope: Scope,
  ): void {
    const key = keyOf(batch.firstIndex, batch.term);
    const view = new DataView(batch.bytes.buffer, batch.bytes.byteOffset, 32);
    // What a witness gets has the same place and term, and nothing that could be compared (rule C9).
    const digest = hasPayloads(batch) ? view.getUint32(28, true) : 0;
    const known = cluster.batches.get(key);
    if (known === undefined) {
      cluster.batches.set(key, {
        lastIndex: batch.lastIndex,
        digest,
        prevTerm,
      });
    } else if (
      known.lastIndex !== batch.lastIndex ||
      (known.prevTerm ?? prevTerm) !== (prevTerm ?? known.prevTerm) ||
      (known.digest !== digest && known.digest !== 0 && digest !== 0)
    ) {
      this.#failed(
        "logs match",
        `${scope.name} sends entries ${batch.firstIndex} to ${batch.lastIndex} of term ${batch.term} after term ` +
          `${prevTerm}, they were sent before up to ${known.lastIndex} after term ${known.prevTerm}` +
          (known.digest === digest ? "" : ", with other contents"),
      );
    } else {
      known.prevTerm ??= prevTerm;
      if (known.digest === 0) known.digest = digest;
    }
  }

  #cluster(clusterId: number): WireCluster {
    let cluster = this.#clusters.get(clusterId);
    if (cluster === undefined) {
      cluster = {
        votes: new Map(),
        voters: new Set(),
        batches: new Map(),
        leaderships: new Map(),
        nodes: new Map(),
      };
      this.#clusters.set(clusterId, cluster);
    }
    return cluster;
  }

  #node(clusterId: number, nodeId: number): WireNode {
    const { nodes } = this.#cluster(clusterId);
    let node = nodes.get(nodeId);
    if (node === undefined) {
      node = {
        promises: { term: 0, index: 0, indexTerm: 0 },
        applied: 0,
        floors: new Map(),
        forgottenTo: 0,
        isSilenced: false,
      };
      nodes.set(nodeId, node);
    }
    return node;
  }

  #count(type: string): void {
    this.messageCounts.set(type, (this.messageCounts.get(type) ?? 0) + 1);
  }

  #failed(check: CheckName, message: string): void {
    this.#fail(new SimulationFailure(check, message));
  }
}

/** Whether others may count on what a node says here. */
function isPromise(message: Message): boolean {
  switch (message.type) {
    case "voteResponse":
      return message.granted;
    case "appendResponse":
      return !message.rejected;
    default:
      return message.type === "vote" || message.type === "append";
  }
}

/** One number for index and term. */
function keyOf(index: number, term: number): number {
  return index * termLimit + term;
}

/** The leader has an entry of its own term at `index`: its first one is there or before. */
function lowerFirstOwn(leadership: Leadership, index: number): void {
  const known = leadership.firstOwnIndex;
  if (known === 0 || index < known) leadership.firstOwnIndex = index;
}

function lower(floors: Map<number, number>, key: number, value: number): void {
  const before = floors.get(key);
  if (before === undefined || value < before) floors.set(key, value);
}
