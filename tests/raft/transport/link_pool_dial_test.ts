/** One connection per pair of NodeHosts, whoever dials, in whatever order things happen. */
import { assert } from "../../deps.ts";
import { MemoryNetwork } from "../../../raft/transport/memory.ts";
import {
  heartbeat,
  randomFrom,
  roundsOf,
  TestHost,
  VirtualClock,
  WatchedNetwork,
} from "./harness.ts";

const addressA = "10.0.0.1:7000";
const addressB = "10.0.0.2:7000";

interface Pair {
  readonly clock: VirtualClock;
  readonly network: WatchedNetwork;
  readonly a: TestHost;
  readonly b: TestHost;
}

async function makePair(): Promise<Pair> {
  const clock = new VirtualClock();
  const memory = new MemoryNetwork({ defer: clock.defer });
  const network = new WatchedNetwork(memory);
  const a = new TestHost("a", addressA, { network, clock });
  const b = new TestHost("b", addressB, { network, clock });
  await a.pool.listen();
  await b.pool.listen();
  return { clock, network, a, b };
}

/** Both sides have one and the same connection, and records pass both ways. */
async function checkOneConnection(pair: Pair, story: string): Promise<void> {
  const { clock, network, a, b } = pair;
  assert.equal(network.open.size, 2, `${story}: two ends of one connection`);
  assert.equal(a.pool.linkTo(addressB).remote?.nodeHostId, "b", story);
  assert.equal(b.pool.linkTo(addressA).remote?.nodeHostId, "a", story);
  a.records.length = 0;
  b.records.length = 0;
  assert(a.send(addressB, heartbeat(901)), story);
  assert(b.send(addressA, heartbeat(902)), story);
  await clock.settle();
  assert.deepEqual(roundsOf(b.records), [901], story);
  assert.deepEqual(roundsOf(a.records), [902], story);
}

/** Both sides try until both links are up. */
async function untilUp({ clock, a, b }: Pair): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const isUpA = a.send(addressB, heartbeat(1));
    const isUpB = b.send(addressA, heartbeat(1));
    await clock.settle();
    if (isUpA && isUpB) return;
    await clock.advance(100);
  }
  throw new Error("the links never came up");
}

Deno.test("LinkPool keeps one connection when both sides dial at once, in any order of events", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const pair = await makePair();
    const { clock, a, b, network } = pair;
    const random = randomFrom(seed);
    clock.pick = random;
    const lead = random(8);
    const first = seed % 2 === 0 ? a : b;
    const second = first === a ? b : a;
    first.send(second.identity.raftAddress, heartbeat(1));
    for (let i = 0; i < lead; i++) await clock.step();
    second.send(first.identity.raftAddress, heartbeat(1));
    await clock.settle();
    const story = `seed ${seed}`;
    assert.equal(network.open.size, 2, story);
    await checkOneConnection(pair, story);
    const ups = (host: TestHost) =>
      host.told.filter((line) => line.startsWith("up")).length;
    assert.deepEqual([ups(a), ups(b)], [1, 1], `${story}: no flapping`);
    a.close();
    b.close();
    await clock.settle();
    assert.equal(clock.timerCount, 0, story);
    assert.equal(network.open.size, 0, story);
  }
});

Deno.test("LinkPool settles on one connection when hosts are dialled under other names too", async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const pair = await makePair();
    const { clock, a, b, network } = pair;
    const random = randomFrom(seed);
    clock.pick = random;
    network.aliases.set("a.example:7000", addressA);
    network.aliases.set("b.example:7000", addressB);
    const sends = [
      () => a.send(addressB, heartbeat(1)),
      () => b.send(addressA, heartbeat(1)),
      () => a.send("b.example:7000", heartbeat(1)),
      () => b.send("a.example:7000", heartbeat(1)),
    ];
    for (let i = 0; i < 60; i++) {
      sends[random(4)]!();
      for (let steps = random(6); steps > 0; steps--) await clock.step();
      if (random(3) === 0) await clock.advance(random(400));
    }
    for (const send of sends) send();
    await clock.advance(3_000);
    const story = `seed ${seed}`;
    const epochs = () =>
      [...a.pool.links(), ...b.pool.links()].map((link) => link.epoch);
    const before = epochs();
    for (const send of sends) assert(send(), story);
    await clock.advance(3_000);
    assert.deepEqual(epochs(), before, `${story}: no flapping`);
    await checkOneConnection(pair, story);
    a.close();
    b.close();
    await clock.settle();
    assert.equal(clock.timerCount, 0, story);
  }
});

Deno.test("LinkPool comes back to one connection after cuts at any moment", async () => {
  for (let seed = 1; seed <= 150; seed++) {
    const pair = await makePair();
    const { clock, a, b, network } = pair;
    const random = randomFrom(seed);
    clock.pick = random;
    for (let round = 0; round < 6; round++) {
      if (random(2) === 0) a.send(addressB, heartbeat(1));
      if (random(2) === 0) b.send(addressA, heartbeat(1));
      for (let steps = random(10); steps > 0; steps--) await clock.step();
      if (random(2) === 0) network.cutAll();
      else [...network.open][random(network.open.size + 1)]?.close();
      if (random(2) === 0) await clock.advance(random(200));
    }
    await untilUp(pair);
    await checkOneConnection(pair, `seed ${seed}`);
    a.close();
    b.close();
    await clock.settle();
    assert.equal(clock.timerCount, 0);
  }
});

Deno.test("LinkPool keeps one connection when both sides dial other names at once", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const pair = await makePair();
    const { clock, a, b, network } = pair;
    const random = randomFrom(seed);
    clock.pick = random;
    network.aliases.set("a.example:7000", addressA);
    network.aliases.set("b.example:7000", addressB);
    const sends = [
      () => a.send("b.example:7000", heartbeat(1)),
      () => b.send("a.example:7000", heartbeat(1)),
    ];
    const first = random(2);
    sends[first]!();
    for (let steps = random(8); steps > 0; steps--) await clock.step();
    sends[1 - first]!();
    await clock.settle();
    const story = `seed ${seed}`;
    assert.equal(network.open.size, 2, story);
    for (const send of sends) assert(send(), story);
    await clock.settle();
    await checkOneConnection(pair, story);
    a.close();
    b.close();
    await clock.settle();
  }
});

Deno.test("LinkPool lets the other side in when its own attempt fails after its hello", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  // A stranger in B's place takes A's hello and says nothing; then B is there and dials.
  b.close();
  let hellos = 0;
  let hangUp = () => {};
  const mute = await network.listen(addressB, (connection) => {
    connection.start({ onFrame: () => hellos++, onClose: () => {} });
    hangUp = () => connection.close();
  });
  a.send(addressB, heartbeat(1));
  await clock.settle();
  assert.equal(hellos, 1);
  mute.close();
  const again = new TestHost("b", addressB, { network, clock });
  await again.pool.listen();
  again.send(addressA, heartbeat(1));
  await clock.advance(1_000);
  const link = again.pool.linkTo(addressA);
  assert.equal(link.isUp, false, "A's own hello counts");
  hangUp();
  await clock.settle();
  assert(link.isUp);
  assert(a.pool.linkTo(addressB).isUp);
  a.close();
  again.close();
  await clock.settle();
});

Deno.test("LinkPool takes a newer life of a NodeHost at once, and refuses an older one (rule I1)", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  a.send(addressB, heartbeat(1));
  await clock.settle();
  const remotes = () => a.pool.links().map((link) => link.remote?.incarnation);
  assert.deepEqual(remotes(), [1]);
  // B's machine died without a word and comes back; A has not noticed, and its own connection would win.
  network.isDeaf = true;
  b.close();
  network.isDeaf = false;
  const newer = new TestHost("b", addressB, {
    network,
    clock,
    self: { nodeHostId: "b", incarnation: 2, raftAddress: addressB },
  });
  await clock.settle();
  assert.deepEqual(remotes(), [1]);
  newer.send(addressA, heartbeat(1));
  await clock.settle();
  assert.deepEqual(remotes(), [2]);
  // An older life, restored from a copy, that dials and that answers.
  const older = new TestHost("b", "10.0.0.3:7000", { network, clock });
  await older.pool.listen();
  older.send(addressA, heartbeat(1));
  await clock.settle();
  assert.match(older.told.join(), /incarnation 1, after incarnation 2/);
  a.send("10.0.0.3:7000", heartbeat(1));
  await clock.settle();
  assert.match(a.told.at(-1)!, /incarnation 1, after incarnation 2/);
  assert.equal(a.pool.linkOf("b")?.remote?.incarnation, 2);
  a.close();
  newer.close();
  older.close();
  await clock.settle();
  assert.equal(clock.timerCount, 0);
});

Deno.test("LinkPool probes its connection when the other side says that it has none", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  a.send(addressB, heartbeat(1));
  await clock.settle();
  network.isDeaf = true;
  b.close();
  network.isDeaf = false;
  network.frames.length = 0;
  const same = new TestHost("b", addressB, { network, clock });
  same.send(addressA, heartbeat(1));
  await clock.settle();
  const kinds = network.frames.map(({ kind }) => kind);
  assert.deepEqual(kinds, [1, 17, 3], "hello, ping on the old one, refusal");
  a.close();
  same.close();
  await clock.settle();
});
