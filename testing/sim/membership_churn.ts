/**
 * Changes the members of clusters while they run: a voter or an observer joins on a machine that has none, an observer is
 * promoted, a member is replaced, or removed for ever.
 */
import { RaftError } from "../../raft/errors.ts";
import { allMembers } from "../../raft/core/members.ts";
import type { Member, Membership } from "../../raft/core/types.ts";
import type { Machine } from "./machine.ts";
import type { ClusterPlan } from "./plan.ts";
import type { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

/** A cluster of one stays. */
const minMembersToRemove = 2;
/** Beside a witness there are two voters: with one alone a cluster stands still whenever either is down. */
const minVotersBesideWitness = 2;

/** Who carries which node, and what is being changed. */
export class MembershipChurn {
  /** Changes that were made, for the report. */
  changeCount = 0;
  readonly #world: World;
  readonly #random: SimRandom;
  /** The next node id by cluster: none is ever used twice. */
  readonly #nextNodeId = new Map<number, number>();
  readonly #busy = new Set<number>();
  /** Nodes whose removal was asked for, as `cluster/node`. */
  readonly #condemned = new Set<string>();
  /** Nodes that need not run, as `cluster/node`. */
  readonly #excused = new Set<string>();
  /** Members by cluster, as last read when harm was over. */
  readonly #members = new Map<number, ReadonlySet<number>>();

  /** Nothing changes yet. */
  constructor(world: World, random: SimRandom) {
    this.#world = world;
    this.#random = random;
  }

  /** Begins one change; false if that is not possible now. */
  change(clusterId: number): boolean {
    if (this.#busy.has(clusterId)) return false;
    const { machines } = this.#world;
    const asked = this.#pickCarrier(clusterId);
    const membership = asked?.info()?.clusters
      .find((one) => one.clusterId === clusterId)?.membership;
    if (asked === undefined || membership === undefined) return false;
    if (membership.members.length === 0) return false; // It has just joined and knows nobody yet.
    const free = machines.filter((one) => !one.placements.has(clusterId));
    const removable = removableMembers(membership);
    const mayWitness = membership.witnesses.length === 0 &&
      membership.members.length >= minVotersBesideWitness;
    // An observer whose node was never started stays what it is.
    const promotable = membership.observers.filter(({ nodeId }) =>
      this.#world.machineOf(clusterId, nodeId) !== undefined
    );
    const possible = [
      ...(free.length > 0 ? ["add", "observe", "replace", "replace"] : []),
      ...(free.length > 0 && mayWitness ? ["witness", "witness"] : []),
      ...(removable.length > 0 ? ["remove", "remove"] : []),
      ...(promotable.length > 0 ? ["promote", "promote"] : []),
    ];
    if (possible.length === 0) return false;
    this.#busy.add(clusterId);
    switch (this.#random.pick(possible)) {
      case "add":
        this.#add(asked, clusterId, this.#random.pick(free), "addNode");
        break;
      case "observe":
        this.#add(asked, clusterId, this.#random.pick(free), "addObserver");
        break;
      case "witness":
        this.#add(asked, clusterId, this.#random.pick(free), "addWitness");
        break;
      case "promote":
        this.#promote(asked, clusterId, this.#random.pick(promotable));
        break;
      case "replace":
        this.#replace(asked, clusterId, membership, this.#random.pick(free));
        break;
      default:
        this.#remove(asked, clusterId, membership);
    }
    return true;
  }

  /** Whether no change is under way. */
  get isIdle(): boolean {
    return this.#busy.size === 0;
  }

  /** Whether the removal of a node was ever asked for. */
  mayBeRemoved(clusterId: number, nodeId: number): boolean {
    return this.#condemned.has(`${clusterId}/${nodeId}`);
  }

  /** A node is to be removed, by somebody else. */
  condemn(clusterId: number, nodeId: number): void {
    this.#condemned.add(`${clusterId}/${nodeId}`);
  }

  /** A member has told a node that it was removed: only now may it go, and its machine carry another. */
  told(clusterId: number, nodeId: number): void {
    if (!this.mayBeRemoved(clusterId, nodeId)) return;
    const machine = this.#world.machineOf(clusterId, nodeId);
    if (machine === undefined) return;
    machine.dropPlacement(clusterId);
    this.#world.removals.begin(machine, clusterId, nodeId);
  }

  /** Takes note of the members after harm, and stops nodes that never became any. */
  settle(clusterId: number, membership: Membership): void {
    this.#members.set(
      clusterId,
      new Set(allMembers(membership).map(({ nodeId }) => nodeId)),
    );
    this.#excuse(clusterId);
    for (const machine of this.#world.machines) {
      const nodeId = machine.placements.get(clusterId)?.nodeId;
      if (nodeId === undefined || this.mayBeRemoved(clusterId, nodeId)) {
        continue;
      }
      if (!this.#members.get(clusterId)!.has(nodeId)) {
        machine.dropPlacement(clusterId);
      }
    }
  }

  /** Machines that carry the members that were found last. */
  carriers(clusterId: number): Machine[] {
    const members = this.#members.get(clusterId);
    return this.#world.machines.filter((machine) => {
      const nodeId = machine.placements.get(clusterId)?.nodeId;
      return nodeId !== undefined && members?.has(nodeId) === true &&
        !this.#excused.has(`${clusterId}/${nodeId}`);
    });
  }

  /** Takes note of nodes that need not run, because damage took what no other has. */
  #excuse(clusterId: number): void {
    const { machines, atlas } = this.#world;
    for (const machine of machines) {
      const nodeId = machine.placements.get(clusterId)?.nodeId;
      if (nodeId === undefined) continue;
      if (!atlas.excuses(machine, clusterId, machines)) continue;
      this.#excused.add(`${clusterId}/${nodeId}`);
    }
  }

  /** Those of them that have a state machine. */
  fullCarriers(clusterId: number): Machine[] {
    return this.carriers(clusterId).filter((machine) =>
      machine.placements.get(clusterId)?.witness !== true
    );
  }

  /** Those of them that have none, and tell nothing but how far their log has come. */
  witnessCarriers(clusterId: number): Machine[] {
    return this.carriers(clusterId).filter((machine) =>
      machine.placements.get(clusterId)?.witness === true
    );
  }

  #add(
    asked: Machine,
    clusterId: number,
    where: Machine,
    call: "addNode" | "addObserver" | "addWitness",
  ): void {
    const witness = call === "addWitness";
    const { cluster, nodeId } = this.newNode(clusterId);
    this.#ask(
      asked,
      clusterId,
      (host) =>
        host[call](clusterId, { nodeId, address: where.address }, {
          timeoutMs: 2_000,
        }),
      (isPossible) => {
        // Whether or not it is known to be a member: one that is must run.
        if (!isPossible) return;
        where.startPlacement({ cluster, nodeId, join: true, witness });
      },
    );
  }

  #promote(asked: Machine, clusterId: number, observer: Member): void {
    const { nodeId, address } = observer;
    this.#ask(
      asked,
      clusterId,
      (host) =>
        host.addNode(clusterId, { nodeId, address }, { timeoutMs: 2_000 }),
      () => {},
    );
  }

  /** Mostly the new node runs; now and then it never does, and must be given up without harm (master decision M1). */
  #replace(
    asked: Machine,
    clusterId: number,
    membership: Membership,
    where: Machine,
  ): void {
    const { cluster, nodeId: newNodeId } = this.newNode(clusterId);
    const { nodeId } = this.#random.pick([
      ...membership.members,
      ...membership.observers,
    ]);
    this.#condemned.add(`${clusterId}/${nodeId}`);
    this.#condemned.add(`${clusterId}/${newNodeId}`);
    if (this.#random.chance(0.8)) {
      where.startPlacement({ cluster, nodeId: newNodeId, join: true });
    }
    const { address } = where;
    this.#ask(
      asked,
      clusterId,
      (host) =>
        host.replaceNode(clusterId, { nodeId, newNodeId, address }, {
          timeoutMs: 3_000,
        }),
      () => {},
    );
  }

  /** An id that no node of the cluster ever had. */
  newNode(clusterId: number): { cluster: ClusterPlan; nodeId: number } {
    const cluster = this.#world.plan.clusters.find((one) =>
      one.clusterId === clusterId
    )!;
    const nodeId = this.#nextNodeId.get(clusterId) ??
      cluster.machines.length + 1;
    this.#nextNodeId.set(clusterId, nodeId + 1);
    return { cluster, nodeId };
  }

  /** Only from the membership that was seen, lest two removals take more than is left to lose. */
  #remove(asked: Machine, clusterId: number, membership: Membership): void {
    const { nodeId } = this.#random.pick(removableMembers(membership));
    const expectedConfigChangeIndex = membership.configChangeIndex;
    this.#condemned.add(`${clusterId}/${nodeId}`);
    this.#ask(
      asked,
      clusterId,
      (host) =>
        host.removeNode(clusterId, { nodeId, expectedConfigChangeIndex }, {
          timeoutMs: 2_000,
        }),
      () => {},
    );
  }

  #pickCarrier(clusterId: number): Machine | undefined {
    const carriers = this.#world.machines.filter((machine) =>
      machine.serves(clusterId)
    );
    return carriers.length === 0 ? undefined : this.#random.pick(carriers);
  }

  #ask(
    asked: Machine,
    clusterId: number,
    change: (host: NonNullable<Machine["host"]>) => Promise<Membership>,
    done: (isPossible: boolean) => void,
  ): void {
    let isOver = false;
    const end = (isPossible: boolean) => {
      if (isOver) return;
      isOver = true;
      asked.onDeath.delete(onDeath);
      this.#busy.delete(clusterId);
      done(isPossible);
    };
    const onDeath = () => end(true);
    asked.onDeath.add(onDeath);
    asked.run((host) => {
      change(host).then(
        () => {
          this.changeCount++;
          end(true);
        },
        (error) => {
          end(!(error instanceof RaftError) || error.outcome === "unknown");
          this.#world.expectRefusals(Promise.reject(error));
        },
      );
    });
  }
}

/** Whom a cluster can spare. */
function removableMembers(membership: Membership): readonly Member[] {
  const { members, observers, witnesses } = membership;
  const least = witnesses.length === 0
    ? minMembersToRemove
    : minVotersBesideWitness + 1;
  return [
    ...(members.length >= least ? members : []),
    ...observers,
    ...witnesses,
  ];
}
