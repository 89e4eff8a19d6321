/** Quiet clusters on real NodeHosts (rule C10). */
import { assert } from "../deps.ts";
import { Hosts, until } from "../support/hosts.ts";

const settings = { quiesce: true, electionTimeoutTicks: 6 };

function isQuiet(hosts: Hosts, n: number, clusterId = 1): boolean {
  return hosts.host(n).info().clusters.some((cluster) =>
    cluster.clusterId === clusterId && cluster.isQuiet
  );
}

async function quietHosts(): Promise<Hosts> {
  const hosts = await Hosts.started(3, settings);
  await untilQuiet(hosts, [1, 2, 3]);
  return hosts;
}

function untilQuiet(hosts: Hosts, numbers: number[]): Promise<void> {
  return until(
    "quiet",
    () => numbers.every((n) => isQuiet(hosts, n)),
  );
}

Deno.test("A quiet cluster takes proposals and reads on every NodeHost, and falls quiet again (rule C10)", async () => {
  await using hosts = await quietHosts();
  for (const n of [1, 2, 3]) {
    await hosts.host(n).propose(1, Uint8Array.of(1));
    await untilQuiet(hosts, [1, 2, 3]);
    assert.equal(await hosts.host(n).read(1, "total"), n);
    await untilQuiet(hosts, [1, 2, 3]);
  }
});

Deno.test("A quiet cluster changes its members and its leader (rule C10)", async () => {
  await using hosts = await quietHosts();
  const leader = hosts.leader();
  const target = leader === 1 ? 2 : 1;
  await hosts.host(target).transferLeadership(1, target);
  assert.equal(hosts.leader(target), target);
  await untilQuiet(hosts, [1, 2, 3]);
  await hosts.open(4);
  const other = [1, 2, 3].find((n) => n !== target)!;
  await hosts.host(other).addNode(1, { nodeId: 4, address: hosts.address(4) });
  await hosts.host(4).startCluster(
    hosts.cluster(4, 3, { ...settings, join: true }),
  );
  await hosts.host(4).waitReady(1);
  await untilQuiet(hosts, [1, 2, 3, 4]);
});

Deno.test("A quiet cluster elects another leader when its NodeHost is gone, though nobody asks for anything (rule C10)", async () => {
  await using hosts = await quietHosts();
  const leader = hosts.leader();
  const others = [1, 2, 3].filter((n) => n !== leader);
  hosts.disk(leader).faults = {
    beforeSync: () => {
      throw new Error("the disk is gone"); // The NodeHost drops its connections, and hands nothing over.
    },
  };
  hosts.host(leader).propose(1, Uint8Array.of(1)).catch(() => {});
  await until(
    "another leader",
    () => others.includes(hosts.leader(others[0]!)),
  );
  await untilQuiet(hosts, others);
});

Deno.test("A quiet cluster whose leader's node is stopped elects another (rule C10)", async () => {
  await using hosts = await quietHosts();
  const leader = hosts.leader();
  const others = [1, 2, 3].filter((n) => n !== leader);
  await hosts.host(leader).stopCluster(1);
  await until(
    "another leader",
    () => others.includes(hosts.leader(others[0]!)),
  );
  // And the node that comes back finds a quiet cluster, and wakes it.
  await untilQuiet(hosts, others);
  await hosts.host(leader).startCluster(hosts.cluster(leader, 3, settings));
  await hosts.host(leader).waitReady(1);
  await untilQuiet(hosts, [1, 2, 3]);
});

Deno.test("A restarted NodeHost starts its nodes again as quiet as they were configured (rules I5, C10)", async () => {
  await using hosts = await quietHosts();
  const follower = hosts.leader() === 1 ? 2 : 1;
  await hosts.close(follower);
  const host = await hosts.open(follower);
  await host.startCluster(hosts.cluster(follower, 3, settings));
  await host.waitReady(1);
  await untilQuiet(hosts, [1, 2, 3]);
});

Deno.test("A quiet cluster is woken by an observer that comes back, which cannot campaign (rules C9, C10)", async () => {
  await using hosts = await quietHosts();
  await hosts.open(4);
  await hosts.host(1).addObserver(1, {
    nodeId: 4,
    address: hosts.address(4),
  });
  const joining = hosts.cluster(4, 3, { ...settings, join: true });
  await hosts.host(4).startCluster(joining);
  await hosts.host(4).waitReady(1);
  await untilQuiet(hosts, [1, 2, 3, 4]);
  await hosts.close(4);
  await untilQuiet(hosts, [1, 2, 3]);
  await hosts.open(4);
  await hosts.host(4).startCluster(joining);
  await until("a leader", () => hosts.leader(4) !== 0);
  await untilQuiet(hosts, [1, 2, 3, 4]);
});
