/** NodeHosts that return under another address (rules I1, I4), on a network in memory. */
import { decodeAddressBook } from "../../raft/address_book_format.ts";
import { crc32 } from "../../storage/deps.ts";
import { assert } from "../deps.ts";
import { Hosts, until } from "../support/hosts.ts";

const add = (n: number) => new Uint8Array([n]);
const patience = { timeoutMs: 20_000 };

/** Closes a host; the next `open` finds it elsewhere. */
async function move(hosts: Hosts, n: number, address: string): Promise<void> {
  await hosts.close(n);
  hosts.addresses.set(n, address);
}

/** Opens a host again, and starts its node from its log. */
async function back(hosts: Hosts, n: number, config = {}): Promise<void> {
  const host = await hosts.open(n, { raftAddressChanged: true, ...config });
  const { initialMembers: _, ...rest } = hosts.cluster(n, 3);
  await host.startCluster(rest);
}

/** The cluster takes a proposal at host `n`. */
async function requireService(hosts: Hosts, n: number): Promise<void> {
  await hosts.host(n).waitReady(1, patience);
  const before = Number(await hosts.host(n).read(1, "count", patience));
  const session = await hosts.host(n).openSession(1, patience);
  await hosts.host(n).propose(session, add(1), patience);
  const after = await hosts.host(n).read(1, "count", patience);
  assert.equal(after, before + 1);
}

Deno.test("A NodeHost that returns under another address goes on (rule I4)", async () => {
  await using hosts = await Hosts.started(3);
  await move(hosts, 3, "elsewhere:1");
  await back(hosts, 3);
  await hosts.host(3).waitReady(1, patience);
  await hosts.close(2);
  await requireService(hosts, 1);
  // And host 1 knows it after a restart, before anybody has called.
  await hosts.close(1);
  await back(hosts, 1);
  await requireService(hosts, 3);
});

Deno.test("Who was down when others moved finds them through a third (rule I1)", async () => {
  await using hosts = await Hosts.started(3);
  await hosts.close(2);
  await move(hosts, 3, "elsewhere:3");
  await back(hosts, 3);
  await hosts.host(3).waitReady(1, patience);
  // Now it moves as well: neither of the two finds the other where its membership has it.
  hosts.addresses.set(2, "elsewhere:2");
  await back(hosts, 2);
  await hosts.host(2).waitReady(1, patience);
  await requireService(hosts, 2);
  await hosts.close(1);
  await requireService(hosts, 2);
  await requireService(hosts, 3);
});

Deno.test("Two NodeHosts that swap their addresses are not taken for each other (rule I1)", async () => {
  await using hosts = await Hosts.started(3);
  const [second, third] = [hosts.address(2), hosts.address(3)];
  await move(hosts, 2, third);
  await move(hosts, 3, second);
  await back(hosts, 2);
  await back(hosts, 3);
  await requireService(hosts, 2);
  await requireService(hosts, 3);
  await hosts.close(1);
  await requireService(hosts, 3);
});

Deno.test("When all have moved at once, nodeHostAddresses and learnAddress say where to", async () => {
  await using hosts = await Hosts.started(3);
  const ids = [1, 2, 3].map((n) => hosts.host(n).nodeHostId);
  for (const n of [1, 2, 3]) await move(hosts, n, `moved:${n}`);
  const nodeHostAddresses = { [ids[1]!]: "moved:2" };
  await back(hosts, 1, { nodeHostAddresses });
  await back(hosts, 2);
  await requireService(hosts, 2);
  await back(hosts, 3);
  hosts.host(3).learnAddress(ids[0]!, "moved:1");
  await hosts.host(3).waitReady(1, patience);
  await hosts.close(1);
  await requireService(hosts, 3);
  assert.throws(() => hosts.host(3).learnAddress("x", "nowhere"), RangeError);
});

Deno.test("A client finds a member that has moved", async () => {
  await using hosts = await Hosts.started(3);
  for (const n of [2, 3]) {
    await move(hosts, n, `moved:${n}`);
    await back(hosts, n);
    await hosts.host(n).waitReady(1, patience);
  }
  const client = await hosts.open(4, { peers: ["host-1:7000"] });
  await client.propose(1, add(1), patience);
  await hosts.close(1);
  assert.equal(await client.read(1, "count", patience), 1);
});

Deno.test("A NodeHost that comes later is told who has moved, and keeps it", async () => {
  await using hosts = await Hosts.started(3);
  await move(hosts, 3, "moved:3");
  await back(hosts, 3);
  await hosts.host(3).waitReady(1, patience);
  const { nodeHostId, incarnation } = hosts.host(3);
  const later = await hosts.open(4, { peers: ["host-1:7000"] });
  await later.waitReady(1, patience);
  const path = "/data/addresses";
  const disk = hosts.disk(4);
  await until("the file", () => disk.stat(path) !== undefined);
  const file = disk.open(path);
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  assert.deepEqual(decodeAddressBook(bytes, crc32), [
    { nodeHostId, incarnation, raftAddress: "moved:3", isMoved: true },
  ]);
});

Deno.test("An observer whose NodeHost has moved is promoted under the address that the membership has (rule I4)", async () => {
  await using hosts = await Hosts.started(1);
  const observer = { nodeId: 2, address: hosts.address(2) };
  await hosts.open(2);
  await hosts.host(1).addObserver(1, observer, patience);
  await hosts.host(2).startCluster(hosts.cluster(2, 0, { join: true }));
  await hosts.host(2).waitReady(1, patience);
  await move(hosts, 2, "elsewhere:2");
  await back(hosts, 2);
  await hosts.host(2).waitReady(1, patience);
  const { members } = await hosts.host(1).addNode(1, observer, patience);
  assert.deepEqual(members.map((member) => member.nodeId), [1, 2]);
  assert.equal(members[1]!.nodeHostId, hosts.host(2).nodeHostId);
});
