/** Leaders spread over NodeHosts by themselves. */
import { LeaderSpread } from "../../raft/leaders.ts";
import { Counters } from "../../raft/metrics/counters.ts";
import {
  isEven,
  movesPerRound,
  planSpread,
  SpreadMemory,
} from "../../raft/spread.ts";
import { KeptLog } from "../support/hosts.ts";
import type { SpreadCluster } from "../../raft/spread.ts";
import { Prng } from "../../raft/core/prng.ts";
import { assert } from "../deps.ts";
import { Hosts, until } from "../support/hosts.ts";

interface Placed {
  readonly clusterId: number;
  readonly hosts: readonly string[];
  leader: string;
}

/** NodeHosts that all decide at once, each from what it sees; rounds in which nothing fails. */
class World {
  readonly clusters: Placed[];
  readonly #memories = new Map<string, SpreadMemory>();
  moves = 0;

  constructor(clusters: Placed[]) {
    this.clusters = clusters;
  }

  get hosts(): string[] {
    return [...new Set(this.clusters.flatMap(({ hosts }) => hosts))].sort();
  }

  led(host: string): number {
    return this.clusters.filter(({ leader }) => leader === host).length;
  }

  round(): void {
    const plans = this.hosts.map((self) => {
      const memory = this.#memories.get(self) ?? new SpreadMemory();
      this.#memories.set(self, memory);
      memory.nextRound();
      const seen: SpreadCluster[] = this.clusters
        .filter(({ hosts }) => hosts.includes(self))
        .map(({ clusterId, hosts, leader }) => ({
          clusterId,
          leader,
          others: hosts.filter((host) => host !== self),
        }));
      const plan = planSpread(self, seen, (id) => memory.mayMove(id));
      assert.ok(plan.length <= movesPerRound);
      for (const { clusterId } of plan) memory.moved(clusterId);
      return plan;
    });
    for (const { clusterId, to } of plans.flat()) {
      this.clusters.find((one) => one.clusterId === clusterId)!.leader = to;
      this.moves++;
    }
  }

  run(rounds: number): number {
    const before = this.moves;
    for (let round = 0; round < rounds; round++) this.round();
    return this.moves - before;
  }
}

function everywhere(count: number, hosts: string[], leader: string): World {
  return new World(
    Array.from({ length: count }, (_, i) => ({
      clusterId: i + 1,
      hosts,
      leader,
    })),
  );
}

Deno.test("planSpread() moves nothing for a difference of one", () => {
  for (const count of [1, 2, 3, 4]) {
    const hosts = ["a", "b", "c"];
    const world = everywhere(count, hosts, "a");
    for (const cluster of world.clusters) {
      cluster.leader = hosts[cluster.clusterId % 3]!;
    }
    assert.equal(world.run(100), 0);
  }
});

Deno.test("Leaders of clusters on the same NodeHosts end evenly, and then stay (1,000 rounds)", () => {
  for (
    const hosts of [["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d", "e"]]
  ) {
    for (const count of [2, 3, 7, 100]) {
      const world = everywhere(count, hosts, "a");
      world.run(400);
      const led = hosts.map((host) => world.led(host));
      assert.ok(Math.max(...led) - Math.min(...led) <= 1, `${led}`);
      assert.equal(world.run(600), 0);
    }
  }
});

Deno.test("A NodeHost that starts again gets its share back, a few in a round", () => {
  const world = everywhere(99, ["a", "b", "c"], "a");
  world.run(100);
  for (const cluster of world.clusters) {
    if (cluster.leader === "c") cluster.leader = "b";
  }
  const moves = world.run(1);
  assert.ok(moves > 0 && moves <= 2 * movesPerRound, `${moves}`);
  world.run(200);
  assert.equal(world.led("c"), 33);
  assert.equal(world.run(200), 0);
});

Deno.test("Leaders stop moving wherever clusters are placed", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const prng = new Prng(seed);
    const names = Array.from({ length: prng.between(3, 8) }, (_, i) => `h${i}`);
    const clusters = Array.from({ length: prng.between(2, 80) }, (_, i) => {
      const left = [...names];
      const hosts: string[] = [];
      for (let n = prng.pick([1, 2, 3, 3]); n > 0; n--) {
        hosts.push(...left.splice(prng.below(left.length), 1));
      }
      return { clusterId: i + 1, hosts, leader: prng.pick(hosts) };
    });
    const world = new World(clusters);
    world.run(500);
    const late = world.run(500);
    assert.equal(late, 0, `seed ${seed}: ${late} moves after 500 rounds`);
  }
});

Deno.test("NodeHosts spread their leaders, and do not with spreadLeaders off", async () => {
  for (const spreadLeaders of [true, false]) {
    await using hosts = new Hosts();
    // The second hand over when they have been linked for three election timeouts.
    for (const n of [1, 2]) await hosts.open(n, { tickMs: 5, spreadLeaders });
    for (const clusterId of [1, 2, 3, 4]) {
      for (const n of [1, 2]) {
        await hosts.host(n).startCluster(hosts.cluster(n, 2, { clusterId }));
      }
      await hosts.host(1).waitReady(clusterId);
      await hosts.host(1).transferLeadership(clusterId, 1).catch(() => {});
    }
    const led = () =>
      [1, 2, 3, 4].filter((clusterId) => hosts.leader(1, clusterId) === 2)
        .length;
    await until("all led by one", () => led() === 0 || led() === 2);
    if (spreadLeaders) await until("two led by each", () => led() === 2);
    else assert.equal(led(), 0);
  }
});

Deno.test("isEven() says whether anything would be handed over if it might be", () => {
  const clusterOf = (clusterId: number, leader: string) => ({
    clusterId,
    leader,
    others: ["b"],
  });
  const two = [clusterOf(1, "a"), clusterOf(2, "a")];
  assert.equal(isEven("a", []), true);
  assert.equal(isEven("a", two), false);
  assert.equal(isEven("b", two), true, "it leads none");
  assert.equal(isEven("a", [...two, clusterOf(3, "b")]), true);
});

Deno.test("LeaderSpread looks at all clusters only after something has changed, and now and then", () => {
  const counters = new Counters();
  let looks = 0;
  const spread = new LeaderSpread({
    self: "a",
    tickMs: 1_000,
    logger: new KeptLog(),
    counters,
    nodes: () => {
      looks++;
      return [];
    },
  });
  let now = 0;
  const looksIn = (seconds: number) => {
    const before = looks;
    for (let i = 0; i < seconds; i++) spread.tick(++now);
    return looks - before;
  };
  assert.equal(looksIn(5), 1);
  assert.equal(looksIn(55), 0);
  assert.equal(looksIn(5), 1);
  counters.leaderChanges++;
  assert.equal(looksIn(5), 1);
  counters.nodesStarted++;
  assert.equal(looksIn(10), 1);
});
