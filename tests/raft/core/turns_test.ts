/** Members that lose their leader in the same moment must not split the votes (paper 5.2). */
import { assert } from "../../deps.ts";
import { newCoreCounters } from "../../../raft/core/counters.ts";
import { Prng } from "../../../raft/core/prng.ts";
import { drawTurn } from "../../../raft/core/turns.ts";
import { CoreCluster } from "../../support/core_cluster.ts";

const electionTimeoutTicks = 10;
const quiesceTicks = 20;

/** All times that a member can draw. */
function timesOf(limit: number, place: number, count: number, offset = 0) {
  const prng = new Prng(place + 1);
  const times = new Set<number>();
  for (let draw = 0; draw < 50 * limit; draw++) {
    times.add(drawTurn(prng, limit, { place, count, offset }));
  }
  return [...times].sort((a, b) => a - b);
}

Deno.test("drawTurn() gives every member times of its own, two ticks from all others where there is room", () => {
  for (const [limit, count, gap] of [[10, 2, 2], [10, 4, 2], [10, 6, 1]]) {
    for (const offset of [0, 1, 5, 0xffff_ffff]) {
      const all = Array.from(
        { length: count! },
        (_, place) => timesOf(limit!, place, count!, offset),
      );
      for (const [place, times] of all.entries()) {
        assert.ok(times.length > 0);
        assert.ok(times.every((time) => time >= 1 && time < limit!));
        for (const other of all.slice(place + 1).flat()) {
          for (const time of times) {
            assert.ok(Math.abs(time - other) >= gap!, `${time} and ${other}`);
          }
        }
      }
    }
  }
});

Deno.test("drawTurn() uses all times over all clusters, and any for one alone or too many", () => {
  const used = new Set<number>();
  for (let offset = 0; offset < 8; offset++) {
    for (const time of timesOf(10, 0, 2, offset)) used.add(time);
  }
  assert.deepEqual([...used].sort(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(timesOf(10, 0, 1).length, 10);
  assert.equal(timesOf(4, 0, 7).length, 4);
  assert.deepEqual(timesOf(1, 0, 2), [0]);
});

/** Ticks until another leads in place of the leader that crashes, with all ticking together; and the new term. */
function replaced(cluster: CoreCluster, isLate: boolean) {
  const leader = cluster.leader()!;
  const { term } = leader.core;
  cluster.crash(leader.nodeId);
  // One heard the last heartbeat just before a tick, the others just after it.
  if (isLate) cluster.tick(cluster.up()[0]!);
  cluster.noticeSilence(); // Only who was quiet heeds that.
  let ticks = 0;
  while (cluster.leader() === undefined && ticks < 10 * electionTimeoutTicks) {
    cluster.run(1);
    ticks++;
  }
  return { ticks, terms: (cluster.leader()?.core.term ?? 0) - term };
}

for (const nodeIds of [[1, 2, 3], [1, 2, 3, 4, 5]]) {
  for (const isQuiet of [false, true]) {
    const what = `A ${isQuiet ? "quiet " : ""}cluster of ${nodeIds.length}`;
    Deno.test(`${what} needs one election to replace its leader, within ${isQuiet ? "one election timeout" : "two"}, though all tick together (rule C10)`, () => {
      for (let seed = 1; seed <= 100; seed++) {
        const cluster = new CoreCluster({
          nodeIds,
          seed,
          settings: {
            quiesceTicks: isQuiet ? quiesceTicks : 0,
            turnOffset: seed,
          },
        });
        cluster.run(5 * quiesceTicks);
        const { ticks, terms } = replaced(cluster, seed % 2 === 0);
        assert.equal(terms, 1, `seed ${seed}: nobody split the votes`);
        const most = (isQuiet ? 1 : 2) * electionTimeoutTicks;
        assert.ok(ticks <= most, `seed ${seed}: ${ticks} ticks`);
      }
    });
  }
}

Deno.test("Whoever has campaigned in vain draws from all times, so that slow messages do not keep two apart for ever", () => {
  const waits = new Set<number>();
  for (let seed = 1; seed <= 200; seed++) {
    const counters = newCoreCounters();
    const settings = { counters };
    const cluster = new CoreCluster({ nodeIds: [1, 2, 3], seed, settings });
    cluster.elect(1);
    cluster.run(1);
    cluster.crash(1);
    cluster.crash(3);
    const begin = () => {
      const { preCampaigns } = counters;
      let ticks = 0;
      while (counters.preCampaigns === preCampaigns) {
        cluster.tick(2);
        ticks++;
      }
      return ticks;
    };
    begin();
    waits.add(begin() - electionTimeoutTicks);
  }
  assert.equal(waits.size, electionTimeoutTicks, [...waits].join(" "));
});
