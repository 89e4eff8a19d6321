/** Witnesses through the public class (rule C9); what the core does about them is tested in `core/` and in scenarios. */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type { RaftErrorCode } from "../../raft/errors.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import { witnessNoteEntries } from "../../raft/witness.ts";
import { Hosts, until } from "../support/hosts.ts";

function isRaftError(code: RaftErrorCode, message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

/** Two voters on hosts 1 and 2, and a witness on host 3. */
async function withWitness(): Promise<Hosts> {
  const hosts = await Hosts.started(2);
  const host = await hosts.open(3);
  await hosts.host(1).addWitness(1, { nodeId: 3, address: hosts.address(3) });
  await host.startCluster({ ...ids, join: true, witness: true });
  await host.waitReady(1);
  return hosts;
}

const ids = { clusterId: 1, nodeId: 3 };

function statusOf(host: NodeHost) {
  return host.info().clusters[0]!;
}

Deno.test("With a witness two voters survive the loss of one of them (rule C9)", async () => {
  await using hosts = await withWitness();
  await hosts.host(1).propose(1, Uint8Array.of(3));
  const { members, witnesses } = await hosts.host(2).getMembership(1);
  assert.deepEqual(members.map((member) => member.nodeId), [1, 2]);
  assert.deepEqual(witnesses.map((member) => member.nodeId), [3]);
  assert.equal(statusOf(hosts.host(3)).kind, "witness");
  const lost = hosts.leader(1);
  const left = lost === 1 ? 2 : 1;
  await hosts.close(lost);
  const host = hosts.host(left);
  await host.waitReady(1);
  assert.equal(host.getLeader(1).leaderId, left);
  assert.equal((await host.propose(1, Uint8Array.of(4))).value, 7);
  assert.equal(await host.read(1, "total"), 7);
});

Deno.test("A witness proposes, reads and saves nothing, and says whom to ask", async () => {
  await using hosts = await withWitness();
  const host = hosts.host(3);
  const refused = isRaftError(
    "rejected",
    /node 3 is a witness, which has no state machine; ask a NodeHost that carries a voter/,
  );
  await assert.rejects(host.propose(1, Uint8Array.of(1)), refused);
  await assert.rejects(host.read(1, "total"), refused);
  await assert.rejects(host.staleRead(1, "total"), refused);
  await assert.rejects(host.takeSnapshot(1), refused);
  await assert.rejects(host.getMembership(1), refused);
  await assert.rejects(host.openSession(1), refused);
  await assert.rejects(
    host.transferLeadership(1, 3),
    isRaftError("invalidTarget", /node 3 is not a voter/),
  );
  // It still knows who leads, and may be asked for changes.
  await until("it knows the leader", () => host.getLeader(1).leaderId !== 0);
  await hosts.open(4);
  const changed = await host.addObserver(
    1,
    { nodeId: 4, address: hosts.address(4) },
    { timeoutMs: 60_000 }, // However busy the machine is.
  );
  assert.equal(changed.observers.length, 1);
});

Deno.test("A witness starts again with what it knew, and its log stays short", async () => {
  await using hosts = await withWitness();
  const payload = new Uint8Array(1_000);
  const propose = async (count: number) => {
    for (let left = count; left > 0; left -= 100) {
      await Promise.all(
        Array.from({ length: 100 }, () => hosts.host(1).propose(1, payload)),
      );
    }
  };
  await propose(witnessNoteEntries);
  const { lastIndex } = statusOf(hosts.host(1));
  await until(
    "the witness noted where it stands",
    () => statusOf(hosts.host(3)).snapshotIndex >= witnessNoteEntries / 2,
  );
  await until(
    "the witness has caught up",
    () => statusOf(hosts.host(3)).applied >= lastIndex,
  );
  await hosts.close(3);
  await hosts.open(3);
  await hosts.host(3).startCluster({ ...ids, witness: true });
  await hosts.host(3).waitReady(1);
  assert.equal(statusOf(hosts.host(3)).kind, "witness");
  await hosts.close(2);
  await hosts.host(1).waitReady(1);
  await propose(100);
});

Deno.test("A witness that is behind the log gets a note instead of a snapshot", async () => {
  const config = { snapshotEntries: 20, compactionOverhead: 0 };
  await using hosts = await Hosts.started(2, config);
  await hosts.open(3);
  await hosts.host(1).addWitness(1, { nodeId: 3, address: hosts.address(3) });
  // As much as a leader keeps in memory for followers, and more.
  for (let i = 0; i < 400; i++) {
    await hosts.host(1).propose(1, new Uint8Array(1_000));
  }
  for (const n of [1, 2]) await hosts.host(n).takeSnapshot(1);
  const host = hosts.host(3);
  await host.startCluster({ ...ids, join: true, witness: true });
  await host.waitReady(1);
  await until("it has caught up", () => statusOf(host).applied >= 400);
  assert.ok(statusOf(host).snapshotIndex > 300);
  await hosts.close(3);
  await hosts.open(3);
  await hosts.host(3).startCluster({ ...ids, join: true, witness: true });
  await hosts.host(3).waitReady(1);
  assert.equal(statusOf(hosts.host(3)).kind, "witness");
});

Deno.test("A witness that was removed learns of it", async () => {
  await using hosts = await withWitness();
  const removed = await hosts.host(2).removeNode(1, { nodeId: 3 });
  assert.deepEqual(removed.witnesses, []);
  await until(
    "it learns of it",
    () => /removed/.test(statusOf(hosts.host(3)).failure ?? ""),
  );
  await assert.rejects(
    hosts.host(3).waitReady(1),
    isRaftError("nodeRemoved", /removed/),
  );
});

Deno.test("Nobody is taken for what it is not: witnesses and others say how they must be started", async () => {
  await using hosts = await Hosts.started(2);
  const third = await hosts.open(3);
  const fourth = await hosts.open(4);
  await hosts.host(1).addWitness(1, { nodeId: 3, address: hosts.address(3) });
  await third.startCluster(hosts.cluster(3, 0, { join: true }));
  await assert.rejects(
    third.waitReady(1, { timeoutMs: 300 }),
    isRaftError(
      "timeout",
      /it was added as a witness: stop it, and start it with/,
    ),
  );
  // It does what it was told: nothing is stored yet, so it may begin again as what it was added as.
  await third.stopCluster(1);
  await third.startCluster({ ...ids, witness: true });
  await third.waitReady(1);
  await hosts.host(1).propose(1, Uint8Array.of(5));
  await until("it has something", () => statusOf(third).applied > 0);
  await third.stopCluster(1);
  await assert.rejects(
    third.startCluster(hosts.cluster(3, 0, { join: true })),
    isRaftError("rejected", /it is a witness, start it with witness: true/),
  );
  await hosts.host(1).addObserver(1, { nodeId: 4, address: hosts.address(4) });
  await fourth.startCluster({
    clusterId: 1,
    nodeId: 4,
    join: true,
    witness: true,
  });
  await assert.rejects(
    fourth.waitReady(1),
    isRaftError("rejected", /as a witness: it was added as an observer/),
  );
  // Its log has entries without what is in them.
  await assert.rejects(
    fourth.startCluster(hosts.cluster(4, 0, { join: true })),
    isRaftError("rejected", /it is a witness, .* add another id/),
  );
});

Deno.test("A witness is configured as one, and initial members are voters", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const witness = { clusterId: 2, nodeId: 1, witness: true };
  const wrong: [Parameters<NodeHost["startCluster"]>[0], RegExp][] = [
    [{ ...witness, join: true, stateMachine: "kv" }, /no state machine/],
    [{ ...witness, join: true, snapshotEntries: 10 }, /no snapshots/],
    [{ ...witness, join: true, compactionOverhead: 1 }, /no snapshots/],
    [
      { ...witness, initialMembers: { 1: hosts.address(1) } },
      /they are voters; add a witness with addWitness/,
    ],
    [{ clusterId: 2, nodeId: 1, join: true }, /stateMachine/],
    [{ ...witness, witness: 1 as never }, /witness: it must be a boolean/],
  ];
  for (const [config, message] of wrong) {
    await assert.rejects(host.startCluster(config), (error: Error) => {
      assert.ok(error instanceof TypeError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
});
