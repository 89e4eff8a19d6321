/** Lease reads on real NodeHosts (rule C8). */
import { assert } from "../deps.ts";
import { Hosts, until } from "../support/hosts.ts";

const settings = { leaseReads: true, electionTimeoutTicks: 100 };

Deno.test("With a lease, the leader answers reads though nobody answers it any more, until the lease is over (rule C8)", async () => {
  await using hosts = await Hosts.started(3, settings);
  const leader = hosts.leader();
  const host = hosts.host(leader);
  await host.propose(1, Uint8Array.of(7));
  assert.equal(await host.read(1, "total"), 7);
  for (const n of [1, 2, 3]) {
    if (n !== leader) await hosts.host(n).stopCluster(1);
  }
  assert.equal(await host.read(1, "total", { timeoutMs: 50 }), 7);
  await until("the end of the leadership", () => hosts.leader(leader) === 0);
  await assert.rejects(host.read(1, "total", { timeoutMs: 50 }));
});

Deno.test("Without leases, such a read finds no end", async () => {
  await using hosts = await Hosts.started(3, {
    ...settings,
    leaseReads: false,
  });
  const leader = hosts.leader();
  for (const n of [1, 2, 3]) {
    if (n !== leader) await hosts.host(n).stopCluster(1);
  }
  await assert.rejects(hosts.host(leader).read(1, "total", { timeoutMs: 50 }));
});

Deno.test("Lease reads see what was written on every NodeHost, whoever leads (rule C8)", async () => {
  await using hosts = await Hosts.started(3, settings);
  let total = 0;
  for (let round = 0; round < 6; round++) {
    const n = round % 3 + 1;
    await hosts.host(n).propose(1, Uint8Array.of(1));
    total++;
    for (const reader of [1, 2, 3]) {
      assert.equal(await hosts.host(reader).read(1, "total"), total);
    }
    await hosts.host(n).transferLeadership(1, n % 3 + 1);
  }
});
