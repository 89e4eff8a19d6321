/** Who is turned away by mutual TLS, on which side, and whether the reason is one that an operator can act on. */
import { assert } from "../../deps.ts";
import { denoPorts } from "../../../raft/deno_ports.ts";
import type { HostEvent } from "../../../raft/events.ts";
import { NodeHost } from "../../../raft/nodehost.ts";
import { splitAddress } from "../../../raft/transport/address.ts";
import { TcpNetwork } from "../../../raft/transport/tcp.ts";
import { hasClientCertificates } from "../../../raft/transport/tls.ts";
import type { TlsSettings } from "../../../raft/transport/tls_settings.ts";
import type {
  Connection,
  Listener,
  SecureNetwork,
  TurnedAway,
} from "../../../raft/transport/transport.ts";
import { Authority, type Pair } from "../../support/certificates.ts";
import { Counter, freePort, KeptLog, until } from "../../support/hosts.ts";
import { type ConnectionOptions, createTlsServer, tlsConnect } from "./deps.ts";

const never = new AbortController().signal;
const ours = new Authority("our authority");
const theirs = new Authority("their authority");
const local = { hosts: ["127.0.0.1"] };
const good = ours.issue({ name: "good", ...local });
const alien = theirs.issue({ name: "alien", ...local });
const expired = ours.issue({
  name: "expired",
  ...local,
  fromDays: -9,
  toDays: -1,
});
const early = ours.issue({ name: "early", ...local, fromDays: 1 });
const elsewhere = ours.issue({
  name: "elsewhere",
  hosts: ["10.1.1.1", "node.test"],
});

const site = ours.issue({ name: "site", hosts: ["127.0.0.1"], purposes: [1] });
const user = ours.issue({ name: "user", hosts: ["127.0.0.1"], purposes: [2] });

async function secured(pair: Pair = good): Promise<SecureNetwork> {
  const network = new TcpNetwork().secure({ ca: ours.cert, ...pair });
  await network.open("127.0.0.1:1");
  return network;
}

/** Whether this Deno asks clients for certificates; older ones do not. */
const isSupported = hasClientCertificates();

function tlsTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, ignore: !isSupported });
}

Deno.test({
  name:
    "A Deno that asks nobody for a certificate is told so, rather than letting everybody in",
  ignore: isSupported,
  fn: () =>
    assert.rejects(secured(), {
      code: "rejected",
      message: /does not ask a client for its certificate/,
    }),
});

/** A listener that remembers whom it turned away, and whom not. */
class Door {
  readonly turnedAway: TurnedAway[] = [];
  readonly accepted: Connection[] = [];
  listener: Listener | undefined;

  static async open(network: SecureNetwork): Promise<Door> {
    const door = new Door();
    door.listener = await network.listen(
      "127.0.0.1:0",
      (connection) => {
        connection.start({ onFrame: () => {}, onClose: () => {} });
        door.accepted.push(connection);
      },
      (stranger) => door.turnedAway.push(stranger),
    );
    return door;
  }

  get address(): string {
    return this.listener!.address;
  }

  close(): void {
    this.listener!.close();
    for (const connection of this.accepted) connection.close();
  }
}

/** Connects without any check of its own, and resolves when the connection is over. */
function knock(address: string, options: ConnectionOptions): Promise<void> {
  const { hostname, port } = splitAddress(address);
  const socket = tlsConnect({
    host: hostname,
    port,
    rejectUnauthorized: false,
    ...options,
  });
  return new Promise((resolve) => {
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
  });
}

tlsTest(
  "A listener turns away who has a wrong certificate, and says what is wrong with it",
  async () => {
    const door = await Door.open(await secured());
    const cases: [ConnectionOptions, RegExp][] = [
      [{}, /^it has no certificate$/],
      [alien, /\(alien, issued by their authority\) is not of an authority/],
      [expired, /\(expired\) has expired on /],
      [early, /\(early\) is valid only from /],
    ];
    for (const [options, reason] of cases) {
      await knock(door.address, options);
      const { code, reason: told, remoteAddress } = door.turnedAway.pop()!;
      assert.match(told, reason);
      assert.equal(code, "tls");
      assert.match(remoteAddress, /^127\.0\.0\.1:\d+$/);
    }
    assert.equal(door.accepted.length, 0);
    // Several at once: the verdict on one is not taken for that on another.
    const rounds = Array.from({ length: 40 }, (_, i) => cases[i % 4]![0]);
    await Promise.all(rounds.map((options) => knock(door.address, options)));
    assert.equal(door.turnedAway.length, 40);
    assert.equal(door.accepted.length, 0);
    door.close();
  },
);

tlsTest(
  "A listener names who speaks no TLS, or an older one, and says nothing of who only looks",
  async () => {
    const door = await Door.open(await secured());
    const looking = await Deno.connect(splitAddress(door.address));
    looking.close();
    const plain = await Deno.connect(splitAddress(door.address));
    await plain.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    await until("a word about it", () => door.turnedAway.length === 1);
    assert.match(door.turnedAway[0]!.reason, /what it sent is no TLS/);
    plain.close();
    await knock(door.address, { ...good, maxVersion: "TLSv1.2" });
    await until("a word about that", () => door.turnedAway.length === 2);
    assert.match(door.turnedAway[1]!.reason, /the TLS handshake failed/);
    assert.equal(door.accepted.length, 0);
    door.close();
  },
);

tlsTest(
  "Handshakes that do not come to an end are bounded in number, and end with their listener",
  async () => {
    const door = await Door.open(await secured());
    const silent: Deno.TcpConn[] = [];
    for (let i = 0; i < 64; i++) {
      silent.push(await Deno.connect(splitAddress(door.address)));
    }
    const extra = await Deno.connect(splitAddress(door.address));
    await until("it to be turned away", () => door.turnedAway.length > 0);
    assert.equal(door.turnedAway[0]!.code, "busy");
    door.close();
    for (const socket of [...silent, extra]) {
      assert.equal(
        await socket.read(new Uint8Array(1)).catch(() => null),
        null,
      );
      socket.close();
    }
  },
);

tlsTest(
  "Whoever dials turns away a server with a wrong certificate, and says what is wrong with it",
  async () => {
    const network = await secured();
    const cases: [Pair, RegExp][] = [
      [alien, /\(alien, issued by their authority\) is not of an authority/],
      [expired, /\(expired\) has expired on /],
      [elsewhere, /names .*10\.1\.1\.1.*, and not 127\.0\.0\.1$/],
    ];
    for (const [pair, reason] of cases) {
      const server = createTlsServer({ ...pair });
      await new Promise<void>((resolve) =>
        server.listen(0, "127.0.0.1", () => resolve())
      );
      server.on("tlsClientError", () => {});
      const { port } = server.address() as { port: number };
      await assert.rejects(
        network.connect(`127.0.0.1:${port}`, never),
        (error) =>
          error instanceof Error && error.name === "PeerRefusedError" &&
          reason.test(error.message),
      );
      server.close();
    }
  },
);

tlsTest(
  "The other's certificate must name the host that it says it is reached at, on both sides",
  async () => {
    const door = await Door.open(await secured());
    const connection = await (await secured()).connect(door.address, never);
    connection.start({ onFrame: () => {}, onClose: () => {} });
    await until("the connection", () => door.accepted.length === 1);
    for (const end of [connection, door.accepted[0]!]) {
      assert.equal(end.refusePeer?.("127.0.0.1:9"), undefined);
      assert.match(
        end.refusePeer?.("10.0.0.1:9") ?? "",
        /names .*127\.0\.0\.1.*, and not 10\.0\.0\.1/,
      );
    }
    connection.close();
    door.close();
  },
);

tlsTest(
  "Certificates of no use are refused when the NodeHost is opened, with what to do about it",
  async () => {
    const open = (settings: Partial<TlsSettings>) =>
      new TcpNetwork().secure({ ca: ours.cert, ...good, ...settings })
        .open("127.0.0.1:1");
    const cases: [Partial<TlsSettings>, RegExp][] = [
      [
        { cert: "no/such/file.pem" },
        /tls\.cert: no\/such\/file\.pem cannot be/,
      ],
      [{ ca: "-----BEGIN nothing" }, /tls\.ca: there is no certificate/],
      [{ key: "-----BEGIN nothing" }, /tls\.key: it is no private key/],
      [{ key: alien.key }, /tls\.key: it is not the key of the certificate/],
      [expired, /tls\.cert: CN=expired has expired on/],
      [early, /tls\.cert: CN=early is valid only from/],
      [
        alien,
        /CN=alien was issued by CN=their authority, who is not in tls\.ca/,
      ],
      [elsewhere, /names .*node\.test.*, and not 127\.0\.0\.1/],
      [site, /tls\.cert: CN=site is not issued for clientAuth/],
      [user, /tls\.cert: CN=user is not issued for serverAuth/],
    ];
    for (const [settings, message] of cases) {
      await assert.rejects(open(settings), { code: "rejected", message });
    }
    await open({});
  },
);

/** Three NodeHosts over TLS on loopback, with their certificates in files. */
class SecureHosts implements AsyncDisposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "drakkar-tls-" });

  constructor() {
    Deno.writeTextFileSync(`${this.dir}/ca.pem`, ours.cert);
  }

  readonly addresses = [1, 2, 3].map(() => `127.0.0.1:${freePort()}`);
  readonly logs: KeptLog[] = [];
  readonly hosts: NodeHost[] = [];
  readonly events: HostEvent[][] = [];

  async open(i: number, pair: Pair): Promise<NodeHost> {
    const files = this.write(i, pair);
    const logger = this.logs[i] = new KeptLog();
    const { memoryStorage } = await import("../../../mod.ts");
    const host = await NodeHost.open({
      dir: "data",
      raftAddress: this.addresses[i]!,
      tickMs: 10,
      segmentBytes: 1024 * 1024,
      storage: memoryStorage(),
      logger,
      tls: files,
    }, denoPorts());
    this.hosts.push(host);
    const events: HostEvent[] = this.events[i] = [];
    const stream = host.events();
    (async () => {
      for await (const event of stream) events.push(event);
    })();
    await host.startCluster({
      clusterId: 1,
      nodeId: i + 1,
      initialMembers: Object.fromEntries(
        this.addresses.map((address, n) => [n + 1, address]),
      ),
      stateMachine: () => new Counter(),
    });
    return host;
  }

  write(i: number, pair: Pair): TlsSettings {
    const files = {
      ca: `${this.dir}/ca.pem`,
      cert: `${this.dir}/${i}.pem`,
      key: `${this.dir}/${i}.key`,
    };
    Deno.writeTextFileSync(files.cert, pair.cert);
    Deno.writeTextFileSync(files.key, pair.key);
    return files;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.hosts) await host.close();
    Deno.removeSync(this.dir, { recursive: true });
  }
}

tlsTest(
  "NodeHosts serve over mutual TLS, and take new certificates without a restart",
  async () => {
    await using world = new SecureHosts();
    for (let i = 0; i < 3; i++) {
      await world.open(i, ours.issue({ name: `host ${i}`, ...local }));
    }
    for (const host of world.hosts) {
      await host.waitReady(1, { timeoutMs: 20_000 });
    }
    assert.equal(
      (await world.hosts[0]!.propose(1, new Uint8Array([5]))).value,
      5,
    );
    assert.equal(await world.hosts[2]!.read(1, "total"), 5);
    const host = world.hosts[1]!;
    assert.equal(await host.reloadCertificates(), false, "nothing has changed");
    // One that is of no use changes nothing.
    world.write(1, expired);
    await assert.rejects(host.reloadCertificates(), {
      code: "rejected",
      message: /has expired/,
    });
    world.write(1, ours.issue({ name: "renewed", ...local }));
    assert.equal(await host.reloadCertificates(), true);
    const presented = await new Promise<string>((resolve) => {
      const socket = tlsConnect({
        ...splitAddress(host.raftAddress),
        host: "127.0.0.1",
        ca: ours.cert,
        ...good,
      }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
    });
    assert.equal(presented, "renewed");
    await world.hosts[0]!.propose(1, new Uint8Array([1]));
    assert.equal(await host.read(1, "total"), 6, "nobody was interrupted");
  },
);

tlsTest(
  "A NodeHost names in log and events whom it turned away, and a peer that calls itself what it is not",
  async () => {
    await using world = new SecureHosts();
    const host = await world.open(0, good);
    await knock(host.raftAddress, { ...alien });
    const aboutIt = () =>
      world.logs[0]!.lines.find((line) => /Cannot accept/.test(line));
    await until("the word about it", () => aboutIt() !== undefined);
    assert.match(
      aboutIt()!,
      /^warn.*Cannot accept a connection from 127\.0\.0\.1:\d+: its certificate \(alien, issued by their authority\)/,
    );
    assert.ok(
      world.events[0]!.some((event) =>
        event.type === "connectionRefused" && event.code === "tls" &&
        !event.isDialledHere
      ),
    );
    assert.equal(host.metrics.value("drakkar_connections_refused_total"), 1);
    // Its certificate is ours, but names another host than its raftAddress.
    const { encodeHello } = await import(
      "../../../raft/transport/handshake.ts"
    );
    const network = await secured();
    const connection = await network.connect(host.raftAddress, never);
    const answer = Promise.withResolvers<string>();
    connection.start({
      onFrame: (frame) => answer.resolve(new TextDecoder().decode(frame)),
      onClose: answer.resolve,
    });
    connection.send([
      encodeHello("hello", {
        self: {
          nodeHostId: "liar",
          incarnation: 1,
          raftAddress: "10.9.9.9:7000",
        },
        deploymentId: 1n,
      }, "link"),
    ]);
    assert.match(await answer.promise, /tls.*names .*, and not 10\.9\.9\.9/s);
    connection.close();
  },
);

Deno.test("`tls` is refused where it has no meaning, and by its parts", async () => {
  const { MemoryNetwork, memoryStorage } = await import("../../../mod.ts");
  const config = {
    dir: "d",
    raftAddress: "127.0.0.1:7001",
    storage: memoryStorage(),
    tls: { ca: ours.cert, ...good },
  };
  const ports = { ...denoPorts(), network: new MemoryNetwork() };
  await assert.rejects(NodeHost.open(config, ports), {
    name: "TypeError",
    message: /the network in `ports` has no TLS/,
  });
  for (
    const tls of [
      1,
      { ca: "a", cert: "b" },
      { ca: "a", cert: "b", key: 3 },
      { ca: "a", cert: "b", key: "c", more: "d" },
    ]
  ) {
    await assert.rejects(
      NodeHost.open({ ...config, tls: tls as TlsSettings }),
      TypeError,
    );
  }
  await assert.rejects(
    NodeHost.open({ ...config, tls: { ca: "", cert: "b", key: "c" } }),
    RangeError,
  );
});
