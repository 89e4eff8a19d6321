/** Runs the programs of `docs/OBSERVABILITY.md` and `SECURITY.md` as they stand there, but for ports and addresses. */
import { assert } from "./deps.ts";
import { hasClientCertificates } from "../raft/transport/tls.ts";
import { Authority } from "./support/certificates.ts";
import { freePort } from "./support/hosts.ts";
import { programsOf, projectDir } from "./support/programs.ts";

const patienceMs = 60_000;

/** Runs a program in a folder of its own, and returns what it printed. It must end by itself, and well. */
async function run(
  code: string,
  permissions: string[],
  prepare: (dir: string) => void = () => {},
  env: Record<string, string> = {},
): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "drakkar-docs-" });
  try {
    prepare(dir);
    Deno.writeTextFileSync(`${dir}/program.ts`, code);
    const { success, stdout, stderr } = await new Deno.Command(
      Deno.execPath(),
      {
        args: [
          "run",
          "--no-prompt",
          "--minimum-dependency-age=P30D",
          ...permissions,
          "program.ts",
        ],
        cwd: dir,
        env: { NO_COLOR: "1", ...env },
        signal: AbortSignal.timeout(patienceMs),
      },
    ).output();
    const decoder = new TextDecoder();
    assert.ok(success, decoder.decode(stderr));
    return decoder.decode(stdout);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Type-checks all programs of a document at once. */
async function check(programs: ReadonlyMap<string, string>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "drakkar-docs-" });
  try {
    for (const [name, code] of programs) {
      Deno.writeTextFileSync(`${dir}/${name}`, code);
    }
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--minimum-dependency-age=P30D", ...programs.keys()],
      cwd: dir,
      env: { NO_COLOR: "1" },
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const observability = programsOf("docs/OBSERVABILITY.md");

Deno.test("OBSERVABILITY: every program type-checks", () =>
  check(observability));

Deno.test("OBSERVABILITY: leaders are told as they change", async () => {
  const code = observability.get("events.ts")!
    .replaceAll("127.0.0.1:7001", `127.0.0.1:${freePort()}`);
  const told = await run(code, ["--allow-net=127.0.0.1"]);
  assert.match(told, /^cluster 1: 1 in term \d+\n$/);
});

Deno.test("OBSERVABILITY: a page for Prometheus", async () => {
  const code = observability.get("metrics.ts")!
    .replaceAll("127.0.0.1:7001", `127.0.0.1:${freePort()}`)
    .replaceAll("9464", String(freePort()));
  const printed = await run(code, ["--allow-net=127.0.0.1"]);
  assert.match(printed, /^# HELP drakkar_\w+ \w/);
});

Deno.test("OBSERVABILITY: metrics through OpenTelemetry reach a collector", async () => {
  const code = observability.get("otel.ts")!
    .replaceAll("127.0.0.1:7001", `127.0.0.1:${freePort()}`);
  const names = new Set<string>();
  await using collector = Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen: () => {},
  }, async (request) => {
    for (const [name] of (await request.text()).matchAll(/drakkar_\w+/g)) {
      names.add(name);
    }
    return Response.json({});
  });
  await run(code, ["--allow-net=127.0.0.1"], () => {}, {
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
    OTEL_METRIC_EXPORT_INTERVAL: "100",
  });
  assert.ok(names.has("drakkar_nodes"), [...names].join());
  assert.ok(names.has("drakkar_apply_duration_seconds_bucket"));
});

Deno.test("OBSERVABILITY: a log for collectors", async () => {
  const peer = `127.0.0.1:${freePort()}`;
  const code = observability.get("log.ts")!
    .replaceAll("127.0.0.1:7001", `127.0.0.1:${freePort()}`)
    .replaceAll("127.0.0.1:7002", peer);
  const printed = await run(code, ["--allow-net=127.0.0.1"]);
  const lines = printed.trimEnd().split("\n").map((line) => JSON.parse(line));
  const [line] = lines.filter((one) => one.address === peer);
  assert.equal(line.level, "info");
  assert.equal(line.message, "another NodeHost is out of reach");
  assert.match(line.time, /^\d{4}-\d\d-\d\dT/);
});

Deno.test("OBSERVABILITY: every metric and every event is listed, and nothing else", async () => {
  const text = Deno.readTextFileSync(
    new URL("docs/OBSERVABILITY.md", projectDir),
  );
  const listed = new Set(
    [...text.matchAll(/^\| `(drakkar_\w+)`/gm)].map((match) => match[1]!),
  );
  const { Hosts } = await import("./support/hosts.ts");
  await using hosts = new Hosts();
  const host = await hosts.open(1);
  const measured = host.metrics.snapshot().map((metric) => metric.name);
  assert.deepEqual([...listed].sort(), measured.sort());
  const source = Deno.readTextFileSync(
    new URL("raft/events.ts", projectDir),
  );
  const told = [...source.matchAll(/readonly type: "(\w+)";/g)];
  assert.ok(told.length > 20);
  for (const [, name] of told) {
    assert.ok(text.includes(`\`${name}\``), `${name} is not in the table`);
  }
});

const security = programsOf("SECURITY.md");

Deno.test("SECURITY: every program type-checks", () => check(security));

Deno.test("SECURITY: a NodeHost with mutual TLS", {
  ignore: !hasClientCertificates(),
}, async () => {
  const code = security.get("secure.ts")!
    .replaceAll("127.0.0.1:7001", `127.0.0.1:${freePort()}`);
  const permissions = [
    "--allow-net=127.0.0.1",
    "--allow-read=data,tls",
    "--allow-write=data",
  ];
  const authority = new Authority("our authority");
  const pair = authority.issue({ name: "host 1", hosts: ["127.0.0.1"] });
  const printed = await run(code, permissions, (dir) => {
    Deno.mkdirSync(`${dir}/data`);
    Deno.mkdirSync(`${dir}/tls`);
    Deno.writeTextFileSync(`${dir}/tls/ca.pem`, authority.cert);
    Deno.writeTextFileSync(`${dir}/tls/host.pem`, pair.cert);
    Deno.writeTextFileSync(`${dir}/tls/host.key`, pair.key);
  });
  assert.equal(printed, "renewed: false\n");
});

Deno.test("SECURITY: the certificates that openssl makes as it says", {
  ignore: !hasClientCertificates(),
}, async () => {
  const text = Deno.readTextFileSync(new URL("SECURITY.md", projectDir));
  const script = /^```sh\n([^]*?)^```$/m.exec(text)?.[1];
  assert.ok(script !== undefined, "how certificates are made");
  const hasOpenssl = await new Deno.Command("openssl", { args: ["version"] })
    .output().then(() => true, () => false);
  if (!hasOpenssl) return; // What the NodeHost makes of certificates is tested without it.
  const code = security.get("secure.ts")!
    .replaceAll("127.0.0.1:7001", `127.0.0.1:${freePort()}`);
  const printed = await run(
    code,
    ["--allow-net=127.0.0.1", "--allow-read=data,tls", "--allow-write=data"],
    (dir) => {
      const { success } = new Deno.Command("sh", {
        args: ["-ec", script],
        cwd: dir,
        stderr: "null",
      }).outputSync();
      assert.ok(success, "the commands run");
    },
  );
  assert.equal(printed, "renewed: false\n");
});
