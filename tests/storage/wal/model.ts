/** What a log should hold, written down as simply as can be, and random writes for it. */
import type { Prng } from "../../../raft/core/prng.ts";
import type {
  EntryBatch,
  HardState,
  SnapshotMeta,
} from "../../../raft/core/types.ts";
import type {
  Bootstrap,
  NodeWrite,
  PeerIdentity,
} from "../../../storage/log_store.ts";
import { batch, bootstrap, crc32, snapshot } from "./fixture.ts";

/** One node of the model. Never changed in place: a write makes another. */
export interface ModelNode {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly hardState: HardState | undefined;
  readonly snapshot: SnapshotMeta | undefined;
  readonly bootstrap: Bootstrap | undefined;
  readonly peers: readonly PeerIdentity[];
  readonly compacted: readonly [index: number, term: number];
  readonly batches: readonly EntryBatch[];
}

/** All nodes, by `cluster-node`. */
export type Model = ReadonlyMap<string, ModelNode>;

function keyOf(ids: { clusterId: number; nodeId: number }): string {
  return `${ids.clusterId}-${ids.nodeId}`;
}

function emptyNode(clusterId: number, nodeId: number): ModelNode {
  return {
    clusterId,
    nodeId,
    hardState: undefined,
    snapshot: undefined,
    bootstrap: undefined,
    peers: [],
    compacted: [0, 0],
    batches: [],
  };
}

/** Last index of a node's log. */
export function lastOf(node: ModelNode): number {
  return node.batches.at(-1)?.lastIndex ?? node.compacted[0];
}

function termAt(node: ModelNode, index: number): number | undefined {
  if (index === node.compacted[0]) return node.compacted[1];
  return node.batches.find((one) =>
    one.firstIndex <= index && index <= one.lastIndex
  )?.term;
}

/** The model after a group of writes. */
export function applyGroup(model: Model, writes: readonly NodeWrite[]): Model {
  const nodes = new Map(model);
  for (const write of writes) {
    const key = keyOf(write);
    if (write.remove === true) {
      nodes.delete(key);
    } else {
      const node = nodes.get(key) ?? emptyNode(write.clusterId, write.nodeId);
      nodes.set(key, applyWrite(node, write));
    }
  }
  return nodes;
}

function applyWrite(before: ModelNode, write: NodeWrite): ModelNode {
  let node: ModelNode = {
    ...before,
    hardState: write.hardState ?? before.hardState,
    bootstrap: write.bootstrap ?? before.bootstrap,
    peers: write.peers ?? before.peers,
  };
  const taken = write.snapshot;
  if (taken !== undefined && taken.index >= (before.snapshot?.index ?? 0)) {
    const isKept = termAt(node, taken.index) === taken.term;
    node = { ...node, snapshot: taken };
    if (!isKept) {
      node = { ...node, compacted: [taken.index, taken.term], batches: [] };
    }
  }
  for (const one of write.batches ?? []) {
    const kept = node.batches.filter((other) =>
      other.firstIndex < one.firstIndex
    );
    node = { ...node, batches: [...kept, one] };
  }
  const gone = node.batches.filter((one) =>
    one.lastIndex <= (write.compactTo ?? 0)
  );
  const last = gone.at(-1);
  if (last !== undefined) {
    node = {
      ...node,
      compacted: [last.lastIndex, last.term],
      batches: node.batches.slice(gone.length),
    };
  }
  return node;
}

/** The model as `contentsOf` would show a log that holds it. */
export function contentsOfModel(model: Model): unknown[] {
  return [...model.values()]
    .sort((a, b) => a.clusterId - b.clusterId || a.nodeId - b.nodeId)
    .map(({ batches, ...node }) => ({
      clusterId: node.clusterId,
      nodeId: node.nodeId,
      hardState: node.hardState,
      snapshot: node.snapshot,
      bootstrap: node.bootstrap,
      peers: node.peers,
      compacted: [...node.compacted],
      last: batches.at(-1)?.lastIndex ?? node.compacted[0],
      batches: batches.map((one) => [
        one.firstIndex,
        one.lastIndex,
        one.term,
        crc32(one.bytes),
      ]),
    }));
}

/** Random groups that a NodeHost could write. */
export class RandomWrites {
  readonly #prng: Prng;
  readonly #nodeCount: number;

  /** Groups over `nodeCount` nodes. */
  constructor(prng: Prng, nodeCount = 5) {
    this.#prng = prng;
    this.#nodeCount = nodeCount;
  }

  /** The next group for a log that holds `model`. */
  group(model: Model): NodeWrite[] {
    const writes: NodeWrite[] = [];
    let next = model;
    for (let count = this.#prng.between(1, 5); count > 0; count--) {
      const write = this.#write(next);
      writes.push(write);
      next = applyGroup(next, [write]);
    }
    return writes;
  }

  #write(model: Model): NodeWrite {
    const prng = this.#prng;
    const number = prng.below(this.#nodeCount);
    // Two of the nodes are of the same cluster.
    const ids = number === 0
      ? { clusterId: 1, nodeId: 7 }
      : { clusterId: number, nodeId: 1 };
    const node = model.get(keyOf(ids));
    if (node === undefined) {
      return {
        ...ids,
        bootstrap,
        hardState: { term: 1, votedFor: 0, commit: 0 },
      };
    }
    switch (prng.below(12)) {
      case 0:
        return this.#takeSnapshot(node);
      case 1:
        return prng.chance(1, 4) ? this.#restore(node) : this.#append(node);
      case 2:
        return prng.chance(1, 6)
          ? { ...ids, remove: true }
          : this.#conflict(node);
      case 3:
        return {
          ...ids,
          peers: [{
            nodeId: prng.between(1, 9),
            nodeHostId: "x".repeat(prng.below(40)),
            incarnation: prng.below(1000),
          }],
        };
      case 4:
        return this.#commit(node);
      default:
        return this.#append(node);
    }
  }

  #hardState(node: ModelNode, last: number): HardState {
    const known = node.hardState ?? { term: 1, votedFor: 0, commit: 0 };
    const commit = Math.max(known.commit, node.compacted[0]);
    return {
      ...known,
      commit: commit + this.#prng.below(Math.max(1, last - commit + 1)),
    };
  }

  #append(node: ModelNode): NodeWrite {
    const prng = this.#prng;
    const term = node.hardState?.term ?? 1;
    const batches: EntryBatch[] = [];
    let next = lastOf(node) + 1;
    for (let count = prng.between(1, 4); count > 0; count--) {
      const entryCount = prng.between(1, 20);
      const payloadBytes = prng.chance(1, 10)
        ? prng.below(6000)
        : prng.below(300);
      batches.push(batch(next, entryCount, term, payloadBytes));
      next += entryCount;
    }
    const { clusterId, nodeId } = node;
    const hardState = this.#hardState(node, next - 1);
    return prng.chance(1, 2)
      ? { clusterId, nodeId, batches }
      : { clusterId, nodeId, batches, hardState };
  }

  #commit(node: ModelNode): NodeWrite {
    const { clusterId, nodeId } = node;
    return {
      clusterId,
      nodeId,
      hardState: this.#hardState(node, lastOf(node)),
    };
  }

  /** A new leader's batches replace what was not committed. */
  #conflict(node: ModelNode): NodeWrite {
    const commit = node.hardState?.commit ?? 0;
    const open = node.batches.filter((one) => one.firstIndex > commit);
    if (open.length === 0) return this.#append(node);
    const { firstIndex } = this.#prng.pick(open);
    const term = (node.hardState?.term ?? 1) + 1;
    return {
      clusterId: node.clusterId,
      nodeId: node.nodeId,
      hardState: { term, votedFor: this.#prng.below(3), commit },
      batches: [batch(firstIndex, this.#prng.between(1, 9), term)],
    };
  }

  /** A snapshot of the node's own state. */
  #takeSnapshot(node: ModelNode): NodeWrite {
    const { clusterId, nodeId, compacted } = node;
    const commit = node.hardState?.commit ?? 0;
    const from = Math.max(compacted[0], node.snapshot?.index ?? 0);
    if (commit <= from) return this.#append(node);
    const index = from + 1 + this.#prng.below(commit - from);
    const compactTo = Math.max(0, index - this.#prng.below(30));
    const taken = snapshot(index, termAt(node, index)!);
    return { clusterId, nodeId, snapshot: taken, compactTo };
  }

  /** A snapshot from a leader that is far ahead. */
  #restore(node: ModelNode): NodeWrite {
    const { clusterId, nodeId } = node;
    const term = (node.hardState?.term ?? 1) + 1;
    const index = lastOf(node) + this.#prng.between(1, 50);
    return {
      clusterId,
      nodeId,
      snapshot: snapshot(index, term),
      hardState: { term, votedFor: 0, commit: index },
    };
  }
}
