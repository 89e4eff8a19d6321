/**
 * Where the simulation may damage what disks hold, so that recovery can be demanded: of everything one good copy stays.
 * Only one machine of a world is ever damaged, and no cluster changes its members in such a world, so that each has at
 * most one node that damage took something from. A new initial member may need all others to be admitted (rule I2), so
 * nothing is damaged before the other members have voted. Whole folders are lost one after the other, in such a world
 * too, and before anything is damaged: the next when others are in the place of what the last one held.
 */
import type { Machine } from "./machine.ts";
import type { SimPlan } from "./plan.ts";

/** The damage of one world. */
export class DamageAtlas {
  readonly #isAllowed: boolean;
  #victim: Machine | undefined;
  readonly #areOthersAdmitted: (machine: Machine) => boolean;
  /** Who lost its folder and is not replaced yet. */
  #lost: Machine | undefined;

  /** Nothing is damaged yet. `areOthersAdmitted` tells whether all that a machine carries can do without it. */
  constructor(
    { faults, laterFaults, clusters }: SimPlan,
    areOthersAdmitted: (machine: Machine) => boolean,
  ) {
    this.#areOthersAdmitted = areOthersAdmitted;
    const phases = [faults, ...laterFaults];
    this.#isAllowed =
      !phases.some(({ kinds }) => kinds.includes("changeMember")) &&
      clusters.every(({ machines }) => machines.length >= 3);
  }

  /** Damages a byte of a machine's log, while its process is down; false if that is not to be, or there is nothing yet. */
  damage(machine: Machine): boolean {
    if (!this.mayDamage(machine) || !machine.disk.rot()) return false;
    this.#victim = machine;
    return true;
  }

  /** Whether damage may be: no other machine is damaged, and none without its folder. */
  mayDamage(machine: Machine): boolean {
    return this.#isAllowed && this.#lost === undefined &&
      (this.#victim === machine ||
        this.#victim === undefined && this.#areOthersAdmitted(machine));
  }

  /** Whether a machine may lose its folder: nothing is missing that it would be needed for. */
  mayLose(machine: Machine): boolean {
    return this.#isAllowed && this.#victim === undefined &&
      this.#lost === undefined && this.#areOthersAdmitted(machine);
  }

  /** A machine lost its folder. */
  lost(machine: Machine): void {
    this.#lost = machine;
  }

  /** Other nodes have taken the place of those that a machine lost, and hold what they had promised to hold. */
  replaced(machine: Machine): void {
    if (this.#lost === machine) this.#lost = undefined;
  }

  /**
   * Whether a node may well not run: damage took a promise of it, or entries that all others have compacted, and both is
   * told.
   */
  excuses(
    machine: Machine,
    clusterId: number,
    others: readonly Machine[],
  ): boolean {
    if (machine !== this.#victim) return false;
    const damaged = machine.info()?.damaged.find((one) =>
      one.clusterId === clusterId
    );
    if (damaged === undefined) return false;
    if (damaged.state === "lost") return true;
    return others.every((other) => {
      if (other === machine) return true;
      const status = other.info()?.clusters.find((one) =>
        one.clusterId === clusterId
      );
      return status === undefined || status.firstIndex > damaged.firstIndex;
    });
  }
}
