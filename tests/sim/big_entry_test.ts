/** One big entry never starves small ones: on virtual time, where a network has a bandwidth and a disk takes its time. */
import { keyValueApplication } from "../../testing/sim/key_value.ts";
import type { Machine } from "../../testing/sim/machine.ts";
import {
  commandHeaderBytes,
  markCommand,
} from "../../testing/sim/observed_machine.ts";
import { planOf } from "../../testing/sim/plan.ts";
import type { SimPlan } from "../../testing/sim/plan.ts";
import { Trace } from "../../testing/sim/trace.ts";
import { World } from "../../testing/sim/world.ts";
import { assert } from "../deps.ts";

const smallBytes = 16;
/** Longest way from machine to machine, and longest sync. */
const latencyUs = 1_000;
const syncUs = 1_000;
/** Longest command that there can be, without the simulator's header. */
const longestBytes = 8 * 1024 * 1024 - commandHeaderBytes;

/** Big entries, and the world that they go through. */
interface Bulk {
  readonly bigBytes: number;
  readonly bigCount: number;
  readonly bytesPerUs: number;
  readonly segmentBytes: number;
}

/** A calm world of three machines: a big entry takes about a hundred times as long on the wire as a small one's round trip. */
function calmPlan({ bytesPerUs, segmentBytes }: Bulk): SimPlan {
  const plan = planOf(1, { faults: [] });
  const cluster = {
    ...plan.clusters[0]!,
    machines: [0, 1, 2],
    quiesce: false,
    snapshotEntries: 0,
    maxInMemLogBytes: 64 * 1024 * 1024,
  };
  return {
    ...plan,
    machineCount: 3,
    tickMs: 50,
    segmentBytes,
    network: {
      latencyUs: [latencyUs / 2, latencyUs / 2, latencyUs],
      roundUs: 1,
      bytesPerUs,
    },
    disk: { ...plan.disk, syncUs: [syncUs, syncUs, syncUs] },
    clocks: plan.clocks.slice(0, 1).flatMap(() => {
      const steady = { driftPpm: 0, timerSlackUs: 0, turnUs: 0 };
      return [steady, steady, steady];
    }),
    shortWrites: 0,
    clusters: [{ ...cluster, clusterId: 1 }, { ...cluster, clusterId: 2 }],
  };
}

/** Proposes one command after the other at the leader, and remembers how long each took. */
class Client {
  readonly tookUs: number[] = [];
  readonly #world: World;
  readonly #machine: Machine;
  readonly #clusterId: number;
  readonly #bytes: number;

  constructor(
    world: World,
    client: { machine: Machine; clusterId: number; bytes: number },
  ) {
    this.#world = world;
    this.#machine = client.machine;
    this.#clusterId = client.clusterId;
    this.#bytes = client.bytes;
  }

  start(): void {
    this.#machine.run((host) => {
      const { history, timeline, application, random } = this.#world;
      const clusterId = this.#clusterId;
      const since = timeline.nowUs;
      const operation = history.begin({
        client: 1,
        machine: this.#machine.index,
        clusterId,
        kind: "write",
        input: undefined,
        invokedUs: since,
        floorIndex: 0,
      });
      const command = application.command(random, operation.id, this.#bytes);
      host.propose(
        clusterId,
        markCommand(command, operation.id, clusterId),
        { timeoutMs: 60_000 },
      ).then(() => {
        this.tookUs.push(timeline.nowUs - since);
        this.start();
      });
    });
  }
}

async function leadersOf(world: World): Promise<Machine[]> {
  const { timeline, machines, checks, plan } = world;
  for (const machine of machines) machine.start();
  const leaders = () =>
    plan.clusters.map(({ clusterId }) => {
      const { nodeId } = checks.record(clusterId).latestLeader();
      return world.machineOf(clusterId, nodeId);
    });
  await timeline.run(
    60_000_000,
    () => leaders().every((leader) => leader?.isUp === true),
  );
  return leaders().map((leader) => leader!);
}

/** Two clients propose big commands, one small ones to the same cluster, and one to another. */
async function checkBulk(bulk: Bulk): Promise<void> {
  const { bigBytes, bytesPerUs } = bulk;
  const plan = calmPlan(bulk);
  const world = new World(plan, keyValueApplication(1), new Trace(undefined));
  const [first, second] = await leadersOf(world);
  const one = { machine: first!, clusterId: 1 };
  const bigs = [0, 1].map(() => new Client(world, { ...one, bytes: bigBytes }));
  const same = new Client(world, { ...one, bytes: smallBytes });
  const other = new Client(world, {
    machine: second!,
    clusterId: 2,
    bytes: smallBytes,
  });
  for (const client of [...bigs, same, other]) client.start();
  const bigCount = () => bigs[0]!.tookUs.length + bigs[1]!.tookUs.length;
  const { timeline } = world;
  await timeline.run(
    timeline.nowUs + 60_000_000,
    () => bigCount() >= bulk.bigCount,
  );
  assert.ok(bigCount() >= bulk.bigCount, "the big ones go on as well");
  // Two of them are under way, and a third can begin meanwhile; then comes what a small one takes by itself.
  const boundUs = 3 * bigBytes / bytesPerUs + 10 * (2 * latencyUs + syncUs);
  // Heartbeats overtake big entries, and their answers must not make the leader send those again.
  const sentOnce = 2 * (bigCount() + 2) * bigBytes;
  assert.ok(world.network.statistics.bytes <= 1.05 * sentOnce);
  for (const small of [same, other]) {
    const longest = Math.max(...small.tookUs);
    assert.ok(longest <= boundUs, `${longest} us of at most ${boundUs}`);
    assert.ok(
      small.tookUs.length >= bigCount() / 2 - 2,
      `${small.tookUs.length} small ones`,
    );
  }
}

Deno.test("Small proposals end within a few round trips and the time of the big entries that are under way, on the same cluster and on another", async () => {
  await checkBulk({
    bigBytes: 1_000_000,
    bigCount: 20,
    bytesPerUs: 10,
    segmentBytes: 8 * 1024 * 1024,
  });
});

Deno.test("So they do beside the longest commands that there can be, of 8 MiB", async () => {
  await checkBulk({
    bigBytes: longestBytes,
    bigCount: 12,
    bytesPerUs: 80,
    segmentBytes: 64 * 1024 * 1024,
  });
});
