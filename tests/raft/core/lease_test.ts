/** Lease reads (rule C8), as far as the core decides. */
import { leaseFor } from "../../../raft/core/lease.ts";
import { assert } from "../../deps.ts";
import { change, CoreCluster } from "../../support/core_cluster.ts";

const tickUs = 10_000;
const quiesceTicks = 20;
const lease = leaseFor({
  electionTimeoutTicks: 10,
  maxClockDriftPpm: 1_000,
}, 10);

/** Nodes on one clock; node 1 leads, and has a lease. */
class World {
  readonly cluster = new CoreCluster({
    nodeIds: [1, 2, 3],
    settings: { lease, quiesceTicks },
  });
  nowUs = 5_000_000;
  wallUs = 1_000_000_000_000;

  constructor() {
    this.cluster.elect(1);
    this.cluster.propose(1, "something");
    this.cluster.settle();
    this.run(2);
  }

  /** Time passes on both clocks. */
  pass(us: number): void {
    this.nowUs += us;
    this.wallUs += us;
    this.read();
  }

  read(): void {
    for (const nodeId of this.cluster.up()) {
      this.cluster.act(
        nodeId,
        (core) => core.readClocks(this.nowUs, this.wallUs),
      );
    }
  }

  run(ticks: number): void {
    for (let tick = 0; tick < ticks; tick++) {
      this.pass(tickUs);
      this.cluster.run(1);
    }
  }

  /** Whether a read at `nodeId` is answered without a message of anybody. */
  isAnsweredAlone(nodeId = 1): boolean {
    const { readStates } = this.cluster.node(nodeId);
    const before = readStates.length;
    this.cluster.read(nodeId);
    const isAnswered = readStates.length > before;
    this.cluster.settle();
    return isAnswered;
  }
}

Deno.test("A leader with a lease answers reads by itself (rule C8)", () => {
  const world = new World();
  assert.ok(world.isAnsweredAlone());
  assert.deepEqual(world.cluster.queue, []);
});

Deno.test("A leader that was just elected has no lease before a quorum has answered (rule C8)", () => {
  const world = new World();
  world.cluster.act(1, (core) => core.transferLeadership(2));
  world.cluster.queue = world.cluster.queue.filter(({ type }) =>
    type === "timeoutNow"
  );
  world.cluster.dropWhen = ({ type }) => type === "heartbeatResponse";
  world.cluster.settle();
  assert.ok(world.cluster.core(2).isLeader());
  assert.ok(!world.isAnsweredAlone(2));
});

Deno.test("A lease counts from when its round was sent, not from the answers (rule C8)", () => {
  const world = new World();
  const { cluster } = world;
  // A round leaves, and its answers take a while.
  cluster.dropWhen = ({ type }) => type === "heartbeatResponse";
  world.run(1);
  cluster.dropWhen = undefined;
  const sentUs = world.nowUs;
  cluster.tick(1, 1);
  const answersAt = cluster.queue.length;
  assert.ok(answersAt > 0);
  world.pass(lease.durationUs - 20_000);
  cluster.settle();
  assert.ok(world.isAnsweredAlone());
  world.pass(sentUs + lease.durationUs - world.nowUs);
  cluster.dropWhen = ({ type }) => type === "heartbeat";
  assert.ok(!world.isAnsweredAlone(), "over, though the answers are young");
});

Deno.test("A lease is looked at when it is used: a process that was paused finds it over (rule C8)", () => {
  const world = new World();
  world.pass(lease.durationUs);
  assert.ok(!world.isAnsweredAlone());
});

Deno.test("A lease is over at once when one clock stood still or was set (rule C8)", () => {
  for (const [monotonicUs, wallUs] of [[0, 50_000], [1_000, -9_000_000]]) {
    const world = new World();
    world.nowUs += monotonicUs!;
    world.wallUs += wallUs!;
    world.read();
    assert.ok(!world.isAnsweredAlone());
    world.run(2);
    assert.ok(world.isAnsweredAlone(), "a later round gives another");
  }
});

Deno.test("A lease is over before TimeoutNow is sent, and none is had in that term again (rule C8)", () => {
  const world = new World();
  const { cluster } = world;
  cluster.cut(1, 2);
  cluster.act(1, (core) => core.transferLeadership(2));
  assert.ok(!world.isAnsweredAlone());
  world.run(12);
  assert.equal(cluster.core(1).status().transferTarget, 0);
  cluster.heal();
  world.run(3);
  assert.ok(cluster.core(1).isLeader());
  // Whoever was told to campaign may do so late.
  assert.ok(!world.isAnsweredAlone());
});

Deno.test("A lease ends at a membership change, until a later round is answered (rule C8)", () => {
  const world = new World();
  world.cluster.proposeChange(1, change("removeNode", 3));
  assert.ok(!world.isAnsweredAlone());
  world.run(3);
  assert.ok(world.isAnsweredAlone());
});

Deno.test("A lease ends with the offer of quiet (rules C8, C10)", () => {
  const world = new World();
  world.run(quiesceTicks + 3);
  assert.ok(world.cluster.core(1).isQuiet);
  assert.ok(!world.isAnsweredAlone());
  world.run(2);
  assert.ok(world.isAnsweredAlone());
});

Deno.test("With leases, a voter that was restarted or paused votes for nobody for an election timeout (rule C8)", () => {
  for (const what of ["restart", "pause"]) {
    const world = new World();
    const { cluster } = world;
    if (what === "restart") {
      cluster.crash(2);
      cluster.start(2);
    } else cluster.act(2, (core) => core.paused());
    cluster.crash(1);
    const ask = () => {
      const { lastIndex } = cluster.core(3);
      cluster.act(2, (core) =>
        core.step({
          type: "vote",
          from: 3,
          to: 2,
          term: 5,
          lastLogIndex: lastIndex,
          lastLogTerm: 1,
          transfer: true,
        }));
      cluster.sync(2);
      return cluster.core(2).term === 5;
    };
    assert.ok(!ask(), what);
    cluster.tick(2, 9);
    assert.ok(!ask(), what);
    cluster.tick(2, 1);
    assert.ok(ask(), what);
  }
});

Deno.test("With leases, a voter keeps faith with a leader it heard, whatever term it hears of after that (rule C8)", () => {
  const world = new World();
  const { cluster } = world;
  // A refusal of long ago, from a node that once stood in a higher term.
  cluster.act(2, (core) =>
    core.step({
      type: "preVoteResponse",
      from: 3,
      to: 2,
      term: 7,
      granted: false,
    }));
  cluster.sync(2);
  assert.equal(cluster.core(2).term, 7);
  const { lastIndex } = cluster.core(2);
  const vote = () =>
    cluster.act(2, (core) =>
      core.step({
        type: "vote",
        from: 3,
        to: 2,
        term: 8,
        lastLogIndex: lastIndex,
        lastLogTerm: 1,
        transfer: false,
      }));
  vote();
  assert.equal(cluster.core(2).term, 7, "its lease may last");
  cluster.tick(2, 10);
  vote();
  assert.equal(cluster.core(2).term, 8);
});

Deno.test("A leader has no lease while a member is of a release without them (rules C8, I6)", () => {
  const world = new World();
  world.cluster.act(1, (core) => core.setMixed(true));
  world.run(5);
  assert.ok(!world.isAnsweredAlone());
  world.cluster.act(1, (core) => core.setMixed(false));
  assert.ok(!world.isAnsweredAlone()); // What was answered before counts for nothing.
  world.run(5);
  assert.ok(world.isAnsweredAlone());
});
