// deno-lint-ignore-file no-console -- a program that is started from the command line
/**
 * Runs a master, locally or on Deno Deploy.
 *
 *     deno run --unstable-kv --allow-net --allow-env --allow-read=DIR --allow-write=DIR master/main.ts [options]
 *
 *     --port N             8080 by default; 0 for any
 *     --hostname NAME      127.0.0.1 by default, 0.0.0.0 on Deno Deploy
 *     --kv PATH            ":memory:", a file, or the https: URL of a database; DRAKKAR_KV by default, else the platform's
 *     --silent-after-ms N  when the page shows a NodeHost as silent; two and a half periods by default, at least 60,000
 *     --period-ms N        how often NodeHosts report: 2,000 by default, 60,000 on Deno Deploy
 *     --dead-after N       so many reports in a row may be missed, 3 by default; then a NodeHost is replaced
 *     --export-every-ms N  how often all state is copied to where DRAKKAR_EXPORT says; once a day by default. Refused on
 *                          Deno Deploy, whose timer does it each day at 03:17 UTC
 *     --no-init            an empty store waits for `drakkar init` or `drakkar import`, as on Deno Deploy
 *     --repairs N          nodes that are replaced at once, 16 by default; on one NodeHost a quarter of it
 *     --catch-up-ticks N   so many periods may a new node take to catch up, 300 by default; then it is given up, and another
 *                          NodeHost is tried, with twice as many
 *
 * `DRAKKAR_TOKEN` is the bearer token that NodeHosts need, `DRAKKAR_OPERATOR_TOKEN` that of operators; each may hold two,
 * with a space between, while one replaces the other. Without tokens everybody may do everything.
 * `DENO_KV_ACCESS_TOKEN` is that of a database. `DRAKKAR_WEBHOOK` is a URL that alarms are sent to. With
 * `DRAKKAR_WANT_SECRETS=1` NodeHosts must have secrets of their own. `DRAKKAR_EXPORT` is a folder or a URL that copies of
 * all state go to, with `DRAKKAR_EXPORT_TOKEN` as bearer token. On Deploy only the production timeline takes reports, unless
 * `DRAKKAR_ANY_TIMELINE=1`. Prints one line of JSON with its address, then nothing. Ends on SIGINT and SIGTERM.
 *
 * @module
 */
import { parseArgs } from "./deps.ts";
import { exportOnce, startExports } from "./export_schedule.ts";
import { type HistoryEvent, isAlarm } from "./history.ts";
import { type KvStore, openStore } from "./kv_store.ts";
import { reasonOf } from "./redact.ts";
import { createMaster, type MasterOptions } from "./server.ts";
import { systemClock } from "./system.ts";

interface Settings {
  port: number;
  hostname: string;
  kvPath: string | undefined;
  token: string | undefined;
  operatorToken: string | undefined;
  silentAfterMs: number | undefined;
  periodMs: number;
  ttl: number;
  exportEveryMs: number;
  repairs: number;
  catchUpTicks: number;
  makesDeployment: boolean;
}

const usage = `Usage: deno task master [options]

  --port N             8080 by default; 0 for any
  --hostname NAME      127.0.0.1 by default, 0.0.0.0 on Deno Deploy
  --kv PATH            ":memory:", a file, or the https: URL of a database;
                       DRAKKAR_KV by default, else the platform's own
  --silent-after-ms N  when the page shows a NodeHost as silent; two and a half
                       periods, at least 60000
  --period-ms N        how often NodeHosts report: 2000, or 60000 on Deno Deploy
  --dead-after N       so many reports in a row may be missed; then a NodeHost
                       is replaced; 3
  --export-every-ms N  how often all state is copied to where DRAKKAR_EXPORT
                       says, a folder or a URL; once a day. Refused on Deno
                       Deploy, which does it each day at 03:17 UTC
  --repairs N          nodes that are replaced at once, on one NodeHost a
                       quarter of it; 16
  --catch-up-ticks N   so many periods may a new node take to catch up; then it
                       is given up, and another NodeHost is tried, with twice
                       as many; 300
  --no-init            an empty store waits for "drakkar init" or "drakkar
                       import", as it does on Deno Deploy
  --help               this text

Prints one line of JSON with its address. Exit status: 0 after Ctrl-C; 1 if it
cannot listen or open its database; 2 for a wrong command line.

DRAKKAR_TOKEN is the bearer token that NodeHosts need, DRAKKAR_OPERATOR_TOKEN
that of operators; each may hold two, with a space between. Without tokens
everybody may do everything. DENO_KV_ACCESS_TOKEN is that of a database.
DRAKKAR_WEBHOOK is a URL that alarms are sent to. With DRAKKAR_WANT_SECRETS=1
NodeHosts must have secrets of their own. DRAKKAR_EXPORT_TOKEN is a bearer token
for the URL in DRAKKAR_EXPORT.`;

/** A command line that cannot be used; the message says why. */
class UsageError extends Error {}

function parseFlags(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        help: { type: "boolean", default: false },
        port: { type: "string", default: "8080" },
        hostname: { type: "string" },
        kv: { type: "string" },
        "silent-after-ms": { type: "string" },
        "period-ms": { type: "string" },
        "dead-after": { type: "string", default: "3" },
        "export-every-ms": { type: "string" },
        repairs: { type: "string", default: "16" },
        "catch-up-ticks": { type: "string", default: "300" },
        "no-init": { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : `${error}`);
  }
}

function readSettings(args: string[]): Settings {
  const values = parseFlags(args);
  if (values.help) {
    console.log(usage);
    Deno.exit(0);
  }
  const silentAfter = values["silent-after-ms"];
  const exportEvery = values["export-every-ms"];
  if (exportEvery !== undefined && isOnDeploy()) {
    throw new UsageError(
      "Cannot use --export-every-ms: on Deno Deploy the platform's timer makes copies, each day at 03:17 UTC; leave it out",
    );
  }
  return {
    port: readNumber("--port", values.port, 0, 65_535),
    hostname: values.hostname ?? (isOnDeploy() ? "0.0.0.0" : "127.0.0.1"),
    kvPath: values.kv ?? Deno.env.get("DRAKKAR_KV"),
    token: Deno.env.get("DRAKKAR_TOKEN"),
    operatorToken: optionalVariable("DRAKKAR_OPERATOR_TOKEN"),
    silentAfterMs: silentAfter === undefined
      ? undefined
      : readNumber("--silent-after-ms", silentAfter, 1, 86_400_000),
    periodMs: readNumber(
      "--period-ms",
      values["period-ms"] ?? (isOnDeploy() ? "60000" : "2000"),
      10,
      3_600_000,
    ),
    ttl: readNumber("--dead-after", values["dead-after"], 1, 1_000),
    exportEveryMs: readNumber(
      "--export-every-ms",
      exportEvery ?? "86400000",
      1_000,
      30 * 86_400_000,
    ),
    repairs: readNumber("--repairs", values.repairs, 1, 10_000),
    catchUpTicks: readNumber(
      "--catch-up-ticks",
      values["catch-up-ticks"],
      1,
      1_000_000,
    ),
    makesDeployment: !values["no-init"] && !isOnDeploy(),
  };
}

function isOnDeploy(): boolean {
  return optionalVariable("DENO_DEPLOY") !== undefined;
}

/** On Deploy every variable may be read; elsewhere it need not be allowed, and then it is not there. */
function optionalVariable(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}

function readNumber(
  name: string,
  text: string,
  min: number,
  max: number,
): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value < min || value > max) {
    throw new UsageError(
      `Cannot use ${name}: "${text}" is not an integer from ${min} to ${max}`,
    );
  }
  return value;
}

/** Alarms that are told to a URL. */
interface Webhook {
  readonly tell: (event: HistoryEvent) => void;
  /** Resolves when nothing is on its way any more. */
  readonly settled: () => Promise<void>;
}

/** Tells alarms to a URL, as JSON. Whoever does not answer in ten seconds is not told. */
function webhook(url: string): Webhook {
  const onTheirWay = new Set<Promise<void>>();
  const send = async (event: HistoryEvent) => {
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(event),
        signal: AbortSignal.timeout(10_000),
        redirect: "manual",
      });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`the status is ${response.status}`);
    } catch (error) {
      console.error(
        `Cannot tell the webhook of an alarm: ${reasonOf(error)}`,
      );
    }
  };
  return {
    tell: (event) => {
      if (!isAlarm(event)) return;
      // No report waits for it; the end of the process does.
      const sent = send(event).finally(() => onTheirWay.delete(sent));
      onTheirWay.add(sent);
    },
    settled: async () => {
      await Promise.all(onTheirWay);
    },
  };
}

/**
 * On Deploy each branch and preview runs as well, with a database of its own: it must not act on NodeHosts that belong
 * elsewhere (M20).
 */
function isProduction(): boolean {
  const timeline = optionalVariable("DENO_TIMELINE") ?? "production";
  return timeline === "production" ||
    optionalVariable("DRAKKAR_ANY_TIMELINE") === "1";
}

type Cron = (name: string, at: string, run: () => Promise<void>) => void;

/** Where nothing runs between requests, the platform's timer lets time grow while no NodeHost reports. */
function tickByCron(store: KvStore, hook: Webhook | undefined): void {
  const { cron } = Deno as unknown as { cron?: Cron };
  cron?.("drakkar round", "*/5 * * * *", async () => {
    await store.tick();
    await hook?.settled();
  });
}

/** Copies of all state, where `DRAKKAR_EXPORT` says; returns what ends them. */
function beginExports(store: KvStore, everyMs: number): () => void {
  const to = optionalVariable("DRAKKAR_EXPORT");
  if (to === undefined || !isProduction()) return () => {};
  const schedule = {
    store,
    to,
    token: optionalVariable("DRAKKAR_EXPORT_TOKEN"),
    clock: systemClock,
    onFailure: (why: string) => console.error(why),
  };
  if (isOnDeploy()) {
    const { cron } = Deno as unknown as { cron?: Cron };
    cron?.("drakkar export", "17 3 * * *", () => exportOnce(schedule));
    return () => {};
  }
  const exports = startExports({ ...schedule, everyMs });
  return () => exports.stop();
}

/** A variable may hold two tokens while one replaces the other. */
function tokensOf(text: string): string[] {
  const tokens = text.split(" ").filter((token) => token !== "");
  if (tokens.length >= 1 && tokens.length <= 2) return tokens;
  throw new RangeError(
    `Cannot use the tokens: there are ${tokens.length}, one or two are meant`,
  );
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" ||
    hostname.startsWith("127.");
}

/** Calls `stop` on the first signal to end; where signals cannot be had, the platform ends the process. */
function onEndSignal(stop: () => void): () => void {
  const signals: Deno.Signal[] = ["SIGINT", "SIGTERM"];
  const listening: Deno.Signal[] = [];
  for (const signal of signals) {
    try {
      Deno.addSignalListener(signal, stop);
      listening.push(signal);
    } catch {
      // Not on this platform.
    }
  }
  return () => {
    for (const signal of listening) Deno.removeSignalListener(signal, stop);
  };
}

async function run(settings: Settings): Promise<void> {
  const { hostname, kvPath, token, silentAfterMs, periodMs, ttl } = settings;
  if (token === undefined && !isLoopback(hostname)) {
    console.error(
      `DRAKKAR_TOKEN is not set: whoever reaches ${hostname} may report, and read`,
    );
  }
  const { repairs, catchUpTicks, makesDeployment } = settings;
  const repairsPerTarget = Math.ceil(repairs / 4);
  const limits = { ttl, repairs, repairsPerTarget, catchUpTicks };
  const url = optionalVariable("DRAKKAR_WEBHOOK");
  const hook = url === undefined ? undefined : webhook(url);
  const store = await openStore({
    path: kvPath,
    periodMs,
    makesDeployment,
    limits,
    ...(hook === undefined ? {} : { onEvent: hook.tell }),
  });
  if (isOnDeploy() && isProduction()) tickByCron(store, hook);
  const endExports = beginExports(store, settings.exportEveryMs);
  try {
    const wantsSecrets = optionalVariable("DRAKKAR_WANT_SECRETS") === "1";
    const takesReports = isProduction();
    const options: MasterOptions = {
      store,
      ...(silentAfterMs === undefined ? {} : { silentAfterMs }),
      wantsSecrets,
      takesReports,
    };
    if (token !== undefined) options.token = tokensOf(token);
    const { operatorToken } = settings;
    if (operatorToken !== undefined) {
      options.operatorToken = tokensOf(operatorToken);
    }
    const master = createMaster(options);
    // Listened for before the address is told: whoever reads it may end the program at once.
    const forget = onEndSignal(() => {
      master.close();
      server.shutdown();
    });
    const server = serve(settings, (request) => master.fetch(request));
    await server.finished;
    forget();
  } finally {
    endExports();
    store.close();
    await hook?.settled();
  }
}

/** Listens, and prints the address. */
function serve(
  { hostname, port }: Settings,
  handler: (request: Request) => Response | Promise<Response>,
): Deno.HttpServer {
  const urlHost = (name: string) => name.includes(":") ? `[${name}]` : name;
  const onListen = (at: Deno.NetAddr) => {
    const address = `http://${urlHost(at.hostname)}:${at.port}`;
    console.log(JSON.stringify({ address }));
  };
  try {
    return Deno.serve({ port, hostname, onListen }, handler);
  } catch (error) {
    const why = error instanceof Deno.errors.AddrInUse
      ? "another program listens there; choose another --port, or 0 for any"
      : error instanceof Error
      ? error.message
      : String(error);
    throw new Error(`Cannot listen on ${urlHost(hostname)}:${port}: ${why}`, {
      cause: error,
    });
  }
}

try {
  await run(readSettings(Deno.args));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  if (error instanceof UsageError) console.error(`\n${usage}`);
  Deno.exit(error instanceof UsageError ? 2 : 1);
}
