/**
 * Imports the project by URL, as its users do: from a script that has no configuration file, with an empty cache, and
 * with no more permissions than the README says.
 */
import { assert } from "./deps.ts";

const projectDir = new URL("..", import.meta.url);

interface FileServer extends AsyncDisposable {
  readonly origin: string;
  readonly host: string;
  /** Paths that were asked for. */
  readonly asked: Set<string>;
}

/** Serves the sources, and nothing else of the project: no deno.json, no deno.lock. */
function serveSources(): FileServer {
  const asked = new Set<string>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      asked.add(pathname);
      try {
        if (!pathname.endsWith(".ts")) throw new Error("not a source");
        const text = await Deno.readTextFile(
          new URL(`.${pathname}`, projectDir),
        );
        return new Response(text, {
          headers: { "content-type": "application/typescript" },
        });
      } catch {
        return new Response("There is nothing here", { status: 404 });
      }
    },
  );
  const host = `127.0.0.1:${server.addr.port}`;
  return {
    origin: `http://${host}`,
    host,
    asked,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function withFolder(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "drakkar-remote-" });
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

interface Run {
  readonly success: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs Deno in a folder without a configuration, with a cache of its own. */
async function deno(dir: string, args: string[]): Promise<Run> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: dir,
    env: { DENO_DIR: `${dir}/cache`, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  return {
    success,
    stdout: new TextDecoder().decode(stdout),
    stderr: new TextDecoder().decode(stderr),
  };
}

/** The first program of the README with one member. */
function program(origin: string, address: string): string {
  return `
import { NodeHost } from "${origin}/mod.ts";
import type { Entry, Result, SnapshotWriter, StateMachine } from "${origin}/mod.ts";

class Counter implements StateMachine {
  #total = 0;
  update(entry: Entry): Result {
    this.#total += entry.command[0] ?? 0;
    return { value: this.#total };
  }
  lookup(_query: unknown): number {
    return this.#total;
  }
  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    await writer.write(new TextEncoder().encode(String(this.#total)));
  }
  async recoverFromSnapshot(reader: ReadableStream<Uint8Array>): Promise<void> {
    this.#total = Number(await new Response(reader).text());
  }
}

await using host = await NodeHost.open({ dir: "data/1", raftAddress: "${address}" });
await host.startCluster({
  clusterId: 1,
  nodeId: 1,
  initialMembers: { 1: "${address}" },
  stateMachine: () => new Counter(),
});
await host.waitReady(1, { timeoutMs: 5_000 });
const { value } = await host.propose(1, new Uint8Array([5]));
const total = await host.read<number>(1, "total");
console.log(JSON.stringify({ value, total }));
`;
}

Deno.test("mod.ts works when it is imported by URL, with limited permissions", () =>
  withFolder(async (dir) => {
    await using server = serveSources();
    const address = `127.0.0.1:${freePort()}`;
    await Deno.writeTextFile(
      `${dir}/counter.ts`,
      program(server.origin, address),
    );
    await Deno.mkdir(`${dir}/data`);
    const run = () =>
      deno(dir, [
        "run",
        "--no-prompt",
        "--check",
        "--minimum-dependency-age=P30D",
        `--allow-import=${server.host}`,
        `--allow-net=${address}`,
        "--allow-read=data",
        "--allow-write=data",
        "counter.ts",
      ]);
    const first = await run();
    assert.ok(first.success, first.stderr);
    assert.deepEqual(JSON.parse(first.stdout), { value: 5, total: 5 });
    // What the log holds is there again the next time.
    const second = await run();
    assert.ok(second.success, second.stderr);
    assert.deepEqual(JSON.parse(second.stdout), { value: 10, total: 10 });
    const master = [...server.asked].filter((path) =>
      path.startsWith("/master/") && path !== "/master/protocol.ts"
    );
    assert.deepEqual(master, [], "a NodeHost needs nothing of the master");
  }));

Deno.test("mod.ts needs no package, and the master's clients need cbor-x only: Hono is never downloaded", () =>
  withFolder(async (dir) => {
    await using server = serveSources();
    const packagesOf = async (path: string): Promise<string[]> => {
      const { success, stdout, stderr } = await deno(dir, [
        "info",
        "--json",
        "--minimum-dependency-age=P30D",
        `--allow-import=${server.host}`,
        `${server.origin}${path}`,
      ]);
      assert.ok(success, stderr);
      const info = JSON.parse(stdout);
      const broken = info.modules.filter((one: { error?: string }) =>
        one.error
      );
      assert.deepEqual(broken, []);
      return Object.values(info.npmPackages as Record<string, { name: string }>)
        .map(({ name }) => name).sort();
    };
    assert.deepEqual(await packagesOf("/mod.ts"), []);
    const client = await packagesOf("/master/mod.ts");
    assert.ok(client.includes("cbor-x"), client.join(", "));
    const strange = client.filter((name) => !name.includes("cbor"));
    const tools = ["detect-libc", "node-gyp-build-optional-packages"];
    assert.deepEqual(strange.filter((name) => !tools.includes(name)), []);
    assert.ok(!server.asked.has("/master/server.ts"));
  }));

Deno.test("The master and drakkar run when they are imported by URL, without a configuration file", () =>
  withFolder(async (dir) => {
    await using server = serveSources();
    const options = [
      "--no-prompt",
      "--minimum-dependency-age=P30D",
      `--allow-import=${server.host}`,
    ];
    const master = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        ...options,
        "--unstable-kv",
        "--allow-net=127.0.0.1",
        "--allow-env",
        `${server.origin}/master/main.ts`,
        ...["--port", "0", "--kv", ":memory:"],
      ],
      cwd: dir,
      env: { DENO_DIR: `${dir}/cache`, NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const complaints = new Response(master.stderr).text();
    try {
      let line = "";
      for await (
        const text of master.stdout.pipeThrough(new TextDecoderStream())
          .values({ preventCancel: true })
      ) {
        line += text;
        if (line.includes("\n")) break;
      }
      assert.match(line, /^\{"address":/, line === "" ? await complaints : "");
      const { address } = JSON.parse(line.split("\n")[0]!);
      const page = await fetch(address);
      assert.equal(page.status, 200, "the page's files come by URL as well");
      assert.match(await page.text(), /<html/);
      const drakkar = await deno(dir, [
        "run",
        ...options,
        "--allow-net=127.0.0.1",
        `${server.origin}/master/cli/main.ts`,
        "status",
        "--json",
        "--master",
        address,
      ]);
      assert.ok(drakkar.success, drakkar.stderr);
      assert.equal(JSON.parse(drakkar.stdout).paused, false);
    } finally {
      master.kill("SIGTERM");
      await master.status;
      await complaints;
    }
  }));
