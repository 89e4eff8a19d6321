/** Changes the members of clusters while they run: one joins on a machine that has none, or one is removed for ever. */
import { RaftError } from "../../raft/errors.ts";
import type { Membership } from "../../raft/core/types.ts";
import type { Machine } from "./machine.ts";
import type { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

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

  /** Nothing changes yet. */
  constructor(world: World, random: SimRandom) {
    this.#world = world;
    this.#random = random;
  }

  /** Begins one change, or two in a row (rule C4); false if that is not possible now. */
  change(clusterId: number): boolean {
    if (this.#busy.has(clusterId)) return false;
    const carriers = this.#world.machines.filter((machine) =>
      machine.isUp && machine.startedClusters.has(clusterId)
    );
    if (carriers.length === 0) return false;
    const free = this.#world.machines.filter((machine) =>
      !machine.placements.has(clusterId)
    );
    const placed = this.#world.machines.filter((machine) =>
      machine.placements.has(clusterId)
    );
    const mayAdd = free.length > 0;
    const mayRemove = placed.length > 3 ||
      (placed.length > 2 && this.#random.chance(0.3));
    if (!mayAdd && !mayRemove) return false;
    this.#busy.add(clusterId);
    const asked = this.#random.pick(carriers);
    const isAdd = mayAdd && (!mayRemove || this.#random.chance(0.5));
    if (isAdd) this.#add(asked, clusterId, this.#random.pick(free));
    else this.#remove(asked, clusterId, this.#random.pick(placed));
    return true;
  }

  /** Whether the removal of a node was ever asked for. */
  mayBeRemoved(clusterId: number, nodeId: number): boolean {
    return this.#condemned.has(`${clusterId}/${nodeId}`);
  }

  /** Brings placements in line with a membership that was read after harm: who is not in it does not run. */
  settle(clusterId: number, membership: Membership): void {
    this.#busy.delete(clusterId);
    for (const machine of this.#world.machines) {
      const placement = machine.placements.get(clusterId);
      if (placement === undefined) continue;
      if (
        !membership.members.some(({ nodeId }) => nodeId === placement.nodeId)
      ) machine.dropPlacement(clusterId);
    }
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

  #remove(asked: Machine, clusterId: number, where: Machine): void {
    const { nodeId } = where.placements.get(clusterId)!;
    this.#condemned.add(`${clusterId}/${nodeId}`);
    this.#ask(
      asked,
      clusterId,
      (host) => host.removeNode(clusterId, { nodeId }, { timeoutMs: 2_000 }),
      (_isPossible, isSure) => {
        if (isSure) where.dropPlacement(clusterId);
      },
    );
  }

  #ask(
    asked: Machine,
    clusterId: number,
    change: (host: NonNullable<Machine["host"]>) => Promise<Membership>,
    done: (isPossible: boolean, isSure: boolean) => void,
  ): void {
    let isOver = false;
    const end = (isPossible: boolean, isSure: boolean) => {
      if (isOver) return;
      isOver = true;
      asked.onDeath.delete(onDeath);
      this.#busy.delete(clusterId);
      done(isPossible, isSure);
    };
    const onDeath = () => end(true, false);
    asked.onDeath.add(onDeath);
    asked.run((host) => {
      change(host).then(
        () => {
          this.changeCount++;
          end(true, true);
        },
        (error) => {
          end(
            !(error instanceof RaftError) || error.outcome === "unknown",
            false,
          );
          this.#world.expectRefusals(Promise.reject(error));
        },
      );
    });
  }
}
