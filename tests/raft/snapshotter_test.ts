import { assert } from "../deps.ts";
import {
  decodeSnapshotFrame,
  encodeSnapshotFrame,
  snapshotChunkBytes,
  type SnapshotFrame,
} from "../../raft/codec/snapshot_chunk.ts";
import type { Connection } from "../../raft/transport/transport.ts";
import { crc32 } from "../../storage/deps.ts";
import {
  bodyOf,
  clusterId,
  metaAt,
  pattern,
  rejectsWith,
  sourceFolder,
  test,
  type World,
} from "./snapshot_world.ts";

test("sends a snapshot, and says so when it is durable", async (world) => {
  const state = pattern(3_000_000);
  await world.save(100, state);
  await world.send();
  assert.equal(world.received.length, 1);
  const { fileBytes, ...offer } = world.received[0]!;
  assert.ok(fileBytes > 3_000_000);
  assert.deepEqual(offer, {
    clusterId,
    from: 1,
    to: 2,
    term: 4,
    meta: metaAt(100),
    fingerprint: "abc",
    generation: 1,
  });
  assert.deepEqual(await bodyOf(world.targetStore, 2), state);
  world.targetDisk.crash({ below: () => 0 });
  assert.deepEqual(await bodyOf(world.targetStore, 2), state);
});

test("sends an empty state", async (world) => {
  await world.save(100, new Uint8Array(0));
  await world.send();
  assert.equal((await bodyOf(world.targetStore, 2)).length, 0);
});

test("streams 64 MiB to a slow disk and holds only a window of it", async (world) => {
  const { clock, targetDisk } = world;
  const piece = new Uint8Array(1024 * 1024);
  await world.source.save({
    clusterId,
    nodeId: 1,
    begin: () => ({
      meta: metaAt(100),
      write: async (writer) => {
        for (let mib = 0; mib < 64; mib++) await writer.write(piece);
      },
    }),
  });
  let written = 0;
  targetDisk.faults = {
    beforeWrite: (_path, _position, length) => {
      written += length;
    },
    beforeSync: () => clock.settle(30),
  };
  let sent = 0;
  let mostUnderWay = 0;
  const counting = countingNetwork(world, (bytes) => {
    sent += bytes;
    mostUnderWay = Math.max(mostUnderWay, sent - written);
  });
  const before = Deno.memoryUsage().rss;
  let mostGrown = 0;
  const watching = setInterval(() => {
    mostGrown = Math.max(mostGrown, Deno.memoryUsage().rss - before);
  }, 5);
  await world.send({ open: counting });
  clearInterval(watching);
  assert.equal(world.received.length, 1);
  assert.ok(sent > 64 * 1024 * 1024);
  assert.ok(mostUnderWay < 5 * 1024 * 1024, `${mostUnderWay} under way`);
  // Both hosts live here, and the collector takes its time.
  assert.ok(mostGrown < 256 * 1024 * 1024, `grew by ${mostGrown}`);
});

/** Tells how many bytes of chunks are sent. */
function countingNetwork(
  world: World,
  onSent: (bytes: number) => void,
): (signal: AbortSignal) => Promise<Connection> {
  return async (signal) => {
    const connection = await world.network.connect("target:1", signal);
    return wrap(connection, (parts) => {
      onSent(parts.length === 2 ? parts[1]!.length : 0);
      return parts;
    });
  };
}

/** A connection that changes what is sent; nothing is sent for undefined. */
function wrap(
  connection: Connection,
  change: (parts: readonly Uint8Array[]) => readonly Uint8Array[] | undefined,
): Connection {
  return {
    remoteAddress: connection.remoteAddress,
    get bufferedBytes() {
      return connection.bufferedBytes;
    },
    start: (handlers) => connection.start(handlers),
    send: (parts) => {
      const changed = change(parts);
      if (changed !== undefined) connection.send(changed);
    },
    drained: (bytes) => connection.drained(bytes),
    close: () => connection.close(),
  };
}

test("tells why an offer was refused", async (world) => {
  await world.save(100, pattern(10));
  world.onOffer = (offer) => `node ${offer.to} was removed`;
  await rejectsWith(
    world.send(),
    "rejected",
    /^Cannot send snapshot 100 of cluster 7 from node 1 to node 2 at target:1: the receiver refused it: node 2 was removed$/,
  );
  world.onOffer = () => {
    throw new Error("a bug");
  };
  await rejectsWith(world.send(), "rejected", /a bug$/);
  assert.deepEqual(world.files(), []);
});

test("refuses an offer while the disk is full, and takes it later (rule L5)", async (world) => {
  await world.save(100, pattern(1_000_000));
  world.targetDisk.capacityBytes = 0;
  await rejectsWith(world.send(), "rejected", /refused it: .*disk is full$/);
  world.targetDisk.capacityBytes = 500_000;
  await rejectsWith(world.send(), "rejected", /failed: .*disk is full$/);
  assert.deepEqual(world.files(), []);
  assert.equal(world.targetDisk.usedBytes, 0);
  world.targetDisk.capacityBytes = 2_000_000;
  await world.send();
  assert.deepEqual(world.files(), ["100.snap"]);
});

test("tells when the receiver's handler fails", async (world) => {
  await world.save(100, pattern(10));
  world.onReceived = () => {
    throw new Error("a bug");
  };
  await rejectsWith(world.send(), "rejected", /receiver failed: a bug$/);
});

test("gives up a receiver that says nothing (30 s)", async (world) => {
  await world.save(100, pattern(10));
  let closed = "";
  world.onConnection = (connection) =>
    connection.start({ onFrame: () => {}, onClose: (why) => closed = why });
  const sending = rejectsWith(
    world.send(),
    "timeout",
    /: no progress for 30000 ms$/,
  );
  await world.clock.settle();
  world.clock.advance(29_999);
  await world.clock.settle();
  assert.equal(closed, "");
  world.clock.advance(1);
  await sending;
  await world.clock.settle();
  assert.notEqual(closed, "");
});

test("gives up a receiver that stops half-way, but not one that is slow", async (world) => {
  await world.save(100, pattern(12_000_000));
  let syncs = 0;
  const gate = Promise.withResolvers<void>();
  world.targetDisk.faults = {
    beforeSync: () => ++syncs === 2 ? gate.promise : undefined,
  };
  const sending = rejectsWith(world.send(), "timeout", /no progress/);
  await world.clock.settle(300);
  assert.equal(syncs, 2);
  world.clock.advance(30_000);
  await sending;
  gate.resolve();
  await world.clock.settle();
  assert.deepEqual(world.files(), []);

  syncs = 1;
  world.targetDisk.faults = {
    beforeSync: async () => {
      world.clock.advance(20_000); // Slow, not stuck.
      await world.clock.settle();
    },
  };
  await world.send();
  assert.deepEqual(world.files(), ["100.snap"]);
});

test("gives up a sender that says nothing, and removes what came", async (world) => {
  await world.save(100, pattern(2_000_000));
  let sent = 0;
  const open = async (signal: AbortSignal) =>
    wrap(
      await world.network.connect("target:1", signal),
      (parts) => ++sent > 4 ? undefined : parts,
    );
  const controller = new AbortController();
  const sending = world.send({ open, signal: controller.signal });
  await world.clock.settle();
  assert.equal(world.files().length, 1);
  // Only the receiver's patience is at stake here.
  world.target.abortReceives(clusterId, 3, "another node");
  world.clock.advance(30_000);
  await assert.rejects(sending);
  await world.clock.settle();
  assert.deepEqual(world.files(), []);
});

test("drops a connection without an offer", async (world) => {
  const signal = new AbortController().signal;
  const connection = await world.network.connect("target:1", signal);
  let closed = false;
  connection.start({ onFrame: () => {}, onClose: () => closed = true });
  await world.clock.settle();
  world.clock.advance(30_000);
  await world.clock.settle();
  assert.equal(closed, true);
});

test("fails with dropped when the connection ends, and removes what came", async (world) => {
  await world.save(100, pattern(2_000_000));
  let accepted: Connection | undefined;
  const accept = world.onConnection;
  world.onConnection = (connection) => {
    accepted = connection;
    accept(connection);
  };
  world.targetDisk.faults = {
    beforeWrite: (_path, position) => {
      if (position > 1_000_000) accepted?.close();
    },
  };
  await rejectsWith(world.send(), "dropped", /connection ended/);
  await world.clock.settle();
  assert.deepEqual(world.files(), []);
  world.targetDisk.faults = {};
  await world.send();
  assert.deepEqual(world.files(), ["100.snap"]);
});

test("stops when the caller's signal is aborted, at any time", async (world) => {
  await world.save(100, pattern(2_000_000));
  const reason = new Error("no longer leader");
  world.targetDisk.faults = { beforeSync: () => world.clock.settle(100) };
  for (const turns of [0, 1, 2, 4, 8, 16]) {
    const controller = new AbortController();
    const sending = world.send({ signal: controller.signal });
    await world.clock.settle(turns);
    controller.abort(reason);
    await assert.rejects(sending, (error) => error === reason);
    await world.clock.settle();
    assert.deepEqual(world.files(), []);
  }
  const aborted = AbortSignal.abort(reason);
  await assert.rejects(
    world.send({ signal: aborted }),
    (error) => error === reason,
  );
});

test("passes on why no connection could be made", async (world) => {
  await world.save(100, pattern(10));
  await assert.rejects(
    world.send({ open: () => Promise.reject(new Error("refused")) }),
    /refused/,
  );
});

test("finds damage of its own file before the receiver does (rule L7)", async (world) => {
  await world.save(100, pattern(2_000_000));
  const file = world.sourceDisk.open(`${sourceFolder}/100.snap`);
  file.writeAt(Uint8Array.of(0x55), 1_500_000);
  await rejectsWith(
    world.send(),
    "corruption",
    /data\/snapshots\/7-1\/100\.snap at offset 1[0-9]+: /,
  );
  await world.clock.settle();
  assert.deepEqual(world.files(), []);
  await rejectsWith(
    world.send({ meta: metaAt(101) }),
    "corruption",
    /101\.snap: it is missing/,
  );
  await rejectsWith(
    world.send({ meta: { ...metaAt(100), term: 9 } }),
    "corruption",
    /it is of term 3, and the log has 9/,
  );
});

test("refuses what was damaged on the way", async (world) => {
  await world.save(100, pattern(2_000_000));
  const open = async (signal: AbortSignal) =>
    wrap(await world.network.connect("target:1", signal), (parts) => {
      if (parts.length < 2) return parts;
      const data = parts[1]!.slice();
      data[77] = (data[77] ?? 0) ^ 1;
      return [parts[0]!, data];
    });
  await rejectsWith(
    world.send({ open }),
    "rejected",
    /not well-formed \(crc\)/,
  );
  assert.deepEqual(world.files(), []);
});

/** What the second host answers to these frames. */
async function answers(
  world: World,
  frames: readonly (SnapshotFrame | Uint8Array)[],
): Promise<string[]> {
  const signal = new AbortController().signal;
  const connection = await world.network.connect("target:1", signal);
  const said: string[] = [];
  connection.start({
    onFrame: (bytes) => {
      const frame = decodeSnapshotFrame(bytes, crc32);
      said.push(
        typeof frame === "string"
          ? frame
          : "reason" in frame
          ? `${frame.kind}: ${frame.reason}`
          : frame.kind,
      );
    },
    onClose: () => {},
  });
  for (const frame of frames) {
    connection.send(
      frame instanceof Uint8Array ? [frame] : encodeSnapshotFrame(frame, crc32),
    );
  }
  await world.clock.settle();
  connection.close();
  await world.clock.settle();
  assert.deepEqual(world.files(), []);
  return said;
}

test("harms nothing when a sender breaks the protocol", async (world) => {
  await world.save(100, pattern(2_000_000));
  await world.save(200, new Uint8Array(14_000_000));
  const snapshot = world.sourceStore.open(clusterId, 1, 100);
  const offer: SnapshotFrame = {
    kind: "offer",
    offer: {
      clusterId,
      from: 1,
      to: 2,
      term: 4,
      meta: metaAt(100),
      fileBytes: snapshot.fileBytes,
      fingerprint: "",
      generation: 1,
    },
  };
  const chunk = (offset: number): SnapshotFrame => ({
    kind: "chunk",
    offset,
    data: snapshot.readChunk(offset, snapshotChunkBytes),
  });
  assert.deepEqual(await answers(world, [chunk(0)]), [
    "failed: a frame of kind chunk was not expected",
  ]);
  assert.deepEqual(await answers(world, [Uint8Array.of(99)]), [
    "failed: a frame is not well-formed (kind)",
  ]);
  assert.deepEqual(await answers(world, [offer, offer]), [
    "accept",
    "failed: a frame of kind offer was not expected",
  ]);
  assert.deepEqual(await answers(world, [offer, chunk(5)]), [
    "accept",
    "failed: offset 5 follows 0",
  ]);
  const small = { ...offer, offer: { ...offer.offer, fileBytes: 100 } };
  assert.deepEqual(await answers(world, [small, chunk(0)]), [
    "accept",
    "failed: there is more than the 100 bytes offered",
  ]);
  const noise: SnapshotFrame = {
    kind: "chunk",
    offset: 0,
    data: pattern(1_000),
  };
  const [first, second] = await answers(world, [offer, noise]);
  assert.equal(first, "accept");
  assert.match(second ?? "", /^failed: Cannot read snapshot being received/);
  const large = world.sourceStore.open(clusterId, 1, 200);
  const flood: SnapshotFrame[] = [
    {
      ...offer,
      offer: { ...offer.offer, meta: metaAt(200), fileBytes: large.fileBytes },
    },
  ];
  for (let at = 0; at < large.fileBytes; at += snapshotChunkBytes) {
    const data = large.readChunk(at, snapshotChunkBytes);
    flood.push({ kind: "chunk", offset: at, data });
  }
  world.targetDisk.faults = { beforeSync: () => new Promise(() => {}) };
  const said = await answers(world, flood);
  assert.equal(
    said.at(-1),
    "failed: the sender does not wait for progress",
  );
});

test("receives one snapshot per node: the newer of one term, and none of an older term", async (world) => {
  await world.save(100, pattern(6_000_000));
  const gate = Promise.withResolvers<void>();
  world.targetDisk.faults = { beforeSync: () => gate.promise };
  const first = rejectsWith(
    world.send(),
    "rejected",
    /receiver failed: a newer one is offered/,
  );
  await world.clock.settle(100);
  await rejectsWith(
    world.send({ term: 3 }),
    "rejected",
    /a snapshot of term 4 is being received/,
  );
  const second = world.send();
  await first;
  gate.resolve();
  await second;
  assert.deepEqual(world.files(), ["100.snap"]);
});

test(
  "refuses more than so many snapshots at a time",
  async (world) => {
    await world.save(100, pattern(6_000_000));
    const gate = Promise.withResolvers<void>();
    world.targetDisk.faults = { beforeSync: () => gate.promise };
    const first = world.send();
    await world.clock.settle(100);
    await rejectsWith(
      world.send({ to: 3 }),
      "rejected",
      /refused it: 1 snapshots are being received/,
    );
    gate.resolve();
    await first;
    await world.send({ to: 3 });
  },
  { maxConcurrentReceives: 1 },
);

test("gives up what is received for a node that stops", async (world) => {
  await world.save(100, pattern(6_000_000));
  const gate = Promise.withResolvers<void>();
  world.targetDisk.faults = { beforeSync: () => gate.promise };
  const sending = rejectsWith(
    world.send(),
    "rejected",
    /receiver failed: the node stops$/,
  );
  await world.clock.settle(100);
  world.target.abortReceives(clusterId, 2, "the node stops");
  await sending;
  gate.resolve();
  await world.clock.settle();
  assert.deepEqual(world.files(), []);
});

test("ends everything at close, and refuses what comes later", async (world) => {
  await world.save(100, pattern(6_000_000));
  const gate = Promise.withResolvers<void>();
  world.targetDisk.faults = { beforeSync: () => gate.promise };
  const sending = rejectsWith(world.send(), "dropped", /connection ended/);
  await world.clock.settle(100);
  world.target.close();
  await sending;
  await rejectsWith(world.send(), "dropped", /connection ended/);
  world.source.close();
  await rejectsWith(world.send(), "closed", /the host is closing/);
  await rejectsWith(world.save(1, pattern(1)), "closed", /closing/);
  gate.resolve();
  await world.clock.settle();
  assert.deepEqual(world.files(), []);
});

test(
  "lets so many sends through at a time, in order",
  async (world) => {
    await world.save(100, pattern(10));
    const order: number[] = [];
    let running = 0;
    let most = 0;
    world.onReceived = () => running--;
    const open = async (to: number, signal: AbortSignal) => {
      order.push(to);
      most = Math.max(most, ++running);
      await world.clock.settle(3);
      return await world.network.connect("target:1", signal);
    };
    const controller = new AbortController();
    const sends = [2, 3, 4, 5, 6, 7].map((to) =>
      world.send({
        to,
        open: (signal) => open(to, signal),
        ...(to === 5 ? { signal: controller.signal } : {}),
      })
    );
    controller.abort(new Error("not any more"));
    const results = await Promise.allSettled(sends);
    assert.deepEqual(order, [2, 3, 4, 6, 7]);
    assert.equal(most, 2);
    assert.deepEqual(
      results.map((result) => result.status).join(" "),
      "fulfilled fulfilled fulfilled rejected fulfilled fulfilled",
    );
  },
  { maxConcurrentSends: 2 },
);
