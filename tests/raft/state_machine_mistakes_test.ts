/** What a NodeHost makes of state machines and lists of members that are wrong. */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type { Result } from "../../raft/state_machine.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";

const wrongResults: [what: string, returned: unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["7", 7],
  ["a Promise: it must not be async", Promise.resolve({ value: 1 })],
  ["an object whose value is of type string", { value: "7" }],
  ["an object whose value is undefined", { data: Uint8Array.of(1) }],
  ["an object whose data is of type string", { value: 1, data: "text" }],
  ["an object whose data is null", { value: 1, data: null }],
];

for (const [what, returned] of wrongResults) {
  Deno.test(`A state machine whose update() returns ${what} stops its node, which says so`, async () => {
    class Wrong extends Counter {
      override update(): Result {
        return returned as Result;
      }
    }
    await using hosts = await Hosts.started(1, {
      stateMachine: () => new Wrong(),
    });
    const expected = `update() returned ${what}; ` +
      "it must return { value: number, data?: Uint8Array }";
    await assert.rejects(
      hosts.host(1).propose(1, Uint8Array.of(1)),
      (error) =>
        error instanceof RaftError && error.outcome === "unknown" &&
        error.message.includes("cluster 1") && error.message.includes(expected),
    );
    const { failure } = hosts.host(1).info().clusters[0]!;
    assert.ok(failure?.includes(expected), failure);
    const told = hosts.logs.get(1)!.lines.filter((line) =>
      line.startsWith("error")
    );
    assert.ok(told.some((line) => line.includes(expected)), told.join("\n"));
  });
}

const wrongHashes: [what: string, hash: () => bigint][] = [
  ["hash() threw: out of order", () => {
    throw new Error("out of order");
  }],
  [
    "hash() returned a number; it must return a bigint",
    () => 5 as unknown as bigint,
  ],
];

for (const [what, hash] of wrongHashes) {
  Deno.test(`info() tells all but the hash where ${what}`, async () => {
    class Wrong extends Counter {
      override hash = hash;
    }
    await using hosts = await Hosts.started(1, {
      stateMachine: () => new Wrong(),
    });
    const [cluster] = hosts.host(1).info().clusters;
    assert.equal(cluster!.hash, undefined);
    assert.equal(cluster!.hashError, what);
    assert.ok(cluster!.isReady);
  });
}

Deno.test("A cluster whose members were given different lists says what differs and what to do (rule I3)", async () => {
  await using hosts = new Hosts();
  for (const n of [1, 2, 3]) {
    const host = await hosts.open(n);
    const config = hosts.cluster(n, 3);
    if (n === 3) config.initialMembers![2] = "elsewhere:7000";
    await host.startCluster(config);
  }
  const errors = (n: number) =>
    hosts.logs.get(n)!.lines.filter((line) => line.includes("refused"));
  await until("a refusal", () => errors(1).length > 0 && errors(3).length > 0);
  assert.match(
    errors(3).join("\n"),
    /which are 1 at host-1:7000, 2 at host-2:7000, 3 at host-3:7000: initialMembers must be the same on every member; /,
  );
  assert.match(errors(1).join("\n"), /delete what it stored of cluster 1 /);
});
