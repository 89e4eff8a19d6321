/** The example's command line, as a process of one member. */
import { assert } from "../deps.ts";

const projectDir = `${import.meta.dirname}/../../`;
const patienceMs = 30_000;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Kv {
  /** Where it listens for HTTP, once it does. */
  readonly url: Promise<string>;
  stop(signal: Deno.Signal): void;
  readonly ended: Promise<Ended>;
}

function startKv(args: string[], permissions: string[] = []): Kv {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      ...permissions,
      `${projectDir}examples/kv/main.ts`,
      ...args,
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), patienceMs);
  const listening = Promise.withResolvers<string>();
  listening.promise.catch(() => {});
  const errors = new Response(child.stderr).text();
  const ended = (async () => {
    let stdout = "";
    for await (
      const part of child.stdout.pipeThrough(new TextDecoderStream())
    ) {
      stdout += part;
      const url = /"listening":"([^"]+)"/.exec(stdout)?.[1];
      if (url !== undefined) listening.resolve(url);
    }
    const { code } = await child.status;
    clearTimeout(timer);
    const stderr = await errors;
    listening.reject(new Error(stderr));
    return { code, stdout, stderr };
  })();
  return {
    url: listening.promise,
    stop: (signal) => child.kill(signal),
    ended,
  };
}

/** Right after its start a node has no leader yet, and says so. */
async function askUntilReady(
  url: string,
  init: RequestInit = {},
): Promise<Response> {
  while (true) {
    const response = await fetch(url, init);
    if (response.status !== 503) return response;
    await response.body?.cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("examples/kv keeps what it was given over an orderly end and a crash", async () => {
  const dir = await Deno.makeTempDir({ prefix: "drakkar-kv-" });
  try {
    Deno.mkdirSync(`${dir}/data`);
    const address = `127.0.0.1:${freePort()}`;
    const start = () =>
      startKv([
        `--dir=${dir}/data`,
        `--raft-address=${address}`,
        `--members=1=${address}`,
        "--clusters=1,2",
      ], [
        "--allow-net=127.0.0.1",
        `--allow-read=${dir}`,
        `--allow-write=${dir}`,
      ]);
    for (const signal of ["SIGTERM", "SIGKILL", "SIGINT"] as const) {
      const kv = start();
      const url = await kv.url;
      const key = `${url}/clusters/2/keys/${signal}`;
      const put = await askUntilReady(key, { method: "PUT", body: signal });
      assert.deepEqual(await put.json(), { effect: "created" });
      kv.stop(signal);
      const { code, stderr } = await kv.ended;
      assert.equal(code, signal === "SIGKILL" ? 137 : 0, stderr);
    }
    const kv = start();
    for (const signal of ["SIGTERM", "SIGKILL", "SIGINT"]) {
      const got = await askUntilReady(
        `${await kv.url}/clusters/2/keys/${signal}`,
      );
      assert.equal(await got.text(), signal);
    }
    // The folder belongs to one process at a time.
    const second = await start().ended;
    assert.equal(second.code, 1);
    assert.match(second.stderr, /^Failed: Cannot /);
    kv.stop("SIGTERM");
    await kv.ended;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("examples/kv explains itself, and refuses a wrong command line", async () => {
  const help = await startKv(["--help"]).ended;
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--raft-address ADDR/);
  const wrong: [string[], RegExp][] = [
    [[], /^--raft-address is missing/],
    [["--nothing"], /^Unknown option '--nothing'/],
    [
      ["--raft-address=a:1", "--dir=d"],
      /^--members is missing, and no --master /,
    ],
    [["--raft-address=a:1", "--members=1=b:1", "--dir=d"], /does not name a:1/],
    [
      ["--raft-address=a:1", "--members=1=a:1,02=b:1", "--dir=d"],
      /"02" is not a node id/,
    ],
    [
      ["--raft-address=a:1", "--members=1=a:1,1=b:1", "--dir=d"],
      /names node 1 twice/,
    ],
    [
      ["--raft-address=a:1", "--members=x=a:1", "--dir=d"],
      /"x" is not a node id/,
    ],
    [
      ["--raft-address=a:1", "--members=1=a:1", "--dir=d", "--clusters=0"],
      /"0" is not a cluster id/,
    ],
  ];
  for (const [args, message] of wrong) {
    const { code, stderr } = await startKv(args).ended;
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  }
  const bad = ["--raft-address=a", "--members=1=a", "--dir=d"];
  const refused = await startKv(bad).ended;
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^Failed: Cannot use raftAddress/);
});
