/** Whole NodeHosts on real ports: behind a translated address, and with strangers at the door. */
import { assert } from "../deps.ts";
import { crc32 } from "../../raft/deps.ts";
import { denoPorts } from "../../raft/deno_ports.ts";
import { RaftError } from "../../raft/errors.ts";
import { FrameHeaders } from "../../raft/transport/framing.ts";
import { decodeRefusal, encodeHello } from "../../raft/transport/handshake.ts";
import type { NodeHostConfig } from "../../raft/config.ts";
import { freePort, Hosts, until } from "../support/hosts.ts";

/** Hosts whose network is TCP. */
function tcpHosts(): Hosts {
  const hosts = new Hosts();
  const { clock, network } = denoPorts();
  hosts.clock = clock;
  hosts.network = network;
  return hosts;
}

/** Somebody else may take a free port before the host does: then it takes another one. */
async function onFreePort(
  open: (port: number) => Promise<unknown>,
): Promise<void> {
  for (let left = 10;; left--) {
    try {
      await open(freePort());
      return;
    } catch (error) {
      const isTaken = error instanceof RaftError &&
        error.message.includes("in use");
      if (!isTaken || left === 0) throw error;
    }
  }
}

/** Listens where the world looks for a NodeHost, and passes everything on to where that really listens. */
class Forwarder implements AsyncDisposable {
  readonly address: string;
  targetPort = 0;
  connections = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #sockets = new Set<Deno.TcpConn>();
  readonly #accepting: Promise<void>;
  readonly #pipes: Promise<unknown>[] = [];

  constructor() {
    this.address = `127.0.0.1:${this.#listener.addr.port}`;
    this.#accepting = this.#accept();
  }

  async #accept(): Promise<void> {
    for await (const outer of this.#listener) {
      this.#sockets.add(outer);
      this.#pipes.push(this.#pass(outer).catch(() => {}));
    }
  }

  async #pass(outer: Deno.TcpConn): Promise<void> {
    const hostname = "127.0.0.1";
    let inner: Deno.TcpConn;
    try {
      inner = await Deno.connect({ hostname, port: this.targetPort });
    } catch {
      return outer.close(); // Nobody is there yet.
    }
    this.#sockets.add(inner);
    this.connections++;
    // Either end closes the writer of the other; a side that is gone ends both.
    await Promise.allSettled([
      outer.readable.pipeTo(inner.writable),
      inner.readable.pipeTo(outer.writable),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting;
    for (const socket of this.#sockets) {
      try {
        socket.close();
      } catch {
        // The other side was first.
      }
    }
    await Promise.all(this.#pipes);
  }
}

Deno.test("NodeHosts that listen elsewhere than at their raftAddress are reached there, and known by it", async () => {
  await using forwarders = new AsyncDisposableStack();
  await using hosts = tcpHosts();
  const ways = new Map<number, Forwarder>();
  for (const n of [1, 2, 3]) {
    const forwarder = forwarders.use(new Forwarder());
    ways.set(n, forwarder);
    hosts.addresses.set(n, forwarder.address);
  }
  for (const n of [1, 2, 3]) {
    await onFreePort((port) => {
      ways.get(n)!.targetPort = port;
      return hosts.open(n, {
        listenAddress: `127.0.0.1:${port}`,
        tickMs: 20,
      });
    });
    await hosts.host(n).startCluster(hosts.cluster(n, 3));
  }
  for (const n of [1, 2, 3]) {
    await hosts.host(n).waitReady(1);
    await hosts.host(n).propose(1, Uint8Array.of(n));
  }
  const { members } = await hosts.host(2).getMembership(1);
  assert.deepEqual(
    members.map((member) => member.address),
    [1, 2, 3].map((n) => hosts.address(n)),
  );
  for (const n of [1, 2, 3]) {
    assert.equal(await hosts.host(n).read(1, "total"), 6);
    assert.equal(hosts.host(n).raftAddress, hosts.address(n));
    const known = () =>
      hosts.host(n).info().links.filter((link) => link.isUp)
        .map((link) => link.address);
    const others = [1, 2, 3].filter((other) => other !== n);
    await until("both links", () => known().length === 2);
    assert.deepEqual(
      known().sort(),
      others.map((other) => hosts.address(other)).sort(),
    );
  }
  const passed = [...ways.values()].map((way) => way.connections);
  const all = passed.reduce((sum, count) => sum + count);
  assert.ok(all >= 3, `each pair went through a forwarder, got ${passed}`);
});

/** The bytes of a frame with a handshake. */
function handshake(deploymentId: bigint): Uint8Array {
  const payload = encodeHello("hello", {
    self: {
      nodeHostId: "00112233445566778899aabbccddeeff",
      incarnation: 1,
      raftAddress: "127.0.0.1:9",
    },
    deploymentId,
  }, "link");
  const header = new FrameHeaders(crc32).make([payload], payload.length);
  return Uint8Array.of(...header, ...payload);
}

/** Sends something to an address, and reads until the other side closes. */
async function sendTo(
  address: string,
  bytes: Uint8Array,
): Promise<Uint8Array> {
  const [hostname, port] = address.split(":");
  const answer: number[] = [];
  using socket = await Deno.connect({
    hostname: hostname!,
    port: Number(port),
  });
  try {
    for (let at = 0; at < bytes.length;) {
      at += await socket.write(bytes.subarray(at));
    }
    const buffer = new Uint8Array(4096);
    for (;;) {
      const count = await socket.read(buffer);
      if (count === null) break;
      answer.push(...buffer.subarray(0, count));
    }
  } catch {
    // Closed with bytes unread, which resets it.
  }
  return Uint8Array.from(answer);
}

Deno.test("Garbage and strangers at the port of a NodeHost are refused, told once, and harm nobody", async () => {
  await using hosts = tcpHosts();
  const config: Partial<NodeHostConfig> = { tickMs: 20 };
  for (const n of [1, 2, 3]) {
    await onFreePort((port) => {
      hosts.addresses.set(n, `127.0.0.1:${port}`);
      return hosts.open(n, config);
    });
  }
  for (const n of [1, 2, 3]) {
    await hosts.host(n).startCluster(hosts.cluster(n, 3));
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  const attacked = hosts.leader();
  const address = hosts.address(attacked);
  const host = hosts.host(attacked);
  const linksBefore = () =>
    host.info().links.map((link) => [link.address, link.isUp]).sort();
  await until("both links", () => linksBefore().every(([, isUp]) => isUp));
  const links = linksBefore();

  // Half a handshake, and then nothing: as long as it is allowed to wait, it may not be in the way.
  const half = handshake(1n).subarray(0, 20);
  const [hostname, port] = address.split(":");
  using silent = await Deno.connect({
    hostname: hostname!,
    port: Number(port),
  });
  await silent.write(half);

  const noise = new Uint8Array(100_000);
  crypto.getRandomValues(noise.subarray(0, 65_536));
  noise.fill(0xff, 0, 4); // No length of a first frame, whatever the rest is.
  const damaged = handshake(1n);
  damaged[30]! ^= 1;
  let count = 0;
  for (let round = 1; round <= 3; round++) {
    for (
      const garbage of [
        noise,
        damaged,
        new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      ]
    ) {
      assert.deepEqual(await sendTo(address, garbage), new Uint8Array());
    }
    const answer = await sendTo(address, handshake(2n));
    const refusal = decodeRefusal(answer.subarray(8));
    assert.equal(refusal?.code, "deployment");
    assert.equal(refusal.nodeHostId, host.nodeHostId);
    for (const n of [1, 2, 3]) {
      const { value } = await hosts.host(n).propose(1, Uint8Array.of(1));
      assert.equal(value, ++count);
    }
  }
  const told = hosts.logs.get(attacked)!.lines.filter((line) =>
    line.startsWith("warn Cannot accept")
  );
  assert.equal(told.length, 2, told.join("\n"));
  assert.match(told[0]!, /Cannot accept a connection from .*: not a frame/);
  assert.match(told[1]!, /Cannot accept .*: deployments 2 and 1 differ/);
  assert.deepEqual(linksBefore(), links);
  for (const n of [1, 2, 3]) {
    assert.equal(await hosts.host(n).read(1, "total"), count);
  }

  // The one that is silent goes with the NodeHost; the test runner finds sockets that stay open.
  let isOver = false;
  const reading = silent.read(new Uint8Array(1)).catch(() => null).then(
    (count) => {
      isOver = true;
      return count;
    },
  );
  await hosts.close(attacked);
  await until("the end of the silent connection", () => isOver);
  assert.equal(await reading, null);
});
