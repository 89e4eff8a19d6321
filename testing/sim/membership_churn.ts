/** Changes the members of clusters while they run: one joins on a machine that has none, or one is removed for ever. */
import { RaftError } from "../../raft/errors.ts";
import type { Membership } from "../../raft/core/types.ts";
import type { Machine } from "./machine.ts";
import type { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

/** A cluster of one stays. */
const minMembersToRemove = 2;

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
    const free = machines.filter((one) => !one.placements.has(clusterId));
    const mayRemove = membership.members.length >= minMembersToRemove;
    if (free.length === 0 && !mayRemove) return false;
    this.#busy.add(clusterId);
    const isAdd = free.length > 0 && (!mayRemove || this.#random.chance(0.5));
    if (isAdd) this.#add(asked, clusterId, this.#random.pick(free));
    else this.#remove(asked, clusterId, membership);
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

  /** A member has told a node that it was removed: only now may it go, and its machine carry another. */
  told(clusterId: number, nodeId: number): void {
    if (!this.mayBeRemoved(clusterId, nodeId)) return;
    this.#world.machineOf(clusterId, nodeId)?.dropPlacement(clusterId);
  }

  /** Takes note of the members after harm, and stops nodes that never became any. */
  settle(clusterId: number, membership: Membership): void {
    this.#members.set(
      clusterId,
      new Set(membership.members.map(({ nodeId }) => nodeId)),
    );
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
      return nodeId !== undefined && members?.has(nodeId) === true;
    });
  }

  #add(asked: Machine, clusterId: number, where: Machine): void {
    const cluster = this.#world.plan.clusters.find((one) =>
      one.clusterId === clusterId
    )!;
    const nodeId = this.#nextNodeId.get(clusterId) ??
      cluster.machines.length + 1;
    this.#nextNodeId.set(clusterId, nodeId + 1);
    this.#ask(
      asked,
      clusterId,
      (host) =>
        host.addNode(clusterId, { nodeId, address: where.address }, {
          timeoutMs: 2_000,
        }),
      (isPossible) => {
        // Whether or not it is known to be a member: one that is must run.
        if (isPossible) where.startPlacement({ cluster, nodeId, join: true });
      },
    );
  }

  /** Only from the membership that was seen, lest two removals take more than is left to lose. */
  #remove(asked: Machine, clusterId: number, membership: Membership): void {
    const { nodeId } = this.#random.pick(membership.members);
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
      machine.isUp && machine.startedClusters.has(clusterId)
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
