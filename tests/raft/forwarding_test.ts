/** What becomes of a follower's proposals and membership changes when the leader that they were sent to goes. */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import { MemoryNetwork } from "../../raft/transport/memory.ts";
import type { Connection, Network } from "../../raft/transport/transport.ts";
import { Hosts, until } from "../support/hosts.ts";

const one = Uint8Array.of(1);

/** A NodeHost's way into a network, on which what it says may be lost. */
class Muffler implements Network {
  isMute = false;
  lostCount = 0;
  readonly #inner: Network;

  constructor(inner: Network) {
    this.#inner = inner;
  }

  listen: Network["listen"] = (address, onConnection, ...rest) =>
    this.#inner.listen(
      address,
      (connection) => onConnection(this.#muffle(connection)),
      ...rest,
    );

  connect: Network["connect"] = async (...args) =>
    this.#muffle(await this.#inner.connect(...args));

  #muffle(connection: Connection): Connection {
    const send = connection.send.bind(connection);
    connection.send = (parts) => {
      if (this.isMute) this.lostCount++;
      else send(parts);
    };
    return connection;
  }
}

/** A leader, a follower behind a muffler, and the third. */
async function threeHosts() {
  const hosts = new Hosts();
  const plain = new MemoryNetwork();
  const muffler = new Muffler(plain);
  for (const n of [1, 2, 3]) {
    hosts.network = n === 1 ? muffler : plain;
    // The others begin no election for a long time, so that host 2 leads first.
    const electionTimeoutTicks = n === 2 ? 20 : 60;
    const host = await hosts.open(n, { spreadLeaders: false });
    await host.startCluster(hosts.cluster(n, 3, { electionTimeoutTicks }));
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  await hosts.host(1).transferLeadership(1, 2);
  return { hosts, muffler, follower: hosts.host(1) };
}

/** Proposes on the follower; the record for the leader is lost. */
async function proposeInVain(
  { follower, muffler }: Awaited<ReturnType<typeof threeHosts>>,
): Promise<{ proposed: Promise<unknown>; ended: () => boolean }> {
  const forwarded = () =>
    follower.metrics.value("drakkar_proposals_forwarded_total");
  const before = forwarded();
  muffler.isMute = true;
  let isEnded = false;
  // An hour: whoever waits for that waits in vain.
  const proposed = follower.propose(1, one, { timeoutMs: 3_600_000 })
    .then((result) => result.value, (error) => error)
    .finally(() => isEnded = true);
  await until("the record to leave", () => forwarded() > before);
  const lost = muffler.lostCount;
  await until("it to be lost", () => muffler.lostCount > lost + 2);
  muffler.isMute = false;
  return { proposed, ended: () => isEnded };
}

Deno.test("A membership change that never reached a leader which handed over ends once another leads, long before its deadline (rule R1)", async () => {
  const world = await threeHosts();
  await using hosts = world.hosts;
  const { follower, muffler } = world;
  muffler.isMute = true;
  let isEnded = false;
  const changed = follower.removeNode(1, { nodeId: 3 }, {
    timeoutMs: 3_600_000,
  })
    .then(() => "removed", (error) => error)
    .finally(() => isEnded = true);
  const lost = muffler.lostCount;
  await until("it to be lost", () => muffler.lostCount > lost + 5);
  muffler.isMute = false;
  await hosts.host(2).transferLeadership(1, 3);
  await until("the change to end", () => isEnded);
  assertUnknown(await changed);
  assert.equal((await follower.getMembership(1)).members.length, 3);
});

function assertUnknown(error: unknown): void {
  assert.ok(error instanceof RaftError, `not a RaftError: ${error}`);
  assert.equal(error.code, "dropped", error.message);
  assert.equal(error.outcome, "unknown");
  assert.match(error.message, /never answered/);
}

Deno.test("A proposal that never reached a leader which closed ends once another leads, long before its deadline (rule R1)", async () => {
  const world = await threeHosts();
  await using hosts = world.hosts;
  const { proposed, ended } = await proposeInVain(world);
  await hosts.close(2);
  await until("the proposal to end", ended);
  assertUnknown(await proposed);
  assert.equal((await world.follower.propose(1, one)).value, 1);
});

Deno.test("A proposal that never reached a leader which handed over ends once another leads, long before its deadline (rule R1)", async () => {
  const world = await threeHosts();
  await using hosts = world.hosts;
  const { proposed, ended } = await proposeInVain(world);
  await hosts.host(2).transferLeadership(1, 3);
  await until("the proposal to end", ended);
  assertUnknown(await proposed);
  assert.equal((await world.follower.propose(1, one)).value, 1);
});
