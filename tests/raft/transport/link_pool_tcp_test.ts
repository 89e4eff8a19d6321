/** Links over real sockets and real time. */
import { assert } from "../../deps.ts";
import { makeBatch } from "../codec/arbitraries.ts";
import { splitAddress } from "../../../raft/transport/address.ts";
import { TcpNetwork } from "../../../raft/transport/tcp.ts";
import type { Clock } from "../../../raft/ports.ts";
import { setImmediate } from "./deps.ts";
import { heartbeat, roundsOf, TestHost, WatchedNetwork } from "./harness.ts";

const clock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  setTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer: (callback) => void setImmediate(callback),
};

/** Gives the event loop turns until something is true; the test runner ends a test that waits for ever. */
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 1));
}

async function freeAddress(network: TcpNetwork): Promise<string> {
  const listener = await network.listen("127.0.0.1:0", () => {});
  listener.close();
  return listener.address;
}

interface Pair {
  readonly network: WatchedNetwork;
  readonly a: TestHost;
  readonly b: TestHost;
}

async function makePair(): Promise<Pair> {
  const tcp = new TcpNetwork();
  const network = new WatchedNetwork(tcp);
  const a = new TestHost("a", await freeAddress(tcp), { network, clock });
  const b = new TestHost("b", await freeAddress(tcp), { network, clock });
  await a.pool.listen();
  await b.pool.listen();
  return { network, a, b };
}

async function finish({ network, a, b }: Pair): Promise<void> {
  a.close();
  b.close();
  await until(() => network.open.size === 0);
}

Deno.test("LinkPool over TCP carries heartbeats and entries both ways", async () => {
  const pair = await makePair();
  const { network, a, b } = pair;
  const addressA = a.identity.raftAddress;
  const addressB = b.identity.raftAddress;
  a.send(addressB, heartbeat(0));
  b.send(addressA, heartbeat(0));
  const ends = [
    { host: a, link: a.pool.linkTo(addressB) },
    { host: b, link: b.pool.linkTo(addressA) },
  ];
  await until(() => ends.every(({ link }) => link.isUp));
  assert.equal(network.open.size, 2);
  const sizes = [10, 3_000, 90_000, 700_000, 16, 1_500_000, 90_000];
  for (const { host, link } of ends) {
    let prevLogIndex = 0;
    for (const commandBytes of sizes) {
      const batch = makeBatch(prevLogIndex + 1, 1, { commandBytes });
      link.send({
        kind: "message",
        clusterId: 7,
        message: {
          type: "append",
          from: 1,
          to: 2,
          term: 1,
          prevLogIndex,
          prevLogTerm: Math.min(prevLogIndex, 1),
          commit: 0,
          batches: [batch],
        },
      });
      link.send(heartbeat(prevLogIndex));
      prevLogIndex = batch.lastIndex;
      host.pool.flush();
    }
  }
  for (const { host } of ends) {
    await until(() => host.records.length === 2 * sizes.length);
    const lengths = host.records.flatMap((record) =>
      record.kind === "message" && record.message.type === "append"
        ? record.message.batches.map((batch) => batch.bytes.length)
        : []
    );
    const overhead = 32 + 5 + 16;
    assert.deepEqual(lengths, sizes.map((size) => size + overhead));
    assert.deepEqual(roundsOf(host.records), sizes.map((_, i) => i));
  }
  await finish(pair);
});

Deno.test("LinkPool over TCP survives garbage on its port and a link that is cut", async () => {
  const pair = await makePair();
  const { network, a, b } = pair;
  const addressB = b.identity.raftAddress;
  const link = a.pool.linkTo(addressB);
  const garbage = new Uint8Array(70_000).fill(0xa5);
  for (let i = 0; i < 20; i++) {
    const socket = await Deno.connect(splitAddress(addressB));
    // It may be closed before it has said it all.
    await socket.write(garbage.subarray(0, 8 + i * 3_600)).catch(() => {});
    if (i % 2 === 0) {
      await socket.read(new Uint8Array(100)).catch(() => {});
    }
    socket.close();
  }
  a.send(addressB, heartbeat(1));
  await until(() => link.isUp);
  network.cutAll();
  await until(() => !link.isUp);
  await until(() => {
    a.send(addressB, heartbeat(2));
    return link.isUp;
  });
  await until(() => {
    a.send(addressB, heartbeat(3));
    return roundsOf(b.records).includes(3);
  });
  assert.equal(link.epoch, 2);
  assert(b.logger.lines.length >= 1 && b.logger.lines.length <= 2);
  assert.match(
    b.logger.lines[0]!,
    /^Cannot accept a connection from 127.0.0.1/,
  );
  await finish(pair);
});

Deno.test("LinkPool over TCP keeps one connection when both sides dial at once", async () => {
  for (let i = 0; i < 20; i++) {
    const pair = await makePair();
    const { network, a, b } = pair;
    const addressA = a.identity.raftAddress;
    const addressB = b.identity.raftAddress;
    a.send(addressB, heartbeat(0));
    b.send(addressA, heartbeat(0));
    const links = [a.pool.linkTo(addressB), b.pool.linkTo(addressA)];
    await until(() => links.every((link) => link.isUp));
    await until(() => network.open.size === 2);
    a.send(addressB, heartbeat(5));
    b.send(addressA, heartbeat(6));
    await until(() => a.records.length === 1 && b.records.length === 1);
    assert.equal(links[0]!.epoch, 1);
    await finish(pair);
  }
});

Deno.test("LinkPool over TCP opens snapshot connections", async () => {
  const pair = await makePair();
  const { a, b } = pair;
  let received = 0;
  let reason = "";
  b.onSnapshot = (connection) =>
    connection.start({
      onFrame: (frame) => received += frame.length,
      onClose: (why) => reason = why,
    });
  const { connection, remote } = await a.pool.openSnapshotConnection(
    b.identity.raftAddress,
    new AbortController().signal,
  );
  assert.equal(remote.nodeHostId, "b");
  let end = "";
  connection.start({ onFrame: () => {}, onClose: (why) => end = why });
  for (let i = 0; i < 50; i++) connection.send([new Uint8Array(100_000)]);
  await connection.drained(0);
  await until(() => received === 5_000_000);
  connection.close();
  await until(() => reason !== "" && end !== "");
  await assert.rejects(
    a.pool.openSnapshotConnection("127.0.0.1:1", new AbortController().signal),
    /Connection refused/,
  );
  await finish(pair);
});
