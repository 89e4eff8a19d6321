/**
 * Machines that come back under another address (rules I1, I4), while the memberships keep the one that they had. Others
 * hear it from the machine itself or from each other, and now and then from a master, who is told by each that is up: so
 * that all may move at once.
 */
import { RaftError } from "../../raft/errors.ts";
import { eventKind } from "./clock.ts";
import type { Machine } from "./machine.ts";
import type { World } from "./world.ts";

/** So often each machine asks its master. */
const reportUs = 5_000_000;

/** Where the machines of a world are. */
export class Addresses {
  readonly #world: World;
  /** How often each machine has moved. */
  readonly #moves = new Map<Machine, number>();
  readonly #homes: ReadonlyMap<Machine, string>;

  /** Every machine is where the clusters began. */
  constructor(world: World) {
    this.#world = world;
    this.#homes = new Map(
      world.machines.map((machine) => [machine, machine.address]),
    );
  }

  /** Whether a machine's folder may know it under another address than it has now. */
  hasMoved(machine: Machine): boolean {
    return this.#moves.has(machine);
  }

  /** Ends a machine's process, and gives the next one an address that none ever had. False: not now. */
  move(machine: Machine, how: "kill" | "powerLoss"): boolean {
    // A node that was never started knows no other address than the one that its cluster began with.
    const areStarted = [...machine.placements.keys()]
      .every((clusterId) => machine.startedClusters.has(clusterId));
    // An import takes a member at another address only under a new id.
    const { rebuilds } = this.#world.plan;
    if (!machine.isUp || !areStarted || rebuilds) return false;
    if (this.#moves.size === 0) this.#reportLater();
    const count = (this.#moves.get(machine) ?? 0) + 1;
    this.#moves.set(machine, count);
    machine.stop(how);
    machine.address = this.#homes.get(machine)!
      .replace(":", `-moved-${count}:`);
    this.#world.network.addAddress(machine.address, machine.index);
    this.#world.restartLater(machine);
    return true;
  }

  /** A machine that lost its folder begins anew, where the clusters know it. */
  returnHome(machine: Machine): void {
    machine.address = this.#homes.get(machine)!;
  }

  #reportLater(): void {
    const { timeline } = this.#world;
    timeline.schedule(timeline.world, reportUs, eventKind.world, () => {
      for (const machine of this.#world.machines) this.#tell(machine);
      this.#reportLater();
    });
  }

  /** What a master says to a machine: where those are that it has heard from. */
  #tell(machine: Machine): void {
    if (!machine.isUp) return;
    for (const other of this.#world.machines) {
      if (other === machine || !other.isUp || !this.hasMoved(other)) continue;
      const { nodeHostId = "", raftAddress = "" } = other.host ?? {};
      machine.run((host) => {
        try {
          host.learnAddress(nodeHostId, raftAddress);
        } catch (error) {
          if (!(error instanceof RaftError)) throw error; // It has closed.
        }
      });
    }
  }
}
