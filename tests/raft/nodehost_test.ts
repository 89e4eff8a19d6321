import { assert } from "../deps.ts";
import { isRetryable, RaftError } from "../../raft/errors.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import type { RaftErrorCode } from "../../raft/errors.ts";
import { requestOverheadBytes } from "../../raft/requests.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";

function isRaftError(code: RaftErrorCode, text?: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RaftError, `not a RaftError: ${error}`);
    assert.equal(error.code, code, error.message);
    if (text !== undefined) assert.match(error.message, text);
    return true;
  };
}

Deno.test("NodeHost proposes and reads with one member", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  assert.deepEqual(await host.propose(1, Uint8Array.of(5)), { value: 5 });
  assert.deepEqual(await host.propose(1, Uint8Array.of(2)), { value: 7 });
  assert.equal(await host.read(1, "total"), 7);
  assert.equal(await host.staleRead(1, "count"), 2);
});

Deno.test("NodeHost replicates proposals made on leader and followers, and reads them everywhere", async () => {
  await using hosts = await Hosts.started(3);
  const results = await Promise.all(
    [1, 2, 3, 1, 2, 3].map((n) => hosts.host(n).propose(1, Uint8Array.of(1))),
  );
  assert.deepEqual(
    results.map((result) => result.value).sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6],
  );
  for (const n of [1, 2, 3]) {
    assert.equal(await hosts.host(n).read(1, "total"), 6);
  }
});

Deno.test("NodeHost keeps the order of a caller's proposals", async () => {
  await using hosts = await Hosts.started(3);
  const values: number[] = [];
  await Promise.all(
    Array.from({ length: 500 }, async () => {
      values.push((await hosts.host(2).propose(1, Uint8Array.of(1))).value);
    }),
  );
  assert.deepEqual(values, Array.from({ length: 500 }, (_, i) => i + 1));
});

Deno.test("NodeHost copies the command before propose returns (rule B4)", async () => {
  await using hosts = await Hosts.started(1);
  const command = Uint8Array.of(9);
  const pending = hosts.host(1).propose(1, command);
  command[0] = 1;
  assert.equal((await pending).value, 9);
});

Deno.test("NodeHost remembers what was applied after all members were closed and opened again", async () => {
  await using hosts = await Hosts.started(3);
  for (let i = 0; i < 20; i++) {
    await hosts.host(1 + i % 3).propose(1, Uint8Array.of(2));
  }
  for (const n of [1, 2, 3]) await hosts.close(n);
  for (const n of [1, 2, 3]) {
    await hosts.open(n);
    await hosts.host(n).startCluster(hosts.cluster(n, 3));
  }
  for (const n of [1, 2, 3]) {
    await hosts.host(n).waitReady(1);
    assert.equal(await hosts.host(n).read(1, "total"), 40);
  }
});

Deno.test("NodeHost goes on when the leader's host is gone", async () => {
  await using hosts = await Hosts.started(3);
  await hosts.host(1).propose(1, Uint8Array.of(1));
  const leader = hosts.leader();
  await hosts.close(leader);
  const survivor = hosts.host(leader === 1 ? 2 : 1);
  await survivor.waitReady(1);
  assert.equal((await survivor.propose(1, Uint8Array.of(1))).value, 2);
});

/** Reads the total. On a busy machine a leader may change just then, and the read is dropped, as it should be. */
async function readWhenLed(
  host: NodeHost,
  clusterId: number,
): Promise<unknown> {
  for (;;) {
    await host.waitReady(clusterId);
    try {
      return await host.read(clusterId, "total");
    } catch (error) {
      if (!isRetryable(error)) throw error;
    }
  }
}

Deno.test("NodeHost carries many clusters over one connection, log and port", async () => {
  await using hosts = new Hosts();
  for (const n of [1, 2, 3]) {
    const host = await hosts.open(n);
    for (let clusterId = 1; clusterId <= 20; clusterId++) {
      await host.startCluster(hosts.cluster(n, 3, { clusterId }));
    }
  }
  for (let clusterId = 1; clusterId <= 20; clusterId++) {
    await hosts.host(1).waitReady(clusterId);
    await hosts.host(1).propose(clusterId, Uint8Array.of(clusterId));
  }
  for (let clusterId = 1; clusterId <= 20; clusterId++) {
    assert.equal(await readWhenLed(hosts.host(3), clusterId), clusterId);
  }
  const links = hosts.host(1).info().links;
  assert.equal(links.filter((link) => link.isUp).length, 2);
});

Deno.test("NodeHost answers at once for clusters it does not have, and for wrong arguments", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  await assert.rejects(
    host.propose(2, Uint8Array.of(1)),
    isRaftError("clusterNotFound"),
  );
  await assert.rejects(host.read(2, ""), isRaftError("clusterNotFound"));
  await assert.rejects(host.waitReady(2), isRaftError("clusterNotFound"));
  await assert.rejects(host.stopCluster(2), isRaftError("clusterNotFound"));
  for (const id of [0, 2 ** 53, -1, 1.5]) {
    assert.throws(() => host.propose(id, Uint8Array.of(1)), RangeError);
    await assert.rejects(
      host.startCluster(hosts.cluster(1, 1, { clusterId: id })),
      RangeError,
    );
    await assert.rejects(
      host.startCluster({ ...hosts.cluster(1, 1), nodeId: id }),
      RangeError,
    );
  }
  assert.throws(
    () => host.propose(1, "text" as unknown as Uint8Array),
    TypeError,
  );
  assert.throws(
    () => host.propose(1, Uint8Array.of(1), { timeoutMs: 0 }),
    RangeError,
  );
});

Deno.test("NodeHost refuses a cluster started twice, and restarts that contradict the log", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  await assert.rejects(
    host.startCluster(hosts.cluster(1, 1)),
    isRaftError("clusterExists"),
  );
  await host.stopCluster(1);
  await assert.rejects(
    host.startCluster(hosts.cluster(1, 3)),
    isRaftError("rejected", /other initialMembers/),
  );
  await assert.rejects(
    host.startCluster(hosts.cluster(1, 1, { join: true })),
    isRaftError("rejected", /initial member/),
  );
  await assert.rejects(
    host.startCluster({
      clusterId: 9,
      nodeId: 1,
      stateMachine: () => new Counter(),
    }),
    isRaftError("notBootstrapped"),
  );
  await host.startCluster({
    clusterId: 1,
    nodeId: 1,
    stateMachine: () => new Counter(),
  });
  await host.waitReady(1);
});

Deno.test("NodeHost refuses a payload over the limit", async () => {
  await using hosts = await Hosts.started(1, {}, { maxPayloadBytes: 100 });
  await hosts.host(1).propose(1, new Uint8Array(100));
  await assert.rejects(
    hosts.host(1).propose(1, new Uint8Array(101)),
    isRaftError("payloadTooBig", /101 bytes.*100/),
  );
});

Deno.test("NodeHost refuses a port in use, a folder in use, another address and another deployment", async () => {
  await using hosts = await Hosts.started(1);
  await assert.rejects(
    hosts.open(1),
    isRaftError("dirLocked"),
  );
  hosts.disks.set(2, hosts.disk(2));
  await assert.rejects(
    hosts.open(2, { raftAddress: hosts.address(1) }),
    isRaftError("rejected", /in use/),
  );
  await hosts.close(1);
  await assert.rejects(
    hosts.open(1, { raftAddress: "elsewhere:7000" }),
    isRaftError("dirMismatch"),
  );
  await assert.rejects(
    hosts.open(1, { deploymentId: 2n }),
    isRaftError("deploymentMismatch"),
  );
  await hosts.open(1);
});

Deno.test("An aborted call rejects with the signal's reason, and the others go on (rule R1)", async () => {
  await using hosts = await Hosts.started(3);
  const host = hosts.host(1);
  const reason = new Error("changed my mind");
  await assert.rejects(
    host.propose(1, Uint8Array.of(1), { signal: AbortSignal.abort(reason) }),
    reason,
  );
  const controller = new AbortController();
  const aborted = host.propose(1, Uint8Array.of(1), {
    signal: controller.signal,
  });
  const other = host.propose(1, Uint8Array.of(1));
  controller.abort(reason);
  await assert.rejects(aborted, reason);
  await other;
  const read = host.read(1, "total", { signal: controller.signal });
  await assert.rejects(read, reason);
});

Deno.test("A minority ends with timeouts whose outcome is unknown, or notReady, never with a result (rule R1)", async () => {
  await using hosts = await Hosts.started(3);
  const leader = hosts.leader();
  for (const n of [1, 2, 3]) if (n !== leader) await hosts.close(n);
  const host = hosts.host(leader);
  await assert.rejects(
    host.propose(1, Uint8Array.of(1), { timeoutMs: 40 }),
    (error) => {
      assert.ok(error instanceof RaftError);
      assert.ok(["timeout", "dropped", "notReady"].includes(error.code));
      if (error.code === "timeout") {
        assert.equal(error.outcome, "unknown");
        assert.equal(isRetryable(error), false);
      }
      return true;
    },
  );
  await assert.rejects(
    host.waitReady(1, { timeoutMs: 60 }),
    isRaftError("timeout"),
  );
  const isAlone = () => host.info().clusters[0]!.leaderId === 0;
  await until("the end of its leadership", isAlone);
  await assert.rejects(
    host.propose(1, Uint8Array.of(1)),
    (error) => isRetryable(error) && isRaftError("notReady")(error),
  );
});

Deno.test("One cluster's failing state machine stops that node only", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  await host.startCluster(hosts.cluster(1, 1, { clusterId: 2 }));
  await host.waitReady(2);
  await assert.rejects(
    host.propose(1, Uint8Array.of(255)),
    isRaftError("clusterClosed", /told to fail/),
  );
  await assert.rejects(
    host.propose(1, Uint8Array.of(1)),
    isRaftError("clusterClosed"),
  );
  assert.equal((await host.propose(2, Uint8Array.of(4))).value, 4);
  const [failed, running] = host.info().clusters;
  assert.match(failed!.failure ?? "", /told to fail/);
  assert.equal(running!.failure, undefined);
  assert.ok(hosts.machines.get("1/1")!.isClosed);
});

Deno.test("A node that failed makes room for itself: startCluster starts it again", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(3));
  const failing = () => ({
    ...new Counter(),
    update: () => {
      throw new Error("not yet mended");
    },
    lookup: () => 0,
    saveSnapshot: () => Promise.resolve(),
    recoverFromSnapshot: () => Promise.resolve(),
  });
  await host.startCluster(
    hosts.cluster(1, 1, { clusterId: 2, stateMachine: failing }),
  );
  await host.waitReady(2);
  await assert.rejects(
    host.propose(2, Uint8Array.of(7)),
    isRaftError("clusterClosed", /not yet mended.*startCluster/),
  );
  await host.startCluster(hosts.cluster(1, 1, { clusterId: 2 }));
  await host.waitReady(2);
  assert.equal(await host.read(2, "total"), 7);
  assert.equal(host.info().clusters.length, 2);
  // One that runs is not taken away by it.
  await assert.rejects(
    host.startCluster(hosts.cluster(1, 1, { clusterId: 2 })),
    isRaftError("clusterExists", /runs node 1 .* stopCluster/),
  );
});

Deno.test("A lookup that throws rejects that read only", async () => {
  await using hosts = await Hosts.started(1);
  await assert.rejects(hosts.host(1).read(1, "throw"), /no such query/);
  assert.equal(await hosts.host(1).read(1, "total"), 0);
});

Deno.test("A closed NodeHost ends what waits with closed, and stays closed", async () => {
  await using hosts = await Hosts.started(3);
  const host = hosts.host(1);
  const pending = Array.from(
    { length: 10 },
    () =>
      host.propose(1, Uint8Array.of(1)).then(
        () => "applied",
        (error) => error.code,
      ),
  );
  await host.close();
  for (const outcome of await Promise.all(pending)) {
    assert.ok(["applied", "closed", "dropped"].includes(outcome), outcome);
  }
  await assert.rejects(
    host.propose(1, Uint8Array.of(1)),
    isRaftError("closed"),
  );
  await assert.rejects(host.waitReady(1), isRaftError("closed"));
  await host.close();
});

Deno.test("Overload gives busy and bounded memory, and passes (rule R1)", async () => {
  const maxInMemLogBytes = 64 * 1024;
  await using hosts = await Hosts.started(3, { maxInMemLogBytes });
  const host = hosts.host(hosts.leader());
  const outcomes = await Promise.all(
    Array.from(
      { length: 2_000 },
      () =>
        host.propose(1, Uint8Array.of(1)).then(() => "applied", (error) => {
          assert.ok(isRetryable(error));
          return error.code;
        }),
    ),
  );
  const applied = outcomes.filter((outcome) => outcome === "applied").length;
  const busy = outcomes.filter((outcome) => outcome === "busy").length;
  assert.equal(applied + busy, 2_000);
  assert.ok(busy > 0);
  assert.ok(applied > 0);
  // They were made in one turn, in which nothing is applied: what was taken is what the limit holds, and the one that
  // reaches it.
  const most = Math.ceil(maxInMemLogBytes / (requestOverheadBytes + 1));
  assert.ok(applied <= most, `${applied} were taken, ${most} fit`);
  assert.equal(await host.read(1, "count"), applied);
});

Deno.test("A member is added, joins, votes and is removed; its id never comes back (paper 6)", async () => {
  await using hosts = await Hosts.started(3);
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(3));
  const joined = await hosts.open(4);
  const added = await host.addNode(1, {
    nodeId: 4,
    address: hosts.address(4),
  });
  assert.deepEqual(added.members.map((member) => member.nodeId), [1, 2, 3, 4]);
  await joined.startCluster(hosts.cluster(4, 0, { join: true }));
  await joined.waitReady(1);
  assert.equal(await joined.read(1, "total"), 3);
  await joined.transferLeadership(1, 4);
  assert.equal(joined.getLeader(1).leaderId, 4);
  await joined.transferLeadership(1, 2);
  await host.waitReady(1);

  await host.removeNode(1, { nodeId: 4 });
  await assert.rejects(
    host.addNode(1, { nodeId: 4, address: hosts.address(4) }),
    isRaftError("rejected", /removed/),
  );
  await assert.rejects(
    joined.waitReady(1, { timeoutMs: 4_000 }),
    isRaftError("nodeRemoved"),
  );
});

Deno.test("A membership change is refused for a wrong order, a used address and an unknown target", async () => {
  await using hosts = await Hosts.started(3);
  const host = hosts.host(2);
  const before = await host.getMembership(1);
  await assert.rejects(
    host.addNode(1, { nodeId: 9, address: hosts.address(3) }),
    isRaftError("rejected", /address/),
  );
  await assert.rejects(
    host.removeNode(1, { nodeId: 3, expectedConfigChangeIndex: 999 }),
    isRaftError("rejected"),
  );
  await assert.rejects(
    host.transferLeadership(1, 9),
    isRaftError("invalidTarget"),
  );
  const after = await host.getMembership(1);
  assert.equal(after.configChangeIndex, before.configChangeIndex);
  assert.equal(after.members.length, 3);
});

Deno.test("The only member cannot be removed", async () => {
  await using hosts = await Hosts.started(1);
  await assert.rejects(
    hosts.host(1).removeNode(1, { nodeId: 1 }),
    isRaftError("rejected"),
  );
});

Deno.test("The membership records which NodeHost carries each member (rule I1)", async () => {
  await using hosts = await Hosts.started(3);
  const ids = [1, 2, 3].map((n) => hosts.host(n).nodeHostId);
  while (true) {
    const { members } = await hosts.host(1).getMembership(1);
    if (members.every((member) => member.nodeHostId !== "")) {
      assert.deepEqual(members.map((member) => member.nodeHostId), ids);
      break;
    }
  }
});

Deno.test("Leadership moves to every member and back", async () => {
  await using hosts = await Hosts.started(3);
  for (const target of [1, 2, 3, 1]) {
    await hosts.host(2).transferLeadership(1, target);
    assert.equal(hosts.leader(2), target);
  }
});

Deno.test("A snapshot is saved by itself, and a restart begins from it", async () => {
  await using hosts = await Hosts.started(1, {
    snapshotEntries: 50,
    compactionOverhead: 10,
  });
  for (let i = 0; i < 120; i++) {
    await hosts.host(1).propose(1, Uint8Array.of(1));
  }
  const index = await hosts.host(1).takeSnapshot(1);
  assert.ok(index >= 120);
  assert.equal(hosts.host(1).info().clusters[0]!.snapshotIndex, index);
  await hosts.close(1);
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 1));
  await hosts.host(1).waitReady(1);
  assert.equal(await hosts.host(1).read(1, "count"), 120);
  assert.equal((await hosts.host(1).propose(1, Uint8Array.of(1))).value, 121);
});

Deno.test("A follower that is behind the log gets a snapshot (paper 7)", async () => {
  const config = { snapshotEntries: 20, compactionOverhead: 5 };
  await using hosts = await Hosts.started(3, config);
  const follower = [1, 2, 3].find((n) => n !== hosts.leader())!;
  const other = [1, 2, 3].find((n) => n !== follower)!;
  await hosts.close(follower);
  await hosts.host(other).waitReady(1);
  for (let i = 0; i < 200; i++) {
    // Together more than the leader keeps in memory for followers.
    await hosts.host(other).propose(1, new Uint8Array(4_096));
  }
  for (const n of [1, 2, 3]) {
    if (n !== follower) await hosts.host(n).takeSnapshot(1);
  }
  await hosts.open(follower);
  await hosts.host(follower).startCluster(hosts.cluster(follower, 3, config));
  await hosts.host(follower).waitReady(1);
  assert.equal(await hosts.host(follower).read(1, "count"), 200);
  const machine = hosts.machines.get(`1/${follower}`)!;
  assert.ok(machine.updates < 200, "what it missed came by a snapshot");
});

Deno.test("A wiped folder is refused while a second host is down, by name, and votes for nobody (rule I2)", async () => {
  await using hosts = await Hosts.started(3);
  await hosts.host(1).propose(1, Uint8Array.of(7));
  for (const n of [1, 2, 3]) await hosts.host(n).read(1, "total");
  await hosts.close(1);
  await hosts.close(2);
  hosts.disks.delete(1);
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 3));
  await assert.rejects(
    hosts.host(1).waitReady(1, { timeoutMs: 3_000 }),
    isRaftError("rejected", /NodeHost .*remove it and add a new one/),
  );
  await assert.rejects(
    hosts.host(3).waitReady(1, { timeoutMs: 300 }),
    isRaftError("timeout"),
  );
  // The second host comes back: with the third it is a majority, and nothing was lost.
  await hosts.open(2);
  await hosts.host(2).startCluster(hosts.cluster(2, 3));
  await hosts.host(2).waitReady(1);
  assert.equal(await hosts.host(2).read(1, "total"), 7);
});

Deno.test("A NodeHost starts again the nodes of named state machines by itself (rule I5)", async () => {
  await using hosts = new Hosts();
  const machines = { counter: () => new Counter() };
  await hosts.open(1, { stateMachines: machines });
  await hosts.host(1).startCluster(
    hosts.cluster(1, 1, { stateMachine: "counter", electionTimeoutTicks: 7 }),
  );
  await hosts.host(1).waitReady(1);
  await hosts.host(1).propose(1, Uint8Array.of(8));
  await hosts.close(1);
  await hosts.open(1, { stateMachines: machines });
  await hosts.host(1).waitReady(1);
  assert.equal(await hosts.host(1).read(1, "total"), 8);
  await assert.rejects(
    hosts.host(1).startCluster(
      hosts.cluster(1, 1, { clusterId: 2, stateMachine: "nobody" }),
    ),
    isRaftError("notReady", /nobody/),
  );
});

Deno.test("Nodes that are started again by themselves share their syncs (rule I5)", async () => {
  await using hosts = new Hosts();
  const config = { stateMachines: { counter: () => new Counter() } };
  const clusterIds = Array.from({ length: 100 }, (_, i) => i + 1);
  await hosts.open(1, config);
  await Promise.all(clusterIds.map((clusterId) =>
    hosts.host(1).startCluster(
      hosts.cluster(1, 1, { clusterId, stateMachine: "counter" }),
    )
  ));
  await hosts.close(1);
  let syncs = 0;
  hosts.disk(1).faults = { beforeSync: () => void syncs++ };
  await hosts.open(1, config);
  assert.ok(syncs < 40, `${syncs} syncs`);
  for (const clusterId of clusterIds) await hosts.host(1).waitReady(clusterId);
});

Deno.test("A failing sync closes the log for good: nothing is acknowledged after it (rule L2)", async () => {
  await using hosts = await Hosts.started(3);
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  hosts.disk(1).faults = {
    beforeSync: () => {
      throw Object.assign(new Error("the disk is gone"), { code: "EIO" });
    },
  };
  await assert.rejects(
    host.propose(1, Uint8Array.of(1)).then(() =>
      host.propose(1, Uint8Array.of(1))
    ),
    (error) => error instanceof RaftError && error.outcome === "unknown",
  );
  await assert.rejects(
    host.propose(1, Uint8Array.of(1)),
    isRaftError("diskFailed", /disk is gone/),
  );
  const survivor = hosts.host(2);
  await survivor.waitReady(1);
  await survivor.propose(1, Uint8Array.of(1));
});

Deno.test("A NodeHost whose log failed drops its connections at once, without waiting for an election (rule L2)", async () => {
  await using hosts = new Hosts();
  for (const n of [1, 2, 3]) {
    const host = await hosts.open(n);
    // The first leads soon; the others would miss it after 50 seconds at the earliest.
    const electionTimeoutTicks = n === 1 ? 100 : 10_000;
    await host.startCluster(hosts.cluster(n, 3, { electionTimeoutTicks }));
  }
  const host = hosts.host(1);
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  const { term } = host.getLeader(1);
  const isUp = (n: number, other: number) =>
    hosts.host(n).info().links.some((link) =>
      link.address === hosts.address(other) && link.isUp
    );
  for (const n of [2, 3]) {
    await until("a link", () => isUp(n, 1) && isUp(n, 5 - n));
  }
  hosts.disk(1).faults = {
    beforeSync: () => {
      throw Object.assign(new Error("the disk is gone"), { code: "EIO" });
    },
  };
  await assert.rejects(
    host.propose(1, Uint8Array.of(1)).then(() =>
      host.propose(1, Uint8Array.of(1))
    ),
    RaftError,
  );
  for (const n of [2, 3]) {
    await until("the end of a link", () => !isUp(n, 1));
    assert.ok(isUp(n, 5 - n), "the others keep theirs");
    assert.equal(hosts.host(n).getLeader(1).term, term, "no election yet");
  }
});

Deno.test("Big commands of one turn are split so that batch and frame stay below a quarter of a segment (rule B3)", async () => {
  await using hosts = await Hosts.started(3);
  const leader = hosts.leader();
  const follower = leader === 1 ? 2 : 1;
  const biggest = new Uint8Array(128 * 1024); // The limit with segments of 1 MiB.
  for (const n of [leader, follower]) {
    const sent = Array.from(
      { length: 12 },
      () => hosts.host(n).propose(1, biggest),
    );
    await Promise.all(sent);
  }
  assert.equal(await hosts.host(3).read(1, "count"), 24);
});

Deno.test("A leader that removes itself goes on voting until the others know, so that two become one (rule C4)", async () => {
  await using hosts = await Hosts.started(2);
  await hosts.host(1).propose(1, Uint8Array.of(4));
  await hosts.host(1).transferLeadership(1, 2);
  await hosts.host(2).removeNode(1, { nodeId: 2 });
  await assert.rejects(
    hosts.host(2).propose(1, Uint8Array.of(1)),
    isRaftError("nodeRemoved"),
  );
  await assert.rejects(
    hosts.host(2).read(1, "total"),
    isRaftError("nodeRemoved"),
  );
  await hosts.host(1).waitReady(1);
  assert.equal((await hosts.host(1).propose(1, Uint8Array.of(1))).value, 5);
  // Told so by the one that is left, it lets go of its state machine.
  const machine = hosts.machines.get("1/2")!;
  while (!machine.isClosed) await hosts.host(1).read(1, "total");
});

Deno.test("A node that was removed and started again says so, and still votes where it is counted", async () => {
  await using hosts = await Hosts.started(2);
  await hosts.host(1).transferLeadership(1, 2);
  await hosts.close(1);
  // Not committed: the other is away. It will be once that is back.
  const removal = hosts.host(2).removeNode(1, { nodeId: 2 }, {
    timeoutMs: 60_000,
  }).catch(() => {});
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 2));
  await removal;
  await hosts.close(2);
  await hosts.open(2);
  await hosts.host(2).startCluster(hosts.cluster(2, 2)).catch((error) =>
    isRaftError("nodeRemoved")(error)
  );
  await hosts.host(1).waitReady(1);
  const { members } = await hosts.host(1).getMembership(1);
  assert.deepEqual(members.map((member) => member.nodeId), [1]);
});

Deno.test("Too many reads and membership changes at once are busy, and the next ones are answered (rule R1)", async () => {
  const maxInMemLogBytes = 64 * 1024;
  await using hosts = await Hosts.started(3, { maxInMemLogBytes });
  const host = hosts.host(hosts.leader());
  const outcomes = await Promise.all(
    Array.from(
      { length: 2_000 },
      () =>
        host.read(1, "count").then(() => "answered", (error) => {
          assert.ok(isRetryable(error));
          return error.code;
        }),
    ),
  );
  assert.ok(outcomes.includes("busy"));
  assert.ok(outcomes.includes("answered"));
  assert.equal(await host.read(1, "count"), 0);
  const changes = await Promise.all(
    Array.from(
      { length: 100 },
      () =>
        host.removeNode(1, { nodeId: 99 }).then(
          () => "removed",
          (error) => error.code,
        ),
    ),
  );
  assert.ok(changes.includes("busy"));
  assert.ok(changes.includes("rejected"));
});

Deno.test("A membership change may expect the membership that the cluster began with", async () => {
  await using hosts = await Hosts.started(3);
  const { configChangeIndex } = await hosts.host(1).getMembership(1);
  assert.equal(configChangeIndex, 0);
  await hosts.host(1).removeNode(1, {
    nodeId: 3,
    expectedConfigChangeIndex: configChangeIndex,
  });
  await assert.rejects(
    hosts.host(1).removeNode(1, {
      nodeId: 2,
      expectedConfigChangeIndex: configChangeIndex,
    }),
    isRaftError("rejected", /changed at index/),
  );
});

Deno.test("A cluster of one that adds a second finds a leader although it restarts before that has heard a word", async () => {
  await using hosts = await Hosts.started(1);
  await hosts.host(1).propose(1, Uint8Array.of(6));
  await hosts.open(2);
  await hosts.host(1).addNode(1, { nodeId: 2, address: hosts.address(2) });
  await hosts.close(1);
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 1));
  await hosts.host(2).startCluster(hosts.cluster(2, 0, { join: true }));
  await hosts.host(2).waitReady(1);
  assert.equal(await hosts.host(2).read(1, "total"), 6);
});

Deno.test("A node is added only where a NodeHost answers, which the membership then names (rule I1)", async () => {
  await using hosts = await Hosts.started(1);
  await assert.rejects(
    hosts.host(1).addNode(1, { nodeId: 2, address: hosts.address(2) }, {
      timeoutMs: 100,
    }),
    isRaftError("timeout", /no NodeHost answers there.*open it first/),
  );
  await hosts.open(2);
  const { members } = await hosts.host(1).addNode(1, {
    nodeId: 2,
    address: hosts.address(2),
  });
  assert.equal(members[1]!.nodeHostId, hosts.host(2).nodeHostId);
});

Deno.test("A leader that is about to remove itself takes nothing more, so that its log is no longer than the others'", async () => {
  await using hosts = await Hosts.started(3);
  const leader = hosts.leader();
  const host = hosts.host(leader);
  const removal = host.removeNode(1, { nodeId: leader });
  await Promise.resolve();
  const outcomes: string[] = [];
  const proposals = Array.from({ length: 200 }, async () => {
    while (true) {
      const outcome = await host.propose(1, Uint8Array.of(1)).then(
        () => "applied",
        (error) => error.code,
      );
      outcomes.push(outcome);
      if (outcome === "nodeRemoved") return;
      await Promise.resolve();
    }
  });
  await removal;
  await Promise.all(proposals);
  const survivor = hosts.host(leader === 1 ? 2 : 1);
  await survivor.waitReady(1);
  const applied = outcomes.filter((outcome) => outcome === "applied").length;
  assert.equal(await survivor.read(1, "count"), applied);
});

Deno.test("info() can be written as JSON: what is a bigint becomes a text there, and stays a bigint in it", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(5));
  const info = host.info();
  assert.equal(typeof info.deploymentId, "bigint");
  const [cluster] = info.clusters;
  assert.equal(typeof cluster!.hash, "bigint");
  const written = JSON.parse(JSON.stringify(info));
  assert.deepEqual(written, {
    ...info,
    deploymentId: String(info.deploymentId),
    clusters: [{ ...cluster, hash: String(cluster!.hash) }],
  });
  assert.equal(JSON.parse(JSON.stringify(cluster)).hash, `${cluster!.hash}`);
  // Nobody else sees how.
  for (const value of [info, cluster!]) {
    assert.ok(!Object.keys(value).includes("toJSON"));
    assert.deepEqual(structuredClone(value), value);
  }
});
