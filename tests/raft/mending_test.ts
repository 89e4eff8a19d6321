/** Damage in the log of a NodeHost, and how it is mended from the others (rule L7). */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import { Hosts, until } from "../support/hosts.ts";

const command = new Uint8Array(60_000).fill(1);
const firstSegment = "/data/log/00000001.log";

/** Three hosts with one cluster, whose log may fill more than a segment. */
async function filled(count: number): Promise<Hosts> {
  const hosts = await Hosts.started(3, { snapshotEntries: 0 });
  const leader = hosts.host(hosts.leader());
  for (let i = 0; i < count; i++) await leader.propose(1, command);
  for (let n = 1; n <= 3; n++) assert.equal(await total(hosts, n), count);
  return hosts;
}

function total(hosts: Hosts, n: number): Promise<unknown> {
  return hosts.host(n).read(1, "total");
}

function bytesOf(hosts: Hosts, n: number, path: string): Uint8Array {
  const file = hosts.disk(n).open(path);
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  return bytes;
}

/** Flips a bit of a file on a host's disk. */
function flip(hosts: Hosts, n: number, path: string, offset: number): void {
  const file = hosts.disk(n).open(path);
  const byte = new Uint8Array(1);
  file.readAt(byte, offset);
  byte[0]! ^= 4;
  file.writeAt(byte, offset);
  file.close();
}

/** Where the last of the commands in a host's log stands: the segment, its record, and a byte in the midst of it. */
function lastCommand(
  hosts: Hosts,
  n: number,
): { path: string; record: number; inside: number } {
  const marker = "\x01".repeat(5_000);
  const names = hosts.disk(n).list("/data/log").toReversed();
  for (const name of names) {
    const path = `/data/log/${name}`;
    const bytes = bytesOf(hosts, n, path);
    const inside = new TextDecoder("latin1").decode(bytes).lastIndexOf(marker);
    if (inside < 0) continue;
    const view = new DataView(bytes.buffer);
    let record = 1024;
    for (;;) {
      const next = record + 32 + view.getUint32(record + 8, true);
      if (next > inside) return { path, record, inside };
      record = next;
    }
  }
  throw new Error("no command is in the log");
}

Deno.test("Damage to committed entries is refused, or with onDamage mend fetched from the others before the node starts (rule L7)", async () => {
  await using hosts = await filled(30);
  await hosts.close(3);
  flip(hosts, 3, firstSegment, 300_000);
  await assert.rejects(
    hosts.open(3),
    (error) =>
      error instanceof RaftError && error.code === "corruption" &&
      /00000001\.log is damaged at offset \d+.*onDamage: "mend"/.test(
        error.message,
      ),
  );
  const host = await hosts.open(3, { onDamage: "mend" });
  const [damaged] = host.info().damaged;
  assert.deepEqual(
    [damaged?.clusterId, damaged?.nodeId, damaged?.state],
    [1, 3, "mending"],
  );
  assert.match(damaged!.reason, /00000001\.log is damaged at offset \d+/);
  await host.startCluster(hosts.cluster(3, 3, { snapshotEntries: 0 }));
  await host.waitReady(1);
  assert.equal(await total(hosts, 3), 30);
  assert.deepEqual(host.info().damaged, []);
  assert.ok(hosts.logs.get(3)!.lines.some((line) => line.includes("mended")));

  // What was mended is durable, and does not need the option any more.
  await hosts.close(3);
  const again = await hosts.open(3);
  await again.startCluster(hosts.cluster(3, 3, { snapshotEntries: 0 }));
  await again.waitReady(1);
  assert.equal(await total(hosts, 3), 30);
});

Deno.test("A node is mended without a leader, by any member that knows the entries to be committed, and votes only then (rule L7)", async () => {
  await using hosts = await filled(30);
  for (const n of [1, 2, 3]) await hosts.close(n);
  flip(hosts, 3, firstSegment, 300_000);
  const mended = await hosts.open(3, { onDamage: "mend" });
  let isStarted = false;
  const started = mended.startCluster(
    hosts.cluster(3, 3, { snapshotEntries: 0 }),
  ).then(() => {
    isStarted = true;
  });
  // Whoever would start without the others has had the turns for it.
  for (let turn = 0; turn < 200; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert.equal(isStarted, false, "nobody else is there");
  // Only two of three: without the vote of the mended one there is no leader.
  const other = await hosts.open(1);
  await other.startCluster(hosts.cluster(1, 3, { snapshotEntries: 0 }));
  await started;
  await other.waitReady(1);
  assert.equal(await total(hosts, 3), 30);
});

Deno.test("A witness mends nobody: it does not have what is in the entries (rules L7, C9)", async () => {
  const config = { snapshotEntries: 0 };
  await using hosts = await Hosts.started(2, config);
  const third = await hosts.open(3);
  const address = hosts.address(3);
  await hosts.host(1).addWitness(1, { nodeId: 3, address });
  const witness = { clusterId: 1, nodeId: 3, join: true, witness: true };
  await third.startCluster(witness);
  await third.waitReady(1);
  const leader = hosts.host(hosts.leader(1));
  for (let i = 0; i < 20; i++) await leader.propose(1, command);
  assert.equal(await total(hosts, 2), 20);
  const isHeld = () => third.info().clusters[0]!.applied >= 20;
  await until("the witness has them", isHeld);
  for (const n of [1, 2]) await hosts.close(n);
  flip(hosts, 1, firstSegment, 300_000);
  const mended = await hosts.open(1, { onDamage: "mend" });
  let isStarted = false;
  const started = mended.startCluster(hosts.cluster(1, 2, config)).then(() => {
    isStarted = true;
  });
  await until(
    "the witness is asked, and answers",
    () =>
      hosts.logs.get(1)!.lines.some((line) => /no other member/.test(line)) ||
      isStarted,
  );
  assert.equal(isStarted, false);
  const other = await hosts.open(2);
  await other.startCluster(hosts.cluster(2, 2, config));
  await started;
  await other.waitReady(1);
  assert.equal(await total(hosts, 1), 20);
});

Deno.test("A node that may have lost an acknowledgement never starts again, and is replaced under a new id (rule L7)", async () => {
  await using hosts = await filled(3);
  // A leader that closes hands over, and then a later entry stands behind the last command.
  const n = hosts.leader() === 3 ? 2 : 3;
  await hosts.close(n);
  const { path, inside } = lastCommand(hosts, n);
  flip(hosts, n, path, inside);
  for (const onDamage of ["mend", "refuse"] as const) {
    await hosts.close(n);
    const host = await hosts.open(n, { onDamage });
    assert.equal(host.info().damaged[0]?.state, "lost");
    await assert.rejects(
      host.startCluster(hosts.cluster(n, 3)),
      (error) =>
        error instanceof RaftError && error.code === "corruption" &&
        /must not take part again: remove it from the cluster/.test(
          error.message,
        ),
    );
  }
  const host = hosts.host(n);
  await until("a leader", () => hosts.leader(1) > 0);
  const leader = hosts.host(hosts.leader(1));
  await leader.removeNode(1, { nodeId: n });
  await host.removeData(1, n);
  assert.deepEqual(host.info().damaged, []);
  await leader.addNode(1, { nodeId: 4, address: hosts.address(n) });
  await host.startCluster(
    hosts.cluster(4, 3, { join: true, snapshotEntries: 0 }),
  );
  await host.waitReady(1);
  assert.equal(await total(hosts, n), 3);
});

Deno.test("Damage that may have hidden nodes keeps new ones from starting on the NodeHost (rule L7)", async () => {
  await using hosts = await filled(3);
  await hosts.close(3);
  // The header of a record: nobody can tell what it named.
  const { path, record } = lastCommand(hosts, 3);
  flip(hosts, 3, path, record + 9);
  const host = await hosts.open(3, { onDamage: "mend" });
  await assert.rejects(
    host.startCluster(hosts.cluster(3, 3, { clusterId: 2 })),
    /may have taken all that was known of it/,
  );
});

Deno.test("NodeHost.open() takes refuse or mend for onDamage, and nothing else", async () => {
  await using hosts = new Hosts();
  await assert.rejects(
    hosts.open(1, { onDamage: "repair" as "mend" }),
    /Cannot use onDamage: repair is neither/,
  );
});
