import { assert } from "../deps.ts";
import { denoPorts } from "../../raft/deno_ports.ts";
import { isRetryable, RaftError } from "../../raft/errors.ts";
import type { RaftErrorCode } from "../../raft/errors.ts";
import { importSnapshot } from "../../raft/import_snapshot.ts";
import type { Entry, Result } from "../../raft/state_machine.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";

function failsWith(
  code: RaftErrorCode,
  outcome: "notApplied" | "unknown" = "notApplied",
) {
  return (error: unknown) => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    assert.equal(error.outcome, outcome, error.message);
    return true;
  };
}

const five = new Uint8Array([5]);

Deno.test("NodeHost applies each proposal of a session once, wherever it is made (rule R2)", async () => {
  await using hosts = await Hosts.started(3);
  const leader = hosts.leader();
  const session = await hosts.host(leader).openSession(1);
  assert.equal(session.clusterId, 1);
  assert.equal(session.seriesId, 1);
  for (const n of [1, 2, 3]) {
    const { value } = await hosts.host(n).propose(session, five);
    assert.equal(value, 5 * n);
    assert.equal(session.respondedTo, n);
  }
  assert.equal(session.isUnfinished, false);
  await hosts.host(leader).closeSession(session);
  assert.ok(session.isClosed);
  await assert.rejects(
    hosts.host(leader).propose(session, five),
    failsWith("invalidSession"),
  );
  for (const n of [1, 2, 3]) {
    assert.equal(await hosts.host(n).read(1, "total"), 15);
  }
});

Deno.test("NodeHost refuses two proposals of one session at once, and wrong arguments (rule R2)", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const session = await host.openSession(1);
  const first = host.propose(session, five);
  await assert.rejects(
    host.propose(session, five),
    failsWith("invalidSession"),
  );
  await assert.rejects(host.retry(session), failsWith("invalidSession"));
  await assert.rejects(
    host.closeSession(session),
    failsWith("invalidSession"),
  );
  assert.throws(() => session.abandon(), failsWith("invalidSession"));
  assert.deepEqual(await first, { value: 5 });
  await assert.rejects(host.retry(session), /no unfinished proposal/);
  assert.throws(
    () => host.propose({} as typeof session, five),
    /must be a cluster id, or what openSession\(\) returned/,
  );
  assert.throws(
    () => host.propose(session, "5" as unknown as Uint8Array),
    TypeError,
  );
  await assert.rejects(
    host.propose(session, new Uint8Array(1024 * 1024)),
    failsWith("payloadTooBig"),
  );
  assert.deepEqual(await host.propose(session, five), { value: 10 });
  await assert.rejects(host.openSession(2), failsWith("clusterNotFound"));
});

Deno.test("NodeHost leaves a session unfinished when nobody knows, and retry() tells without applying twice (rules R1, R2)", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const session = await host.openSession(1);
  const controller = new AbortController();
  const aborted = host.propose(session, five, { signal: controller.signal });
  controller.abort("enough");
  await assert.rejects(aborted, (reason) => reason === "enough");
  assert.ok(session.isUnfinished);
  await assert.rejects(
    host.propose(session, Uint8Array.of(6)),
    failsWith("invalidSession", "notApplied"),
  );
  // The same bytes are likely the same proposal: "not applied" would be a lie.
  await assert.rejects(
    host.propose(session, five),
    failsWith("invalidSession", "unknown"),
  );
  await until("it is applied", () => hosts.machines.get("1/1")!.total === 5);
  assert.deepEqual(await host.retry(session), { value: 5 });
  assert.equal(session.isUnfinished, false);
  assert.equal(hosts.machines.get("1/1")!.updates, 1);
  assert.deepEqual(await host.propose(session, five), { value: 10 });
});

Deno.test("NodeHost goes on without an unfinished proposal once the caller has abandoned it", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const session = await host.openSession(1);
  const controller = new AbortController();
  const aborted = host.propose(session, five, { signal: controller.signal });
  controller.abort("enough");
  await assert.rejects(aborted);
  session.abandon();
  assert.equal(session.isUnfinished, false);
  assert.equal(session.seriesId, 2);
  assert.deepEqual(await host.propose(session, five), { value: 10 });
});

Deno.test("NodeHost sends a session's proposal again when its leader is lost, and errors say what to do (rules R1, R2)", async () => {
  await using hosts = await Hosts.started(3);
  const leader = hosts.leader();
  const others = [1, 2, 3].filter((n) => n !== leader);
  const session = await hosts.host(others[0]!).openSession(1);
  await hosts.close(leader);
  const proposed = hosts.host(others[0]!).propose(session, five, {
    timeoutMs: 20_000,
  });
  assert.deepEqual(await proposed, { value: 5 });
  await hosts.close(others[1]!);
  await assert.rejects(
    hosts.host(others[0]!).propose(session, five, { timeoutMs: 300 }),
    (error) => {
      assert.ok(error instanceof RaftError);
      // Without a majority it may or may not have entered a log.
      assert.equal(session.isUnfinished, error.outcome === "unknown");
      assert.ok(isRetryable(error), "by retry()");
      if (session.isUnfinished) assert.match(error.message, /retry\(session\)/);
      return true;
    },
  );
  for (const n of [leader, others[1]!]) {
    await (await hosts.open(n)).startCluster(hosts.cluster(n, 3));
  }
  const again = hosts.host(leader);
  await again.waitReady(1, { timeoutMs: 20_000 });
  const options = { timeoutMs: 20_000 };
  const { value } = session.isUnfinished
    ? await again.retry(session, options)
    : await again.propose(session, five, options);
  assert.equal(value, 10);
});

Deno.test("NodeHost keeps sessions over snapshots and restarts, on every member (rule R2)", async () => {
  class Recorder extends Counter {
    override update(entry: Entry): Result {
      const result = super.update(entry);
      return { ...result, data: Uint8Array.of(entry.command[0]!) };
    }
  }
  const machines = new Map<number, Recorder>();
  await using hosts = new Hosts();
  const config = (n: number) =>
    hosts.cluster(n, 3, {
      stateMachine: () => {
        const machine = new Recorder();
        machines.set(n, machine);
        return machine;
      },
    });
  for (const n of [1, 2, 3]) {
    await (await hosts.open(n)).startCluster(config(n));
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  const session = await hosts.host(1).openSession(1);
  await hosts.host(1).propose(session, five);
  const controller = new AbortController();
  const aborted = hosts.host(1).propose(session, Uint8Array.of(7), {
    signal: controller.signal,
  });
  controller.abort("enough");
  await assert.rejects(aborted);
  await until(
    "all have applied it",
    () => [1, 2, 3].every((n) => machines.get(n)!.total === 12),
  );
  for (const n of [1, 2, 3]) {
    await hosts.host(n).takeSnapshot(1);
    await hosts.close(n);
  }
  for (const n of [1, 2, 3]) {
    await (await hosts.open(n)).startCluster(config(n));
  }
  await hosts.host(2).waitReady(1);
  assert.deepEqual(await hosts.host(2).retry(session), {
    value: 12,
    data: Uint8Array.of(7),
  });
  for (const n of [1, 2, 3]) {
    assert.equal(await hosts.host(n).read(1, "total"), 12);
    assert.equal(machines.get(n)!.updates, 0, "all came from the snapshot");
  }
  const hashes = [1, 2, 3].map((n) => hosts.host(n).info().clusters[0]!.hash);
  assert.equal(new Set(hashes).size, 1);
  assert.notEqual(
    hashes[0],
    machines.get(1)!.hash(),
    "sessions are part of it",
  );
});

Deno.test("NodeHost tells at once that a session was forgotten: the least recently used one, by count (rule R2)", async () => {
  await using hosts = await Hosts.started(1, { maxSessions: 2 });
  const host = hosts.host(1);
  const oldest = await host.openSession(1);
  const second = await host.openSession(1);
  await host.propose(oldest, five);
  await host.openSession(1); // The second one goes.
  await assert.rejects(
    host.propose(second, five),
    failsWith("invalidSession"),
  );
  assert.ok(second.isClosed);
  assert.deepEqual(await host.propose(oldest, five), { value: 10 });
  await host.openSession(1);
  await host.openSession(1);
  await assert.rejects(
    host.closeSession(oldest),
    failsWith("invalidSession"),
  );
  assert.ok(oldest.isClosed);
  assert.equal(await host.read(1, "total"), 10);
});

Deno.test("NodeHost says that a result is too big for a session, and that the command was applied (rule R2)", async () => {
  class Big extends Counter {
    override update(entry: Entry): Result {
      const { value } = super.update(entry);
      const bytes = value > 5 ? 1 : 64 * 1024 + 1;
      return { value, data: new Uint8Array(bytes) };
    }
  }
  const machine = new Big();
  await using hosts = await Hosts.started(1, { stateMachine: () => machine });
  const host = hosts.host(1);
  const session = await host.openSession(1);
  await assert.rejects(
    host.propose(session, five),
    failsWith("payloadTooBig", "unknown"),
  );
  assert.equal(session.isUnfinished, false, "that much is known");
  const { value } = await host.propose(session, five);
  assert.equal(value, 10);
  // Without a session it may be as big as it likes.
  machine.total = 0;
  const { data } = await host.propose(1, five);
  assert.equal(data?.length, 64 * 1024 + 1);
});

Deno.test("An import voids the sessions of the generation before, and those opened since last (rules R2, I3)", async () => {
  await using hosts = await Hosts.started(1);
  const session = await hosts.host(1).openSession(1);
  await hosts.host(1).propose(session, five);
  const { path } = await hosts.host(1).exportSnapshot(1, "/backup");
  // The cluster is set back to before this one, so nobody could tell a duplicate of it.
  await hosts.host(1).propose(session, five);
  await hosts.close(1);
  await importSnapshot({
    dir: "/data",
    raftAddress: hosts.address(1),
    nodeId: 1,
    segmentBytes: 1024 * 1024,
    path,
    members: { 1: hosts.address(1) },
  }, { ...denoPorts(), fileSystem: hosts.disk(1) });
  const start = async () => {
    const host = await hosts.open(1);
    await host.startCluster(hosts.cluster(1, 1));
    await host.waitReady(1);
    return host;
  };
  const host = await start();
  assert.equal(await host.read(1, "total"), 5);
  await assert.rejects(
    host.propose(session, five),
    failsWith("invalidSession"),
  );
  const next = await host.openSession(1);
  assert.deepEqual(await host.propose(next, five), { value: 10 });
  await host.takeSnapshot(1);
  await hosts.close(1);
  assert.deepEqual(await (await start()).propose(next, five), { value: 15 });
});
