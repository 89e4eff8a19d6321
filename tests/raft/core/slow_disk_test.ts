/** A node whose disk stalls does not lead. */
import { assert } from "../../deps.ts";
import { CoreCluster } from "../../support/core_cluster.ts";

function led(nodeIds: number[]): CoreCluster {
  const cluster = new CoreCluster({ nodeIds });
  cluster.elect(1);
  cluster.settle();
  return cluster;
}

Deno.test("A leader whose disk stalls hands over to the member that holds most", () => {
  const cluster = led([1, 2, 3]);
  cluster.dropWhen = ({ type, to }) => type === "append" && to === 2;
  cluster.propose(1, "something");
  cluster.settle();
  cluster.act(1, (core) => core.setDiskStalled(true));
  cluster.run(1);
  assert.ok(cluster.core(3).isLeader());
  assert.equal(cluster.core(1).role, "follower");
});

Deno.test("A leader whose disk stalls steps down if nobody takes over in time", () => {
  const cluster = led([1, 2, 3]);
  cluster.act(1, (core) => core.setDiskStalled(true));
  cluster.dropWhen = ({ type }) => type === "timeoutNow";
  cluster.run(9);
  assert.ok(cluster.core(1).isLeader());
  cluster.run(3);
  assert.ok(!cluster.core(1).isLeader());
  cluster.dropWhen = undefined;
  cluster.run(60);
  assert.notEqual(cluster.leader()?.nodeId ?? 1, 1);
});

Deno.test("A leader whose disk stalls while it hands over steps down when that fails, and does not try again", () => {
  const cluster = led([1, 2, 3]);
  cluster.dropWhen = ({ type }) => type === "timeoutNow";
  cluster.act(1, (core) => core.transferLeadership(2));
  cluster.run(5);
  cluster.act(1, (core) => core.setDiskStalled(true));
  cluster.run(6);
  assert.ok(!cluster.core(1).isLeader());
});

Deno.test("A node whose disk stalls does not campaign, and refuses to when it is asked to lead", () => {
  const cluster = led([1, 2, 3]);
  cluster.act(2, (core) => core.setDiskStalled(true));
  cluster.act(1, (core) => core.transferLeadership(2));
  cluster.run(2);
  assert.equal(cluster.core(2).role, "follower");
  cluster.crash(1);
  cluster.crash(3);
  cluster.tick(2, 100);
  assert.equal(cluster.core(2).role, "follower");
  cluster.act(2, (core) => core.setDiskStalled(false));
  cluster.tick(2, 20);
  assert.equal(cluster.core(2).role, "preCandidate");
});

Deno.test("The only voter goes on leading though its disk stalls: nobody else could", () => {
  const cluster = led([1]);
  cluster.act(1, (core) => core.setDiskStalled(true));
  cluster.tick(1, 100);
  assert.ok(cluster.core(1).isLeader());
});
