/** A cluster as masters see it from outside: its members change one at a time, and only while a majority runs. */
import { RaftError } from "../../raft/errors.ts";

/** The members after one change. */
export interface FakeMembership {
  readonly cci: number;
  readonly voters: ReadonlyMap<number, string>;
  readonly observers: ReadonlyMap<number, string>;
}

/** What the cluster asks about its nodes. */
export interface FakeNodes {
  /** Whether a node runs somewhere now. */
  isRunning(clusterId: number, nodeId: number): boolean;
}

/** The true state of one cluster. */
export class FakeCluster {
  /** Every membership there was, in order. */
  readonly history: FakeMembership[];
  /** Every id that was ever a member. */
  readonly usedIds = new Set<number>();
  readonly removed = new Set<number>();
  leader = 0;
  readonly #nodes: FakeNodes;
  #index: number;

  /** A new cluster. */
  constructor(
    readonly clusterId: number,
    initialMembers: Record<number, string>,
    nodes: FakeNodes,
  ) {
    const voters = new Map(
      Object.entries(initialMembers).map(([id, addr]) => [Number(id), addr]),
    );
    for (const id of voters.keys()) this.usedIds.add(id);
    this.history = [{ cci: 0, voters, observers: new Map() }];
    this.#nodes = nodes;
    this.#index = voters.size;
  }

  /** The members now. */
  get membership(): FakeMembership {
    return this.history.at(-1)!;
  }

  /** The voters that run. */
  runningVoters(): number[] {
    return [...this.membership.voters.keys()].filter((id) =>
      this.#nodes.isRunning(this.clusterId, id)
    );
  }

  /** Whether it can commit. */
  hasQuorum(): boolean {
    return this.runningVoters().length * 2 > this.membership.voters.size;
  }

  /** A leader among those that run, or 0. */
  elect(): number {
    const running = this.runningVoters();
    if (!this.hasQuorum()) this.leader = 0;
    else if (!running.includes(this.leader)) this.leader = running[0]!;
    return this.leader;
  }

  /** Hands leadership over. */
  transfer(target: number): void {
    if (!this.runningVoters().includes(target)) {
      throw new RaftError("invalidTarget", `Cannot transfer to ${target}`);
    }
    this.leader = target;
  }

  /** Changes the members, as a leader would: under an index, and if a majority of the new voters was heard. */
  change(
    expectedCci: number,
    edit: (
      voters: Map<number, string>,
      observers: Map<number, string>,
    ) => void,
  ): void {
    if (!this.hasQuorum()) throw new RaftError("timeout", "Cannot: no leader");
    const now = this.membership;
    if (expectedCci !== now.cci) {
      throw new RaftError(
        "rejected",
        `Cannot: the index is ${now.cci}, not ${expectedCci}`,
      );
    }
    const voters = new Map(now.voters);
    const observers = new Map(now.observers);
    edit(voters, observers);
    const running = [...voters.keys()].filter((id) =>
      this.#nodes.isRunning(this.clusterId, id)
    );
    if (voters.size === 0 || running.length * 2 <= voters.size) {
      throw new RaftError("rejected", "Cannot: too few would be heard");
    }
    for (const id of [...voters.keys(), ...observers.keys()]) {
      if (this.removed.has(id)) {
        throw new RaftError("rejected", "Cannot: removed");
      }
      this.usedIds.add(id);
    }
    for (const id of [...now.voters.keys(), ...now.observers.keys()]) {
      if (!voters.has(id) && !observers.has(id)) this.removed.add(id);
    }
    this.#index += 3;
    this.history.push({ cci: this.#index, voters, observers });
  }
}
