/**
 * What can go wrong, one entry per kind. A fault either happens at once or lasts until its `undo` is called; the injector
 * (`faults.ts`) decides when, and counts.
 */
import { eventKind } from "./clock.ts";
import type { FaultName } from "./fault_names.ts";
import type { Machine } from "./machine.ts";
import type { ClusterPlan } from "./plan.ts";
import type { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

/** What starting a fault gave: how to end it; or that it is over already; or that it does not apply now. */
export type Started = (() => void) | "over" | "notNow";

/** One kind of fault. */
export interface FaultKind {
  readonly name: FaultName;
  /** How often it is chosen, relative to others. */
  readonly weight: number;
  /** Whether an election may set it off at once (`afterElection` of the plan). */
  readonly followsElection: boolean;
  /** Starts it. `target` is the machine it is meant for, where it is meant for one. */
  start(world: World, random: SimRandom, target: Machine): Started;
}

function stopAndRestart(
  world: World,
  machine: Machine,
  how: "kill" | "powerLoss",
): void {
  machine.stop(how);
  world.restartLater(machine);
}

function running(world: World): Machine[] {
  return world.machines.filter((machine) => machine.state !== "down");
}

/** Cuts every direction in `pairs`; returns how to mend them. */
function cutAll(
  world: World,
  pairs: readonly (readonly [from: number, to: number])[],
): () => void {
  for (const [from, to] of pairs) world.network.cut(from, to);
  return () => {
    for (const [from, to] of pairs) world.network.mend(from, to);
  };
}

function between(
  a: readonly Machine[],
  b: readonly Machine[],
): [number, number][] {
  return a.flatMap((from) =>
    b.filter((to) => to !== from).flatMap((
      to,
    ): [number, number][] => [[from.index, to.index], [to.index, from.index]])
  );
}

function others(world: World, machine: Machine): Machine[] {
  return world.machines.filter((other) => other !== machine);
}

function twoGroups(world: World, random: SimRandom): [Machine[], Machine[]] {
  const shuffled = random.shuffle(world.machines);
  const size = random.between(1, shuffled.length - 1);
  return [shuffled.slice(0, size), shuffled.slice(size)];
}

/** A cluster that is led from a machine, with leases if there is one. */
function ledBy(world: World, machine: Machine): ClusterPlan | undefined {
  const led = world.plan.clusters.filter(({ clusterId }) => {
    const { nodeId } = world.checks.record(clusterId).latestLeader();
    return world.machineOf(clusterId, nodeId) === machine;
  });
  return led.find(({ leaseReads }) => leaseReads) ?? led[0];
}

/** Raises a probability of the network for a while. */
function frameFault(
  name: "loss" | "duplicate" | "reorder" | "refuseDial",
  values: readonly number[],
): FaultKind["start"] {
  return (world, random) => {
    const { faults } = world.network;
    if (faults[name] > 0) return "notNow";
    faults[name] = random.pick(values);
    return () => {
      faults[name] = 0;
    };
  };
}

/** All kinds. */
export const faultKinds: readonly FaultKind[] = [
  {
    name: "kill",
    weight: 3,
    followsElection: true,
    start(world, _random, target) {
      if (target.state === "down") return "notNow";
      stopAndRestart(world, target, "kill");
      return "over";
    },
  },
  {
    name: "powerLoss",
    weight: 3,
    followsElection: true,
    start(world, _random, target) {
      if (target.state === "down") return "notNow";
      stopAndRestart(world, target, "powerLoss");
      return "over";
    },
  },
  {
    name: "powerLossOfAll",
    weight: 1,
    followsElection: true,
    start(world) {
      for (const machine of running(world)) {
        stopAndRestart(world, machine, "powerLoss");
      }
      return "over";
    },
  },
  {
    name: "killMajority",
    weight: 1,
    followsElection: true,
    start(world, random, target) {
      const rest = random.shuffle(others(world, target));
      const count = Math.floor(world.machines.length / 2);
      for (const machine of [target, ...rest.slice(0, count)]) {
        if (machine.state !== "down") {
          stopAndRestart(world, machine, random.pick(["kill", "powerLoss"]));
        }
      }
      return "over";
    },
  },
  {
    name: "cleanRestart",
    weight: 1,
    followsElection: false,
    start(world, _random, target) {
      if (!target.isUp) return "notNow";
      target.close(() => world.restartLater(target));
      return "over";
    },
  },
  {
    name: "pause",
    weight: 2,
    followsElection: true,
    start(world, random, target) {
      if (!target.isUp) return "notNow";
      const { scope } = target;
      scope.pause();
      const timersFirst = random.chance(0.5);
      return () => {
        if (!scope.isPaused) return;
        scope.resume(timersFirst);
        world.workload.resumed(target);
        world.stalls.resumed(target);
      };
    },
  },
  {
    name: "isolate",
    weight: 2,
    followsElection: true,
    start: (world, _random, target) =>
      cutAll(world, between([target], others(world, target))),
  },
  {
    name: "isolateOneWay",
    weight: 2,
    followsElection: true,
    start(world, random, target) {
      const isDeaf = random.chance(0.5);
      return cutAll(
        world,
        others(world, target).map((other): [number, number] =>
          isDeaf ? [other.index, target.index] : [target.index, other.index]
        ),
      );
    },
  },
  {
    name: "split",
    weight: 2,
    followsElection: true,
    start(world, random) {
      const [a, b] = twoGroups(world, random);
      return cutAll(world, between(a, b));
    },
  },
  {
    name: "cutLink",
    weight: 2,
    followsElection: true,
    start: (world, random, target) =>
      cutAll(world, between([target], [random.pick(others(world, target))])),
  },
  {
    name: "cutLinkOneWay",
    weight: 2,
    followsElection: true,
    start: (world, random, target) =>
      cutAll(world, [[target.index, random.pick(others(world, target)).index]]),
  },
  {
    name: "bridge",
    weight: 1,
    followsElection: false,
    start(world, random, target) {
      // Two groups that see each other only through one machine, which sees all.
      const rest = random.shuffle(others(world, target));
      const size = random.between(1, rest.length - 1);
      return cutAll(world, between(rest.slice(0, size), rest.slice(size)));
    },
  },
  {
    name: "slowLink",
    weight: 1,
    followsElection: false,
    start(world, random, target) {
      const to = random.pick(others(world, target)).index;
      const deltaUs = random.between(1_000, 200_000);
      world.network.slow(target.index, to, deltaUs);
      return () => world.network.slow(target.index, to, -deltaUs);
    },
  },
  {
    name: "slowMachine",
    weight: 1,
    followsElection: false,
    start(world, random, target) {
      const deltaUs = random.between(1_000, 100_000);
      const slow = (sign: number) => {
        for (const other of others(world, target)) {
          world.network.slow(target.index, other.index, sign * deltaUs);
          world.network.slow(other.index, target.index, sign * deltaUs);
        }
      };
      slow(1);
      return () => slow(-1);
    },
  },
  {
    name: "lateAnswers",
    weight: 3,
    followsElection: true,
    start(world, random, target) {
      const led = ledBy(world, target);
      if (led === undefined) return "notNow";
      // Later than that, and the leader would miss its quorum.
      const timeoutUs = led.electionTimeoutTicks * world.plan.tickMs * 1_000;
      const deltaUs = Math.floor(timeoutUs * random.between(50, 90) / 100);
      const rest = others(world, target);
      for (const { index } of rest) {
        world.network.slow(index, target.index, deltaUs);
      }
      let mend = () => {};
      let isOver = false;
      world.timeline.schedule(
        world.timeline.world,
        deltaUs + random.below(2 * timeoutUs),
        eventKind.world,
        () => {
          if (isOver) return;
          mend = cutAll(
            world,
            rest.map(({ index }) => [target.index, index] as const),
          );
          world.workload.press(target, led.clusterId, 3 * timeoutUs);
        },
      );
      return () => {
        isOver = true;
        for (const { index } of rest) {
          world.network.slow(index, target.index, -deltaUs);
        }
        mend();
      };
    },
  },
  {
    name: "breakConnections",
    weight: 2,
    followsElection: true,
    start(world, random, target) {
      const rest = random.chance(0.5)
        ? others(world, target)
        : [random.pick(others(world, target))];
      let count = 0;
      for (const other of rest) {
        count += world.network.breakConnections(target.index, other.index);
      }
      return count > 0 ? "over" : "notNow";
    },
  },
  {
    name: "refuseDials",
    weight: 1,
    followsElection: false,
    start: frameFault("refuseDial", [0.3, 0.9]),
  },
  {
    name: "loss",
    weight: 2,
    followsElection: false,
    start: frameFault("loss", [0.01, 0.1, 0.4]),
  },
  {
    name: "duplicate",
    weight: 2,
    followsElection: false,
    start: frameFault("duplicate", [0.05, 0.3]),
  },
  {
    name: "reorder",
    weight: 2,
    followsElection: false,
    start: frameFault("reorder", [0.05, 0.3]),
  },
  {
    name: "slowDisk",
    weight: 2,
    followsElection: true,
    start(world, random, target) {
      if (target.disk.stallUs > 0) return "notNow";
      target.disk.stallUs = world.stalls.draw(
        random.pick([5_000, 50_000, 300_000, 1_000_000]),
      );
      return () => {
        target.disk.stallUs = 0;
      };
    },
  },
  {
    name: "failSync",
    weight: 1,
    followsElection: false,
    start(_world, random, target) {
      if (target.state === "down" || target.disk.hasFailed) return "notNow";
      target.disk.syncsUntilFailure = random.below(20);
      return "over";
    },
  },
  {
    name: "failWrite",
    weight: 1,
    followsElection: false,
    start(_world, random, target) {
      if (target.state === "down" || target.disk.hasFailed) return "notNow";
      target.disk.writesUntilFailure = random.below(20);
      return "over";
    },
  },
  {
    name: "fullDisk",
    weight: 1,
    followsElection: false,
    start(_world, random, target) {
      if (target.disk.isLimited) return "notNow";
      target.disk.limitSpace(random.pick([0, 100_000, 1_500_000]));
      return () => target.disk.limitSpace(undefined);
    },
  },
  {
    name: "wallClockJump",
    weight: 1,
    followsElection: false,
    start(_world, random, target) {
      if (target.clock === undefined) return "notNow";
      target.clock.wallSkewMs = random.pick([
        -86_400_000,
        -5_000,
        5_000,
        86_400_000,
      ]);
      return "over";
    },
  },
  {
    name: "transfer",
    weight: 2,
    followsElection: true,
    start(world, random, target) {
      const { clusterId } = random.pick(world.plan.clusters);
      if (!target.isUp || !target.startedClusters.has(clusterId)) {
        return "notNow";
      }
      const to = random.pick(world.nodeIds(clusterId));
      target.run((host) =>
        world.expectRefusals(
          host.transferLeadership(clusterId, to, { timeoutMs: 2_000 }),
        )
      );
      return "over";
    },
  },
  {
    name: "snapshot",
    weight: 1,
    followsElection: false,
    start(world, random, target) {
      const { clusterId } = random.pick(world.plan.clusters);
      if (!target.isUp || !target.startedClusters.has(clusterId)) {
        return "notNow";
      }
      const wait = { timeoutMs: 2_000 };
      const how = random.pick(["take", "take", "short", "export", "compact"]);
      target.run((host) => {
        const work = how === "take"
          ? host.takeSnapshot(clusterId, wait)
          : how === "short"
          ? host.takeSnapshot(clusterId, { ...wait, compactionOverhead: 0 })
          : how === "export"
          ? host.exportSnapshot(clusterId, "/exported", wait)
          : host.compactLog(clusterId, wait);
        world.expectRefusals(work);
      });
      return "over";
    },
  },
  {
    name: "restartCluster",
    weight: 1,
    followsElection: true,
    start(world, random, target) {
      const { clusterId } = random.pick(world.plan.clusters);
      return target.isUp && target.restartCluster(clusterId)
        ? "over"
        : "notNow";
    },
  },
  {
    name: "changeMember",
    weight: 2,
    followsElection: true,
    start(world, random) {
      const { clusterId } = random.pick(world.plan.clusters);
      return world.membership.change(clusterId) ? "over" : "notNow";
    },
  },
  {
    name: "bitRot",
    weight: 2,
    followsElection: false,
    start(world, random, target) {
      if (target.state !== "up" || !world.atlas.mayDamage(target)) {
        return "notNow";
      }
      stopAndRestart(world, target, random.pick(["kill", "powerLoss"]));
      return world.atlas.damage(target) ? "over" : "notNow";
    },
  },
];

/** What gives a machine another address; apart from the others, as often as these are rare. */
export const addressKind: FaultKind = {
  name: "newAddress",
  weight: 1,
  followsElection: false,
  start: (world, random, target) =>
    world.addresses.move(target, random.pick(["kill", "powerLoss"]))
      ? "over"
      : "notNow",
};

/** What befalls whole folders; chosen apart from the others, and seldom. */
export const folderKinds: readonly FaultKind[] = [
  {
    name: "wipedFolder",
    weight: 2,
    followsElection: false,
    start: (world, _random, target) => world.folders.wipe(target),
  },
  {
    name: "restoredFolder",
    weight: 3,
    followsElection: false,
    start: (world, _random, target) => world.folders.restore(target),
  },
  {
    name: "copiedFolder",
    weight: 1,
    followsElection: false,
    start: (world, _random, target) => world.folders.copy(target),
  },
];
