import { assert } from "../deps.ts";
import { runCommandLine } from "../../master/cli/run.ts";
import { table } from "../../master/cli/table.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type { MasterOptions } from "../../master/server.ts";
import { cluster, type ManualClock, report, withStore } from "./fixtures.ts";
import { masterOver } from "./instances.ts";

const operatorToken = "an-operators-token-of-32-characters";
const token = "a-nodehosts-token-of-at-least-32-characters";
const up = "http://up:8080";
const down = "http://down:8080";

interface Ran {
  code: number;
  out: string;
  err: string;
}

interface Desk {
  /** Runs a command line against a master that is up. */
  run: (...args: string[]) => Promise<Ran>;
  /** Runs it, and returns the JSON. */
  json: (...args: string[]) => Promise<Record<string, unknown>>;
  store: KvStore;
  clock: ManualClock;
  /** Variables. */
  env: Record<string, string>;
  /** Files. */
  files: Record<string, string>;
  /** What is typed at the terminal; there is none without it. */
  typed?: string | null;
  /** What was asked, as `METHOD URL`. */
  asked: string[];
  /** The answer of the next request is lost. */
  losesAnswer: boolean;
}

async function withDesk(
  work: (desk: Desk) => Promise<void>,
  options: Omit<MasterOptions, "store"> = {},
): Promise<void> {
  await withStore(async (store, kv, clock) => {
    kv.letCommitsTake(1, clock);
    const master = masterOver({ store, ...options });
    const desk: Desk = {
      store,
      clock,
      env: {},
      files: {},
      asked: [],
      losesAnswer: false,
      run: async (...args) => {
        const out: string[] = [];
        const err: string[] = [];
        const { typed } = desk;
        const code = await runCommandLine(
          args.includes("--master") || desk.env.DRAKKAR_MASTER !== undefined
            ? args
            : [...args, "--master", up],
          {
            out: (text) => out.push(text),
            err: (text) => err.push(text),
            env: (name) => desk.env[name],
            readFile: (path) => {
              const text = desk.files[path];
              return text === undefined
                ? Promise.reject(new Error("there is no such file"))
                : Promise.resolve(text);
            },
            ...(typed === undefined ? {} : { ask: () => typed }),
            fetch: async (url, init) => {
              desk.asked.push(`${init.method} ${url.href}`);
              if (url.hostname !== "up") throw new Error("nobody listens");
              const response = await master.fetch(new Request(url, init));
              if (!desk.losesAnswer) return response;
              desk.losesAnswer = false;
              await response.body?.cancel();
              throw new Error("the connection was lost");
            },
            newKey: () => crypto.randomUUID(),
            openFile: (path) => {
              const text = desk.files[path];
              return text === undefined
                ? Promise.reject(new Error("there is no such file"))
                : Promise.resolve(new Blob([text]).stream());
            },
            saveFile: async (path, bytes) => {
              desk.files[path] = await new Response(bytes).text();
            },
          },
        );
        return { code, out: out.join("\n"), err: err.join("\n") };
      },
      json: async (...args) => {
        const { code, out, err } = await desk.run(...args, "--json");
        assert.equal(code, 0, err);
        return JSON.parse(out);
      },
    };
    await work(desk);
  });
}

async function reportAll(store: KvStore): Promise<void> {
  for (const n of [1, 2, 3]) await store.report(report(n, [cluster(5, n)]));
}

Deno.test("drakkar creates, changes, pauses and deletes a cluster, and shows it", async () => {
  await withDesk(async ({ run, json }) => {
    const wish = ["--app", "kv", "--region", "eu=2", "--config", "rttMs=0"];
    const refused = await run("create", "7", ...wish);
    assert.equal(refused.code, 1); // The master's words come through.
    assert.match(refused.err, /config has no field "rttMs"/);
    const made = await run("create", "7", ...wish.slice(0, 4));
    assert.equal(made.code, 0, made.err);
    assert.match(made.out, /^create: done\n/);
    const required = ["--required-region", "us=1", "--expected-gen", "1"];
    const changed = await json("change", "7", "--size", "5", ...required);
    assert.equal(changed.gen, 2);
    const stale = await run("change", "7", "--size", "1", ...required);
    assert.equal(stale.code, 1);
    assert.match(stale.err, /number 2, not 1/);
    for (const action of ["delete", "pause", "keep", "cancel-plan"]) {
      const old = await run(action, "7", "--yes", "7", "--expected-gen", "1");
      assert.deepEqual([old.code, action], [1, action], old.err);
      assert.match(old.err, /number 2, not 1/);
    }
    const { gen } = await json("status");
    const all = ["--expected-gen", String(gen)];
    assert.equal((await run("pause", ...all)).code, 0);
    assert.match((await run("resume", ...all)).err, /number 1 by now, not 0/);
    await json("resume");
    const { def } = await json("cluster", "7");
    assert.deepEqual(def, {
      gen: 2,
      app: "kv",
      size: 5,
      regions: [{ region: "us", count: 1, isRequired: true }],
      config: {},
    });
    await json("pause", "7");
    assert.match((await run("cluster", "7")).out, /life +defined, paused\n/);
    await json("resume", "7");
    await json("delete", "7", "--yes", "7", "--as", "alice");
    const events = await run("events", "--limit", "1");
    assert.match(events.out, /cluster 7 +deleteCluster +alice/);
    assert.equal((await run("cluster", "8")).code, 1);
  });
});

Deno.test("drakkar adopts, recovers, and commands NodeHosts and everything", async () => {
  await withDesk(async ({ run, json, store }) => {
    await reportAll(store);
    assert.equal((await json("adopt", "5", "--app", "kv")).life, "ok");
    assert.equal((await json("drain", "host-2")).drain, true);
    assert.match((await run("host", "host-2")).out, /drain\n/);
    const stale = await run("uncordon", "host-2", "--expected-gen", "1");
    assert.match(stale.err, /host-2 is number 2 by now, not 1: look again/);
    assert.equal((await json("uncordon", "host-2")).drain, false);
    assert.equal((await json("cordon", "host-2")).cordon, true);
    assert.equal((await json("pause")).paused, true);
    assert.match((await run("status")).out, /decisions +paused/);
    assert.equal((await json("resume")).paused, false);
    assert.match((await run("release-brake")).err, /brake is not on/);
    const { adopt } = await json("adoption", "--app", "kv,log");
    assert.deepEqual(adopt, [{ app: "kv" }, { app: "log" }]);
    assert.match((await run("status")).out, /adoption +kv, log\n/);
    assert.deepEqual((await json("adoption", "--none")).adopt, []);
    assert.equal((await run("adoption")).code, 2);
    assert.match((await run("cancel-plan", "5")).err, /has no plan/);
    const recover = ["recover", "5", "--condemned", "2,3", "--yes", "5"];
    assert.match((await run(...recover)).err, /neither revoked nor declared/);
    await json("dead", "host-2", "--yes", "host-2");
    await json("revoke", "host-3", "--yes", "host-3");
    assert.equal((await json(...recover)).life, "recovering");
    const { out } = await run("hosts");
    assert.match(out, /host-2 .* gone, cordon\n/);
    assert.match(out, /host-3 .* revoked$/);
    assert.equal((await json("plan")).decisions instanceof Array, true);
    assert.equal((await run("drain", "host-9")).code, 1);
    assert.equal((await run("host", "host-9")).code, 1);
  });
});

Deno.test("drakkar status ends with 1 while a cluster is not well, and says which", async () => {
  await withDesk(async ({ run, store }) => {
    const made = await run("init");
    assert.equal(made.code, 0, made.err);
    const { out: again } = await run("init");
    assert.equal(again, made.out);
    const id = await store.deploymentId();
    assert.match(made.out, new RegExp(`^init: done\ndeploymentId +${id}$`));
    const empty = await run("status");
    assert.equal(empty.code, 0, empty.err);
    assert.match((await run("clusters")).out, /no cluster yet/);
    assert.match((await run("hosts")).out, /no NodeHost has/);
    await reportAll(store);
    const well = await run("status");
    assert.equal(well.code, 0, well.out);
    assert.match(well.out, /^health +ok\n/);
    assert.match((await run("clusters")).out, /5 +unmanaged +node 1 .* ok$/);
    await store.command({ type: "declareHostDead", hostId: "host-1" });
    const bad = await run("status");
    assert.equal(bad.code, 1);
    assert.match(bad.out, /^health +not ok\n/);
    assert.match(bad.out, /5 +no leader, node 1 down$/);
    const { out } = await run("status", "--json");
    assert.equal(JSON.parse(out).isHealthy, false);
  });
});

Deno.test("drakkar does nothing that cannot be undone without the name again", async () => {
  await withDesk(async (desk) => {
    const { run, json, store } = desk;
    await json("create", "7", "--app", "kv");
    const life = async () => (await store.cluster(7))?.life;
    const silent = await run("delete", "7");
    assert.equal(silent.code, 2);
    assert.match(silent.err, /say --yes 7/);
    assert.equal((await run("delete", "7", "--yes", "8")).code, 2);
    const now = ["--wait-ticks", "0"];
    const later = await json("delete", "7", "--dry-run");
    assert.equal(later.deleteAt, 31, "it can be kept for a while");
    const dry = await json("delete", "7", "--dry-run", ...now);
    assert.deepEqual([dry.isDryRun, dry.life], [true, "deleting"]);
    assert.equal(dry.expectedGen, 1);
    desk.typed = "8";
    const wrong = await run("delete", "7");
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /delete would give\n[^]*Nothing was done/);
    desk.typed = null; // The end of the input.
    assert.equal((await run("delete", "7")).code, 1);
    assert.equal(await life(), "defined");
    desk.typed = "7";
    assert.equal((await run("delete", "7")).code, 0);
    assert.equal(await life(), "defined");
    assert.equal((await run("keep", "7")).code, 0);
    assert.equal((await run("keep", "7")).code, 1, "nothing waits");
    assert.equal((await run("delete", "7", ...now)).code, 0);
    assert.equal(await life(), "deleting");
  });
});

Deno.test("drakkar tries every master; a command whose answer is lost is done once", async () => {
  await withDesk(async (desk) => {
    const both = ["--master", down, "--master", up];
    assert.equal((await desk.run("status", ...both)).code, 0);
    const none = await desk.run("status", "--master", down);
    assert.equal(none.code, 3);
    assert.match(none.err, /^Cannot reach any master:\n +http:\/\/down:8080/);
    desk.losesAnswer = true;
    const twice = ["--master", up, "--master", up];
    const made = await desk.run("create", "7", "--app", "kv", ...twice);
    assert.equal(made.code, 0, made.err);
    assert.equal((await desk.store.events(10)).length, 1);
    desk.losesAnswer = true;
    const unsure = await desk.run("create", "8", "--app", "kv");
    assert.equal(unsure.code, 3);
    const key = /--key (\S+)/.exec(unsure.err)?.[1] ?? "";
    const again = await desk.run("create", "8", "--app", "kv", "--key", key);
    assert.equal(again.code, 0, again.err);
    desk.env.DRAKKAR_MASTER = `${down}, ${up}`;
    desk.asked.length = 0;
    assert.equal((await desk.run("plan")).code, 0);
    await desk.run("plan", "--master", up);
    const paths = [down, up, up].map((url) => `GET ${url}/v1/plan`);
    assert.deepEqual(desk.asked, paths);
  });
});

Deno.test("drakkar takes the token from a file or a variable, and never shows it", async () => {
  await withDesk(async (desk) => {
    const { run, env, files } = desk;
    const without = await run("status");
    assert.equal(without.code, 1);
    assert.match(without.err, /bearer token is wanted/);
    env.DRAKKAR_TOKEN = token;
    assert.equal((await run("status")).code, 0);
    const refused = await run("pause");
    assert.equal(refused.code, 1);
    assert.match(refused.err, /want an operator's token/);
    files["operator.txt"] = `${operatorToken}\n`;
    const done = await run("pause", "--token-file", "operator.txt");
    assert.equal(done.code, 0, done.err);
    env.DRAKKAR_OPERATOR_TOKEN = operatorToken;
    assert.equal((await run("resume")).code, 0);
    assert.equal((await run("status", "--token-file", "none")).code, 2);
    const secret = await run("status", "--master", "http://me:secret@up");
    assert.equal(secret.code, 2);
    assert.ok(!secret.err.includes("secret"));
    for (const { out, err } of [without, refused, done, secret]) {
      assert.ok(!(out + err).includes(token));
      assert.ok(!(out + err).includes(operatorToken));
    }
    assert.ok(desk.asked.every((url) => !url.includes("token")));
  }, { token, operatorToken });
});

Deno.test("drakkar ends with 2 when its line cannot be used, before anybody is asked", async () => {
  await withDesk(async ({ run, asked }) => {
    const wrong: string[][] = [
      ["fly"],
      ["constructor"],
      ["status", "7"],
      ["cluster"],
      ["cluster", "x"],
      ["cluster", "1", "2"],
      ["create", "7"],
      ["create", "0", "--app", "kv"],
      ["create", "7", "--app", "kv", "--region", "eu"],
      ["create", "7", "--app", "kv", "--config", "a=b"],
      ["recover", "7", "--condemned", "1,x"],
      ["pause", "--size", "3"],
      ["status", "--dry-run"],
      ["events", "--limit", "0"],
      ["status", "--timeout-ms", "soon"],
      ["status", "--master", "up"],
      ["pause", "--key", "two words"],
      ["release-brake", "7"],
      ["init", "--key", "one"],
      ["export"],
      ["import", "a", "b"],
      ["export", "a", "--dry-run"],
      ["import", "a", "--key", "one"],
      ["delete", "7", "--wait-ticks", "soon"],
    ];
    for (const args of wrong) {
      const { code, out, err } = await run(...args);
      assert.deepEqual([code, out], [2, ""], `${args.join(" ")}: ${err}`);
      assert.match(err, /^(Cannot|Unknown|Unexpected)/);
    }
    assert.deepEqual(asked, []);
  });
});

Deno.test("drakkar exports all state to a file, and imports it into an empty store", async () => {
  await withDesk(async ({ run, json, store, files, asked }) => {
    await reportAll(store);
    const saved = await json("export", "all.ndjson");
    const lines = files["all.ndjson"]!.trimEnd().split("\n");
    assert.equal(saved.records, lines.length - 1);
    assert.equal(saved.file, "all.ndjson");
    const used = await run("import", "all.ndjson");
    assert.equal(used.code, 1);
    assert.match(used.err, /the store is in use/);
    const none = await run("import", "none");
    assert.deepEqual([none.code, none.err], [
      1,
      "Cannot read none: there is no such file",
    ]);
    asked.length = 0;
    const away = await run("import", "all.ndjson", "--master", down);
    assert.equal(away.code, 3);
    assert.match(away.err, /Whether it was done is not known/);
    const kept = files["all.ndjson"];
    assert.equal((await run("export", "all.ndjson", "--master", down)).code, 3);
    assert.equal(files["all.ndjson"], kept, "what was there is there");
    // Another desk, whose store was lost.
    await withDesk(async (next) => {
      next.files["all.ndjson"] = kept!;
      const dry = await next.json("import", "all.ndjson", "--dry-run");
      assert.deepEqual([dry.isDryRun, dry.nodeHosts], [true, 3]);
      const masters = ["--master", down, "--master", up];
      const done = await next.json(
        "import",
        "all.ndjson",
        ...masters,
        "--as",
        "ann",
      );
      assert.deepEqual([done.clusters, done.nodeHosts], [1, 3]);
      assert.equal(await next.store.deploymentId(), await store.deploymentId());
      assert.match((await next.run("events")).out, /imported +ann/);
    });
  });
});

Deno.test("drakkar has a help for the whole and for each command", async () => {
  await withDesk(async ({ run, asked }) => {
    const { code, out } = await run("--help");
    assert.equal(code, 0);
    const names = [...out.matchAll(/^ {2}([a-z][a-z-]+) {2,}/gm)]
      .map(([, name]) => name!);
    assert.equal(names.length, 28, names.join());
    for (const name of names) {
      const help = await run(name, "--help");
      assert.equal(help.code, 0, name);
      assert.ok(help.out.startsWith(`Usage: deno task drakkar ${name}`));
      for (const line of help.out.split("\n")) {
        assert.ok(line.length <= 100, line);
      }
    }
    assert.deepEqual(asked, []);
  });
});

Deno.test("A table is aligned, and what NodeHosts say cannot command the terminal", () => {
  const text = table(["name", "n"], [["a\x1b[31m\nb", 5], ["", 1_000]]);
  assert.equal(text, "NAME         N\na?[31m?b     5\n-         1000");
});
