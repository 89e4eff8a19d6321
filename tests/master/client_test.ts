import { assert } from "../deps.ts";
import { HttpMasterClient, httpMasterClient } from "../../master/client.ts";
import type { HttpMasterClientOptions } from "../../master/client.ts";
import type { KvStore } from "../../master/kv_store.ts";
import { KvMasterClient, kvMasterClient } from "../../master/kv_client.ts";
import { openDenoKv } from "../../master/kv.ts";
import type {
  IMasterClient,
  MasterClientFactory,
  NodeHostInfo,
} from "../../master/protocol.ts";
import { RaftError } from "../../raft/errors.ts";
import { NodeHost } from "../../raft/nodehost.ts";
import { memoryStorage } from "../../storage/memory_file_system.ts";
import {
  cluster,
  FaultyKv,
  ManualClock,
  report,
  withStore,
} from "./fixtures.ts";
import {
  inThisProcess,
  masterOver,
  needsDisk,
  type Place,
} from "./instances.ts";

const url = "http://master:8080";
const token = "0123456789abcdef0123456789abcdef";
const byCode = (code: string) => (error: unknown) =>
  error instanceof RaftError && error.code === code;

/** A client whose requests go straight into a master on `store`, and the paths it asked for. */
function httpClient(
  store: KvStore,
  options: HttpMasterClientOptions = {},
): { client: HttpMasterClient; paths: string[] } {
  const master = masterOver({ store });
  const paths: string[] = [];
  const client = new HttpMasterClient({
    fetch: (request) => {
      paths.push(new URL(request.url).pathname);
      return master.fetch(request);
    },
    ...options,
  });
  return { client, paths };
}

/** The same checks over both clients. */
async function withEachClient(
  work: (
    parts: { client: IMasterClient; store: KvStore; clock: ManualClock },
  ) => Promise<void>,
  place: Place = {},
): Promise<void> {
  await withStore(async (store, kv, clock) => {
    const { client } = httpClient(store, { clock });
    await work({ client, store, clock });
    await client.stop();
    const shared = new FaultyKv(kv);
    shared.close = () => {};
    const direct = new KvMasterClient({
      openKv: () => Promise.resolve(shared),
      clock,
    });
    await work({ client: direct, store, clock });
    await direct.stop();
  }, place);
}

Deno.test("Both clients get the same deployment id", async () => {
  await withEachClient(async ({ client, store }) => {
    assert.equal(
      await client.getDeploymentId(url),
      await store.deploymentId(),
    );
  });
});

Deno.test("Both clients leave out the memberships that the master knows (master-reference 3)", async () => {
  await withEachClient(async ({ client, store }) => {
    const sent: NodeHostInfo[] = [];
    const original = Object.getPrototypeOf(store).report;
    Object.getPrototypeOf(store).report = function (info: NodeHostInfo) {
      sent.push(info);
      return original.call(this, info);
    };
    try {
      const incomplete = () =>
        sent.at(-1)!.clusterInfoList.map((info) => info.incomplete);
      const at = (configChangeIndex: number) =>
        report(1, [
          cluster(1, 1, { configChangeIndex }),
          cluster(2, 1, { pending: true, nodes: {}, configChangeIndex: 0 }),
        ]);
      const base = (await store.configChangeIndexes()).get(1) ?? 0;
      await client.sendNodeHostInfo(url, at(base + 10));
      assert.deepEqual(incomplete(), [false, false]);
      await client.sendNodeHostInfo(url, at(base + 10));
      assert.deepEqual(incomplete(), [true, false]);
      assert.deepEqual(sent.at(-1)!.clusterInfoList[0]!.nodes, {});
      await client.sendNodeHostInfo(url, at(base + 9)); // Behind: it would be ignored.
      assert.deepEqual(incomplete(), [true, false]);
      await client.sendNodeHostInfo(url, at(base + 11));
      assert.deepEqual(incomplete(), [false, false]);
      assert.equal((await store.configChangeIndexes()).get(1), base + 11);
    } finally {
      Object.getPrototypeOf(store).report = original;
    }
  }, inThisProcess("it sees what a master is sent"));
});

Deno.test("The HTTP client asks what the master knows only when it is ahead of that", async () => {
  await withStore(async (store) => {
    const { client, paths } = httpClient(store);
    const send = (configChangeIndex: number) =>
      client.sendNodeHostInfo(
        url,
        report(1, [cluster(1, 1, { configChangeIndex })]),
      );
    for (const index of [3, 3, 3, 8, 8]) await send(index);
    const [ask, tell] = ["/v1/cci", "/v1/report"];
    assert.deepEqual(paths, [ask, tell, tell, tell, ask, tell, tell]);
  });
});

Deno.test("Both clients tell a membership again that the master lost", async () => {
  await withStore(async (first) => {
    await withStore(async (second) => {
      const masters = [first, second].map((store) => masterOver({ store }));
      let current = 0;
      const client = new HttpMasterClient({
        fetch: (request) => masters[current]!.fetch(request),
      });
      const info = report(1, [cluster(1, 1)]);
      await client.sendNodeHostInfo(url, info);
      current = 1;
      await client.sendNodeHostInfo(url, info);
      assert.equal((await second.configChangeIndexes()).size, 0);
      await client.sendNodeHostInfo(url, info);
      assert.equal((await second.configChangeIndexes()).size, 1);
    });
  });
});

Deno.test("Both clients end a wait by signal, timeout and stop()", async () => {
  const hanging = new Promise<never>(() => {});
  const clock = new ManualClock();
  const clients = [
    () => new HttpMasterClient({ fetch: () => hanging, clock }),
    () => new KvMasterClient({ openKv: () => hanging, clock }),
  ];
  for (const make of clients) {
    const calls = [
      (client: IMasterClient, options?: { signal?: AbortSignal }) =>
        client.getDeploymentId(url, options),
      (client: IMasterClient, options?: { signal?: AbortSignal }) =>
        client.sendNodeHostInfo(url, report(1), options),
    ];
    for (const call of calls) {
      const client = make();
      const controller = new AbortController();
      const reason = new Error("enough");
      const aborted = assert.rejects(
        call(client, { signal: controller.signal }),
        (error) => error === reason,
      );
      controller.abort(reason);
      await aborted;
      await assert.rejects(
        call(client, { signal: controller.signal }),
        (error) => error === reason,
      );
      const late = assert.rejects(call(client), byCode("timeout"));
      clock.advance(5_000);
      await late;
      const stopped = assert.rejects(call(client), byCode("closed"));
      const stopping = client.name() === "http" && client.stop();
      if (!stopping) void client.stop(); // Its store never finishes opening.
      await stopped;
      await assert.rejects(call(client), byCode("closed"));
      await assert.rejects(client.handleMasterRequests(), byCode("closed"));
    }
  }
  assert.equal(clock.timerCount, 0);
});

Deno.test("Both clients reject wrong options at once", async () => {
  await withEachClient(async ({ client }) => {
    await assert.rejects(
      client.getDeploymentId(url, { timeoutMs: 0 }),
      RangeError,
    );
    await assert.rejects(
      client.sendNodeHostInfo(url, report(1), { timeoutMs: 1.5 }),
      RangeError,
    );
  });
});

Deno.test("The HTTP client over a socket, with a token, below a path", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store, token });
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      (request) => {
        const { method, headers, body } = request;
        const inner = request.url.replace("/deep/down", "");
        return master.fetch(new Request(inner, { method, headers, body }));
      },
    );
    const base = `http://127.0.0.1:${server.addr.port}/deep/down`;
    const client = httpMasterClient({ token })(undefined as never);
    const stranger = new HttpMasterClient();
    try {
      const id = await client.getDeploymentId(base);
      assert.equal(id, await store.deploymentId());
      assert.equal(await client.getDeploymentId(`${base}/`), id);
      await client.sendNodeHostInfo(base, report(1, [cluster(1, 1)]));
      assert.equal((await store.nodeHosts()).length, 1);
      await client.handleMasterRequests();
      await assert.rejects(stranger.getDeploymentId(base), byCode("rejected"));
    } finally {
      await client.stop();
      await stranger.stop();
      await server.shutdown();
    }
    await assert.rejects(
      new HttpMasterClient().getDeploymentId(base),
      byCode("notReady"),
    );
  });
});

Deno.test("The HTTP client says what a refusal means, and tells no secret", async () => {
  const answers: [Response, string][] = [
    [new Response("no", { status: 503 }), "notReady"],
    [new Response("no", { status: 429 }), "notReady"],
    [new Response("no", { status: 404 }), "rejected"],
    [new Response(null, { status: 302 }), "rejected"],
    [new Response("<html>"), "rejected"],
    [new Response("{}"), "rejected"],
    [new Response('{"deploymentId":7}'), "rejected"],
    [
      new Response(
        '{"code":"deployment-mismatch","detail":"it belongs to another"}',
        { status: 409 },
      ),
      "deploymentMismatch",
    ],
  ];
  for (const [response, code] of answers) {
    const client = new HttpMasterClient({ fetch: () => response });
    await assert.rejects(
      client.getDeploymentId("http://me:secret@master/?key=secret"),
      (error) =>
        byCode(code)(error) && !(error as Error).message.includes("secret"),
    );
  }
  const client = new HttpMasterClient();
  for (const bad of ["master:8080", "not a url", "ftp://master", ""]) {
    await assert.rejects(client.getDeploymentId(bad), TypeError);
  }
  assert.throws(() => httpMasterClient({ token: "a b" }), TypeError);
});

Deno.test("The HTTP client sends what a master of another deployment refuses", async () => {
  await withStore(async (store) => {
    const { client } = httpClient(store);
    await client.getDeploymentId(url);
    await assert.rejects(
      client.sendNodeHostInfo(url, report(1, [], { deploymentId: 5n })),
      byCode("deploymentMismatch"),
    );
  });
});

Deno.test("Reports of 1,000 clusters pass both clients", async () => {
  await withEachClient(async ({ client, store }) => {
    const clusters = Array.from({ length: 1_000 }, (_, i) => cluster(i + 1, 1));
    await client.sendNodeHostInfo(url, report(1, clusters));
    await client.sendNodeHostInfo(url, report(1, clusters));
    assert.equal((await store.clusters()).length, 1_000);
  });
});

Deno.test(
  "The KV client opens a file by its path, once, and closes it",
  needsDisk,
  async () => {
    const dir = await Deno.makeTempDir();
    const path = `${dir}/master.kv`;
    try {
      const clients = [1, 2, 3].map(() => kvMasterClient()(undefined as never));
      const ids = await Promise.all(
        clients.map((client) => client.getDeploymentId(path)),
      );
      assert.equal(new Set(ids).size, 1);
      await Promise.all(
        clients.map((client, i) =>
          client.sendNodeHostInfo(path, report(i + 1, [cluster(1, i + 1)]))
        ),
      );
      for (const client of clients) await client.stop();
      const kv = await openDenoKv(path);
      const hosts = await Array.fromAsync(kv.list({ prefix: ["h"] }));
      assert.equal(hosts.length, 3);
      kv.close();
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

/** Opens a NodeHost in memory, for which masters are nowhere. */
function openAt(
  server: string,
  masterClientFactory: MasterClientFactory,
): Promise<NodeHost> {
  return NodeHost.open({
    dir: "/data",
    raftAddress: "a:1",
    storage: memoryStorage(),
    masterServers: [server],
    masterClientFactory,
  }, { timeoutMs: 60_000 });
}

Deno.test("Opening does not wait for a master that no HTTP client can ever reach", async () => {
  const wrong = ["not a url", "ftp://master", "master:8080", "http://"];
  for (const server of wrong) {
    await assert.rejects(
      openAt(server, httpMasterClient()),
      (error) =>
        error instanceof TypeError &&
        error.message.startsWith(`Cannot use masterServers: "${server}" is `),
      server,
    );
  }
  await assert.rejects(
    openAt("ftp://user:secret@master?key=secret", httpMasterClient()),
    (error) => error instanceof TypeError && !/secret/.test(error.message),
  );
});

Deno.test(
  "Opening does not wait for a store that Deno KV can never open",
  needsDisk,
  async () => {
    const dir = await Deno.makeTempDir();
    const token = "DENO_KV_ACCESS_TOKEN";
    const before = Deno.env.get(token);
    Deno.env.delete(token);
    try {
      const wrong: [string, typeof RangeError | typeof TypeError, RegExp][] = [
        [
          "ftp://store",
          RangeError,
          /neither a path nor an http: or https: URL/,
        ],
        ["https://", RangeError, /neither a path nor an http: or https: URL/],
        [dir, RangeError, /is a folder/],
        [`${dir}/none/kv.db`, RangeError, /make .*\/none\/$/],
        [
          "https://store",
          TypeError,
          /token in the variable DENO_KV_ACCESS_TOKEN/,
        ],
      ];
      for (const [server, type, message] of wrong) {
        await assert.rejects(openAt(server, kvMasterClient()), (error) => {
          assert.ok(error instanceof type, String(error));
          assert.match(error.message, /^Cannot use masterServers: /);
          assert.match(error.message, message);
          return true;
        });
      }
      const client = new KvMasterClient();
      Deno.env.set(token, "0".repeat(24));
      for (const server of ["https://store", ":memory:", `${dir}/kv`, "kv"]) {
        client.checkServer(server);
      }
      // Who opens stores otherwise knows what a path is.
      const own = new KvMasterClient({ openKv: openDenoKv.bind(undefined) });
      own.checkServer("ftp://store");
      await client.stop();
      await own.stop();
    } finally {
      Deno.env.delete(token);
      if (before !== undefined) Deno.env.set(token, before);
      await Deno.remove(dir, { recursive: true });
    }
  },
);

Deno.test("The KV client tries again to open a store, and checks what it writes", async () => {
  let attempts = 0;
  const client = new KvMasterClient({
    openKv: (path) => {
      if (attempts++ === 0) {
        return Promise.reject(new RaftError("notReady", "x"));
      }
      return openDenoKv(path);
    },
  });
  await assert.rejects(client.getDeploymentId(":memory:"), byCode("notReady"));
  const id = await client.getDeploymentId(":memory:");
  assert.equal(await client.getDeploymentId(":memory:"), id);
  assert.equal(attempts, 2);
  await assert.rejects(
    client.sendNodeHostInfo(":memory:", report(1, [], { nodeHostId: "" })),
    RangeError,
  );
  await client.stop();
});

Deno.test(
  "A NodeHost that gave a secret once is believed with it only; an operator lets it give another one (M12)",
  needsDisk,
  async () => {
    await withStore(async (store, kv) => {
      const dir = await Deno.makeTempDir();
      try {
        const at = (name: string) => `${dir}/${name}`;
        const by = (secretFile?: string) =>
          httpClient(store, secretFile === undefined ? {} : { secretFile })
            .client;
        const send = (client: HttpMasterClient) =>
          client.sendNodeHostInfo(url, report(1));
        const own = by(at("own"));
        await send(own);
        await send(own);
        await send(by(at("own"))); // After a restart.
        const { mode } = await Deno.stat(at("own"));
        assert.equal(mode! & 0o777, 0o600);
        const secret = (await Deno.readTextFile(at("own"))).trim();
        assert.match(secret, /^[0-9a-f]{64}$/);
        const stored = JSON.stringify((await kv.get(["h", "host-1"])).value);
        assert.ok(!stored.includes(secret), "only its hash");

        const before = kv.counts.set;
        for (const stranger of [by(), by(at("other"))]) {
          await assert.rejects(send(stranger), byCode("rejected"));
        }
        assert.equal(kv.counts.set, before);
        await store.command({ type: "forgetHostSecret", hostId: "host-1" });
        await send(by(at("other")));
        await assert.rejects(send(own), byCode("rejected"));

        await Deno.writeTextFile(at("broken"), "short");
        await assert.rejects(send(by(at("broken"))), /it holds no secret/);
        const malformed = await masterOver({ store }).request("/v1/report", {
          method: "POST",
          body: JSON.stringify(report(1)),
          headers: {
            "content-type": "application/json",
            "x-drakkar-secret": "short",
          },
        });
        assert.equal(malformed.status, 400);
      } finally {
        await Deno.remove(dir, { recursive: true });
      }
    });
  },
);

Deno.test(
  "The token only enrols: a NodeHost with a ticket reports without it, and a stranger's costs the store nothing (M12)",
  needsDisk,
  async () => {
    await withStore(async (store, kv, clock) => {
      const dir = await Deno.makeTempDir();
      try {
        const token = "a-nodehosts-token-of-at-least-32-characters";
        const operatorToken = "an-operators-token-of-32-characters";
        const secretFile = `${dir}/own`;
        let master = masterOver({ store, token, operatorToken });
        const heads: string[] = [];
        const client = (options: HttpMasterClientOptions) =>
          new HttpMasterClient({
            ...options,
            fetch: (request) => {
              const header = request.headers.get("authorization") ?? "none";
              heads.push(header.split(" ")[0]!);
              return master.fetch(request);
            },
          });
        const send = (by: HttpMasterClient, n = 1) =>
          by.sendNodeHostInfo(url, report(n));
        await send(client({ secretFile, token }));
        await send(client({ secretFile }));
        await client({ secretFile }).getDeploymentId(url);
        assert.deepEqual(heads.splice(0), ["Bearer", "NodeHost", "NodeHost"]);
        assert.equal((await Deno.stat(secretFile)).mode! & 0o777, 0o600);

        // Another's name, another's secret, or one made up.
        const [secret, ticket] = (await Deno.readTextFile(secretFile)).split(
          "\n",
        );
        const before = { ...kv.counts };
        const other = await master.request("/v1/report", {
          method: "POST",
          body: JSON.stringify(report(2)),
          headers: {
            "content-type": "application/json",
            authorization: `NodeHost ${ticket}`,
            "x-drakkar-secret": secret!,
          },
        });
        assert.deepEqual(
          [other.status, (await other.json()).code],
          [403, "foreign-ticket"],
        );
        const stolen = `${dir}/stolen`;
        const madeUp = [
          `${"f".repeat(64)}\n${ticket}\n`,
          `${secret}\n${"0".repeat(64)}.host-1\n`,
          `${secret}\n${ticket!.replace("host-1", "host-2")}\n`,
          `${"e".repeat(64)}\n`,
        ];
        for (const text of madeUp) {
          await Deno.writeTextFile(stolen, text);
          await assert.rejects(
            send(client({ secretFile: stolen })),
            byCode("rejected"),
          );
        }
        assert.deepEqual(kv.counts, before);

        // What cannot be read still says that its NodeHost is alive (M5).
        const heardAt = async () =>
          ((await kv.get(["h", "host-1"])).value as { tick: number }).tick;
        await send(client({ secretFile }));
        clock.advance(20_000);
        await store.report(report(3));
        await store.report(report(3));
        clock.advance(20_000);
        await store.report(report(3));
        const old = await heardAt();
        for (const body of ["{", "x".repeat(4_194_305)]) {
          const { status } = await master.request("/v1/report", {
            method: "POST",
            body,
            headers: {
              "content-type": "application/json",
              authorization: `NodeHost ${ticket}`,
              "x-drakkar-secret": secret!,
            },
          });
          assert.ok(status === 400 || status === 413);
          assert.ok(await heardAt() > old);
        }

        // A ticket is no token: it neither looks nor commands.
        for (const path of ["/v1/nodehosts", "/v1/export"]) {
          const { status } = await master.request(path, {
            headers: {
              authorization: `NodeHost ${ticket}`,
              "x-drakkar-secret": secret!,
            },
          });
          assert.equal(status, 401, path);
        }

        // What an operator forgot is void with its ticket, and a token enrols anew.
        await store.command({ type: "forgetHostSecret", hostId: "host-1" });
        await assert.rejects(send(client({ secretFile })), byCode("rejected"));
        // Nor does whoever has it keep a NodeHost alive that is dead.
        clock.advance(20_000);
        for (const n of [3, 3]) await store.report(report(n));
        const last = await heardAt();
        const stranger = await master.request("/v1/report", {
          method: "POST",
          body: "{",
          headers: {
            "content-type": "application/json",
            authorization: `NodeHost ${ticket}`,
            "x-drakkar-secret": secret!,
          },
        });
        assert.deepEqual([stranger.status, await heardAt()], [400, last]);
        await send(client({ secretFile, token }));
        heads.length = 0;
        // The token that signed it is taken away: the client asks with its own.
        master = masterOver({
          store,
          token,
          operatorToken: `${operatorToken}-2`,
        });
        await assert.rejects(send(client({ secretFile })), byCode("rejected"));
        await send(client({ secretFile, token }));
        await send(client({ secretFile }));
        assert.deepEqual(heads, ["NodeHost", "NodeHost", "Bearer", "NodeHost"]);
      } finally {
        await Deno.remove(dir, { recursive: true });
      }
    });
  },
);

Deno.test("A master may want a secret of every NodeHost (M12)", async () => {
  await withStore(async (store, kv) => {
    const master = masterOver({ store, wantsSecrets: true });
    const status = async (headers: Record<string, string>) =>
      (await master.request("/v1/report", {
        method: "POST",
        body: JSON.stringify(report(1)),
        headers: { "content-type": "application/json", ...headers },
      })).status;
    assert.equal(await status({}), 403);
    assert.equal(kv.counts.getMany, 0);
    assert.equal(await status({ "x-drakkar-secret": "s".repeat(32) }), 200);
  });
});
