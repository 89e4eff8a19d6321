/**
 * Folders that are wiped, restored from an old copy, or copied, while clusters run. What is lost so is never more than one
 * machine's, and none until the last one was replaced (`atlas.ts`): a majority of every cluster keeps its disk, so all that
 * is promised must hold. A machine without its folder comes back as a stranger, and may promise nothing under its old ids
 * (rule I2); a copy does not open, wherever it lies (rule I4).
 */
import { RaftError } from "../../raft/errors.ts";
import { eventKind } from "./clock.ts";
import { SimulationFailure } from "./failure.ts";
import type { Started } from "./fault_kinds.ts";
import type { FolderImage } from "./folder_images.ts";
import { describeError } from "./machine.ts";
import type { Machine } from "./machine.ts";
import { SimRandom } from "./random.ts";
import { LostMachine } from "./replacing.ts";
import type { World } from "./world.ts";

const dataDir = "/data";
/** Where an operator puts what he may want back. */
const asideDir = "/aside";
const copyDir = "/copied";
const secondUs = 1_000_000;

/** What lies in place of a machine's folder. */
type Strange = "oldCopy" | "movedByCopying";

/** The folders of one world. */
export class FolderFaults {
  readonly #world: World;
  readonly #random: SimRandom;
  /** Copies that were taken of machines' folders, to be restored later. */
  readonly #backups = new Map<Machine, FolderImage>();
  /** Machines in whose place of the folder something else lies now. */
  readonly #strange = new Map<Machine, Strange>();
  /** The machine that lost its folder and is not replaced yet. */
  #lost: LostMachine | undefined;

  /** Everything is in its place. */
  constructor(world: World) {
    this.#world = world;
    this.#random = new SimRandom(world.plan.seed, "folders in danger");
  }

  /** Whether every folder is in its place, or its machine replaced. */
  get isIdle(): boolean {
    return this.#strange.size === 0 &&
      (this.#lost === undefined || this.#lost.isReplaced);
  }

  /** A machine loses its folder while its process is down. */
  wipe(machine: Machine): Started {
    if (!this.#isFree(machine) || !this.#mayLose(machine)) return "notNow";
    machine.stop("kill");
    this.#lose(machine);
    return "over";
  }

  /** An old copy takes the place of a machine's folder; or the folder is copied to a new disk, as it should be done. */
  restore(machine: Machine): Started {
    if (!this.#isFree(machine)) return "notNow";
    if (this.#random.chance(0.25)) return this.#moveByCopying(machine);
    const backup = this.#backups.get(machine);
    if (backup === undefined) {
      this.#keepBackup(machine);
      return "notNow";
    }
    machine.stop(this.#random.pick(["kill", "powerLoss"]));
    const { disk } = machine;
    disk.changeFolders((fileSystem) => fileSystem.rename(dataDir, asideDir));
    disk.writeFolder(dataDir, backup);
    this.#backups.delete(machine);
    this.#strange.set(machine, "oldCopy");
    this.#world.restartLater(machine);
    return "over";
  }

  /** A copy of a running machine's folder is opened beside it, or on another machine. */
  copy(machine: Machine): Started {
    const random = this.#random;
    const where = random.pick(this.#world.machines);
    if (!this.#isFree(machine) || !where.isUp) return "notNow";
    const image = machine.disk.readFolder(dataDir);
    if (image === undefined) return "notNow";
    where.disk.writeFolder(copyDir, image);
    const remove = () => {
      where.onDeath.delete(remove);
      where.disk.changeFolders((fileSystem) => fileSystem.remove(copyDir));
    };
    where.onDeath.add(remove);
    const address = random.pick([machine.address, where.address]);
    where.run(() => {
      where.openAnother(copyDir, address).then(
        () =>
          this.#failed(
            `${where.label} opens a copy of m${machine.index}'s folder`,
          ),
        (error) => {
          if (!isMismatch(error)) {
            this.#failed(
              `${where.label} opens a copy of m${machine.index}'s folder: ${
                describeError(error)
              }`,
            );
          }
          this.#world.timeline.schedule(
            this.#world.timeline.world,
            0,
            eventKind.world,
            remove,
          );
        },
      );
    });
    return "over";
  }

  /** Whether an operator says that a machine's folder is a copy of one that will never be opened again. */
  isAdopted(machine: Machine): boolean {
    return this.#strange.get(machine) === "movedByCopying";
  }

  /** A NodeHost has opened a machine's folder. */
  opened(machine: Machine): void {
    const strange = this.#strange.get(machine);
    if (strange === "oldCopy") {
      this.#failed(`${machine.label} opens an old copy of its folder`);
    }
    this.#strange.delete(machine);
  }

  /** Whether an opening was refused because of what lies there; then the operator does something about it. */
  refused(machine: Machine, error: unknown): boolean {
    if (this.#strange.get(machine) !== "oldCopy" || !isMismatch(error)) {
      return false;
    }
    this.#strange.delete(machine);
    this.#world.note(`${machine.label}: an old copy is refused`);
    machine.stop("kill");
    const { disk } = machine;
    disk.changeFolders((fileSystem) => fileSystem.remove(dataDir));
    if (this.#mayLose(machine) && this.#random.chance(0.4)) {
      disk.changeFolders((fileSystem) => fileSystem.remove(asideDir));
      this.#lose(machine);
    } else {
      disk.changeFolders((fileSystem) => fileSystem.rename(asideDir, dataDir));
      this.#world.restartLater(machine);
    }
    return true;
  }

  /** The whole folder, as it was when the process had ended, on files of their own: nothing is forgotten, so it may be adopted. */
  #moveByCopying(machine: Machine): Started {
    machine.stop(this.#random.pick(["kill", "powerLoss"]));
    const { disk } = machine;
    const image = disk.readFolder(dataDir);
    if (image !== undefined) {
      disk.changeFolders((fileSystem) => fileSystem.remove(dataDir));
      disk.writeFolder(dataDir, image);
      this.#strange.set(machine, "movedByCopying");
    }
    this.#world.restartLater(machine);
    return "over";
  }

  /** Somebody copies the machines' folders in the next seconds, each by itself. */
  keepBackups(): void {
    for (const machine of this.#world.machines) this.#keepBackup(machine);
  }

  #keepBackup(machine: Machine): void {
    const { timeline } = this.#world;
    const delayUs = this.#random.below(10 * secondUs);
    timeline.schedule(timeline.world, delayUs, eventKind.world, () => {
      if (!this.#isFree(machine)) return;
      const image = machine.disk.readFolder(dataDir);
      if (image !== undefined) this.#backups.set(machine, image);
    });
  }

  /** Whether a machine's folder is its own, and in use. */
  #isFree(machine: Machine): boolean {
    return machine.state === "up" && !this.#strange.has(machine) &&
      !this.#isLost(machine);
  }

  #isLost(machine: Machine): boolean {
    return this.#lost?.machine === machine && !this.#lost.isReplaced;
  }

  #mayLose(machine: Machine): boolean {
    return this.isIdle && this.#world.atlas.mayLose(machine);
  }

  #lose(machine: Machine): void {
    const { disk } = machine;
    disk.changeFolders((fileSystem) => {
      if (fileSystem.stat(dataDir) !== undefined) fileSystem.remove(dataDir);
    });
    this.#backups.delete(machine);
    const { atlas, addresses } = this.#world;
    addresses.returnHome(machine);
    atlas.lost(machine);
    this.#lost = new LostMachine(this.#world, this.#random, machine);
    this.#lost.onReplaced = () => atlas.replaced(machine);
    this.#lost.begin();
    this.#world.restartLater(machine);
  }

  #failed(message: string): void {
    this.#world.fail(
      new SimulationFailure("strange folders are refused", message),
    );
  }
}

function isMismatch(error: unknown): boolean {
  return error instanceof RaftError && error.code === "dirMismatch";
}
