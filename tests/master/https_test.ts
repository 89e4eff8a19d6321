/** Masters over TLS: whom a client trusts, what it says when it does not, and clients that have to show who they are. */
import { assert } from "../deps.ts";
import { HttpMasterClient, httpMasterClient } from "../../master/client.ts";
import type { Master } from "../../master/server.ts";
import { RaftError } from "../../raft/errors.ts";
import { Authority, type Pair } from "../support/certificates.ts";
import { Hosts } from "../support/hosts.ts";
import { connect, createTlsServer } from "./deps.ts";
import { cluster, report, withStore } from "./fixtures.ts";
import { isFar, masterOver } from "./instances.ts";

const token = "0123456789abcdef0123456789abcdef";
const authority = new Authority("ours");
const localhost = { name: "master", hosts: ["localhost"] };

type Trust = Parameters<typeof Deno.createHttpClient>[0];
type Fetch = (request: Request) => Promise<Response>;

/** A `fetch` as users would make one, while `work` runs. */
async function withTrust(
  trust: Trust,
  work: (send: Fetch) => Promise<void>,
): Promise<void> {
  using client = Deno.createHttpClient(trust);
  await work((request) => fetch(request, { client }));
}

/** Serves `master` over TLS while `work` runs. */
async function serving(
  master: Master,
  { cert, key }: Pair,
  work: (url: string) => Promise<void>,
): Promise<void> {
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    cert,
    key,
    onListen: () => {},
  }, (request) => master.fetch(request));
  try {
    await work(`https://localhost:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

const isUnreached = (error: unknown) =>
  error instanceof RaftError && error.code === "notReady";

Deno.test("A client reports over HTTPS to a master whose certificate it trusts, and tells nobody else anything", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store, token });
    await serving(master, authority.issue(localhost), async (url) => {
      const caCerts = [authority.cert];
      await withTrust({ caCerts }, async (send) => {
        const client = new HttpMasterClient({ fetch: send, token });
        const id = await client.getDeploymentId(url);
        assert.equal(id, await store.deploymentId());
        const info = report(1, [cluster(1, 1)]);
        const { accepted } = await client.sendNodeHostInfo(url, info);
        assert.equal(accepted, true);
        // Under a name that the certificate does not have.
        const other = url.replace("localhost", "127.0.0.1");
        await assert.rejects(client.getDeploymentId(other), isUnreached);
        await client.stop();
      });
      const stranger = new Authority("somebody's");
      await withTrust({ caCerts: [stranger.cert] }, async (send) => {
        const client = new HttpMasterClient({ fetch: send, token });
        await assert.rejects(client.getDeploymentId(url), (error) => {
          assert.ok(isUnreached(error));
          assert.match((error as Error).message, /certificate/i);
          assert.ok(!(error as Error).message.includes(token));
          return true;
        });
        const info = report(2, [cluster(1, 2)]);
        await assert.rejects(client.sendNodeHostInfo(url, info), isUnreached);
        await client.stop();
      });
    });
    const hosts = await store.nodeHosts();
    assert.deepEqual(hosts.map(({ nodeHostId }) => nodeHostId), ["host-1"]);
  });
});

Deno.test(
  "NodeHosts are known to a master over HTTPS after their first report",
  { sanitizeOps: !isFar, sanitizeResources: !isFar },
  async () => {
    await withStore(async (store) => {
      const master = masterOver({ store, token });
      await serving(master, authority.issue(localhost), async (url) => {
        await withTrust({ caCerts: [authority.cert] }, async (send) => {
          await using hosts = new Hosts();
          for (const n of [1, 2, 3]) {
            await hosts.open(n, {
              masterServers: [url],
              masterClientFactory: httpMasterClient({ fetch: send, token }),
              reportPeriodMs: 500,
            });
          }
          const ids = [1, 2, 3].map((n) => hosts.host(n).nodeHostId).sort();
          let known: string[] = [];
          for (let turn = 0; turn < 1_000 && known.length < 3; turn++) {
            await new Promise((resolve) => setTimeout(resolve, 10));
            known = (await store.nodeHosts()).map((one) => one.nodeHostId);
          }
          assert.deepEqual(known.sort(), ids);
        });
      });
    });
  },
);

Deno.test(
  "A client shows its certificate to what stands before a master and wants one; without one, or with another's, it is turned away",
  // No server of Deno 2.5 asks for certificates.
  { ignore: Deno.version.deno.startsWith("2.5.") },
  async () => {
    await withStore(async (store) => {
      const master = masterOver({ store, token });
      const plain = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen: () => {} },
        (request) => master.fetch(request),
      );
      const { cert, key } = authority.issue(localhost);
      const server = createTlsServer({
        cert,
        key,
        ca: authority.cert,
        requestCert: true,
        rejectUnauthorized: true,
      }, (outside) => {
        const inside = connect(plain.addr.port, "127.0.0.1");
        for (const socket of [outside, inside]) {
          socket.on("error", () => {
            outside.destroy();
            inside.destroy();
          });
        }
        outside.pipe(inside);
        inside.pipe(outside);
      });
      server.on("tlsClientError", () => {});
      await new Promise<void>((resolve) =>
        server.listen(0, "127.0.0.1", () => resolve())
      );
      const { port } = server.address() as { port: number };
      const url = `https://localhost:${port}`;
      const caCerts = [authority.cert];
      try {
        const ours = authority.issue({ name: "nodehost-1" });
        await withTrust({ caCerts, ...ours }, async (send) => {
          const client = new HttpMasterClient({ fetch: send, token });
          const info = report(1, [cluster(1, 1)]);
          const { accepted } = await client.sendNodeHostInfo(url, info);
          assert.equal(accepted, true);
          await client.stop();
        });
        const theirs = new Authority("somebody's").issue({
          name: "nodehost-2",
        });
        for (const shown of [{}, theirs]) {
          await withTrust({ caCerts, ...shown }, async (send) => {
            const client = new HttpMasterClient({ fetch: send, token });
            const info = report(2, [cluster(1, 2)]);
            await assert.rejects(
              client.sendNodeHostInfo(url, info),
              isUnreached,
            );
            await client.stop();
          });
        }
      } finally {
        await new Promise((resolve) => server.close(resolve));
        await plain.shutdown();
      }
      const hosts = await store.nodeHosts();
      assert.deepEqual(hosts.map(({ nodeHostId }) => nodeHostId), ["host-1"]);
    });
  },
);
