/** Strangers: what they may say, and how little they can cost. */
import { assert, fc } from "../../deps.ts";
import {
  decodeHello,
  decodeRefusal,
  encodeHello,
  encodeRefusal,
  findMisfit,
  type Greeting,
  versionInCommon,
  type VersionRange,
  wireVersions,
} from "../../../raft/transport/handshake.ts";
import { LinkPool } from "../../../raft/transport/link_pool.ts";
import { MemoryNetwork } from "../../../raft/transport/memory.ts";
import { Notices } from "../../../raft/transport/notices.ts";
import type { Connection } from "../../../raft/transport/transport.ts";
import {
  heartbeat,
  RecordingLogger,
  seededRandom,
  TestHost,
  VirtualClock,
  WatchedNetwork,
} from "./harness.ts";

const addressA = "10.0.0.1:7000";
const greeting: Greeting = {
  self: { nodeHostId: "s", incarnation: 4, raftAddress: "10.0.0.6:7000" },
  deploymentId: 1n,
};

Deno.test("decodeHello reads what encodeHello wrote", () => {
  const id = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(
      id,
      fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      fc.integer({ min: 0, max: 65_535 }),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.constantFrom("link" as const, "snapshot" as const),
      fc.constantFrom("hello" as const, "welcome" as const),
      (nodeHostId, incarnation, port, deploymentId, purpose, kind) => {
        const self = { nodeHostId, incarnation, raftAddress: `[::1]:${port}` };
        const frame = encodeHello(kind, { self, deploymentId }, purpose);
        assert.deepEqual(decodeHello(kind, frame), {
          versions: wireVersions,
          deploymentId,
          purpose,
          remote: self,
        });
        const other = kind === "hello" ? "welcome" : "hello";
        assert.equal(decodeHello(other, frame), undefined);
        assert.equal(decodeRefusal(frame), undefined);
      },
    ),
  );
});

Deno.test("decodeHello and decodeRefusal take any bytes for what they are, and never throw", () => {
  const hello = encodeHello("hello", greeting, "link");
  const refusal = encodeRefusal({ code: "self", reason: "no" }, greeting);
  assert.deepEqual(decodeRefusal(refusal), {
    code: "self",
    reason: "no",
    nodeHostId: "s",
  });
  for (let cut = 0; cut < hello.length; cut++) {
    assert.equal(decodeHello("hello", hello.subarray(0, cut)), undefined);
  }
  for (let cut = 0; cut < refusal.length; cut++) {
    assert.equal(decodeRefusal(refusal.subarray(0, cut)), undefined);
  }
  const change = fc.tuple(fc.nat(), fc.nat(255));
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 4 }),
      fc.uint8Array({ maxLength: 100 }),
      (changes, bytes) => {
        for (const frame of [hello.slice(), refusal.slice(), bytes]) {
          for (const [at, value] of changes) {
            if (frame.length > 0) frame[at % frame.length] = value;
          }
          const read = decodeHello("hello", frame);
          if (read !== undefined) {
            assert(Number.isSafeInteger(read.remote.incarnation));
            assert(read.remote.nodeHostId.length > 0);
          }
          decodeRefusal(frame);
        }
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("decodeHello ignores what a later version adds, and findMisfit asks for a version in common (rule I6)", () => {
  const frame = encodeHello("hello", greeting, "link");
  const longer = new Uint8Array(frame.length + 20);
  longer.set(frame);
  const read = decodeHello("hello", longer);
  assert.equal(read?.remote.nodeHostId, "s");
  const self = { ...greeting.self, nodeHostId: "t" };
  const us = { self, deploymentId: 1n };
  assert.equal(findMisfit(read!, us), undefined);
  const { highest } = wireVersions;
  const later = { lowest: highest + 1, highest: highest + 3 };
  assert.deepEqual(findMisfit({ ...read!, versions: later }, us), {
    code: "version",
    reason: `wire versions 3-5 and 1-2 have none in common`,
  });
  const both = { lowest: highest, highest: highest + 1 };
  assert.equal(findMisfit({ ...read!, versions: both }, us), undefined);
});

Deno.test("A hello and a welcome choose the newest version that both sides speak (rule I6)", () => {
  const older = { ...greeting, versions: { lowest: 1, highest: 1 } };
  const later = { lowest: 2, highest: 7 };
  const hello = (versions: VersionRange) =>
    decodeHello("hello", encodeHello("hello", greeting, "link", versions))!;
  assert.equal(versionInCommon(hello(wireVersions), greeting), 2);
  assert.equal(versionInCommon(hello(wireVersions), older), 1);
  assert.equal(versionInCommon(hello(older.versions), greeting), 1);
  assert.equal(versionInCommon(hello(later), greeting), 2);
  // An older release says so of itself, and a welcome names the one that was chosen.
  const said = decodeHello("hello", encodeHello("hello", older, "link"));
  assert.deepEqual(said?.versions, older.versions);
});

interface Scene {
  readonly clock: VirtualClock;
  readonly network: WatchedNetwork;
  readonly a: TestHost;
}

async function makeScene(): Promise<Scene> {
  const clock = new VirtualClock();
  const network = new WatchedNetwork(
    new MemoryNetwork({ defer: clock.defer }),
  );
  const a = new TestHost("a", addressA, { network, clock });
  await a.pool.listen();
  return { clock, network, a };
}

/** Connects as a stranger that says `frames`; tells what came back. */
async function visit(
  { clock, network }: Scene,
  frames: readonly Uint8Array[],
): Promise<{ connection: Connection; heard: string[] }> {
  const connecting = network.connect(addressA, new AbortController().signal);
  await clock.settle();
  const connection = await connecting;
  const heard: string[] = [];
  connection.start({
    onFrame: (frame) => {
      const refusal = decodeRefusal(frame);
      const welcome = decodeHello("welcome", frame);
      heard.push(
        refusal?.code ?? (welcome && "welcome") ?? `frame ${frame[0]}`,
      );
    },
    onClose: (reason) => heard.push(reason),
  });
  for (const frame of frames) connection.send([frame]);
  await clock.settle();
  return { connection, heard };
}

Deno.test("LinkPool refuses what is no hello, by name, and harms nothing", async () => {
  const scene = await makeScene();
  const { clock, a } = scene;
  const hello = encodeHello("hello", greeting, "link");
  const wrongMagic = hello.slice();
  wrongMagic[1]! ^= 1;
  const wrongVersion = hello.slice();
  wrongVersion[5] = 9;
  wrongVersion[7] = 9;
  const garbage = new TextEncoder().encode("GET / HTTP/1.1\r\n");
  const welcome = encodeHello("welcome", greeting, "link");
  const ended = "closed by the other end";
  for (const frame of [garbage, wrongMagic, welcome, hello.subarray(0, 20)]) {
    const { heard } = await visit(scene, [frame]);
    assert.deepEqual(heard, ["malformed", ended]);
  }
  const { heard } = await visit(scene, [wrongVersion]);
  assert.deepEqual(heard, ["version", ended]);
  assert.equal(a.logger.lines.length, 2, "each reason once");
  assert.match(
    a.logger.lines[1]!,
    /wire versions 9 and 1-2 have none in common/,
  );
  const good = await visit(scene, [hello]);
  assert.deepEqual(good.heard, ["welcome"]);
  assert(a.pool.linkOf("s")?.isUp);
  // On a link, too, what is no record ends the connection and nothing else.
  good.connection.send([new Uint8Array([16, 99, 1, 2])]);
  await clock.settle();
  assert.deepEqual(good.heard, ["welcome", ended]);
  assert.match(a.told.at(-2)!, /^down 10.0.0.6:7000 not a record: /);
  const strange = await visit(scene, [hello]);
  strange.connection.send([new Uint8Array([18])]);
  await clock.settle();
  assert.deepEqual(strange.heard, ["welcome", ended]);
  assert.match(a.told.at(-1)!, /not a frame of a link: its kind is 18/);
  a.close();
  await clock.settle();
  assert.equal(clock.timerCount, 0);
});

Deno.test("LinkPool turns a stranger away that says nothing for five seconds", async () => {
  const scene = await makeScene();
  const { clock, a } = scene;
  const { heard } = await visit(scene, []);
  await clock.advance(4_400);
  assert.deepEqual(heard, []);
  await clock.advance(700);
  assert.deepEqual(heard, ["closed by the other end"]);
  assert.match(a.logger.lines.join(), /no handshake in time/);
  assert.equal(clock.timerCount, 0, "time is counted only for somebody");
  a.close();
  await clock.settle();
});

Deno.test("LinkPool keeps at most 64 strangers, 16 of one machine, and still lets a NodeHost in", async () => {
  const scene = await makeScene();
  const { clock, network, a } = scene;
  network.from = "10.9.9.1:1000";
  const early = await visit(scene, []);
  network.from = undefined;
  for (let i = 0; i < 100; i++) await visit(scene, []);
  assert.equal(network.open.size, 2 * 17);
  assert.equal(a.logger.lines.length, 1, "one line for one machine");
  assert.deepEqual(early.heard, [], "others go on");
  for (let i = 0; i < 200; i++) {
    network.from = `10.9.${i % 50}.2:${1000 + i}`;
    await visit(scene, []);
  }
  network.from = undefined;
  assert.equal(network.open.size, 2 * 64);
  const b = new TestHost("b", "10.0.0.2:7000", { network, clock });
  b.send(addressA, heartbeat(1));
  await clock.settle();
  assert(b.pool.linkTo(addressA).isUp);
  b.close();
  a.close();
  await clock.settle();
  assert.equal(network.open.size, 0);
  assert.equal(clock.timerCount, 0);
});

Deno.test("LinkPool bounds the connections that come in, in all and of one machine, and says so", async () => {
  const scene = await makeScene();
  const { clock, network } = scene;
  scene.a.close();
  const refused: string[] = [];
  const logger = new RecordingLogger();
  const pool = new LinkPool({
    network,
    clock,
    random: seededRandom(1),
    logger,
    self: { nodeHostId: "a", incarnation: 1, raftAddress: addressA },
    deploymentId: 1n,
    listenAddress: addressA,
    maxFrameBytes: 1024 * 1024,
    maxConnections: 16,
    handlers: {
      onRecord: () => {},
      onFrameEnd: () => {},
      onLinkUp: () => {},
      onLinkDown: () => {},
      onSnapshotConnection: (_remote, connection) =>
        connection.start({ onFrame: () => {}, onClose: () => {} }),
      onRefused: ({ code, reason }) => refused.push(`${code}: ${reason}`),
    },
  });
  await pool.listen();
  // Known NodeHosts, too, may open only so many.
  const hello = encodeHello("hello", greeting, "snapshot");
  const visits: { connection: Connection; heard: string[] }[] = [];
  const come = async (host: number) => {
    network.from = `10.1.1.${host}:${2000 + visits.length}`;
    visits.push(await visit(scene, [hello]));
    network.from = undefined;
    return visits.at(-1)!.heard;
  };
  const ended = "closed by the other end";
  for (let i = 0; i < 4; i++) assert.deepEqual(await come(1), ["welcome"]);
  assert.deepEqual(await come(1), [ended]);
  assert.match(refused.pop()!, /^busy: 4 connections from its address/);
  for (let i = 0; i < 12; i++) {
    assert.deepEqual(await come(2 + i % 4), ["welcome"]);
  }
  assert.deepEqual(await come(9), [ended]);
  assert.match(refused.pop()!, /^busy: 16 connections are open/);
  visits[0]!.connection.close();
  await clock.settle();
  assert.deepEqual(await come(9), ["welcome"], "one that ended makes room");
  pool.close();
  assert.equal(logger.lines.length, 2);
  for (const { connection } of visits) connection.close();
  await clock.settle();
  assert.equal(clock.timerCount, 0);
});

Deno.test("LinkPool keeps what arrives right behind a handshake", async () => {
  const scene = await makeScene();
  const { clock, a } = scene;
  const hello = encodeHello("hello", greeting, "link");
  const ping = new Uint8Array([17]);
  const { heard } = await visit(scene, [hello, ping, ping]);
  assert.deepEqual(heard, ["welcome"]);
  assert.equal(a.logger.lines.length, 0);
  const snapshot = encodeHello("hello", greeting, "snapshot");
  const frames: number[] = [];
  a.onSnapshot = (connection) =>
    connection.start({
      onFrame: (frame) => frames.push(frame.length),
      onClose: () => {},
    });
  await visit(scene, [snapshot, new Uint8Array(7), new Uint8Array(9)]);
  assert.deepEqual(frames, [7, 9]);
  a.close();
  a.snapshots[0]?.connection.close();
  await clock.settle();
});

Deno.test("Notices tells the same thing once a minute, and only so many things", () => {
  const clock = new VirtualClock();
  const logger = new RecordingLogger();
  const notices = new Notices(logger, clock);
  for (let i = 0; i < 10; i++) notices.warn("one", "one", {});
  assert.equal(logger.lines.length, 1);
  clock.pause(60_000);
  notices.warn("one", "one", {});
  assert.equal(logger.lines.length, 2);
  for (let i = 0; i < 10_000; i++) notices.warn(`${i}`, `${i}`, {});
  assert.equal(logger.lines.length, 257);
  clock.pause(60_000);
  notices.warn("one", "one", {});
  assert.equal(logger.lines.length, 258);
});
