/**
 * Where the simulation may damage what disks hold, so that recovery can be demanded: of everything one good copy stays.
 * Only one machine of a world is ever damaged, and no cluster changes its members in such a world, so that each has at
 * most one node that damage took something from.
 */
import type { Machine } from "./machine.ts";
import type { SimPlan } from "./plan.ts";

/** The damage of one world. */
export class DamageAtlas {
  readonly #isAllowed: boolean;
  #victim: Machine | undefined;

  /** Nothing is damaged yet. */
  constructor({ faults, laterFaults, clusters }: SimPlan) {
    const phases = [faults, ...laterFaults];
    this.#isAllowed =
      !phases.some(({ kinds }) => kinds.includes("changeMember")) &&
      clusters.every(({ machines }) => machines.length >= 3);
  }

  /** Damages a byte of a machine's log, while its process is down; false if that is not to be, or there is nothing yet. */
  damage(machine: Machine): boolean {
    if (!this.#isAllowed) return false;
    if (this.#victim !== undefined && this.#victim !== machine) return false;
    if (!machine.disk.rot()) return false;
    this.#victim = machine;
    return true;
  }

  /** Whether damage may be: no other machine is damaged. */
  mayDamage(machine: Machine): boolean {
    return this.#isAllowed &&
      (this.#victim === undefined || this.#victim === machine);
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
