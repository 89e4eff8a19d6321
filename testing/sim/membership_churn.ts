/** Changes the members of clusters while they run: one joins on a machine that has none, or one is removed for ever. */
import { RaftError } from "../../raft/errors.ts";
import type { Membership } from "../../raft/core/types.ts";
import type { Machine } from "./machine.ts";
import type { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

/** In a cluster of two, both must hear of a removal before one may leave; no simulation counts on that. */
const minMembersToRemove = 3;

/** Who carries which node, and what is being changed. */
export class MembershipChurn {
  /** Changes that were made, for the report. */
  changeCount = 0;
  readonly #world: World;
  readonly #random: SimRandom;
  /** The next node id by cluster: none is ever used twice. */
  readonly #nextNodeId = new Map<number, number>();
  readonly #busy = new Set<number>();
  /** Clusters of which a removal was asked for: the first membership cannot be named as the expected one. */
  readonly #hasRemoved = new Set<number>();
  /** Nodes whose removal was asked for, as `cluster/node`. */
  readonly #condemned = new Set<string>();

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
    const mayRemove = membership.members.length >= minMembersToRemove &&
      !(membership.configChangeIndex === 0 && this.#hasRemoved.has(clusterId));
    if (free.length === 0 && !mayRemove) return false;
    this.#busy.add(clusterId);
    const isAdd = free.length > 0 && (!mayRemove || this.#random.chance(0.5));
    if (isAdd) this.#add(asked, clusterId, this.#random.pick(free));
    else this.#remove(asked, clusterId, membership);
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

  /** Only from the membership that was seen, lest two removals take more than is left to lose. */
  #remove(asked: Machine, clusterId: number, membership: Membership): void {
    const { nodeId } = this.#random.pick(membership.members);
    this.#hasRemoved.add(clusterId);
    const { configChangeIndex } = membership;
    const expected = { expectedConfigChangeIndex: configChangeIndex };
    this.#condemned.add(`${clusterId}/${nodeId}`);
    this.#ask(
      asked,
      clusterId,
      (host) =>
        host.removeNode(clusterId, { nodeId, ...expected }, {
          timeoutMs: 2_000,
        }),
      (_isPossible, isSure) => {
        if (isSure) {
          this.#world.machineOf(clusterId, nodeId)?.dropPlacement(clusterId);
        }
      },
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
