/** Quiet clusters (rule C10), as far as the core decides. */
import { assert } from "../../deps.ts";
import { change, CoreCluster } from "../../support/core_cluster.ts";

const electionTimeoutTicks = 10;
const quiesceTicks = 20;

/** Three nodes that may fall quiet; node 1 leads. */
function started(seed = 1): CoreCluster {
  const cluster = new CoreCluster({
    nodeIds: [1, 2, 3],
    seed,
    settings: { quiesceTicks },
  });
  cluster.elect(1);
  cluster.propose(1, "something");
  cluster.settle();
  return cluster;
}

function quiet(seed = 1): CoreCluster {
  const cluster = started(seed);
  cluster.run(quiesceTicks + 2);
  assert.deepEqual(quietOnes(cluster), [1, 2, 3]);
  return cluster;
}

function quietOnes(cluster: CoreCluster): number[] {
  return cluster.up().filter((nodeId) => cluster.core(nodeId).isQuiet);
}

Deno.test("A cluster with nothing to do falls quiet: no messages, no elections, however long (rule C10)", () => {
  const cluster = started();
  cluster.run(quiesceTicks - 5);
  assert.deepEqual(quietOnes(cluster), []);
  cluster.run(8);
  assert.deepEqual(quietOnes(cluster), [1, 2, 3]);
  for (const nodeId of [1, 2, 3]) cluster.tick(nodeId, 1_000);
  assert.deepEqual(cluster.queue, []);
  assert.equal(cluster.core(1).term, 1);
  assert.ok(cluster.core(1).isLeader());
});

Deno.test("A cluster without the setting does not fall quiet", () => {
  const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
  cluster.elect(1);
  cluster.run(1_000);
  assert.deepEqual(quietOnes(cluster), []);
});

Deno.test("A cluster of one falls quiet, and wakes for a proposal (rule C10)", () => {
  const cluster = new CoreCluster({ nodeIds: [1], settings: { quiesceTicks } });
  cluster.elect(1);
  cluster.run(quiesceTicks + 1);
  assert.deepEqual(quietOnes(cluster), [1]);
  const batch = cluster.propose(1, "more");
  assert.ok(typeof batch !== "string");
  cluster.settle();
  assert.equal(cluster.core(1).commit, batch.lastIndex);
});

Deno.test("A proposal, a read and a change each wake a quiet leader, which wakes its followers at once (rule C10)", () => {
  const calls: ((cluster: CoreCluster) => unknown)[] = [
    (cluster) => cluster.propose(1, "more"),
    (cluster) => cluster.read(1),
    (cluster) => cluster.proposeChange(1, change("identify", 2)),
    (cluster) => cluster.act(1, (core) => core.transferLeadership(2)),
    (cluster) => cluster.act(1, (core) => core.stir()),
    // On a follower:
    (cluster) => cluster.read(2),
  ];
  for (const call of calls) {
    const cluster = quiet();
    const answer = call(cluster);
    cluster.settle();
    assert.deepEqual(quietOnes(cluster), [], `${call}: ${answer}`);
    cluster.run(2 * electionTimeoutTicks - 2);
    assert.ok(cluster.leader(), "somebody leads");
  }
});

Deno.test("A read on a quiet cluster is served after a round of its own (rules C7, C10)", () => {
  const cluster = quiet();
  const { counter } = cluster.read(1);
  assert.equal(cluster.node(1).readStates.length, 0);
  cluster.settle();
  assert.deepEqual(
    cluster.node(1).readStates.map(({ context }) => context.counter),
    [counter],
  );
});

Deno.test("A follower that has something to do does not agree to be quiet, and the cluster stays awake (rule C10)", () => {
  const cluster = started();
  for (let tick = 0; tick < 5 * quiesceTicks; tick++) {
    cluster.act(2, (core) => core.stir());
    cluster.settle();
    cluster.run(1);
    // The others agree now and then, and hear the next heartbeat.
    assert.ok(!cluster.core(2).isQuiet);
  }
  assert.ok(!cluster.core(1).isQuiet);
  assert.equal(cluster.core(1).term, 1, "nobody missed the leader");
});

Deno.test("With an answer lost, the leader sends heartbeats again before anybody misses it (rule C10)", () => {
  const cluster = started();
  cluster.dropWhen = (message) =>
    message.type === "quiesceResponse" && message.from === 3;
  cluster.run(10 * quiesceTicks);
  assert.equal(cluster.core(1).term, 1);
  assert.ok(!cluster.core(1).isQuiet);
  cluster.dropWhen = undefined;
  cluster.run(quiesceTicks + 10);
  assert.deepEqual(quietOnes(cluster), [1, 2, 3]);
});

Deno.test("With the offer lost on the way to one, nobody is left quiet under a leader that is awake (rule C10)", () => {
  const cluster = started();
  cluster.dropWhen = (message) =>
    message.type === "quiesce" && message.to === 3;
  cluster.run(10 * quiesceTicks);
  assert.equal(cluster.core(1).term, 1);
  assert.ok(!cluster.core(3).isQuiet);
});

Deno.test("A cluster falls quiet without a member that is down, and that wakes it when it is back (rule C10)", () => {
  const cluster = started();
  cluster.crash(3);
  cluster.run(quiesceTicks + electionTimeoutTicks + 5);
  assert.deepEqual(quietOnes(cluster), [1, 2]);
  cluster.start(3);
  cluster.run(2 * electionTimeoutTicks);
  assert.equal(cluster.core(3).leaderId, 1);
  assert.equal(cluster.core(1).term, 1, "the leader stayed");
  cluster.run(quiesceTicks + 5);
  assert.deepEqual(quietOnes(cluster), [1, 2, 3]);
});

Deno.test("A cluster without a quorum does not fall quiet: its leader steps down (rules C5, C10)", () => {
  const cluster = started();
  cluster.crash(2);
  cluster.crash(3);
  cluster.run(3 * quiesceTicks);
  assert.ok(!cluster.core(1).isQuiet);
  assert.ok(!cluster.core(1).isLeader());
});

Deno.test("A leader whose members fell silent while it was quiet steps down when it wakes (rules C5, C10)", () => {
  const cluster = quiet();
  cluster.crash(2);
  cluster.crash(3);
  cluster.propose(1, "in vain");
  cluster.run(electionTimeoutTicks + 1);
  assert.ok(!cluster.core(1).isLeader());
});

Deno.test("A quiet leader refuses a change that needs members who fell silent meanwhile (rules C4, C10)", () => {
  const cluster = quiet();
  cluster.crash(2);
  cluster.act(1, (core) => core.reportUnreachable(2));
  assert.equal(
    cluster.proposeChange(1, change("removeNode", 3)),
    "unsafeChange",
  );
});

Deno.test("Followers elect another when the NodeHost of a quiet leader falls silent, within an election timeout (rule C10)", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new CoreCluster({
      nodeIds: [1, 2, 3],
      seed,
      settings: { quiesceTicks },
    });
    cluster.run(5 * quiesceTicks);
    cluster.crash(cluster.leader()!.nodeId);
    cluster.run(1_000);
    assert.equal(quietOnes(cluster).length, 2, "nobody noticed yet");
    cluster.noticeSilence();
    cluster.run(3 * electionTimeoutTicks);
    assert.ok(cluster.leader(), `seed ${seed}`);
  }
});

Deno.test("A quiet follower that learns later that its leader is gone has another as soon as one that learns it first (rule C10)", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const cluster = quiet(seed);
    cluster.crash(1);
    cluster.act(2, (core) => core.leaderSilent(0));
    for (let ticks = 0; cluster.core(2).role === "follower"; ticks++) {
      assert.ok(ticks <= 2 * electionTimeoutTicks, "it campaigns");
      cluster.run(1);
    }
    assert.ok(!cluster.core(3).isQuiet, "it was asked for its vote");
    assert.equal(cluster.core(3).leaderId, 1, "and did not give it");
    cluster.act(3, (core) => core.leaderSilent(0));
    cluster.run(electionTimeoutTicks);
    assert.ok(cluster.leader(), `seed ${seed}`);
    assert.equal(cluster.leader()?.core.term, 2);
  }
});

Deno.test("Of many clusters that lose their leader in quiet, few campaign in one tick (rule C10)", () => {
  const withinTicks = 40;
  const campaigns = new Map<number, number>();
  for (let seed = 1; seed <= 200; seed++) {
    const cluster = new CoreCluster({
      nodeIds: [1, 2, 3],
      seed,
      settings: { quiesceTicks, turnOffset: seed },
    });
    cluster.run(5 * quiesceTicks);
    cluster.crash(cluster.leader()!.nodeId);
    const nodeId = cluster.up()[0]!;
    cluster.act(nodeId, (core) => core.leaderSilent(withinTicks));
    let ticks = 0;
    while (cluster.core(nodeId).role === "follower" && ticks <= withinTicks) {
      cluster.tick(nodeId);
      ticks++;
    }
    campaigns.set(ticks, (campaigns.get(ticks) ?? 0) + 1);
  }
  assert.ok(Math.max(...campaigns.keys()) <= withinTicks);
  assert.ok(Math.max(...campaigns.values()) <= 20, "spread over the ticks");
});

Deno.test("A quiet leader that stops says so, and another is elected (rule C10)", () => {
  const cluster = quiet();
  const messages = cluster.core(1).farewell();
  assert.deepEqual(messages.map(({ to }) => to), [2, 3]);
  cluster.crash(1);
  cluster.queue.push(...messages);
  cluster.settle();
  cluster.run(3 * electionTimeoutTicks);
  const next = cluster.leader();
  assert.ok(next);
  for (const nodeId of cluster.up()) {
    if (nodeId === next.nodeId) continue;
    assert.deepEqual(cluster.core(nodeId).farewell(), [], "only a leader");
  }
});

Deno.test("A quiet follower forgets no vote and no leader for a candidate that only lost touch (rules C5, C10)", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const cluster = quiet(seed);
    cluster.cut(1, 3);
    cluster.cut(3, 1);
    cluster.act(3, (core) => core.leaderSilent(0));
    cluster.run(10 * electionTimeoutTicks);
    assert.equal(cluster.core(1).term, 1, `seed ${seed}`);
    assert.ok(cluster.core(1).isLeader(), "the leader and node 2 are enough");
    cluster.heal();
    cluster.run(quiesceTicks + 3 * electionTimeoutTicks);
    assert.deepEqual(quietOnes(cluster), [1, 2, 3]);
  }
});

Deno.test("An offer of quiet from before a heartbeat is void (rules C8, C10)", () => {
  const cluster = started();
  let stale: CoreCluster["queue"][number] | undefined;
  cluster.dropWhen = (message) => {
    if (message.type !== "quiesce") return false;
    if (message.to === 3) stale ??= message;
    return true;
  };
  cluster.run(quiesceTicks + electionTimeoutTicks);
  cluster.dropWhen = undefined;
  assert.ok(stale !== undefined);
  cluster.queue.push(stale);
  cluster.deliver(cluster.queue.length - 1);
  assert.ok(!cluster.core(3).isQuiet);
});

Deno.test("With a member of an older release nobody offers quiet, nor agrees to it, and who is quiet wakes (rules C10, I6)", () => {
  const cluster = started();
  cluster.act(1, (core) => core.setMixed(true));
  let offers = 0;
  cluster.dropWhen = ({ type }) => {
    if (type === "quiesce") offers++;
    return false;
  };
  cluster.run(10 * quiesceTicks);
  assert.equal(offers, 0);
  assert.deepEqual(quietOnes(cluster), []);
  cluster.act(1, (core) => core.setMixed(false));
  cluster.act(2, (core) => core.setMixed(true));
  cluster.run(3 * quiesceTicks);
  assert.ok(offers > 0);
  assert.ok(!cluster.core(1).isQuiet && !cluster.core(2).isQuiet);
  cluster.act(2, (core) => core.setMixed(false));
  cluster.run(3 * quiesceTicks);
  assert.deepEqual(quietOnes(cluster), [1, 2, 3]);
  cluster.act(1, (core) => core.setMixed(true));
  cluster.settle();
  assert.deepEqual(quietOnes(cluster), []);
});
