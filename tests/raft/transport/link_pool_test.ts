/** Links between two pools in memory, on virtual time. */
import { assert } from "../../deps.ts";
import { makeBatch } from "../codec/arbitraries.ts";
import type { WireRecord } from "../../../raft/codec/record.ts";
import { MemoryNetwork } from "../../../raft/transport/memory.ts";
import type { LinkPoolOptions } from "../../../raft/transport/link_pool.ts";
import {
  heartbeat,
  roundsOf,
  TestHost,
  VirtualClock,
  WatchedNetwork,
} from "./harness.ts";

const addressA = "10.0.0.1:7000";
const addressB = "10.0.0.2:7000";
const recordsKind = 16;
const pingKind = 17;

interface Pair {
  readonly clock: VirtualClock;
  readonly network: WatchedNetwork;
  readonly a: TestHost;
  readonly b: TestHost;
}

async function makePair(
  options: Partial<LinkPoolOptions> = {},
): Promise<Pair> {
  const clock = new VirtualClock();
  const network = new WatchedNetwork(
    new MemoryNetwork({ defer: clock.defer }),
  );
  const a = new TestHost("a", addressA, { network, clock, ...options });
  const b = new TestHost("b", addressB, { network, clock, ...options });
  await a.pool.listen();
  await b.pool.listen();
  return { clock, network, a, b };
}

async function bringUp({ clock, network, a, b }: Pair): Promise<void> {
  a.send(addressB, heartbeat(0));
  await clock.settle();
  assert(a.pool.linkTo(addressB).isUp);
  assert(b.pool.linkTo(addressA).isUp);
  network.frames.length = 0;
}

async function finish({ clock, network, a, b }: Pair): Promise<void> {
  a.close();
  b.close();
  await clock.settle();
  assert.equal(clock.timerCount, 0, "no timer is left");
  assert.equal(network.open.size, 0, "no connection is left");
}

function append(index: number, commandBytes: number): WireRecord {
  return {
    kind: "message",
    clusterId: 1,
    message: {
      type: "append",
      from: 1,
      to: 2,
      term: 1,
      prevLogIndex: index - 1,
      prevLogTerm: 0,
      commit: 0,
      batches: [makeBatch(index, 1, { commandBytes })],
    },
  };
}

/** What arrived, as "heartbeat 3" or "append 7" (its previous index). */
function contents(records: readonly WireRecord[]): string[] {
  return records.map((record) => {
    if (record.kind !== "message") return record.kind;
    const message = record.message;
    if (message.type === "heartbeat") return `heartbeat ${message.round}`;
    if (message.type === "append") return `append ${message.prevLogIndex + 1}`;
    return message.type;
  });
}

Deno.test("Link.send() drops while down, dials, and then delivers in order", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  const link = a.pool.linkTo(addressB);
  assert.equal(link.send(heartbeat(1)), false);
  assert.equal(link.epoch, 0);
  await clock.settle();
  assert.equal(link.isUp, true);
  assert.equal(link.epoch, 1);
  assert.equal(link.remote?.nodeHostId, "b");
  assert.deepEqual(a.told, [`up ${addressB} b`]);
  assert.deepEqual(b.told, [`up ${addressA} a`]);
  for (let round = 2; round < 5; round++) assert(link.send(heartbeat(round)));
  assert(link.queuedBytes > 0);
  a.pool.flush();
  await clock.settle();
  assert.deepEqual(roundsOf(b.records), [2, 3, 4]);
  assert.deepEqual(b.told.slice(1), [
    "record message",
    "record message",
    "record message",
    "end",
  ]);
  assert.equal(link.queuedBytes, 0);
  assert.equal(link.droppedRecords, 1);
  assert.equal(network.dialled, 1);
  assert.equal(a.pool.linkOf("b"), link);
  assert.equal(a.pool.linkOf("c"), undefined);
  await finish(pair);
});

Deno.test("LinkPool.flush() sends one frame per link for the records of all clusters (rule B3)", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  await bringUp(pair);
  const link = a.pool.linkTo(addressB);
  for (let id = 1; id <= 1000; id++) link.send(heartbeat(id, id));
  for (let i = 1; i <= 10; i++) link.send(append(i, 100));
  a.pool.flush();
  assert.equal(network.frames.length, 1);
  await clock.settle();
  assert.equal(b.records.length, 1010);
  assert.equal(b.told.filter((line) => line === "end").length, 1);
  await finish(pair);
});

Deno.test("LinkPool lets heartbeats and replies pass entries that wait (rule C6)", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  await bringUp(pair);
  const link = a.pool.linkTo(addressB);
  for (let i = 1; i <= 40; i++) link.send(append(i, 100_000));
  a.pool.flush();
  link.send(heartbeat(1));
  a.pool.flush();
  const buffered = network.frames.reduce((sum, one) => sum + one.length, 0);
  assert(buffered <= 256 * 1024, "only a window full is out of reach");
  await clock.settle();
  const arrived = contents(b.records);
  assert.equal(arrived.length, 41);
  assert(arrived.indexOf("heartbeat 1") <= 3, "it overtook the rest");
  assert.deepEqual(
    arrived.filter((one) => one !== "heartbeat 1"),
    Array.from({ length: 40 }, (_, i) => `append ${i + 1}`),
  );
  await finish(pair);
});

Deno.test("LinkPool never makes a frame longer than maxFrameBytes, and drops a record that alone is", async () => {
  const pair = await makePair({ maxFrameBytes: 64 * 1024 });
  const { clock, network, a, b } = pair;
  await bringUp(pair);
  const link = a.pool.linkTo(addressB);
  for (let id = 1; id <= 3000; id++) link.send(heartbeat(id, id));
  for (let i = 1; i <= 20; i++) assert(link.send(append(i, 30_000)));
  assert.equal(link.send(append(21, 65_536)), false);
  assert.equal(link.droppedRecords, 2);
  a.pool.flush();
  await clock.settle();
  assert.equal(b.records.length, 3020);
  for (const { length } of network.frames) assert(length <= 64 * 1024);
  await finish(pair);
});

Deno.test("LinkPool bounds what waits on a link, and still takes what is urgent", async () => {
  const pair = await makePair({ maxQueuedBytes: 1_000_000 });
  const { clock, a, b } = pair;
  await bringUp(pair);
  const link = a.pool.linkTo(addressB);
  let taken = 0;
  for (let i = 1; i <= 30; i++) if (link.send(append(i, 100_000))) taken++;
  assert.equal(taken, 9);
  assert.equal(link.droppedRecords, 1 + 21);
  while (link.send(append(31, 10))) taken++;
  assert(link.queuedBytes <= 1_000_000);
  assert(link.send(heartbeat(1)));
  let urgent = 1;
  while (link.send(heartbeat(2)) && urgent < 10_000) urgent++;
  assert(urgent < 10_000);
  assert(link.queuedBytes <= 1_250_000);
  a.pool.flush();
  await clock.settle();
  assert.equal(b.records.length, taken + urgent);
  assert.equal(link.queuedBytes, 0, "nothing is forgotten");
  assert(link.send(append(31, 100_000)), "it is free again");
  await finish(pair);
});

Deno.test("LinkPool dials again with growing pauses, only while there is something to send", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  network.unreachable.add(addressB);
  const dials: number[] = [];
  let seen = 0;
  for (let ms = 0; ms < 10_000; ms += 5) {
    a.send(addressB, heartbeat(1));
    await clock.advance(5);
    if (network.dialled > seen) dials.push(clock.now());
    seen = network.dialled;
  }
  const pauses = dials.slice(1).map((at, i) => at - dials[i]!);
  const expected = [50, 100, 200, 400, 800, 1000, 1000, 1000];
  for (const [i, ms] of expected.entries()) {
    const pause = pauses[i]!;
    assert(pause >= ms * 0.75 - 5 && pause <= ms * 1.25 + 10, `${pauses}`);
  }
  assert.equal(a.told[0], `down ${addressB} unreachable`);
  const before = network.dialled;
  await clock.advance(30_000);
  assert(network.dialled <= before + 1, "nobody wants to send any more");
  // Wanted once during a pause is enough for one more attempt after it.
  const idle = network.dialled;
  a.send(addressB, heartbeat(1));
  await clock.settle();
  a.send(addressB, heartbeat(1));
  await clock.advance(5_000);
  assert.equal(network.dialled, idle + 2);
  // When the other side dials, the pause does not matter.
  a.send(addressB, heartbeat(1));
  await clock.settle();
  b.send(addressA, heartbeat(1));
  await clock.settle();
  assert(a.pool.linkTo(addressB).isUp);
  await finish(pair);
});

Deno.test("LinkPool does not flap at full speed with a host that ends each connection", async () => {
  const pair = await makePair();
  const { clock, network, a } = pair;
  for (let ms = 0; ms < 5_000; ms += 5) {
    a.send(addressB, heartbeat(1));
    await clock.advance(5);
    network.cutAll();
  }
  assert(network.dialled < 20, `${network.dialled} dials`);
  await finish(pair);
});

Deno.test("Link.epoch grows with each connection, and what was queued on the old one is gone", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  await bringUp(pair);
  const link = a.pool.linkTo(addressB);
  await clock.advance(2_000);
  link.send(heartbeat(5));
  network.cutAll();
  await clock.settle();
  assert.equal(link.isUp, false);
  assert.equal(link.remote, undefined);
  assert.equal(link.queuedBytes, 0);
  a.pool.flush();
  assert.equal(link.send(heartbeat(6)), false);
  await clock.settle();
  assert.equal(link.epoch, 2);
  assert.deepEqual(roundsOf(b.records), []);
  assert.equal(a.told.filter((line) => line.startsWith("down")).length, 1);
  await finish(pair);
});

Deno.test("LinkPool pings each second without traffic, and gives up after five seconds of silence", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  await bringUp(pair);
  await clock.advance(60_000);
  const pings = network.frames.filter(({ kind }) => kind === pingKind).length;
  assert(pings >= 110 && pings <= 122, `${pings} pings`);
  assert.equal(a.told.length + b.told.length, 2, "nothing else happened");
  // Traffic makes pings needless.
  network.frames.length = 0;
  for (let i = 0; i < 50; i++) {
    a.send(addressB, heartbeat(i));
    b.send(addressA, heartbeat(i));
    await clock.advance(200);
  }
  assert.deepEqual(
    network.frames.filter(({ kind }) => kind !== recordsKind),
    [],
  );
  await finish(pair);
});

Deno.test("LinkPool ends a link after five seconds of silence; a pause of its own loop is not silence (rule C6)", async () => {
  const pair = await makePair();
  const { clock, network, a } = pair;
  await bringUp(pair);
  const link = a.pool.linkTo(addressB);
  await clock.advance(3_000);
  clock.pause(60_000);
  await clock.settle();
  assert(link.isUp, "A itself was away");
  await clock.advance(3_000);
  assert(link.isUp);
  network.isMute = true;
  await clock.advance(4_000);
  assert(link.isUp);
  await clock.advance(2_000);
  assert.equal(link.isUp, false);
  assert.equal(a.told.at(-1), `down ${addressB} silent for too long`);
  await finish(pair);
});

Deno.test("LinkPool refuses another deployment by name, once, and goes on (rule I5)", async () => {
  const pair = await makePair();
  const { clock, network, a } = pair;
  const other = new TestHost("x", "10.0.0.9:7000", {
    network,
    clock,
    deploymentId: 2n,
  });
  for (let i = 0; i < 50; i++) {
    other.send(addressA, heartbeat(1));
    await clock.advance(1_000);
  }
  assert.deepEqual(a.told, []);
  assert.match(other.told[0]!, /deployments 2 and 1 differ/);
  assert.equal(a.logger.lines.length, 1);
  assert.match(
    a.logger.lines[0]!,
    /^Cannot accept a connection from .*: deployments 2 and 1 differ$/,
  );
  assert.match(
    other.logger.lines[0]!,
    /^Cannot link to 10.0.0.1:7000: deployments 2 and 1 differ$/,
  );
  assert.equal(other.logger.lines.length, 1);
  await bringUp(pair);
  other.close();
  await finish(pair);
});

Deno.test("LinkPool refuses its own NodeHost id: itself, or a copied directory (rule I4)", async () => {
  const pair = await makePair();
  const { clock, network, a } = pair;
  const copy = new TestHost("a", "10.0.0.9:7000", { network, clock });
  copy.send(addressA, heartbeat(1));
  await clock.settle();
  assert.match(copy.told.join(), /both ends are NodeHost a: .*copied/);
  assert.match(a.logger.lines.join(), /both ends are NodeHost a/);
  // Under its own name it does not even try; under another it finds out.
  const before = network.dialled;
  assert.equal(a.send(addressA, heartbeat(1)), false);
  await clock.settle();
  assert.equal(network.dialled, before);
  network.aliases.set("a.example:7000", addressA);
  a.send("a.example:7000", heartbeat(1));
  await clock.settle();
  assert.match(a.told.join(), /down a.example:7000 both ends are NodeHost a/);
  copy.close();
  await finish(pair);
});

Deno.test("LinkPool asks its owner about each NodeHost, both ways (rule I1)", async () => {
  const unwanted = (remote: { nodeHostId: string }) =>
    remote.nodeHostId === "x" ? "it was replaced" : undefined;
  const pair = await makePair({ judge: unwanted });
  const { clock, network, a } = pair;
  const addressX = "10.0.0.9:7000";
  const x = new TestHost("x", addressX, { network, clock });
  await x.pool.listen();
  x.send(addressA, heartbeat(1));
  await clock.settle();
  assert.match(x.told.join(), /down 10.0.0.1:7000 it was replaced/);
  a.send(addressX, heartbeat(1));
  await clock.settle();
  assert.match(a.told.join(), /down 10.0.0.9:7000 it was replaced/);
  await clock.advance(2_000);
  assert.equal(a.pool.linkOf("x"), undefined);
  x.close();
  await finish(pair);
});

Deno.test("LinkPool does not let a stranger take the address of a NodeHost that answers there", async () => {
  const pair = await makePair();
  const { clock, network, a } = pair;
  await bringUp(pair);
  const liar = new TestHost("z", addressB, { network, clock });
  liar.send(addressA, heartbeat(1));
  await clock.settle();
  assert.match(liar.told.join(), /NodeHost b answers at 10.0.0.2:7000/);
  assert.equal(a.pool.linkTo(addressB).remote?.nodeHostId, "b");
  liar.close();
  await finish(pair);
});

Deno.test("LinkPool forgets the links of hosts that nobody asked for", async () => {
  const pair = await makePair();
  const { clock, a, b } = pair;
  b.send(addressA, heartbeat(1));
  await clock.settle();
  assert.deepEqual(a.pool.links().map((link) => link.address), [addressB]);
  b.pool.close();
  await clock.settle();
  assert.deepEqual(a.pool.links(), []);
  await finish(pair);
});

Deno.test("LinkPool.openSnapshotConnection() is one of its own, beside the link", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  await bringUp(pair);
  const received: string[] = [];
  b.onSnapshot = (connection) =>
    connection.start({
      onFrame: (frame) => {
        received.push(`frame ${frame.length}`);
        connection.send([new Uint8Array([1, 2, 3])]);
      },
      onClose: (reason) => received.push(reason),
    });
  const signal = new AbortController().signal;
  const opening = a.pool.openSnapshotConnection(addressB, signal);
  await clock.settle();
  const { remote, connection } = await opening;
  assert.equal(remote.nodeHostId, "b");
  assert.equal(b.snapshots[0]?.remote.nodeHostId, "a");
  const answers: number[] = [];
  connection.start({
    onFrame: (frame) => answers.push(frame.length),
    onClose: () => {},
  });
  connection.send([new Uint8Array(1000)]);
  await clock.settle();
  assert.deepEqual(answers, [3]);
  assert.equal(network.open.size, 4);
  connection.close();
  await clock.settle();
  assert.deepEqual(received, ["frame 1000", "closed by the other end"]);
  assert(a.pool.linkTo(addressB).isUp, "the link does not care");
  // What is not taken is closed.
  b.onSnapshot = () => {};
  const again = a.pool.openSnapshotConnection(addressB, signal);
  await clock.settle();
  const closed: string[] = [];
  (await again).connection.start({
    onFrame: () => {},
    onClose: (reason) => closed.push(reason),
  });
  assert.deepEqual(closed, ["closed by the other end"]);
  await finish(pair);
});

Deno.test("LinkPool.openSnapshotConnection() ends with its signal, in time, and with the pool", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  const addressM = "10.0.0.8:7000";
  await network.listen(addressM, (connection) => {
    connection.start({ onFrame: () => {}, onClose: () => {} });
  });
  const outcomes: string[] = [];
  const open = (signal: AbortSignal, address: string) =>
    a.pool.openSnapshotConnection(address, signal).then(
      () => outcomes.push("open"),
      (error) => outcomes.push(error.message),
    );
  const controller = new AbortController();
  open(controller.signal, addressM);
  open(new AbortController().signal, addressM);
  open(new AbortController().signal, "10.0.0.7:7000");
  await clock.settle();
  controller.abort(new Error("changed my mind"));
  await clock.settle();
  await clock.advance(5_000);
  open(new AbortController().signal, addressM);
  await clock.settle();
  a.close();
  await clock.settle();
  open(new AbortController().signal, addressM);
  await clock.settle();
  assert.deepEqual(outcomes, [
    "Cannot connect to 10.0.0.7:7000: nobody listens there",
    "changed my mind",
    "no handshake within 5000 ms",
    "the NodeHost is closed",
    "the NodeHost is closed",
  ]);
  b.close();
  await clock.settle();
  assert.equal(clock.timerCount, 0);
});

Deno.test("LinkPool.close() is final: nothing fires, nothing is accepted or dialled", async () => {
  const pair = await makePair();
  const { clock, network, a, b } = pair;
  await bringUp(pair);
  const link = a.pool.linkTo(addressB);
  b.send(addressA, heartbeat(1));
  link.send(heartbeat(2));
  const dialled = network.dialled;
  a.close(); // TestHost throws from here on if it is told anything.
  a.pool.flush();
  assert.equal(link.send(heartbeat(3)), false);
  assert.equal(a.pool.linkTo("10.0.0.5:7000").send(heartbeat(3)), false);
  await clock.advance(20_000);
  assert.equal(network.dialled, dialled);
  await finish(pair);
});

Deno.test("LinkPool can be closed by its owner in the middle of anything", async () => {
  for (const moment of ["up", "record", "end", "down", "snapshot"]) {
    const pair = await makePair();
    const { clock, network, a, b } = pair;
    const told = b.told;
    b.told.push = (line: string) => {
      told[told.length] = line;
      if (line.startsWith(moment)) b.close();
      return told.length;
    };
    a.send(addressB, heartbeat(1));
    await clock.settle();
    a.send(addressB, heartbeat(2));
    await clock.settle();
    const { signal } = new AbortController();
    a.pool.openSnapshotConnection(addressB, signal).then(
      ({ connection }) => connection.close(),
      () => {},
    );
    await clock.settle();
    network.cutAll();
    await clock.advance(100);
    assert(b.isClosed, moment);
    await finish(pair);
  }
});

Deno.test("LinkPool refuses a frame limit that its own frames would not keep", () => {
  const network = new MemoryNetwork();
  const clock = new VirtualClock();
  assert.throws(
    () => new TestHost("a", addressA, { network, clock, maxFrameBytes: 1000 }),
    /^RangeError: Cannot use maxFrameBytes 1000/,
  );
});
