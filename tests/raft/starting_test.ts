import { assert } from "../deps.ts";
import type { Clock } from "../../raft/ports.ts";
import type { Hello } from "../../raft/routes.ts";
import { Starting } from "../../raft/starting.ts";
import type { Link } from "../../raft/transport/link_pool.ts";
import { Hosts } from "../support/hosts.ts";

class Turns {
  readonly #deferred: (() => void)[] = [];
  readonly clock = {
    defer: (callback: () => void) => this.#deferred.push(callback),
  } as unknown as Clock;

  /** One turn of the event loop; false if nothing was to be done. */
  async next(): Promise<boolean> {
    const callbacks = this.#deferred.splice(0);
    for (const callback of callbacks) callback();
    for (let i = 0; i < 10; i++) await Promise.resolve();
    return callbacks.length > 0;
  }
}

function helloFrom(from: number, clusterId = 1): Hello {
  return {
    kind: "hello",
    clusterId,
    from,
    to: 1,
    fingerprint: "f00d",
    generation: 1,
    newcomer: true,
    initialMembers: [],
  };
}

Deno.test("Starting lets a few nodes enter in each turn of the event loop, in their order (rule C6)", async () => {
  const turns = new Turns();
  const starting = new Starting(turns.clock);
  const entered: number[] = [];
  const enter = async (n: number) => {
    await starting.turn();
    entered.push(n);
  };
  for (let n = 0; n < 400; n++) enter(n);
  const counts: number[] = [];
  do {
    for (let i = 0; i < 10; i++) await Promise.resolve();
    counts.push(entered.length);
  } while (await turns.next());
  assert.deepEqual(counts.slice(0, 4), [128, 256, 384, 400]);
  assert.deepEqual(entered, Array.from({ length: 400 }, (_, n) => n));
  // Whoever comes alone does not wait.
  assert.equal(starting.turn(), undefined);
});

Deno.test("Starting keeps what was said to a node on its way, as long as the connection stands", () => {
  const starting = new Starting(new Turns().clock);
  const link = { isUp: true, epoch: 1 };
  const other = { isUp: true, epoch: 1 };
  const hold = (one: typeof link, hello: Hello) =>
    starting.hold(one as Link, hello);
  hold(link, helloFrom(2));
  assert.deepEqual(starting.heldFor(1), [], "it is not on its way");
  starting.begin(1);
  starting.begin(2);
  hold(other, helloFrom(3));
  hold(link, helloFrom(2));
  hold(link, { ...helloFrom(2), newcomer: false });
  assert.deepEqual(
    starting.heldFor(1).map(({ hello }) => [hello.from, hello.newcomer]),
    [[2, false], [3, true]],
  );
  assert.deepEqual(starting.heldFor(2), []);
  other.epoch++;
  assert.deepEqual(starting.heldFor(1).map(({ hello }) => hello.from), [2]);
  link.isUp = false;
  assert.deepEqual(starting.heldFor(1), []);
  // However many claim to be members, it keeps few.
  link.isUp = true;
  for (let from = 2; from < 1_000; from++) hold(link, helloFrom(from));
  assert.ok(starting.heldFor(1).length <= 16);
  starting.end(1);
  assert.equal(starting.has(1), false);
  starting.begin(1);
  assert.deepEqual(starting.heldFor(1), []);
});

Deno.test("Members of many new clusters find each other and a leader although some are started later (rule I2)", async () => {
  await using hosts = new Hosts();
  for (const n of [1, 2, 3]) await hosts.open(n);
  const clusterIds = Array.from({ length: 70 }, (_, i) => i + 1);
  await Promise.all(
    [1, 2, 3].flatMap((n) =>
      clusterIds.map((clusterId) =>
        hosts.host(n).startCluster({ ...hosts.cluster(n, 3), clusterId })
      )
    ),
  );
  const leaders = await Promise.all(clusterIds.map(async (clusterId) => {
    await hosts.host(1).waitReady(clusterId);
    return hosts.host(1).getLeader(clusterId).leaderId;
  }));
  // How many depends on how busy the machine is; that it is more than one member does not.
  assert.ok(new Set(leaders).size > 1);
});
