/** What every network must do, held against each adapter; and what only TCP can do wrong. */
import { assert } from "../../deps.ts";
import { concatBytes } from "../../../raft/codec/bytes.ts";
import { splitAddress } from "../../../raft/transport/address.ts";
import { FrameHeaders } from "../../../raft/transport/framing.ts";
import { MemoryNetwork } from "../../../raft/transport/memory.ts";
import { TcpNetwork } from "../../../raft/transport/tcp.ts";
import { hasClientCertificates } from "../../../raft/transport/tls.ts";
import type {
  Connection,
  Listener,
  Network,
} from "../../../raft/transport/transport.ts";
import { crc32, setImmediate } from "./deps.ts";
import { randomFrom, VirtualClock } from "./harness.ts";
import { Authority } from "../../support/certificates.ts";

const never = new AbortController().signal;

/** One end that remembers, and lets a test wait for what it heard. */
class End {
  readonly connection: Connection;
  readonly frames: Uint8Array[] = [];
  reason: string | undefined;
  onFrame: (frame: Uint8Array) => void = () => {};
  #wake: () => void = () => {};

  constructor(connection: Connection) {
    this.connection = connection;
    connection.start({
      onFrame: (frame) => {
        this.frames.push(frame);
        this.onFrame(frame);
        this.#wake();
      },
      onClose: (reason) => {
        assert.equal(this.reason, undefined, "onClose comes once");
        this.reason = reason;
        this.#wake();
      },
    });
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  ended(): Promise<void> {
    return this.until(() => this.reason !== undefined);
  }
}

interface Joined {
  readonly listener: Listener;
  readonly dialled: End;
  readonly accepted: End;
}

async function join(network: Network): Promise<Joined> {
  const accepting = Promise.withResolvers<End>();
  const listener = await network.listen(
    "127.0.0.1:0",
    (connection) => accepting.resolve(new End(connection)),
  );
  const dialled = new End(await network.connect(listener.address, never));
  const accepted = await accepting.promise;
  return { listener, dialled, accepted };
}

async function part({ listener, dialled, accepted }: Joined): Promise<void> {
  listener.close();
  dialled.connection.close();
  accepted.connection.close();
  await Promise.all([dialled.ended(), accepted.ended()]);
}

function bytesOf(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 13 + seed) & 255;
  return bytes;
}

const authority = new Authority("the authority");
const pair = authority.issue({ name: "one", hosts: ["127.0.0.1"] });

const networks: Record<string, () => Network | Promise<Network>> = {
  TcpNetwork: () => new TcpNetwork({ maxFrameBytes: 8_000_000 }),
  TlsNetwork: async () => {
    const network = new TcpNetwork({ maxFrameBytes: 8_000_000 })
      .secure({ ca: authority.cert, ...pair });
    await network.open("127.0.0.1:1");
    return network;
  },
  MemoryNetwork: () => new MemoryNetwork({ maxFrameBytes: 8_000_000 }),
};

if (!hasClientCertificates()) delete networks.TlsNetwork;

for (const [name, make] of Object.entries(networks)) {
  Deno.test(`${name} carries frames of parts, whole and in order, both ways`, async () => {
    const joined = await join(await make());
    const { dialled, accepted, listener } = joined;
    assert.notEqual(splitAddress(listener.address).port, 0);
    assert.notEqual(dialled.connection.remoteAddress, "");
    const sizes = [1, 5, 100, 64_000, 63_991, 64_008, 3, 1_000_000, 200_000];
    for (const [from, to] of [[dialled, accepted], [accepted, dialled]]) {
      const expected: Uint8Array[] = [];
      for (const [i, size] of sizes.entries()) {
        const whole = bytesOf(size, i);
        const cut = size >> 1;
        from!.connection.send([whole.subarray(0, cut), whole.subarray(cut)]);
        expected.push(whole);
      }
      assert(from!.connection.bufferedBytes > 0);
      await to!.until(() => to!.frames.length === sizes.length);
      assert.deepEqual(
        to!.frames.map((frame) => crc32(frame)),
        expected.map((frame) => crc32(frame)),
      );
      await from!.connection.drained(0);
      assert.equal(from!.connection.bufferedBytes, 0);
    }
    await part(joined);
  });

  Deno.test(`${name} tells both sides that a connection ended, once, and drains what waits for it`, async () => {
    const joined = await join(await make());
    const { dialled, accepted } = joined;
    dialled.connection.send([bytesOf(10, 1)]);
    dialled.connection.send([bytesOf(7_000_000, 1)]);
    const drained = dialled.connection.drained(0);
    dialled.connection.close();
    assert.equal(dialled.reason, "closed here");
    await drained;
    await accepted.ended();
    assert.notEqual(accepted.reason, "");
    dialled.connection.send([bytesOf(10, 1)]);
    accepted.connection.send([bytesOf(10, 1)]);
    await dialled.connection.drained(0);
    await part(joined);
  });

  Deno.test(`${name} gives a frame's bytes away for good (rule B4)`, async () => {
    const joined = await join(await make());
    const { dialled, accepted } = joined;
    for (let i = 0; i < 2000; i++) {
      dialled.connection.send([bytesOf(1 + i % 700, i)]);
    }
    await accepted.until(() => accepted.frames.length === 2000);
    for (const [i, frame] of accepted.frames.entries()) {
      assert.deepEqual(frame, bytesOf(1 + i % 700, i));
    }
    await part(joined);
  });

  Deno.test(`${name} ends a connection on a frame that is too long`, async () => {
    const joined = await join(await make());
    joined.dialled.connection.send([bytesOf(10, 1)]);
    joined.dialled.connection.send([new Uint8Array(8_000_001)]);
    await joined.accepted.ended();
    assert.match(joined.accepted.reason!, /its length is 8000001/);
    await part(joined);
  });

  Deno.test(`${name} refuses to connect where nobody listens, and to listen twice`, async () => {
    const network = await make();
    const listener = await network.listen("127.0.0.1:0", () => {});
    const { address } = listener;
    await assert.rejects(
      network.listen(address, () => {}),
      { code: "EADDRINUSE" },
    );
    listener.close();
    listener.close();
    for (let i = 0; i < 20; i++) {
      // At once, and with another network, as a NodeHost that is opened again does.
      const next = name === "MemoryNetwork" ? network : await make();
      (await next.listen(address, () => {})).close();
    }
    await assert.rejects(
      network.connect(address, never),
      { code: /^ECONN(REFUSED|RESET)$/ },
    );
    await assert.rejects(network.listen("nonsense", () => {}), TypeError);
    await assert.rejects(network.connect("nonsense", never), TypeError);
  });

  Deno.test(`${name}.connect() ends with its signal`, async () => {
    const network = await make();
    const listener = await network.listen("127.0.0.1:0", (connection) => {
      new End(connection);
    });
    const reason = new Error("enough");
    await assert.rejects(
      network.connect(listener.address, AbortSignal.abort(reason)),
      reason,
    );
    const controller = new AbortController();
    const connecting = network.connect(listener.address, controller.signal);
    controller.abort(reason);
    await assert.rejects(connecting);
    listener.close();
  });
}

Deno.test("MemoryNetwork reaches a listener on all addresses, and gives each port once", async () => {
  const network = new MemoryNetwork();
  const listener = await network.listen("0.0.0.0:7000", (connection) => {
    new End(connection);
  });
  const end = new End(await network.connect("10.1.2.3:7000", never));
  end.connection.close();
  listener.close();
  await network.listen("h:49153", () => {});
  const ports = new Set<string>();
  for (let i = 0; i < 5; i++) {
    ports.add((await network.listen("h:0", () => {})).address);
  }
  assert.equal(ports.size, 5);
  assert(!ports.has("h:49153"));
});

/** A frame as TCP carries it. */
function framed(payload: Uint8Array): Uint8Array {
  const headers = new FrameHeaders(crc32);
  return concatBytes([headers.make([payload], payload.length), payload]);
}

async function rawClient(
  network: Network,
): Promise<{ listener: Listener; accepted: End; socket: Deno.TcpConn }> {
  const accepting = Promise.withResolvers<End>();
  const listener = await network.listen(
    "127.0.0.1:0",
    (connection) => accepting.resolve(new End(connection)),
  );
  const socket = await Deno.connect(splitAddress(listener.address));
  return { listener, accepted: await accepting.promise, socket };
}

Deno.test("TcpNetwork ends a connection that sends garbage, with the reason", async () => {
  const http = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");
  const damaged = framed(bytesOf(50, 1));
  damaged[30]! ^= 4;
  const longFirst = framed(bytesOf(5000, 1));
  for (
    const [bytes, reason] of [
      [http, /its length is/],
      [damaged, /its checksum does not match/],
      [longFirst, /its length is 5000, allowed are 1 to 4096/],
      [new Uint8Array(100), /its length is 0/],
    ] as const
  ) {
    const { listener, accepted, socket } = await rawClient(new TcpNetwork());
    await socket.write(bytes);
    await accepted.ended();
    assert.match(accepted.reason!, reason);
    assert.equal(accepted.frames.length, 0);
    socket.close();
    listener.close();
  }
});

Deno.test("TcpNetwork finds frames in whatever pieces they arrive, and none in half of one", async () => {
  const { listener, accepted, socket } = await rawClient(new TcpNetwork());
  socket.setNoDelay(true);
  const payloads = [bytesOf(3, 1), bytesOf(900, 2), bytesOf(40, 3)];
  const stream = concatBytes([
    ...payloads.map(framed),
    framed(bytesOf(60, 4)).subarray(0, 67),
  ]);
  for (let at = 0; at < stream.length; at += 13) {
    await socket.write(stream.subarray(at, at + 13));
  }
  await accepted.until(() => accepted.frames.length === 3);
  assert.deepEqual(accepted.frames, payloads);
  socket.close();
  await accepted.ended();
  assert.equal(accepted.reason, "closed by the other end");
  assert.equal(accepted.frames.length, 3);
  listener.close();
});

Deno.test("TcpNetwork holds back when the other side does not read, and goes on when it does", async () => {
  const { listener, accepted, socket } = await rawClient(new TcpNetwork());
  const { connection } = accepted;
  let sent = 0;
  // More than the buffers of both sockets hold.
  for (; sent < 40; sent++) connection.send([bytesOf(1_000_000, sent)]);
  let isDrained = false;
  const drained = connection.drained(1000).then(() => isDrained = true);
  for (let turns = 0; turns < 100; turns++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(isDrained, false);
  assert(connection.bufferedBytes > 1_000_000);
  const target = new Uint8Array(1_000_000);
  let received = 0;
  while (received < 40 * 1_000_008) received += await socket.read(target) ?? 0;
  await drained;
  await connection.drained(0);
  assert.equal(connection.bufferedBytes, 0);
  connection.close();
  socket.close();
  listener.close();
});

/** Writes a first frame and then the same frame for ever, from a thread of its own. */
const flooder =
  `self.onmessage = async ({ data: { hostname, port, first, frame } }) => {
  const socket = await Deno.connect({ hostname, port });
  socket.setNoDelay(true);
  try {
    await socket.write(first);
    while (true) {
      for (let done = 0; done < frame.length;) {
        done += await socket.write(frame.subarray(done));
      }
    }
  } catch {
    socket.close();
    self.postMessage("ended");
  }
};`;

Deno.test("TcpNetwork lets the event loop turn while a peer sends without end", async () => {
  let bytesInTurn = 0;
  let most = 0;
  let total = 0;
  const accepting = Promise.withResolvers<End>();
  const listener = await new TcpNetwork().listen(
    "127.0.0.1:0",
    (connection) => {
      const end = new End(connection);
      end.onFrame = (frame) => {
        bytesInTurn += frame.length;
        total += frame.length;
        end.frames.length = 0;
      };
      accepting.resolve(end);
    },
  );
  const url = URL.createObjectURL(new Blob([flooder]));
  const worker = new Worker(url, { type: "module" });
  const ended = new Promise((resolve) => worker.onmessage = resolve);
  worker.postMessage({
    ...splitAddress(listener.address),
    first: framed(bytesOf(10, 1)),
    frame: framed(bytesOf(60_000, 1)),
  });
  const { connection } = await accepting.promise;
  while (total < 300_000_000) {
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, bytesInTurn);
    bytesInTurn = 0;
  }
  connection.close();
  await ended;
  worker.terminate();
  URL.revokeObjectURL(url);
  listener.close();
  assert(most < 2_000_000, `${most} bytes in one turn`);
});

Deno.test("MemoryNetwork keeps the order of frames whatever the order of events", async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const clock = new VirtualClock();
    clock.pick = randomFrom(seed);
    const network = new MemoryNetwork({ defer: clock.defer });
    let accepted: End | undefined;
    const listener = await network.listen("h:1", (connection) => {
      accepted = new End(connection);
    });
    const connecting = network.connect("h:1", never);
    await clock.step();
    const dialled = new End(await connecting);
    // Some arrive before the other side has accepted, some before it has got those.
    for (let i = 1; i <= 6; i++) dialled.connection.send([new Uint8Array(i)]);
    dialled.connection.close();
    await clock.settle();
    assert.deepEqual(
      accepted?.frames.map((frame) => frame.length),
      [1, 2, 3, 4, 5, 6],
    );
    assert.equal(accepted?.reason, "closed by the other end");
    listener.close();
  }
});
