import { assert } from "../deps.ts";

const root = new URL("../../", import.meta.url);
const main = new URL("master/main.ts", root);

function deno(args: string[], env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (
    const chunk of stream.pipeThrough(new TextDecoderStream()).values({
      preventCancel: true,
    })
  ) {
    text += chunk;
    if (text.includes("\n")) return text.split("\n")[0]!;
  }
  throw new Error(`the master ended, having said: ${text}`);
}

function runMain(kv: string, args: string[], env: Record<string, string> = {}) {
  return deno([
    "run",
    "--no-check",
    "--unstable-kv",
    "--allow-net=127.0.0.1",
    "--allow-env=DRAKKAR_TOKEN,DRAKKAR_KV",
    ...(kv === ":memory:" ? [] : [`--allow-read=${kv}`, `--allow-write=${kv}`]),
    main.href,
    "--port",
    "0",
    "--kv",
    kv,
    ...args,
  ], env);
}

Deno.test("main.ts serves, ends on SIGTERM, and has its deployment id again after a restart", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const ids: string[] = [];
    for (let run = 0; run < 2; run++) {
      const child = runMain(dir + "/master.kv", []).spawn();
      const { address } = JSON.parse(await firstLine(child.stdout));
      const response = await fetch(`${address}/v1/deployment`);
      ids.push((await response.json()).deploymentId);
      child.kill(run === 0 ? "SIGTERM" : "SIGINT");
      const { code, signal } = await child.status;
      assert.deepEqual([code, signal], [0, null]);
      await child.stderr.cancel();
    }
    assert.equal(ids[0], ids[1]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("main.ts takes its token from the environment, and never prints it", async () => {
  const token = "0123456789abcdef0123456789abcdef";
  const child = runMain(":memory:", [], { DRAKKAR_TOKEN: token }).spawn();
  const line = await firstLine(child.stdout);
  const url = `${JSON.parse(line).address}/v1/deployment`;
  const refused = await fetch(url);
  await refused.body?.cancel();
  const taken = await fetch(url, {
    headers: { authorization: `Bearer ${token}` },
  });
  await taken.body?.cancel();
  child.kill("SIGTERM");
  const errors = await new Response(child.stderr).text();
  await child.status;
  assert.deepEqual([refused.status, taken.status], [401, 200]);
  assert.ok(!line.includes(token) && !errors.includes(token));
});

Deno.test("main.ts listens on every address of Deno Deploy, and warns if there is no token", async () => {
  const child = deno(
    ["run", "--no-check", "-A", main.href, "--port=0", "--kv=:memory:"],
    { DENO_DEPLOY: "true" },
  ).spawn();
  const { address } = JSON.parse(await firstLine(child.stdout));
  child.kill("SIGINT");
  const errors = await new Response(child.stderr).text();
  assert.equal((await child.status).code, 0);
  assert.ok(address.startsWith("http://0.0.0.0:"));
  assert.match(errors, /DRAKKAR_TOKEN is not set/);
});

Deno.test("main.ts says what is wrong with its options, and with a short token", async () => {
  const threeTokens = ["a", "b", "c"].map((one) => one.repeat(32)).join(" ");
  const cases: [string[], Record<string, string>, RegExp][] = [
    [["--port", "x"], {}, /Cannot use --port/],
    [["--no-such"], {}, /no-such/],
    [["--silent-after-ms", "0"], {}, /Cannot use --silent-after-ms/],
    [["--dead-after", "0"], {}, /Cannot use --dead-after/],
    [["--repairs", "0"], {}, /Cannot use --repairs/],
    [["--catch-up-ticks", "0"], {}, /Cannot use --catch-up-ticks/],
    [[], { DRAKKAR_TOKEN: "short-secret" }, /Cannot use the token/],
    [[], { DRAKKAR_TOKEN: "" }, /Cannot use the token/],
    [[], { DRAKKAR_TOKEN: threeTokens }, /there are 3, one or two are meant/],
  ];
  const outputs = cases.map(([args, env]) =>
    runMain(":memory:", args, env).output()
  );
  for (const [i, { code, stderr }] of (await Promise.all(outputs)).entries()) {
    const text = new TextDecoder().decode(stderr);
    assert.equal(code, i < 6 ? 2 : 1);
    assert.match(text, cases[i]![2]);
    assert.ok(!text.includes("short-secret"));
  }
});

Deno.test("main.ts refuses --export-every-ms where the platform's timer makes copies (M11)", async () => {
  const args = ["--port=0", "--kv=:memory:", "--export-every-ms=60000"];
  const { code, stdout, stderr } = await deno(
    ["run", "--no-check", "-A", main.href, ...args],
    { DENO_DEPLOY: "true" },
  ).output();
  assert.equal(code, 2);
  assert.equal(new TextDecoder().decode(stdout), "");
  assert.match(
    new TextDecoder().decode(stderr),
    /Cannot use --export-every-ms: on Deno Deploy .* at 03:17 UTC/,
  );
});

Deno.test("main.ts says in one line that its port is in use", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  const { code, stdout, stderr } = await runMain(":memory:", [
    "--port",
    `${port}`,
  ]).output();
  assert.equal(code, 1);
  assert.equal(new TextDecoder().decode(stdout), "");
  assert.match(
    new TextDecoder().decode(stderr),
    new RegExp(`^Cannot listen on 127\\.0\\.0\\.1:${port}: [^\n]+\n$`),
  );
});

Deno.test("Where Deno KV is switched off, clients and store say so at once", async () => {
  const mod = new URL("master/mod.ts", root).href;
  const program = `
    const { kvMasterClient, openStore } = await import(${JSON.stringify(mod)});
    for (const attempt of [() => kvMasterClient(), () => openStore({ path: ":memory:" })]) {
      try { await attempt(); console.log("opened"); }
      catch (error) { console.log(error.name, error.message); }
    }`;
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/program.js`, program);
    const { stdout, stderr } = await deno([
      "run",
      "--no-config",
      "--minimum-dependency-age=P30D",
      "--no-check",
      "-A",
      `${dir}/program.js`,
    ]).output();
    const lines = new TextDecoder().decode(stdout).trim().split("\n");
    const expected =
      'TypeError Cannot open Deno KV: Deno.openKv is switched off; run with --unstable-kv or set "unstable": ["kv"] in deno.json';
    assert.deepEqual(
      lines,
      [expected, expected],
      new TextDecoder().decode(stderr),
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("main.ts outside production takes no reports, and makes copies only in it (M11, M20)", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const body = JSON.stringify({
      nodeHostId: "host-1",
      nodeHostAddress: "h1:7001",
      nodeHostApiAddress: "",
      region: "",
      clusterInfoList: [],
      clusterIdList: [],
      logInfoIncluded: false,
      logInfo: [],
    });
    const cases = { "preview/1": [503, 0], production: [200, 1] } as const;
    for (const [timeline, expected] of Object.entries(cases)) {
      const child = deno([
        "run",
        "--no-check",
        "--unstable-kv",
        "--allow-net=127.0.0.1",
        "--allow-env",
        `--allow-write=${dir}`,
        `--allow-read=${dir}`,
        main.href,
        ...["--port", "0", "--kv", ":memory:"],
      ], { DENO_TIMELINE: timeline, DRAKKAR_EXPORT: dir }).spawn();
      const { address } = JSON.parse(await firstLine(child.stdout));
      const response = await fetch(`${address}/v1/report`, {
        method: "POST",
        body,
        headers: { "content-type": "application/json" },
      });
      const answer = await response.json();
      if (response.status === 503) assert.equal(answer.code, "not-production");
      const copies = () =>
        [...Deno.readDirSync(dir)].filter(({ name }) =>
          name.endsWith(".ndjson")
        ).length;
      while (copies() < expected[1]) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      child.kill("SIGTERM");
      assert.equal((await child.status).code, 0);
      await child.stderr.cancel();
      assert.deepEqual([response.status, copies()], expected);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("main.ts sends each alarm to DRAKKAR_WEBHOOK as JSON, and nothing else (M19)", async () => {
  const received: { type: string | null; event: Record<string, unknown> }[] =
    [];
  await using hook = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const type = request.headers.get("content-type");
      received.push({ type, event: await request.json() });
      return new Response(null, { status: 204 });
    },
  );
  const child = deno([
    "run",
    "--no-check",
    "--unstable-kv",
    "--allow-net=127.0.0.1",
    "--allow-env=DRAKKAR_TOKEN,DRAKKAR_KV,DRAKKAR_WEBHOOK",
    main.href,
    ...["--port", "0", "--kv", ":memory:", "--period-ms", "20"],
  ], { DRAKKAR_WEBHOOK: `http://127.0.0.1:${hook.addr.port}/hook` }).spawn();
  try {
    const { address } = JSON.parse(await firstLine(child.stdout));
    const post = async (path: string, body: unknown) => {
      const response = await fetch(`${address}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      await response.body?.cancel();
      return response.status;
    };
    const report = (n: number, seq: number) =>
      post("/v1/report", {
        nodeHostId: `host-${n}`,
        nodeHostAddress: `h${n}:7001`,
        nodeHostApiAddress: "",
        region: "north",
        clusterInfoList: [],
        clusterIdList: [],
        logInfoIncluded: false,
        logInfo: [],
        boot: 1,
        seq,
      });
    for (const n of [1, 2, 3, 4]) assert.equal(await report(n, 1), 200);
    // An order is an event, and no alarm.
    assert.equal(await post("/v1/nodehosts/host-1/cordon", {}), 200);
    // From now on the fourth is silent.
    for (let seq = 2; received.length === 0; seq++) {
      for (const n of [1, 2, 3]) await report(n, seq);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } finally {
    child.kill("SIGTERM");
    await child.status;
    await child.stderr.cancel();
  }
  const [{ type, event }] = received as [typeof received[number]];
  assert.equal(type, "application/json");
  assert.equal(event.what, "failed");
  assert.equal(event.host, "host-4");
  for (const one of received) {
    assert.ok(["failed", "brake"].includes(String(one.event.what)));
  }
});

Deno.test("main.ts with --no-init leaves an empty store alone until drakkar imports into it (M11)", async () => {
  const dir = await Deno.makeTempDir();
  const cli = (address: string, args: string[]) =>
    deno([
      "run",
      "--no-check",
      "--allow-net=127.0.0.1",
      "--allow-env=DRAKKAR_MASTER,DRAKKAR_TOKEN,DRAKKAR_OPERATOR_TOKEN,INIT_CWD",
      `--allow-read=${dir}`,
      `--allow-write=${dir}`,
      new URL("master/cli/main.ts", root).href,
      ...args,
      "--json",
    ], { DRAKKAR_MASTER: address, INIT_CWD: dir }).output();
  const withMain = async (
    args: string[],
    work: (address: string) => Promise<void>,
  ) => {
    const child = runMain(":memory:", args).spawn();
    try {
      await work(JSON.parse(await firstLine(child.stdout)).address);
    } finally {
      child.kill("SIGTERM");
      await child.status;
      await child.stderr.cancel();
    }
  };
  const idOf = async (address: string) => {
    const response = await fetch(`${address}/v1/deployment`);
    const { deploymentId, code } = await response.json();
    return deploymentId ?? code;
  };
  try {
    let id: unknown;
    await withMain([], async (address) => {
      id = await idOf(address);
      const { code, stderr } = await cli(address, ["export", "all.ndjson"]);
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      if (Deno.build.os !== "windows") {
        const { mode } = await Deno.stat(`${dir}/all.ndjson`);
        assert.equal(mode! & 0o777, 0o600);
      }
      const used = await cli(address, ["import", "all.ndjson"]);
      assert.equal(used.code, 1);
      assert.match(new TextDecoder().decode(used.stderr), /is in use/);
    });
    await withMain(["--no-init"], async (address) => {
      assert.equal(await idOf(address), "store-not-initialised");
      const { code, stderr } = await cli(address, ["import", "all.ndjson"]);
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      assert.equal(await idOf(address), id);
    });
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), [
      "all.ndjson",
    ]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
