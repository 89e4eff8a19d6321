/**
 * A cluster loses its quorum for good, and is rebuilt from a snapshot that was exported before (rule I3): the one case in
 * which something acknowledged may be lost, namely what was decided behind the image, and nothing else. Whatever was lost
 * must never come back, and everything from before is held to as ever.
 */
import { importSnapshot } from "../../raft/import_snapshot.ts";
import type {
  ImportOptions,
  ImportReport,
} from "../../raft/import_snapshot.ts";
import { RaftError } from "../../raft/errors.ts";
import { eventKind } from "./clock.ts";
import { simCompression } from "./compression.ts";
import { digestOf } from "./digest.ts";
import { SimulationFailure } from "./failure.ts";
import type { CheckName } from "./failure.ts";
import { describeError } from "./machine.ts";
import type { Machine } from "./machine.ts";
import type { ClusterPlan } from "./plan.ts";
import { SimRandom } from "./random.ts";
import { Recovery } from "./recovery.ts";
import type { World } from "./world.ts";

const secondUs = 1_000_000;
const stepUs = 60 * secondUs;
const dataDir = "/data";
const exportDir = "/export";
const imageDir = "/image";
const imageName = "/image.snap";

/** An exported snapshot, as bytes. */
interface Image {
  readonly index: number;
  /** Ids of those who have a full vote in it: they may keep them. */
  readonly voters: readonly number[];
  readonly bytes: Uint8Array;
}

/** Has one cluster of a world lose its quorum, rebuilds it, and demands progress. False: there was none that could. */
export async function rebuildCluster(world: World): Promise<boolean> {
  const random = new SimRandom(world.plan.seed, "rebuilding");
  const cluster = random.pick(world.plan.clusters);
  const carriers = world.membership.fullCarriers(cluster.clusterId);
  // An import opens no log that is to be mended.
  const isDamaged = world.machines.some(({ disk }) => disk.isRotten);
  if (carriers.length === 0 || isDamaged) return false;
  await new Rebuild(world, random, cluster, carriers).run();
  return true;
}

class Rebuild {
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #cluster: ClusterPlan;
  /** Who is to carry the cluster afterwards. */
  readonly #carriers: readonly Machine[];
  readonly #lost: readonly Machine[];
  /** Whether whole folders are lost, or only what they hold of this cluster. */
  readonly #losesFolders: boolean;

  constructor(
    world: World,
    random: SimRandom,
    cluster: ClusterPlan,
    carriers: readonly Machine[],
  ) {
    this.#world = world;
    this.#random = random;
    this.#cluster = cluster;
    this.#carriers = carriers;
    const lostCount = Math.floor(carriers.length / 2) + 1;
    this.#lost = random.shuffle(carriers).slice(0, lostCount);
    this.#losesFolders = world.plan.clusters.length === 1;
  }

  async run(): Promise<void> {
    const { machines, workload } = this.#world;
    this.#world.note("a quorum is about to be lost");
    for (const machine of machines) machine.start();
    workload.start();
    await this.#goOn();
    const image = await this.#export();
    await this.#goOn();
    await this.#lose();
    this.#forgetWhatIsLost(image);
    await this.#import(image);
    for (const machine of machines) machine.start();
    workload.start();
    await this.#goOn();
    await new Recovery(this.#world).run();
  }

  get #clusterId(): number {
    return this.#cluster.clusterId;
  }

  /** Clients work for a while. */
  async #goOn(): Promise<void> {
    const { timeline } = this.#world;
    await timeline.run(
      timeline.nowUs + this.#random.between(secondUs, 5 * secondUs),
    );
  }

  async #export(): Promise<Image> {
    const { timeline } = this.#world;
    let image: Image | undefined;
    const ask = () => {
      const serving = this.#carriers.filter((one) =>
        one.serves(this.#clusterId)
      );
      if (serving.length === 0) return later();
      const machine = this.#random.pick(serving);
      machine.run((host) => {
        host.exportSnapshot(this.#clusterId, exportDir, { timeoutMs: 2_000 })
          .then(({ path, index }) => {
            const name = path.slice(exportDir.length);
            const bytes = machine.disk.readFolder(exportDir)?.files.get(name);
            if (bytes === undefined) return later();
            // Nobody changes the members meanwhile.
            const members = machine.info()?.clusters.find((one) =>
              one.clusterId === this.#clusterId
            )?.membership.members ?? [];
            const voters = members.map(({ nodeId }) =>
              nodeId
            );
            image = { index, voters, bytes };
          }, later); // Not caught up, or its state machine gave it up.
      });
    };
    const later = () => {
      timeline.schedule(timeline.world, secondUs / 5, eventKind.world, ask);
    };
    timeline.schedule(timeline.world, 0, eventKind.world, ask);
    await this.#until("nobody exports a snapshot", () => image !== undefined);
    return image!;
  }

  /** Everything stops; a majority has nothing of the cluster any more. */
  async #lose(): Promise<void> {
    const { machines, workload, removals } = this.#world;
    if (!this.#losesFolders) await this.#removeData();
    workload.stop();
    for (const machine of machines) {
      machine.stop(this.#random.pick(["kill", "powerLoss"]));
    }
    await this.#until("clients still wait", () => workload.isIdle);
    if (!this.#losesFolders) return;
    for (const machine of this.#lost) {
      machine.disk.changeFolders((fileSystem) => fileSystem.remove(dataDir));
      machine.forgetStates();
      removals.forget(machine);
    }
  }

  /** An operator's mistake: the data of a majority of the members is removed, though they were members still. */
  async #removeData(): Promise<void> {
    let left = this.#lost.length;
    for (const machine of this.#lost) {
      const { nodeId } = machine.placements.get(this.#clusterId)!;
      machine.dropPlacement(this.#clusterId);
      const remove = () =>
        machine.run((host) => {
          host.removeData(this.#clusterId, nodeId).then(
            () => left--,
            () => {
              const { timeline } = this.#world;
              const { scope } = machine;
              timeline.schedule(scope, secondUs / 5, eventKind.client, remove);
            },
          );
        });
      remove();
    }
    await this.#until("data is not removed", () => left === 0);
  }

  /** From here on nothing that was decided behind the image counts, and none of it may come back. */
  #forgetWhatIsLost({ index }: Image): void {
    const { checks, history } = this.#world;
    this.#world.judge(this.#clusterId);
    history.lose(this.#clusterId, index);
    checks.record(this.#clusterId).rebuilt(index);
    checks.wire.rebuilt(this.#clusterId);
    this.#world.workload.sessions.rebuilt(this.#clusterId);
  }

  async #import(image: Image): Promise<void> {
    const { machines, membership } = this.#world;
    const clusterId = this.#clusterId;
    const nodeIds = this.#carriers.map((machine) => {
      const old = machine.placements.get(clusterId)?.nodeId;
      const mayStay = old !== undefined && image.voters.includes(old);
      // Whose data was removed has no place under its id any more.
      return mayStay && this.#random.chance(0.6)
        ? old
        : membership.newNode(clusterId).nodeId;
    });
    const members = Object.fromEntries(
      this.#carriers.map((machine, i) => [nodeIds[i]!, machine.address]),
    );
    for (const machine of machines) {
      machine.placements.delete(clusterId);
      machine.outdateStates(clusterId);
    }
    for (const [i, machine] of this.#carriers.entries()) {
      const nodeId = nodeIds[i]!;
      await this.#importAt(machine, nodeId, members, image);
      machine.placements.set(clusterId, {
        cluster: this.#cluster,
        nodeId,
        join: true,
      });
    }
  }

  async #importAt(
    machine: Machine,
    nodeId: number,
    members: Record<number, string>,
    { index, bytes }: Image,
  ): Promise<void> {
    const { disk } = machine;
    disk.writeFolder(imageDir, {
      folders: [""],
      files: new Map([[imageName, bytes]]),
    });
    const options: ImportOptions = {
      path: imageDir + imageName,
      dir: dataDir,
      raftAddress: machine.address,
      nodeId,
      members,
      segmentBytes: this.#world.plan.segmentBytes,
    };
    const before = pictureOf(machine);
    const told = await this.#call(machine, { ...options, dryRun: true });
    this.#checkReport(machine, told, index);
    if (pictureOf(machine) !== before) {
      this.#failed(
        "rebuilt from the image",
        `a dry run changes m${machine.index}'s folder`,
      );
    }
    const wasCut = this.#random.chance(0.3) &&
      await this.#importUntilPowerCut(machine, options);
    try {
      const done = await this.#call(machine, options);
      this.#checkReport(machine, done, index);
    } catch (error) {
      // The power was cut when all was done.
      if (error instanceof SimulationFailure) throw error;
      if (!wasCut) this.#importFailed(machine, error);
    }
    disk.changeFolders((fileSystem) => fileSystem.remove(imageDir));
  }

  /** The image tells what will be left, and each folder what is behind that there. */
  #checkReport(machine: Machine, report: ImportReport, index: number): void {
    const isRight = report.index === index &&
      report.found.every(({ lastIndex, commit, ...behind }) =>
        behind.entriesBehindImage === Math.max(0, lastIndex - index) &&
        behind.committedBehindImage ===
          Math.max(0, Math.min(commit, lastIndex) - index)
      ) &&
      (this.#lost.includes(machine) || report.found.length > 0);
    if (isRight) return;
    this.#failed(
      "rebuilt from the image",
      `the import at m${machine.index} of the image up to ${index} tells ${
        JSON.stringify(report)
      }`,
    );
  }

  /** Cuts the power while an import is under way, if it is not done before. */
  async #importUntilPowerCut(
    machine: Machine,
    options: ImportOptions,
  ): Promise<boolean> {
    const { timeline } = this.#world;
    const scope = timeline.scope(`operator at m${machine.index}`);
    machine.disk.attach(scope);
    this.#start(options, machine).catch(() => {});
    await timeline.run(timeline.nowUs + this.#random.below(30_000));
    scope.kill();
    machine.disk.powerLost();
    return true;
  }

  async #call(machine: Machine, options: ImportOptions): Promise<ImportReport> {
    const { timeline } = this.#world;
    const scope = timeline.scope(`operator at m${machine.index}`);
    machine.disk.attach(scope);
    let report: ImportReport | undefined;
    let failure: unknown;
    this.#start(options, machine).then(
      (value) => report = value,
      (error) => failure = error,
    );
    await this.#until(
      "an import does not end",
      () => report !== undefined || failure !== undefined,
    );
    if (failure === undefined) return report!;
    if (isDoneAlready(failure)) throw failure;
    this.#importFailed(machine, failure);
  }

  #importFailed(machine: Machine, error: unknown): never {
    this.#failed(
      "progress resumes",
      `the import at m${machine.index} failed: ${describeError(error)}`,
    );
  }

  /** Begins in an event, as everything that touches a disk does. */
  #start(options: ImportOptions, machine: Machine): Promise<ImportReport> {
    const { timeline } = this.#world;
    return timeline.wait(timeline.world, 0, eventKind.world).then(() =>
      importSnapshot(options, {
        fileSystem: machine.disk.fileSystem,
        random: this.#random,
        compression: simCompression,
      })
    );
  }

  async #until(what: string, isDone: () => boolean): Promise<void> {
    const { timeline } = this.#world;
    let isReached = false;
    await timeline.run(
      timeline.nowUs + stepUs,
      () => (isReached = isDone()),
    );
    if (!isReached) this.#failed("progress resumes", `${what}, within 60 s`);
  }

  #failed(check: CheckName, what: string): never {
    throw new SimulationFailure(
      check,
      `while cluster ${this.#clusterId} is rebuilt: ${what}`,
    );
  }
}

/** An import that is tried again says so if the first one was done. */
function isDoneAlready(error: unknown): boolean {
  return error instanceof RaftError && error.code === "rejected" &&
    error.message.includes("and the import would make");
}

/** All that a machine's folder holds, in short. */
function pictureOf({ disk }: Machine): string {
  const image = disk.readFolder(dataDir);
  if (image === undefined) return "nothing";
  return [...image.files].map(([path, bytes]) =>
    `${path} ${bytes.length} ${digestOf(bytes)}`
  ).join("\n");
}
