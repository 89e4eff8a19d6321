/** Random harm for a cluster of cores: everything that may happen in any order does, and then it must recover. */
import { assert } from "../../raft/core/assert.ts";
import { allMembers } from "../../raft/core/members.ts";
import type { Prng } from "../../raft/core/prng.ts";
import { change, CoreCluster, type CoreSettings } from "./core_cluster.ts";

/** What a run has done, to see that it was not idle. */
export interface ChaosReport {
  readonly committedIndex: number;
  readonly termCount: number;
  readonly counts: Readonly<Record<string, number>>;
  /** How often all members were quiet after a rest. */
  readonly quietCount: number;
}

/** One kind of step, and how often it is taken. */
interface Action {
  readonly name: string;
  /** In calm weather, and in a storm. */
  readonly weights: readonly [number, number];
  readonly run: (chaos: Chaos) => void;
}

const actions: readonly Action[] = [
  { name: "deliver", weights: [420, 420], run: (chaos) => chaos.deliver() },
  { name: "duplicate", weights: [8, 8], run: (chaos) => chaos.duplicate() },
  { name: "tick", weights: [160, 300], run: (chaos) => chaos.tick() },
  { name: "hurry", weights: [2, 16], run: (chaos) => chaos.hurry() },
  { name: "sync", weights: [150, 150], run: (chaos) => chaos.sync() },
  { name: "apply", weights: [120, 120], run: (chaos) => chaos.apply() },
  { name: "propose", weights: [70, 70], run: (chaos) => chaos.propose() },
  { name: "read", weights: [20, 40], run: (chaos) => chaos.read() },
  { name: "drop", weights: [15, 25], run: (chaos) => chaos.drop() },
  { name: "crash", weights: [4, 14], run: (chaos) => chaos.crash() },
  { name: "restart", weights: [10, 40], run: (chaos) => chaos.restart() },
  { name: "cut", weights: [4, 12], run: (chaos) => chaos.cut() },
  { name: "heal", weights: [5, 18], run: (chaos) => chaos.cluster.heal() },
  { name: "snapshot", weights: [4, 4], run: (chaos) => chaos.snapshot() },
  { name: "change", weights: [6, 8], run: (chaos) => chaos.change() },
  { name: "transfer", weights: [3, 8], run: (chaos) => chaos.transfer() },
  { name: "rest", weights: [6, 6], run: (chaos) => chaos.rest() },
  { name: "unreachable", weights: [3, 3], run: (chaos) => chaos.unreachable() },
];

/** Runs `stepCount` random steps from `seed`, then heals the cluster and requires progress. */
export function runChaos(
  options: { seed: number; stepCount: number; settings?: CoreSettings },
): ChaosReport {
  const chaos = new Chaos(options);
  for (let step = 0; step < options.stepCount; step++) chaos.step();
  chaos.recover();
  return {
    committedIndex: chaos.cluster.checks.committedIndex,
    termCount: chaos.cluster.checks.termCount,
    counts: chaos.counts,
    quietCount: chaos.quietCount,
  };
}

class Chaos {
  readonly cluster: CoreCluster;
  readonly counts: Record<string, number> = {};
  quietCount = 0;
  readonly #mayBeQuiet: boolean;
  readonly #prng: Prng;
  #commandCount = 0;
  #nextNodeId = 4;
  readonly #weights: readonly number[];
  readonly #totalWeight: number;

  constructor(options: { seed: number; settings?: CoreSettings }) {
    this.#mayBeQuiet = options.seed % 4 < 2;
    this.cluster = new CoreCluster({
      nodeIds: options.seed % 3 === 0 ? [1, 2, 3, 4, 5] : [1, 2, 3],
      seed: options.seed,
      settings: {
        electionTimeoutTicks: 4,
        // Small limits, so that every one is met.
        maxAppendBytes: 200,
        maxInflightAppends: 3,
        maxInflightBytes: 500,
        maxApplyBytes: 150,
        retainBytes: 100,
        quiesceTicks: this.#mayBeQuiet ? 3 : 0,
        ...options.settings,
      },
    });
    this.#nextNodeId = this.cluster.nodes.size + 1;
    this.#prng = this.cluster.prng.fork();
    const weather = options.seed % 2;
    this.#weights = actions.map(({ weights }) => weights[weather] as number);
    this.#totalWeight = this.#weights.reduce((sum, weight) => sum + weight, 0);
  }

  step(): void {
    let drawn = this.#prng.below(this.#totalWeight);
    for (const [position, action] of actions.entries()) {
      drawn -= this.#weights[position] as number;
      if (drawn >= 0) continue;
      this.counts[action.name] = (this.counts[action.name] ?? 0) + 1;
      action.run(this);
      return;
    }
  }

  deliver(): void {
    const { queue } = this.cluster;
    for (let count = this.#prng.between(1, 8); count > 0; count--) {
      if (queue.length === 0) return;
      // Mostly in order, as connections are; now and then not.
      this.cluster.deliver(
        this.#prng.chance(9, 10) ? 0 : this.#prng.below(queue.length),
      );
    }
  }

  duplicate(): void {
    const { queue } = this.cluster;
    if (queue.length === 0) return;
    this.cluster.deliver(this.#prng.below(queue.length), { keep: true });
  }

  drop(): void {
    const { queue } = this.cluster;
    if (queue.length > 0) this.cluster.drop(this.#prng.below(queue.length));
  }

  tick(): void {
    const nodeId = this.#someUp();
    if (nodeId !== 0) this.cluster.tick(nodeId);
  }

  /** A node's clock runs ahead of the others'. */
  hurry(): void {
    const nodeId = this.#someUp();
    if (nodeId !== 0) this.cluster.tick(nodeId, this.#prng.between(2, 12));
  }

  sync(): void {
    const nodeId = this.#someUp();
    if (nodeId === 0) return;
    const count = this.cluster.node(nodeId).writes.length;
    if (count > 0) this.cluster.sync(nodeId, 1 + this.#prng.below(count));
  }

  apply(): void {
    const nodeId = this.#someUp();
    if (nodeId === 0) return;
    // A driver may stop in the middle of a batch, and take a snapshot there (rule B2).
    const count = this.#prng.chance(1, 3) ? this.#prng.between(1, 4) : Infinity;
    this.cluster.apply(nodeId, count);
  }

  propose(): void {
    const leader = this.cluster.leader();
    if (leader === undefined) return;
    const commands: string[] = [];
    for (let count = this.#prng.between(1, 6); count > 0; count--) {
      commands.push(`command ${++this.#commandCount}`);
    }
    this.cluster.propose(leader.nodeId, ...commands);
  }

  read(): void {
    const nodeId = this.#someUp();
    if (nodeId !== 0) this.cluster.read(nodeId);
  }

  crash(): void {
    const nodeId = this.#leaderOrAny();
    if (nodeId === 0) return;
    const { writes } = this.cluster.node(nodeId);
    this.cluster.crash(nodeId, this.#prng.below(writes.length + 1));
    this.cluster.noticeSilence();
  }

  restart(): void {
    const down = [...this.cluster.nodes.values()].filter((node) =>
      node.peer === undefined
    );
    if (down.length > 0) this.cluster.start(this.#prng.pick(down).nodeId);
  }

  cut(): void {
    this.#cut();
    this.cluster.noticeSilence();
  }

  /** Nothing goes wrong for a while, and nobody wants anything: a cluster may fall quiet (rule C10). */
  rest(): void {
    if (!this.#mayBeQuiet) return;
    const { cluster } = this;
    cluster.run(this.#prng.between(1, 24));
    const isQuiet = cluster.up().every((nodeId) =>
      cluster.core(nodeId).isQuiet
    );
    if (isQuiet) this.quietCount++;
  }

  #cut(): void {
    const ids = [...this.cluster.nodes.keys()];
    if (this.#prng.chance(1, 2)) {
      this.cluster.cut(this.#prng.pick(ids), this.#prng.pick(ids));
      return;
    }
    const alone = this.#prng.chance(1, 2)
      ? [this.#leaderOrAny()]
      : ids.filter(() => this.#prng.chance(1, 2));
    this.cluster.partition(alone, ids.filter((id) => !alone.includes(id)));
  }

  snapshot(): void {
    const nodeId = this.#someUp();
    if (nodeId === 0) return;
    const node = this.cluster.node(nodeId);
    const isReceiving = node.restoring !== undefined ||
      node.writes.some((write) => write.update.snapshot !== undefined);
    if (!isReceiving) this.cluster.snapshot(nodeId, this.#prng.below(20));
  }

  change(): void {
    const leader = this.cluster.leader();
    if (leader === undefined) return;
    const ids = allMembers(leader.membership).map((member) => member.nodeId);
    if (leader.membership.members.length > 2 && this.#prng.chance(1, 2)) {
      const removed = this.#prng.pick(ids);
      this.cluster.proposeChange(leader.nodeId, change("removeNode", removed));
      return;
    }
    const { observers } = leader.membership;
    if (observers.length > 0 && this.#prng.chance(1, 2)) {
      const { nodeId } = this.#prng.pick(observers);
      const promotion = change("addNode", nodeId);
      const whenCaughtUp = this.#prng.chance(1, 2);
      this.cluster.proposeChange(leader.nodeId, { ...promotion, whenCaughtUp });
      return;
    }
    if (ids.length >= 6) return;
    const waiting = [...this.cluster.nodes.keys()].filter((id) =>
      !ids.includes(id) && !leader.membership.removed.includes(id)
    );
    if (waiting.length === 0) {
      const isWitness = this.#prng.chance(1, 3);
      this.cluster.join(this.#nextNodeId, { isWitness });
      waiting.push(this.#nextNodeId++);
    }
    const added = this.#prng.pick(waiting);
    const type = this.cluster.node(added).isWitness
      ? "addWitness"
      : this.#prng.chance(1, 2)
      ? "addNode"
      : "addObserver";
    this.cluster.proposeChange(leader.nodeId, change(type, added));
  }

  transfer(): void {
    const leader = this.cluster.leader();
    if (leader === undefined) return;
    const target = this.#prng.pick(allMembers(leader.membership)).nodeId;
    this.cluster.act(leader.nodeId, (core) => core.transferLeadership(target));
  }

  unreachable(): void {
    const leader = this.cluster.leader();
    if (leader === undefined) return;
    const target = this.#prng.pick(allMembers(leader.membership)).nodeId;
    this.cluster.act(leader.nodeId, (core) => core.reportUnreachable(target));
  }

  /** Everything works again: a leader must emerge, and what it commits must reach every member. */
  recover(): void {
    const { cluster } = this;
    cluster.heal();
    for (const node of cluster.nodes.values()) {
      if (node.peer === undefined) cluster.start(node.nodeId);
    }
    cluster.run(120);
    const leader = cluster.leader();
    assert(leader !== undefined, "a healed cluster must elect a leader");
    const batch = cluster.propose(leader.nodeId, "after the storm");
    assert(typeof batch !== "string", "a healed cluster must take proposals");
    cluster.run(3);
    for (const { nodeId } of allMembers(leader.membership)) {
      const core = cluster.core(nodeId);
      assert(core.commit >= batch.lastIndex, "every member must catch up");
      assert(core.appliedIndex === core.commit, "every member must apply");
      assert(core.leaderId === leader.nodeId, "every member must follow");
    }
    const context = cluster.read(leader.nodeId);
    cluster.settle();
    assert(
      leader.readStates.some((read) =>
        read.context.counter === context.counter
      ),
      "a healed cluster must serve reads",
    );
  }

  /** Often the leader, since its loss is what changes terms. */
  #leaderOrAny(): number {
    const leader = this.cluster.leader();
    return leader !== undefined && this.#prng.chance(2, 3)
      ? leader.nodeId
      : this.#someUp();
  }

  #someUp(): number {
    const up = this.cluster.up();
    return up.length === 0 ? 0 : this.#prng.pick(up);
  }
}
