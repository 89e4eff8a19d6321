/** Two wire versions in one cluster, and upgrades one NodeHost at a time (rules I6, L8). */
import { assert } from "../deps.ts";
import type { RaftError } from "../../raft/errors.ts";
import type { ClusterConfig } from "../../raft/config.ts";
import { denoPorts } from "../../raft/deno_ports.ts";
import { importSnapshot } from "../../raft/import_snapshot.ts";
import { readFile, writeFile } from "../storage/wal/fixture.ts";
import { Hosts, until } from "../support/hosts.ts";

/** What an older release does not know: quiet clusters, packed snapshots, leases. */
const settings = {
  quiesce: true,
  snapshotCompression: true,
  leaseReads: true,
  entryCompression: true,
  electionTimeoutTicks: 20,
};

/** Hosts 1 to 3 with a cluster over them; those of `older` speak wire version 1. */
async function mixed(
  older: readonly number[],
  config: Partial<ClusterConfig> = settings,
): Promise<Hosts> {
  const hosts = new Hosts();
  for (const n of older) hosts.wireVersions.set(n, 1);
  for (const n of [1, 2, 3]) {
    const host = await hosts.open(n);
    await host.startCluster(hosts.cluster(n, 3, config));
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  return hosts;
}

async function restart(
  hosts: Hosts,
  n: number,
  version: number,
  config: Partial<ClusterConfig> = settings,
): Promise<void> {
  await hosts.close(n);
  hosts.wireVersions.set(n, version);
  await hosts.open(n);
  await hosts.host(n).startCluster(hosts.cluster(n, 3, config));
}

/** Waits until the membership names every member's NodeHost; returns how many entries of the log that took. */
async function untilIdentified(hosts: Hosts): Promise<number> {
  const isNamed = () =>
    [1, 2, 3].every((n) =>
      hosts.host(n).info().clusters[0]!.membership.members.every((member) =>
        member.nodeHostId !== ""
      )
    );
  await until("all identities", isNamed);
  await hosts.host(1).read(1, "total");
  return hosts.host(1).info().clusters[0]!.applied - 1; // The leader's first entry is empty.
}

/** Makes host `n` lead, and all three know it. */
async function lead(hosts: Hosts, n: number): Promise<void> {
  while (![1, 2, 3].every((asking) => hosts.leader(asking) === n)) {
    await hosts.host(n).transferLeadership(1, n).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function isQuiet(hosts: Hosts, n: number): boolean {
  return hosts.host(n).info().clusters[0]?.isQuiet === true;
}

/** No connection ended because it brought what its version does not know. */
function assertNothingStrange(hosts: Hosts, numbers: readonly number[]): void {
  for (const n of numbers) {
    const strange = hosts.logs.get(n)!.lines.filter((line) =>
      /not a record|does not decode|node stopped/.test(line)
    );
    assert.deepEqual(strange, []);
  }
}

Deno.test("A cluster is upgraded one NodeHost after the other while it is written to, and then uses what is new (rule I6)", async () => {
  await using hosts = await mixed([1, 2, 3]);
  let acked = 0;
  let mayHave = 0;
  let isOver = false;
  let writing = [1, 2, 3];
  const writer = (async () => {
    for (let i = 0; !isOver; i++) {
      const host = hosts.host(writing[i % writing.length]!);
      try {
        await host.propose(1, Uint8Array.of(1), { timeoutMs: 2_000 });
        acked++;
      } catch (error) {
        if ((error as RaftError).outcome === "unknown") mayHave++;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
  })();
  for (const n of [1, 2, 3]) {
    writing = [1, 2, 3].filter((other) => other !== n);
    await restart(hosts, n, 2);
    await hosts.host(n).waitReady(1);
    const before: number = acked;
    await until("more writes", () => acked > before + 5);
    await hosts.host(n).takeSnapshot(1);
    if (n < 3) {
      await assert.rejects(hosts.host(n).openSession(1), {
        code: "rejected",
        outcome: "notApplied",
      });
    }
    assertNothingStrange(hosts, [1, 2, 3]);
  }
  isOver = true;
  await writer;
  const total: number = await hosts.host(3).read(1, "total");
  assert.ok(
    total >= acked && total <= acked + mayHave,
    `${total} of ${acked} and perhaps ${mayHave} more`,
  );
  const session = await hosts.host(1).openSession(1);
  await hosts.host(1).propose(session, Uint8Array.of(1));
  await until("quiet", () => [1, 2, 3].every((n) => isQuiet(hosts, n)));
  assertNothingStrange(hosts, [1, 2, 3]);
});

Deno.test("Who carries the members is recorded by one entry, and by one for each while a member speaks wire version 1 (rules I1, I6)", async () => {
  for (const [older, entries] of [[[], 1], [[2], 3]] as const) {
    await using hosts = await mixed(older, { electionTimeoutTicks: 100 });
    assert.equal(await untilIdentified(hosts), entries);
    assertNothingStrange(hosts, [1, 2, 3]);
  }
});

Deno.test("With a member of wire version 1 no cluster falls quiet, whoever leads (rules I6, C10)", async () => {
  await using hosts = await mixed([3]);
  for (const leader of [1, 3]) {
    await lead(hosts, leader);
    // Five election timeouts make a cluster quiet; this waits for more.
    await hosts.host(1).propose(1, Uint8Array.of(1));
    for (let ticks = 0; ticks < 150; ticks++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      assert.ok(!isQuiet(hosts, 1) && !isQuiet(hosts, 2));
    }
  }
  assertNothingStrange(hosts, [1, 2, 3]);
});

Deno.test("Sessions, observers and witnesses are refused by name while a member speaks wire version 1 (rule I6)", async () => {
  await using hosts = await mixed([3]);
  const { nodeHostId } = hosts.host(3);
  const node = {
    nodeId: 4,
    address: hosts.address(4),
    nodeHostId: "a".repeat(32),
  };
  for (const leader of [1, 3]) {
    await lead(hosts, leader);
    for (const n of [1, 2]) {
      const host = hosts.host(n);
      const refused = new RegExp(
        `NodeHost ${nodeHostId}, which carries node 3, still speaks wire version 1; upgrade it first, or remove the node if it is gone`,
      );
      for (
        const attempt of [
          host.openSession(1),
          host.addObserver(1, node),
          host.addWitness(1, node),
          ...(leader === 3 ? [host.addNode(1, node, { force: true })] : []),
        ]
      ) {
        await assert.rejects(attempt, (error: RaftError) => {
          assert.equal(error.code, "rejected");
          assert.equal(error.outcome, "notApplied");
          assert.match(error.message, refused);
          return true;
        });
      }
    }
  }
  assertNothingStrange(hosts, [1, 2, 3]);
});

Deno.test("A NodeHost that speaks wire version 1 is refused by name by a cluster with sessions (rules I6, L8)", async () => {
  await using hosts = await mixed([]);
  const session = await hosts.host(1).openSession(1);
  await hosts.host(1).propose(session, Uint8Array.of(1));
  await restart(hosts, 3, 1);
  await assert.rejects(
    hosts.host(3).waitReady(1, { timeoutMs: 5_000 }),
    (error: RaftError) => {
      assert.equal(error.code, "rejected");
      assert.match(
        error.message,
        /speaks wire version 1, and cluster 1 has sessions,.*need version 2: upgrade it/,
      );
      return true;
    },
  );
  // The session goes on: that the cluster has it says enough.
  await hosts.host(1).propose(session, Uint8Array.of(1));
  await restart(hosts, 3, 2);
  await hosts.host(3).waitReady(1);
  assert.equal(await hosts.host(3).read(1, "total"), 2);
});

Deno.test("What all members announced is remembered while one of them is down (rule I6)", async () => {
  await using hosts = await mixed([]);
  await hosts.close(3);
  for (const n of [1, 2]) await restart(hosts, n, 2);
  await hosts.host(1).waitReady(1);
  const session = await hosts.host(1).openSession(1);
  await hosts.host(1).propose(session, Uint8Array.of(1));
  assert.equal(await hosts.host(1).read(1, "total"), 1);
});

Deno.test("A member that is down can be replaced though the others were restarted while members came and went (rules I6, C4)", async () => {
  const config = { electionTimeoutTicks: 20 }; // Nothing that says by itself that all read what is new.
  await using hosts = await mixed([], config);
  await untilIdentified(hosts);
  await hosts.close(3);
  // Afterwards the log does not tell what there was before.
  const restartBoth = async () => {
    for (const n of [1, 2]) {
      await hosts.host(n).read(1, "total");
      await hosts.host(n).takeSnapshot(1);
      await hosts.host(n).compactLog(1);
    }
    for (const n of [1, 2]) await restart(hosts, n, 2, config);
    for (const n of [1, 2]) await hosts.host(n).waitReady(1);
  };
  // The first one in its place never comes, and is given up.
  const stranger = { nodeHostId: "a".repeat(32) };
  await hosts.host(1).addObserver(1, {
    ...stranger,
    nodeId: 4,
    address: hosts.address(4),
  });
  await restartBoth();
  await hosts.host(1).removeNode(1, { nodeId: 4 });
  await restartBoth();
  await hosts.host(1).addObserver(1, {
    ...stranger,
    nodeId: 5,
    address: hosts.address(5),
  });
  const { observers } = await hosts.host(1).getMembership(1);
  assert.deepEqual(observers.map(({ nodeId }) => nodeId), [5]);
});

Deno.test("What members announced before an import is not believed of who carries them after it (rules I3, I6)", async () => {
  const config = { electionTimeoutTicks: 20 };
  await using hosts = await mixed([], config);
  await untilIdentified(hosts);
  await hosts.host(1).propose(1, Uint8Array.of(5));
  const { path } = await hosts.host(1).exportSnapshot(1, "/backup");
  for (const n of [1, 2, 3]) await hosts.close(n);
  // Another machine gets the address and the node id of the third, and is not up yet.
  const image = readFile(hosts.disk(1), path);
  hosts.disk(2).makeDirectory("/backup");
  await writeFile(hosts.disk(2), path, image);
  const members = {
    1: hosts.address(1),
    2: hosts.address(2),
    3: hosts.address(3),
  };
  for (const n of [1, 2]) {
    const where = { dir: "/data", raftAddress: hosts.address(n) };
    await importSnapshot(
      { ...where, nodeId: n, segmentBytes: 1024 * 1024, path, members },
      { ...denoPorts(), fileSystem: hosts.disk(n) },
    );
  }
  for (const n of [1, 2]) {
    const { initialMembers: _, ...rest } = hosts.cluster(n, 3, config);
    await (await hosts.open(n)).startCluster({ ...rest, join: true });
  }
  for (const n of [1, 2]) await hosts.host(n).waitReady(1);
  await assert.rejects(
    hosts.host(1).openSession(1, { timeoutMs: 200 }),
    /node 3 at host-3:7000 has not been in touch/,
  );
});

Deno.test("Of a member that was never met it is not known what it speaks, so sessions wait for it (rule I6)", async () => {
  // One that began before all knew what is new, and has used nothing of it.
  const config = { electionTimeoutTicks: 20 };
  await using hosts = await mixed([1, 2, 3], config);
  await untilIdentified(hosts);
  for (const n of [1, 2, 3]) {
    await restart(hosts, n, 2, config);
    await hosts.host(n).waitReady(1);
  }
  await hosts.host(1).addNode(1, {
    nodeId: 4,
    address: hosts.address(4),
    nodeHostId: "a".repeat(32),
  });
  await assert.rejects(
    hosts.host(1).openSession(1, { timeoutMs: 100 }),
    /node 4 at host-4:7000 has not been in touch.*start it, or remove it/,
  );
  await hosts.host(1).removeNode(1, { nodeId: 4 });
  await hosts.host(1).openSession(1);
});

Deno.test("A member of wire version 1 that is far behind gets snapshots in a format that it reads (rule I6)", async () => {
  await using hosts = await mixed([3], { ...settings, compactionOverhead: 1 });
  await hosts.close(3);
  for (let i = 0; i < 20; i++) {
    await hosts.host(1).propose(1, Uint8Array.of(1));
  }
  for (const n of [1, 2]) {
    await until("all", () => hosts.machines.get(`1/${n}`)!.total === 20);
    await hosts.host(n).takeSnapshot(1);
  }
  // A leader that was restarted has in memory nothing that it could send instead.
  const compacted = { ...settings, compactionOverhead: 1 };
  for (const n of [1, 2]) await restart(hosts, n, 2, compacted);
  await restart(hosts, 3, 1, compacted);
  await hosts.host(3).waitReady(1);
  assert.equal(await hosts.host(3).read(1, "total"), 20);
  assert.equal(hosts.machines.get("1/3")!.updates, 0);
});
