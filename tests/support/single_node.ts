/**
 * One node among members that exist only as messages: the test says what arrives and looks at what leaves. The disk
 * and the state machine follow at once, unless a test holds the disk.
 */
import { assert } from "../../raft/core/assert.ts";
import type { Peer } from "../../raft/core/peer.ts";
import type {
  EntryBatch,
  Message,
  MessageType,
} from "../../raft/core/types.ts";
import { CoreCluster, CoreNode, type CoreSettings } from "./core_cluster.ts";
import { makeBatch } from "./entries.ts";
import type { MemoryLog } from "./memory_log.ts";

/** A message of one type. */
export type MessageOf<Type extends MessageType> = Extract<
  Message,
  { type: Type }
>;

/** `Omit` over each member of the union of messages. */
type Fields<Type extends MessageType> = MessageOf<Type> extends infer Each
  ? Omit<Each, "type" | "to" | "from" | "term">
  : never;

/** What a node begins with. */
export interface SingleNodeOptions {
  /** Ids of the members; the node under test is 1 unless said otherwise. */
  readonly members?: readonly number[];
  readonly nodeId?: number;
  readonly term?: number;
  readonly votedFor?: number;
  readonly commit?: number;
  /** Terms of the entries in its log, from index 1; each is a batch of its own. */
  readonly log?: readonly number[];
  readonly settings?: CoreSettings;
  readonly mayVote?: boolean;
  readonly seed?: number;
}

/** Batches of one entry each with these terms, from `firstIndex` on. */
export function batchesOf(
  firstIndex: number,
  ...terms: readonly number[]
): EntryBatch[] {
  return terms.map((term, position) =>
    makeBatch({
      term,
      firstIndex: firstIndex + position,
      commands: [`${firstIndex + position}@${term}`],
    })
  );
}

/** Writes a log and a hard state to a disk whose node is down. */
export function fillDisk(
  disk: MemoryLog,
  state: {
    term: number;
    votedFor?: number;
    commit?: number;
    log: readonly number[];
  },
): void {
  disk.write({
    hardState: {
      term: state.term,
      votedFor: state.votedFor ?? 0,
      commit: state.commit ?? 0,
    },
    batches: batchesOf(1, ...state.log),
    snapshot: undefined,
  });
}

/** One node under test. */
export class SingleNode {
  readonly cluster: CoreCluster;
  readonly node: CoreNode;
  /** While true, nothing becomes durable. */
  isDiskHeld = false;

  constructor(options: SingleNodeOptions = {}) {
    const members = options.members ?? [1, 2, 3];
    const nodeId = options.nodeId ?? 1;
    this.cluster = new CoreCluster({
      nodeIds: members,
      isDown: true,
      seed: options.seed ?? 1,
      settings: options.settings ?? {},
    });
    if (!members.includes(nodeId)) {
      this.cluster.nodes.set(
        nodeId,
        new CoreNode(nodeId, this.cluster.initialMembership),
      );
    }
    this.node = this.cluster.node(nodeId);
    const log = options.log ?? [];
    const term = options.term ?? log.at(-1) ?? 0;
    if (term > 0) fillDisk(this.node.disk, { ...options, term, log });
    this.cluster.start(nodeId, { mayVote: options.mayVote ?? true });
    this.take();
  }

  get core(): Peer {
    return this.node.core;
  }

  /** Terms of the entries on disk. */
  get logTerms(): number[] {
    return this.node.disk.batches().flatMap((batch) =>
      new Array<number>(batch.lastIndex - batch.firstIndex + 1).fill(batch.term)
    );
  }

  /** Lets the disk and the state machine work, and takes the messages that left. */
  take(): Message[] {
    const { nodeId } = this.node;
    while (
      this.node.writes.length > 0 || this.node.applying || this.node.restoring
    ) {
      if (this.isDiskHeld) break;
      this.cluster.sync(nodeId);
      this.cluster.apply(nodeId);
    }
    return this.cluster.queue.splice(0);
  }

  /** Ticks, and returns what left. */
  tick(count = 1): Message[] {
    this.cluster.tick(this.node.nodeId, count);
    return this.take();
  }

  /** A message from another node arrives; returns what left. */
  step<Type extends MessageType>(
    type: Type,
    from: number,
    term: number,
    fields: Fields<Type>,
  ): Message[] {
    const base = { type, from, to: this.node.nodeId, term };
    const message = { ...base, ...fields } as unknown as Message;
    this.cluster.act(this.node.nodeId, (core) => core.step(message));
    return this.take();
  }

  /** An append arrives: batches of one entry each, with the given terms. */
  append(
    append: {
      from?: number;
      term: number;
      prev?: readonly [index: number, term: number];
      terms?: readonly number[];
      commit?: number;
    },
  ): Message[] {
    const [prevLogIndex, prevLogTerm] = append.prev ?? [0, 0];
    return this.step("append", append.from ?? 2, append.term, {
      prevLogIndex,
      prevLogTerm,
      commit: append.commit ?? 0,
      batches: batchesOf(prevLogIndex + 1, ...(append.terms ?? [])),
    });
  }

  /** A vote request arrives. */
  vote(
    vote: {
      from?: number;
      term: number;
      last?: readonly [index: number, term: number];
      transfer?: boolean;
    },
  ): Message[] {
    const [lastLogIndex, lastLogTerm] = vote.last ?? [0, 0];
    return this.step("vote", vote.from ?? 2, vote.term, {
      lastLogIndex,
      lastLogTerm,
      transfer: vote.transfer ?? false,
    });
  }

  /** A pre-vote request arrives. */
  preVote(
    vote: {
      from?: number;
      term: number;
      last?: readonly [index: number, term: number];
    },
  ): Message[] {
    const [lastLogIndex, lastLogTerm] = vote.last ?? [0, 0];
    return this.step("preVote", vote.from ?? 2, vote.term, {
      lastLogIndex,
      lastLogTerm,
    });
  }

  /** A follower accepts everything up to `index`. */
  accept(from: number, index: number): Message[] {
    return this.step("appendResponse", from, this.core.term, {
      index,
      rejected: false,
      hintIndex: 0,
      hintTerm: 0,
    });
  }

  /** A follower refuses an append behind `index`. */
  reject(
    from: number,
    index: number,
    hint: readonly [index: number, term: number],
  ): Message[] {
    return this.step("appendResponse", from, this.core.term, {
      index,
      rejected: true,
      hintIndex: hint[0],
      hintTerm: hint[1],
    });
  }

  /** Ticks until the node asks for pre-votes; returns what left with them. */
  tickUntilPreVote(): Message[] {
    for (let tick = 0; tick < 100; tick++) {
      const sent = this.tick();
      if (this.core.role !== "follower") return sent;
    }
    assert(false, "a node without a leader must campaign");
  }

  /** Ticks and answers pre-votes until the node is a candidate; returns what left with the votes. */
  becomeCandidate(): Message[] {
    let sent = this.tickUntilPreVote();
    for (const { nodeId } of this.core.membership().members) {
      if (this.core.role !== "preCandidate") break;
      if (nodeId === this.node.nodeId) continue;
      sent = this.step("preVoteResponse", nodeId, this.core.term + 1, {
        granted: true,
      });
    }
    assert(this.core.role === "candidate", "granted pre-votes must suffice");
    return sent;
  }

  /** Wins an election; returns what left with the victory. */
  becomeLeader(): Message[] {
    let sent = this.becomeCandidate();
    for (const { nodeId } of this.core.membership().members) {
      if (this.core.isLeader()) break;
      if (nodeId === this.node.nodeId) continue;
      sent = this.step("voteResponse", nodeId, this.core.term, {
        granted: true,
      });
    }
    assert(this.core.isLeader(), "granted votes must suffice");
    return sent;
  }

  /** Wins an election, and everybody accepts everything. */
  lead(): void {
    this.becomeLeader();
    for (const { nodeId } of this.core.membership().members) {
      if (nodeId !== this.node.nodeId) this.accept(nodeId, this.core.lastIndex);
    }
  }
}

/** The messages of one type among `messages`. */
export function only<Type extends MessageType>(
  messages: readonly Message[],
  type: Type,
): MessageOf<Type>[] {
  return messages.filter((message): message is MessageOf<Type> =>
    message.type === type
  );
}
