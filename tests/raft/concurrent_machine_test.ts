import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import { SnapshotAborted } from "../../raft/state_machine.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";
import { ConcurrentCounter } from "../support/machines.ts";

function isCode(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

/** `size` hosts with a concurrent counter each. */
async function started(
  size: number,
  config = {},
): Promise<{ hosts: Hosts; machines: ConcurrentCounter[] }> {
  const machines: ConcurrentCounter[] = [];
  const hosts = await Hosts.started(size, {
    snapshotEntries: 0,
    ...config,
    stateMachine: () => {
      const machine = new ConcurrentCounter();
      machines.push(machine);
      return machine;
    },
  });
  return { hosts, machines };
}

Deno.test("A concurrent state machine gets batches, and each proposer its own result", async () => {
  const { hosts, machines } = await started(1);
  await using _ = hosts;
  const host = hosts.host(1);
  const results = await Promise.all(
    Array.from({ length: 3_000 }, () => host.propose(1, Uint8Array.of(1))),
  );
  assert.deepEqual(
    results.map((result) => result.value),
    Array.from({ length: 3_000 }, (_, i) => i + 1),
  );
  const { batches } = machines[0]!;
  assert.ok(batches.length < 100, `${batches.length} batches`);
  assert.ok(Math.max(...batches) <= 1_024);
  assert.equal(await host.read(1, "later"), 3_000);
});

Deno.test("A state machine that takes its time holds up neither other clusters nor its own node (rule C6)", async () => {
  const { hosts, machines } = await started(1);
  await using _ = hosts;
  const host = hosts.host(1);
  await host.startCluster(hosts.cluster(1, 1, { clusterId: 2 }));
  await host.waitReady(2);
  const gate = Promise.withResolvers<void>();
  machines[0]!.gate = gate.promise;
  const slow = host.propose(1, Uint8Array.of(7));
  await until("update", () => machines[0]!.isUpdating);
  const next = host.propose(1, Uint8Array.of(1));
  assert.equal((await host.propose(2, Uint8Array.of(5))).value, 5);
  assert.equal(await host.staleRead(1, "total"), 0);
  const term = host.getLeader(1).term;
  for (let i = 0; i < 100; i++) await host.propose(2, Uint8Array.of(0));
  assert.equal(host.getLeader(1).term, term);
  machines[0]!.gate = undefined;
  gate.resolve();
  assert.equal((await slow).value, 7);
  assert.equal((await next).value, 8);
});

Deno.test("What was proposed in many turns while an update took its time is applied in one, and each proposer is told (rule R1)", async () => {
  const { hosts, machines } = await started(1);
  await using _ = hosts;
  const host = hosts.host(1);
  const gate = Promise.withResolvers<void>();
  machines[0]!.gate = gate.promise;
  const proposed = [host.propose(1, Uint8Array.of(1))];
  await until("update", () => machines[0]!.isUpdating);
  const commit = () => host.info().clusters[0]!.commit;
  for (let i = 0; i < 20; i++) {
    const before = commit();
    proposed.push(host.propose(1, Uint8Array.of(1)));
    await until("commit", () => commit() > before);
  }
  machines[0]!.gate = undefined;
  gate.resolve();
  const results = await Promise.all(proposed);
  assert.deepEqual(
    results.map((result) => result.value),
    Array.from({ length: 21 }, (_, i) => i + 1),
  );
});

Deno.test("A snapshot of a concurrent state machine is saved while updates go on, and holds the state of its index", async () => {
  const { hosts, machines } = await started(1);
  await using _ = hosts;
  const host = hosts.host(1);
  for (let i = 0; i < 10; i++) await host.propose(1, Uint8Array.of(1));
  const gate = Promise.withResolvers<void>();
  machines[0]!.saveGate = gate.promise;
  const taking = host.takeSnapshot(1);
  await until("saveSnapshot", () => machines[0]!.saved === 1);
  for (let i = 0; i < 5; i++) await host.propose(1, Uint8Array.of(100));
  gate.resolve();
  const index = await taking;
  const applied = host.info().clusters[0]!.applied;
  assert.equal(applied - index, 5);
  // Started again, it is restored from the snapshot, and the rest comes from the log.
  await hosts.close(1);
  await hosts.open(1);
  const restarted: ConcurrentCounter[] = [];
  await hosts.host(1).startCluster(hosts.cluster(1, 1, {
    stateMachine: () => {
      const machine = new ConcurrentCounter();
      restarted.push(machine);
      return machine;
    },
  }));
  assert.deepEqual(restarted[0]!.sums, { total: 10, count: 10 });
  await hosts.host(1).waitReady(1);
  assert.deepEqual(restarted[0]!.sums, { total: 510, count: 15 });
});

Deno.test("prepareSnapshot waits for the update under way, and no update begins before it has returned", async () => {
  const { hosts, machines } = await started(1);
  await using _ = hosts;
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  const gate = Promise.withResolvers<void>();
  machines[0]!.gate = gate.promise;
  const proposed = host.propose(1, Uint8Array.of(2));
  await until("update", () => machines[0]!.isUpdating);
  const taking = host.takeSnapshot(1);
  assert.equal(machines[0]!.prepared, 0);
  gate.resolve();
  await Promise.all([proposed, taking]);
  assert.equal(machines[0]!.prepared, 1);
  assert.equal(machines[0]!.wasDisturbed, false);
});

Deno.test("A concurrent state machine is restored from a leader's snapshot, and its members agree", async () => {
  const { hosts } = await started(3, { compactionOverhead: 2 });
  await using _ = hosts;
  const laggard = hosts.leader() === 1 ? 2 : 1;
  const other = [1, 2, 3].find((n) => n !== laggard)!;
  await hosts.close(laggard);
  for (let i = 0; i < 100; i++) {
    await hosts.host(other).propose(1, new Uint8Array(4_096).fill(3));
  }
  for (const n of [1, 2, 3]) {
    if (n !== laggard) await hosts.host(n).takeSnapshot(1);
  }
  await hosts.open(laggard);
  await hosts.host(laggard).startCluster(hosts.cluster(laggard, 3, {
    stateMachine: () => new ConcurrentCounter(),
  }));
  await hosts.host(laggard).waitReady(1);
  assert.equal(await hosts.host(laggard).read(1, "total"), 300);
  assert.ok(hosts.host(laggard).info().clusters[0]!.snapshotIndex > 0);
});

Deno.test("A state machine that fails, or returns too few results, stops its node and no other", async () => {
  for (const how of ["throws", "rejects", "short"]) {
    const { hosts, machines } = await started(1);
    await using _ = hosts;
    const host = hosts.host(1);
    await host.startCluster(hosts.cluster(1, 1, { clusterId: 2 }));
    await host.waitReady(2);
    if (how === "rejects") machines[0]!.gate = Promise.resolve();
    if (how === "short") machines[0]!.update = () => [];
    await assert.rejects(
      host.propose(1, Uint8Array.of(255)),
      isCode("clusterClosed"),
    );
    assert.equal((await host.propose(2, Uint8Array.of(5))).value, 5);
    await until("close", () => machines[0]!.isClosed);
  }
});

Deno.test("A stopped node closes its state machine when the update under way has ended, and tells unknown outcomes", async () => {
  const { hosts, machines } = await started(1);
  await using _ = hosts;
  const host = hosts.host(1);
  const gate = Promise.withResolvers<void>();
  machines[0]!.gate = gate.promise;
  const proposed = host.propose(1, Uint8Array.of(2));
  const rejected = assert.rejects(
    proposed,
    (error) => error instanceof RaftError && error.outcome === "unknown",
  );
  await until("update", () => machines[0]!.isUpdating);
  const stopping = host.stopCluster(1);
  await rejected;
  assert.equal(machines[0]!.isClosed, false);
  gate.resolve();
  await stopping;
  assert.equal(machines[0]!.isClosed, true);
});

Deno.test("A state machine may give a snapshot up: the node goes on, and the caller is told", async () => {
  const { hosts, machines } = await started(1);
  await using _ = hosts;
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(2));
  const machine = machines[0]!;
  const { saveSnapshot, prepareSnapshot } = machine;
  machine.saveSnapshot = () =>
    Promise.reject(new SnapshotAborted("there is a backup tonight"));
  await assert.rejects(host.takeSnapshot(1), (error) => {
    assert.ok(isCode("aborted")(error));
    assert.match((error as Error).message, /there is a backup tonight/);
    return true;
  });
  machine.saveSnapshot = saveSnapshot;
  machine.prepareSnapshot = () => {
    throw new SnapshotAborted();
  };
  await assert.rejects(host.takeSnapshot(1), isCode("aborted"));
  machine.prepareSnapshot = prepareSnapshot;
  assert.ok(await host.takeSnapshot(1) > 0);
  assert.equal((await host.propose(1, Uint8Array.of(2))).value, 4);
});

Deno.test("A node goes on with the kind of state machine that it began with, and with no other", async () => {
  const hosts = await Hosts.started(1);
  await using _ = hosts;
  await hosts.host(1).propose(1, Uint8Array.of(5));
  await hosts.host(1).stopCluster(1);
  await assert.rejects(
    hosts.host(1).startCluster(hosts.cluster(1, 1, {
      stateMachine: () => new ConcurrentCounter(),
    })),
    (error) => {
      assert.ok(isCode("rejected")(error));
      assert.match((error as Error).message, /"regular".*"concurrent"/);
      return true;
    },
  );
  await hosts.host(1).startCluster(hosts.cluster(1, 1));
  await hosts.host(1).waitReady(1);
  assert.equal(await hosts.host(1).read(1, "total"), 5);
});

Deno.test("A factory whose product lacks what its kind needs is refused at once", async () => {
  const hosts = new Hosts();
  await using _ = hosts;
  const host = await hosts.open(1);
  const config = (machine: unknown) =>
    hosts.cluster(1, 1, { stateMachine: () => machine as Counter });
  const plain = new Counter();
  const bad = (kind: unknown) => ({
    kind,
    update: plain.update,
    lookup: plain.lookup,
    saveSnapshot: plain.saveSnapshot,
    recoverFromSnapshot: plain.recoverFromSnapshot,
  });
  for (
    const [kind, text] of [
      ["concurrent", /no method prepareSnapshot, which kind "concurrent"/],
      ["onDisk", /no method prepareSnapshot, which kind "onDisk"/],
      ["ondisk", /its kind is ondisk/],
      ["toString", /its kind is toString/],
    ] as const
  ) {
    await assert.rejects(
      host.startCluster(config(bad(kind))),
      (error) => error instanceof TypeError && text.test(error.message),
    );
  }
});

Deno.test("A concurrent state machine applies a command of a session once, and its snapshot has the sessions (rule R2)", async () => {
  const { hosts, machines } = await started(1);
  await using _ = hosts;
  const host = hosts.host(1);
  machines[0]!.gate = Promise.resolve();
  const session = await host.openSession(1);
  assert.equal((await host.propose(session, Uint8Array.of(3))).value, 3);
  // Between others, in one turn.
  const [, second] = await Promise.all([
    host.propose(1, Uint8Array.of(10)),
    host.propose(session, Uint8Array.of(4)),
    host.propose(1, Uint8Array.of(20)),
  ]);
  assert.equal(second!.value, 17);
  assert.equal(await host.read(1, "total"), 37);
  await host.takeSnapshot(1);
  const before = host.info().clusters[0]!.hash;
  await hosts.close(1);
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 1, {
    stateMachine: () => new ConcurrentCounter(),
  }));
  await hosts.host(1).waitReady(1);
  assert.equal(hosts.host(1).info().clusters[0]!.hash, before);
});
