/** Full disks and broken ones, seen from the NodeHost (rules L2, L5). */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import { Hosts } from "../support/hosts.ts";

Deno.test("A full disk refuses proposals with diskFull, keeps its leader, and serves again when there is space (rule L5)", async () => {
  await using hosts = await Hosts.started(3, { snapshotEntries: 0 });
  const leader = hosts.leader();
  const host = hosts.host(leader);
  let isFull = true;
  hosts.disk(leader).faults = {
    beforeCreate: () => {
      if (isFull) {
        throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
      }
    },
  };
  const command = new Uint8Array(60_000);
  let refusal: RaftError | undefined;
  for (let i = 0; i < 200 && refusal === undefined; i++) {
    await host.propose(1, command).catch((error) => {
      refusal = error;
    });
  }
  assert.ok(refusal instanceof RaftError);
  assert.equal(refusal.code, "diskFull");
  assert.equal(refusal.outcome, "notApplied");
  assert.ok(host.info().storage.isDiskFull);
  assert.equal(hosts.leader(leader), leader, "it still leads");
  await host.read(1, "total");

  isFull = false;
  while (true) {
    const outcome = await host.propose(1, command).then(
      () => "applied",
      (error) => error.code,
    );
    if (outcome === "applied") break;
    assert.equal(outcome, "diskFull");
    await host.read(1, "total");
  }
  assert.equal(host.info().storage.isDiskFull, false);
});

Deno.test("A snapshot on a full disk fails by name, and the node goes on (rule L5)", async () => {
  await using hosts = await Hosts.started(1, { snapshotEntries: 0 });
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  hosts.disk(1).faults = {
    beforeCreate: (path) => {
      if (path.includes("snapshots")) {
        throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
      }
    },
  };
  await assert.rejects(
    host.takeSnapshot(1),
    (error) => error instanceof RaftError && error.code === "diskFull",
  );
  assert.equal((await host.propose(1, Uint8Array.of(1))).value, 2);
  hosts.disk(1).faults = {};
  assert.ok(await host.takeSnapshot(1) >= 2);
});

Deno.test("A damaged snapshot is refused by name and offset, and the other clusters start (rule L7)", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  await host.startCluster(hosts.cluster(1, 1, { clusterId: 2 }));
  await host.waitReady(2);
  await host.propose(1, Uint8Array.of(1));
  const index = await host.takeSnapshot(1);
  await hosts.close(1);
  const disk = hosts.disk(1);
  const path = `/data/snapshots/1-1/${index}.snap`;
  const file = disk.open(path);
  const byte = new Uint8Array(1);
  file.readAt(byte, file.size() - 40);
  byte[0]! ^= 1;
  file.writeAt(byte, file.size() - 40);
  file.close();
  await hosts.open(1);
  await assert.rejects(
    hosts.host(1).startCluster(hosts.cluster(1, 1)),
    (error) =>
      error instanceof RaftError && error.code === "corruption" &&
      error.message.includes(path) && /offset \d+/.test(error.message),
  );
  await hosts.host(1).startCluster(hosts.cluster(1, 1, { clusterId: 2 }));
  await hosts.host(1).waitReady(2);
});

Deno.test("A log with damage below what was synced refuses to open, by name and offset (rules L1, L7)", async () => {
  await using hosts = await Hosts.started(1);
  for (let i = 0; i < 10; i++) {
    await hosts.host(1).propose(1, new Uint8Array(100));
  }
  await hosts.close(1);
  const disk = hosts.disk(1);
  const name = disk.list("/data/log").find((entry) => entry.endsWith(".log"))!;
  const file = disk.open(`/data/log/${name}`);
  const byte = new Uint8Array(1);
  file.readAt(byte, 600);
  byte[0]! ^= 1;
  file.writeAt(byte, 600);
  file.close();
  await assert.rejects(
    hosts.open(1),
    (error) =>
      error instanceof RaftError && error.code === "corruption" &&
      error.message.includes(name) && /offset \d+/.test(error.message),
  );
});

Deno.test("A follower whose disk is full takes no entries, goes on voting, and catches up when there is space (rule L5)", async () => {
  await using hosts = await Hosts.started(3, { snapshotEntries: 0 });
  const leader = hosts.leader();
  const full = leader === 1 ? 2 : 1;
  let isFull = true;
  hosts.disk(full).faults = {
    beforeCreate: () => {
      if (isFull) {
        throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
      }
    },
  };
  const command = new Uint8Array(60_000);
  for (let i = 0; i < 60; i++) await hosts.host(leader).propose(1, command);
  assert.ok(hosts.host(full).info().storage.isDiskFull);
  // It still votes: the third becomes the leader only with a vote of it or of the old leader.
  const third = [1, 2, 3].find((n) => n !== leader && n !== full)!;
  await hosts.host(third).transferLeadership(1, third);
  await hosts.host(third).propose(1, command);
  isFull = false;
  while (hosts.host(full).info().clusters[0]!.applied < 61) {
    await hosts.host(third).propose(1, Uint8Array.of(1));
  }
  assert.equal(hosts.host(full).info().storage.isDiskFull, false);
});
