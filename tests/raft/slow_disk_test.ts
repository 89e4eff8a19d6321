/** A leader whose disk stalls, on real NodeHosts. */
import { assert } from "../deps.ts";
import { Hosts, until } from "../support/hosts.ts";

Deno.test("A leader whose sync stalls for longer than an election timeout says so, and leads no more while it lasts", async () => {
  await using hosts = await Hosts.started(3);
  const slow = hosts.leader();
  const others = [1, 2, 3].filter((n) => n !== slow);
  const stalled = Promise.withResolvers<void>();
  hosts.disk(slow).faults = { beforeSync: () => stalled.promise };
  const waiting = hosts.host(slow).propose(1, Uint8Array.of(1), {
    timeoutMs: 60_000,
  });
  await until(
    "another leader",
    () => others.includes(hosts.leader(others[0]!)),
  );
  assert.ok(
    hosts.logs.get(slow)!.lines.some((line) => line.includes("disk is slow")),
  );
  // The others serve, and the slow one does not come back, however often leadership is free.
  for (let round = 0; round < 3; round++) {
    await hosts.host(others[0]!).waitReady(1);
    await hosts.host(others[0]!).propose(1, Uint8Array.of(1));
    const leader = hosts.leader(others[0]!);
    assert.notEqual(leader, slow);
    const next = others.find((n) => n !== leader)!;
    await hosts.host(leader).transferLeadership(1, next);
    assert.equal(hosts.leader(next), next);
  }
  hosts.disk(slow).faults = {};
  stalled.resolve();
  // It was in the log of the others when leadership moved, so it is applied, once.
  assert.ok((await waiting).value >= 1);
  await hosts.host(slow).waitReady(1);
  assert.equal(await hosts.host(slow).read(1, "total"), 4);
});
