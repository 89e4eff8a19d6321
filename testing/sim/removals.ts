/**
 * Removes the data of nodes that were removed from their cluster, as an operator does who wants the space back, and looks
 * whether anything of them is left: neither in a log nor beside it, whenever the process may have died meanwhile.
 */
import { RaftError } from "../../raft/errors.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import type { LogStore } from "../../storage/log_store.ts";
import { eventKind } from "./clock.ts";
import { SimulationFailure } from "./failure.ts";
import type { Machine } from "./machine.ts";
import { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

const retryUs = 200_000;

/** A node of which a machine has data. */
interface Removed {
  readonly clusterId: number;
  readonly nodeId: number;
  /** The NodeHost was asked, and has not answered. */
  isUnderWay: boolean;
  /** The NodeHost said that it is done. */
  isGone: boolean;
}

/** The removals of one world. */
export class DataRemovals {
  /** Nodes whose data is gone, for the report. */
  count = 0;
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #removed = new Map<Machine, Removed[]>();

  /** Nothing is removed yet. */
  constructor(world: World) {
    this.#world = world;
    this.#random = new SimRandom(world.plan.seed, "removals of data");
  }

  /** A node on a machine knows that it was removed; mostly it has data there. */
  begin(machine: Machine, clusterId: number, nodeId: number): void {
    const { removedDataShare } = this.#world.plan.workload;
    if (!this.#random.chance(removedDataShare)) return;
    const removed: Removed = {
      clusterId,
      nodeId,
      isUnderWay: false,
      isGone: false,
    };
    this.#of(machine).push(removed);
    this.#remove(machine, removed);
  }

  /** Whether the data of a node of a cluster are being removed: no other one can be started there meanwhile. */
  isUnderWay(machine: Machine, clusterId: number): boolean {
    return this.#of(machine).some((removed) =>
      removed.clusterId === clusterId && removed.isUnderWay
    );
  }

  /** A machine's process is up: what the one before did not finish goes on. */
  machineUp(machine: Machine): void {
    for (const removed of this.#of(machine)) {
      removed.isUnderWay = false;
      if (!removed.isGone) this.#remove(machine, removed);
    }
  }

  /** A machine lost its folder. */
  forget(machine: Machine): void {
    this.#removed.delete(machine);
  }

  /** Compares with what a machine's log holds while no process runs. @throws {SimulationFailure} */
  compare(machine: Machine, log: LogStore): void {
    if (machine.disk.isRotten) return; // What damage took is told elsewhere.
    for (const removed of this.#of(machine)) {
      if (!removed.isGone) continue;
      const { clusterId, nodeId } = removed;
      const node = log.node(clusterId, nodeId);
      const left = [
        node.bootstrap()?.isRemoved === true ? "" : "no mark of its removal",
        node.lastIndex() === 0 ? "" : `entries up to ${node.lastIndex()}`,
        node.snapshot() === undefined ? "" : "a snapshot's record",
        node.hardState() === undefined ? "" : "a term or a vote",
        ...this.#filesOf(machine, removed),
      ].filter((what) => what !== "");
      if (left.length > 0) throw failure(machine, removed, left);
    }
  }

  #of(machine: Machine): Removed[] {
    let all = this.#removed.get(machine);
    if (all === undefined) this.#removed.set(machine, all = []);
    return all;
  }

  #remove(machine: Machine, removed: Removed): void {
    const { timeline } = this.#world;
    machine.run((host) => {
      this.#try(host, removed).then(
        () => this.#gone(machine, removed),
        (error) => {
          if (!(error instanceof RaftError)) {
            return this.#world.expectRefusals(Promise.reject(error));
          }
          if (error.code === "clusterNotFound") return; // It never had any.
          timeline.schedule(machine.scope, retryUs, eventKind.client, () => {
            if (machine.state === "up") this.#remove(machine, removed);
          });
        },
      );
    });
  }

  async #try(host: NodeHost, removed: Removed): Promise<void> {
    const { clusterId, nodeId } = removed;
    const runs = host.info().clusters.some((one) =>
      one.clusterId === clusterId && one.nodeId === nodeId
    );
    if (runs) await host.stopCluster(clusterId);
    removed.isUnderWay = true;
    try {
      await host.removeData(clusterId, nodeId);
    } finally {
      removed.isUnderWay = false;
    }
  }

  #gone(machine: Machine, removed: Removed): void {
    if (!this.#of(machine).includes(removed)) return; // The folder is another one.
    removed.isGone = true;
    this.count++;
    const left = this.#filesOf(machine, removed);
    if (left.length > 0) this.#world.fail(failure(machine, removed, left));
  }

  #filesOf(
    { disk: { fileSystem } }: Machine,
    { clusterId, nodeId }: Removed,
  ): string[] {
    const folder = `/data/snapshots/${clusterId}-${nodeId}`;
    if (fileSystem.stat(folder) === undefined) return [];
    return fileSystem.list(folder).map((name) => `${folder}/${name}`);
  }
}

function failure(
  machine: Machine,
  { clusterId, nodeId }: Removed,
  left: readonly string[],
): SimulationFailure {
  return new SimulationFailure(
    "removed leaves nothing",
    `machine ${machine.index} still has of node ${nodeId} of cluster ${clusterId}: ${
      left.join(", ")
    }`,
  );
}
