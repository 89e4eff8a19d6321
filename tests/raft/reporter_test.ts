import { assert } from "../deps.ts";
import type { WaitOptions } from "../../raft/config.ts";
import type { Clock, Logger, Timer } from "../../raft/ports.ts";
import type {
  HostAddress,
  IMasterClient,
  NodeHostInfo,
  ReportReply,
} from "../../master/protocol.ts";
import { RaftError } from "../../raft/errors.ts";
import { Reporter } from "../../raft/reporter.ts";

/** Virtual time: timers fire in their order, and promises settle in between. */
class VirtualClock implements Clock {
  #nowMs = 0;
  #timers: { atMs: number; callback: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }
  wallTime(): number {
    return this.#nowMs;
  }
  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }
  defer(callback: () => void): void {
    queueMicrotask(callback);
  }
  get timerCount(): number {
    return this.#timers.length;
  }
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const [next] = this.#timers.filter((timer) => timer.atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
      await settle();
    }
    this.#nowMs = endMs;
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

interface Call {
  atMs: number;
  name: "deployment" | "report" | "handle";
  server: string;
  info: NodeHostInfo | undefined;
  options: WaitOptions;
}

type Answer = (server: string, call: number) => unknown;

/** A client that notes its calls, and answers what the test says; by default at once. */
class FakeClient implements IMasterClient {
  readonly calls: Call[] = [];
  onDeployment: Answer = () => 7n;
  onReport: Answer = () => undefined;
  onHandle: Answer = () => undefined;
  stops = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }
  name(): string {
    return "fake";
  }
  stop(): Promise<void> {
    this.stops++;
    return Promise.resolve();
  }
  async getDeploymentId(
    server: string,
    options: WaitOptions = {},
  ): Promise<bigint> {
    const call = this.#note("deployment", server, undefined, options);
    return await this.onDeployment(server, call) as bigint;
  }
  async sendNodeHostInfo(
    server: string,
    info: NodeHostInfo,
    options: WaitOptions = {},
  ): Promise<ReportReply | void> {
    const call = this.#note("report", server, info, options);
    return await this.onReport(server, call) as ReportReply | undefined;
  }
  async handleMasterRequests(options: WaitOptions = {}): Promise<void> {
    await this.onHandle("", this.#note("handle", "", undefined, options));
  }
  of(name: Call["name"]): Call[] {
    return this.calls.filter((call) => call.name === name);
  }
  #note(
    name: Call["name"],
    server: string,
    info: NodeHostInfo | undefined,
    options: WaitOptions,
  ): number {
    const atMs = this.#clock.now();
    this.calls.push({ atMs, name, server, info, options });
    return this.of(name).length;
  }
}

interface Setup {
  clock: VirtualClock;
  client: FakeClient;
  reporter: Reporter;
  log: { atMs: number; level: string; message: string; fields: string }[];
}

function setUp(
  options: {
    servers?: string[];
    reportPeriodMs?: number;
    nodeHostInfo?: (includeLog: boolean) => NodeHostInfo;
    unreached?: () => string[];
    found?: (hosts: readonly HostAddress[]) => void;
  } = {},
): Setup {
  const clock = new VirtualClock();
  const client = new FakeClient(clock);
  const log: Setup["log"] = [];
  const at = (level: string) => (message: string, fields = {}) =>
    void log.push({
      atMs: clock.now(),
      level,
      message,
      fields: JSON.stringify(fields),
    });
  const logger: Logger = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
  let state = 1;
  const random = {
    fill(bytes: Uint8Array) {
      for (let i = 0; i < bytes.length; i++) {
        state = Math.imul(state, 1_103_515_245) + 12_345 | 0;
        bytes[i] = state >>> 16;
      }
    },
  };
  const reporter = new Reporter({
    client,
    servers: options.servers ?? ["a"],
    reportPeriodMs: options.reportPeriodMs ?? 20_000,
    clock,
    random,
    logger,
    nodeHostInfo: options.nodeHostInfo ?? infoOf,
    unreached: options.unreached ?? (() => []),
    found: options.found ?? (() => {}),
  });
  return { clock, client, reporter, log };
}

function infoOf(includeLog: boolean): NodeHostInfo {
  return {
    nodeHostId: "me",
    nodeHostAddress: "me:1",
    nodeHostApiAddress: "",
    region: "",
    clusterInfoList: [],
    clusterIdList: [],
    logInfoIncluded: includeLog,
    logInfo: includeLog ? [{ clusterId: 1, nodeId: 1 }] : [],
    boot: 3,
  };
}

const never = () => new Promise(() => {});
const fail = () => Promise.reject(new Error("no route"));
const isClosed = (error: unknown) =>
  error instanceof RaftError && error.code === "closed";

Deno.test("Reporter.getDeploymentId() asks in configured order, 5 s each, and again after 5 s (master-reference 4)", async () => {
  const { clock, client, reporter, log } = setUp({ servers: ["a", "b", "c"] });
  client.onDeployment = (server, call) =>
    call > 4 ? 99n : server === "a" ? never() : fail();
  const got = reporter.getDeploymentId();
  await clock.advance(60_000);
  assert.equal(await got, 99n);
  assert.deepEqual(
    client.calls.map(({ atMs, server }) => [server, atMs]),
    [["a", 0], ["b", 5_000], ["c", 5_000], ["a", 10_000], ["b", 15_000]],
  );
  assert.ok(client.calls[0]!.options.signal!.aborted);
  assert.equal(client.calls[0]!.options.timeoutMs, 5_000);
  assert.equal(clock.timerCount, 0);
  assert.deepEqual(log.map((line) => line.level), ["warn", "info"]);
});

Deno.test("Reporter.getDeploymentId() goes on for ever, warning once a minute", async () => {
  const { clock, client, reporter, log } = setUp({ servers: ["a", "b"] });
  client.onDeployment = fail;
  const got = reporter.getDeploymentId();
  const closed = assert.rejects(got, isClosed);
  await clock.advance(3_600_000);
  assert.equal(client.calls.length, 2 * 721);
  assert.equal(log.length, 61);
  assert.match(log[0]!.fields, /a: no route; b: no route/);
  await reporter.stop();
  await closed;
  assert.equal(clock.timerCount, 0);
});

Deno.test("Reporter.getDeploymentId() ends with the signal's reason, asking or waiting", async () => {
  for (const onDeployment of [never, fail]) {
    const { clock, client, reporter } = setUp();
    client.onDeployment = onDeployment;
    const controller = new AbortController();
    const reason = new Error("enough");
    const got = reporter.getDeploymentId(controller.signal);
    const ended = assert.rejects(got, (error) => error === reason);
    await clock.advance(1_000);
    controller.abort(reason);
    await ended;
    assert.equal(client.calls.length, 1);
    assert.equal(clock.timerCount, 0);
    await assert.rejects(
      reporter.getDeploymentId(controller.signal),
      (error) => error === reason,
    );
  }
});

Deno.test("Reporter.getDeploymentId() does not take what is no deployment id", async () => {
  const { clock, client, reporter } = setUp();
  const answers = [0n, -1n, 1n << 64n, "7", undefined, 7n];
  client.onDeployment = (_, call) => answers[call - 1];
  const got = reporter.getDeploymentId();
  await clock.advance(60_000);
  assert.equal(await got, 7n);
  assert.equal(client.calls.length, 6);
});

Deno.test("Reporter reports soon after its start, then at every period or nearly, with the log in 1, 3, 6, 9", async () => {
  const { clock, client, reporter } = setUp();
  await clock.advance(100_000);
  assert.equal(client.calls.length, 0);
  reporter.start();
  reporter.start();
  await clock.advance(215_000);
  const reports = client.of("report").slice(0, 10);
  const first = reports[0]!.atMs;
  assert.ok(first >= 100_000 && first <= 101_000);
  const gaps = reports.slice(1).map((call, i) => call.atMs - reports[i]!.atMs);
  assert.ok(gaps.every((gap) => gap >= 19_000 && gap <= 21_000), `${gaps}`);
  assert.ok(new Set(gaps).size > 5, `${gaps} are at random`);
  assert.deepEqual(
    reports.map((call) => call.info!.seq),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  const withLog = reports.filter((call) => call.info!.logInfoIncluded);
  assert.deepEqual(withLog.map((call) => call.info!.seq), [1, 3, 6, 9]);
  assert.ok(reports.every((call) => call.info!.boot === 3));
  await reporter.stop();
});

Deno.test("Reporter with a period of 1 s reports and handles requests at least twice in 3 s (master-reference 12)", async () => {
  const { clock, client, reporter } = setUp({ reportPeriodMs: 1_000 });
  reporter.start();
  await clock.advance(3_000);
  assert.ok(client.of("report").length >= 2);
  assert.ok(client.of("handle").length >= 2);
  await reporter.stop();
});

Deno.test("Reporter includes the log until a report arrived", async () => {
  const { clock, client, reporter } = setUp();
  const upAtMs = 70_000;
  client.onReport = () => clock.now() < upAtMs ? fail() : undefined;
  reporter.start();
  await clock.advance(180_000);
  const reports = client.of("report");
  const lost = reports.filter(({ atMs }) => atMs < upAtMs);
  const [first, ...later] = reports.slice(lost.length).map(({ info }) => info!);
  assert.ok(lost.length >= 4 && later.length >= 4);
  assert.ok(lost.every(({ info }) => info!.logInfoIncluded));
  assert.ok(first!.logInfoIncluded);
  for (const { seq, logInfoIncluded } of later) {
    assert.equal(logInfoIncluded, seq! % 3 === 0, `report ${seq}`);
  }
  await reporter.stop();
});

Deno.test("Reporter tries the masters in a new order each time, until one takes the report", async () => {
  const servers = ["a", "b", "c"];
  const { clock, client, reporter } = setUp({ servers });
  client.onReport = (server) => server === "c" ? undefined : fail();
  reporter.start();
  await clock.advance(20_000 * 60);
  const orders = new Map<number, string>();
  for (const { info, server } of client.of("report")) {
    orders.set(info!.seq!, (orders.get(info!.seq!) ?? "") + server);
  }
  assert.ok([...orders.values()].every((order) => order.endsWith("c")));
  assert.deepEqual(
    [...new Set(orders.values())].sort(),
    ["abc", "ac", "bac", "bc", "c"],
  );
  await reporter.stop();
});

Deno.test("Reporter gives an attempt two periods, and each master its share of them", async () => {
  const { clock, client, reporter } = setUp({ servers: ["a", "b"] });
  client.onReport = never;
  reporter.start();
  await clock.advance(101_000);
  const reports = client.of("report");
  const first = reports[0]!.atMs;
  assert.deepEqual(
    reports.map((call) => [call.info!.seq, Math.round(call.atMs - first)]),
    [[1, 0], [1, 20_000], [2, 40_000], [2, 60_000], [3, 80_000], [3, 100_000]],
  );
  for (const [i, call] of reports.slice(0, 5).entries()) {
    assert.equal(call.options.timeoutMs, 20_000);
    assert.ok(call.options.signal!.aborted, `report ${i} was not ended`);
  }
  await reporter.stop();
  assert.ok(reports[5]!.options.signal!.aborted);
});

Deno.test("Reporter asks masters for whom it cannot reach, and hands on what they say (M17)", async () => {
  let missing: string[] = [];
  const found: HostAddress[] = [];
  const { clock, client, reporter } = setUp({
    servers: ["a", "b"],
    unreached: () => missing,
    found: (hosts) => void found.push(...hosts),
  });
  const moved = { nodeHostId: "x", nodeHostAddress: "new:1", boot: 4 };
  const stray = { nodeHostId: "y", nodeHostAddress: "new:1", boot: 4 };
  client.onReport = (server) =>
    server === "a"
      ? fail()
      : { accepted: true, want: [], addresses: [stray, moved] };
  reporter.start();
  await clock.advance(5_000);
  assert.ok(client.of("report").every(({ info }) => !("seeks" in info!)));
  assert.deepEqual(found, []);
  missing = ["x"];
  await clock.advance(20_000);
  const last = client.of("report").at(-1)!;
  assert.deepEqual(last.info!.seeks, ["x"]);
  assert.deepEqual(found, [moved]);
  missing = [];
  await clock.advance(20_000);
  assert.ok(!("seeks" in client.of("report").at(-1)!.info!));
  await reporter.stop();
});

Deno.test("Reporter has one report in flight, and makes up for one that fell due", async () => {
  const { clock, client, reporter } = setUp();
  let inFlight = 0;
  client.onReport = async (_, call) => {
    assert.equal(++inFlight, 1);
    if (call === 1) {
      await new Promise<void>((resolve) => clock.setTimer(30_000, resolve));
    }
    inFlight--;
  };
  reporter.start();
  await clock.advance(65_000);
  const reports = client.of("report");
  const first = reports[0]!.atMs;
  const [, second, third, fourth] = reports.map(({ atMs }) => atMs - first);
  assert.equal(Math.round(second!), 30_000);
  assert.ok(third! >= 38_000 && third! <= 42_000, `${third}`);
  assert.ok(fourth! >= 57_000 && fourth! <= 63_000, `${fourth}`);
  await reporter.stop();
});

Deno.test("Reporter handles requests each second, or each period if that is shorter, never two at once", async () => {
  for (
    const [reportPeriodMs, intervalMs] of [[20_000, 1_000], [250, 250]] as const
  ) {
    const { clock, client, reporter } = setUp({ reportPeriodMs });
    let inFlight = 0;
    client.onHandle = async (_, call) => {
      assert.equal(++inFlight, 1);
      const takes = call === 2 ? 3.5 * intervalMs : 0.25 * intervalMs;
      await new Promise<void>((resolve) => clock.setTimer(takes, resolve));
      inFlight--;
      if (call === 3) throw new Error("not done");
    };
    reporter.start();
    await clock.advance(7 * intervalMs);
    const times = client.of("handle").map((call) => call.atMs / intervalMs);
    assert.deepEqual(times, [1, 2, 5.5, 6.5]);
    assert.ok(client.of("handle")[0]!.options.signal instanceof AbortSignal);
    await reporter.stop();
  }
});

Deno.test("Reporter tells a failure at once, then once a minute, then its end", async () => {
  const server = "http://me:secret@a/?key=secret";
  const { clock, client, reporter, log } = setUp({ servers: [server] });
  let isUp = false;
  client.onReport = () => isUp ? undefined : fail();
  reporter.start();
  await clock.advance(119_000);
  assert.deepEqual(log.map((line) => line.level), ["warn", "warn"]);
  assert.match(log[0]!.fields, /no route/);
  assert.ok(log.every((line) => !line.fields.includes("secret")));
  isUp = true;
  await clock.advance(60_000);
  assert.equal(log.at(-1)!.level, "info");
  assert.match(log.at(-1)!.fields, /"failedCount":[67]\b/);
  await reporter.stop();
});

Deno.test("Reporter tries a report again within its period, after pauses that grow and are at random", async () => {
  const { clock, client, reporter, log } = setUp();
  client.onReport = fail;
  reporter.start();
  await clock.advance(200_000);
  const reports = client.of("report");
  assert.deepEqual(
    reports.map(({ info }) => info!.seq),
    reports.map((_, i) => i + 1),
    "each is newer than the one before, which may have arrived",
  );
  const pauses: number[] = [];
  for (let period = 0; period < 8; period++) {
    const [first, ...again] = reports.slice(4 * period, 4 * period + 4)
      .map(({ atMs }) => atMs);
    let last = first!;
    for (const [i, atMs] of again.entries()) {
      const longestMs = 20_000 / 8 * 2 ** i;
      const pauseMs = atMs - last;
      assert.ok(pauseMs >= longestMs / 2 - 1 && pauseMs <= longestMs + 1);
      pauses.push(pauseMs);
      last = atMs;
    }
    const periodMs = reports[4 * period + 4]!.atMs - first!;
    assert.ok(periodMs >= 18_999 && periodMs <= 21_001, `${periodMs}`);
  }
  assert.ok(new Set(pauses).size > 20);
  assert.ok(log.length <= 4, "a warning a minute, whatever is tried");
  await reporter.stop();
  assert.equal(clock.timerCount, 0);
});

Deno.test("Reporter tries a report again until it is taken, and no longer", async () => {
  const { clock, client, reporter, log } = setUp();
  client.onReport = (_, call) => call <= 2 ? fail() : undefined;
  reporter.start();
  await clock.advance(19_000);
  const seqs = client.of("report").map(({ info }) => info!.seq);
  assert.deepEqual(seqs, [1, 2, 3]);
  assert.deepEqual(log.map(({ level }) => level), ["warn", "info"]);
  await reporter.stop();
});

Deno.test("Reporter.stop() ends the pause before a report is tried again", async () => {
  const { clock, client, reporter } = setUp();
  client.onReport = fail;
  reporter.start();
  await clock.advance(2_000);
  const before = client.of("report").length;
  assert.ok(before >= 1);
  await reporter.stop();
  assert.equal(clock.timerCount, 0);
  await clock.advance(60_000);
  assert.equal(client.of("report").length, before);
});

Deno.test("Reporter survives a NodeHost that cannot describe itself", async () => {
  let calls = 0;
  const { clock, client, reporter, log } = setUp({
    nodeHostInfo: (includeLog) => {
      if (++calls === 1) throw new Error("not yet");
      return infoOf(includeLog);
    },
  });
  reporter.start();
  await clock.advance(25_000);
  assert.match(log[0]!.fields, /not yet/);
  assert.deepEqual(
    client.of("report").map((
      call,
    ) => [call.info!.seq, call.info!.logInfoIncluded]),
    [[2, true], [3, true]],
  );
  await reporter.stop();
});

Deno.test("Reporter.stop() ends everything at once, though the client ignores its signals", async () => {
  const { clock, client, reporter, log } = setUp();
  client.onReport = never;
  client.onHandle = never;
  reporter.start();
  await clock.advance(10_000);
  await reporter.stop();
  await reporter.stop();
  assert.ok(client.calls.every((call) => call.options.signal!.aborted));
  assert.equal(clock.timerCount, 0);
  const before = client.calls.length;
  reporter.start();
  await clock.advance(100_000);
  assert.equal(client.calls.length, before);
  assert.deepEqual(log, []);
  await assert.rejects(reporter.getDeploymentId(), isClosed);
});

Deno.test("Reporter.stop() wins over requests that end at the same moment", async () => {
  for (let turns = 0; turns < 12; turns++) {
    const { clock, client, reporter } = setUp();
    const handled = Promise.withResolvers<void>();
    client.onHandle = () => handled.promise;
    reporter.start();
    await clock.advance(1_000);
    handled.resolve();
    for (let i = 0; i < turns; i++) await Promise.resolve();
    await reporter.stop();
    assert.equal(clock.timerCount, 0, `${turns} turns`);
  }
});
