import { assert } from "../deps.ts";
import { Hosts } from "../support/hosts.ts";

Deno.test("staleRead() tells what its node has applied, without a leader, when read() cannot", async () => {
  await using hosts = await Hosts.started(3);
  for (const add of [5, 7]) await hosts.host(1).propose(1, Uint8Array.of(add));
  assert.equal(await hosts.host(1).staleRead(1, "total"), 12);
  await hosts.host(1).read(1, "total");
  await hosts.close(2);
  await hosts.close(3);
  await assert.rejects(hosts.host(1).read(1, "total", { timeoutMs: 100 }));
  assert.equal(await hosts.host(1).staleRead(1, "total"), 12);
  // It is told from here, and from nowhere else.
  await hosts.open(4, { peers: [hosts.address(1)] });
  await assert.rejects(
    hosts.host(4).staleRead(1, "total"),
    { code: "clusterNotFound" },
  );
});
