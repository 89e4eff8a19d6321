/** A NodeHost and its masters (rule I5): a whole NodeHost, with a client that answers what the test says. */
import { assert } from "../deps.ts";
import type { NodeHostConfig, WaitOptions } from "../../raft/config.ts";
import { denoPorts } from "../../raft/deno_ports.ts";
import { RaftError } from "../../raft/errors.ts";
import { NodeHost } from "../../raft/nodehost.ts";
import type { Clock, Timer } from "../../raft/ports.ts";
import type { IMasterClient, NodeHostInfo } from "../../master/protocol.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";

const servers = ["http://one", "http://two"];

/** A client that keeps what it is told; until a test says otherwise it knows deployment 9 and wants nothing. */
class FakeClient implements IMasterClient {
  readonly asked: string[] = [];
  readonly reports: NodeHostInfo[] = [];
  handled = 0;
  stops = 0;
  host: NodeHost | undefined;
  /** Calls under way. */
  underWay = 0;
  onAsk: (url: string) => bigint | Promise<bigint> = () => 9n;
  onReport: () => void = () => {};
  onHandle: (options?: WaitOptions) => void | Promise<void> = () => {};
  onStop: () => void = () => {};

  name(): string {
    return "fake";
  }
  stop(): Promise<void> {
    this.stops++;
    return Promise.try(this.onStop);
  }
  getDeploymentId(url: string): Promise<bigint> {
    this.asked.push(url);
    return this.#during(() => this.onAsk(url));
  }
  sendNodeHostInfo(_url: string, info: NodeHostInfo): Promise<void> {
    this.reports.push(info);
    return this.#during(() => this.onReport());
  }
  handleMasterRequests(options?: WaitOptions): Promise<void> {
    this.handled++;
    return this.#during(() => this.onHandle(options));
  }

  /** The configuration of a NodeHost that has this client. */
  config(more: Partial<NodeHostConfig> = {}): Partial<NodeHostConfig> {
    return {
      masterServers: servers,
      masterClientFactory: (host) => {
        this.host = host;
        return this;
      },
      reportPeriodMs: 10,
      ...more,
    };
  }

  /** The next report that was begun after this call. */
  async nextReport(): Promise<NodeHostInfo> {
    const count = this.reports.length;
    await until("a report", () => this.reports.length > count);
    return this.reports[count]!;
  }

  async #during<T>(work: () => T | Promise<T>): Promise<T> {
    this.underWay++;
    try {
      return await work();
    } finally {
      this.underWay--;
    }
  }
}

/** Reaches no master. */
class LostClient extends FakeClient {
  override onAsk = () => Promise.reject(new Error("no route"));
  override onReport = () => {
    throw new Error("no route");
  };
  override onHandle = () => Promise.reject(new Error("no route"));
}

/** Real time, but waits of five seconds and more end when the test says. */
class HeldClock implements Clock {
  readonly #clock = denoPorts().clock;
  readonly #held = new Map<Timer, { delayMs: number; callback: () => void }>();
  readonly #running = new Set<Timer>();

  now(): number {
    return this.#clock.now();
  }
  wallTime(): number {
    return this.#clock.wallTime();
  }
  defer(callback: () => void): void {
    this.#clock.defer(callback);
  }
  setTimer(delayMs: number, callback: () => void): Timer {
    if (delayMs >= 5_000) {
      const held = { cancel: () => void this.#held.delete(held) };
      this.#held.set(held, { delayMs, callback });
      return held;
    }
    const real = this.#clock.setTimer(delayMs, () => {
      this.#running.delete(timer);
      callback();
    });
    const timer = {
      cancel: () => {
        this.#running.delete(timer);
        real.cancel();
      },
    };
    this.#running.add(timer);
    return timer;
  }

  /** Timers that were neither cancelled nor have fired. */
  get count(): number {
    return this.#held.size + this.#running.size;
  }

  /** Waits until a wait of so long began, and ends it. */
  async end(delayMs: number): Promise<void> {
    const find = () =>
      [...this.#held].find(([, timer]) => timer.delayMs === delayMs);
    await until(`a wait of ${delayMs} ms`, () => find() !== undefined);
    const [held, { callback }] = find()!;
    this.#held.delete(held);
    callback();
  }
}

function isRaftError(code: string, text: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  };
}

Deno.test("A new folder waits until a master tells its deployment id, however often none does (rule I5)", async () => {
  await using hosts = new Hosts();
  const clock = new HeldClock();
  hosts.clock = clock;
  const client = new FakeClient();
  client.onAsk = () => Promise.reject(new Error("no route"));
  let isOpen = false;
  const opening = hosts.open(1, client.config()).then((host) => {
    isOpen = true;
    return host;
  });
  await clock.end(5_000);
  await clock.end(5_000);
  await until("the third round", () => client.asked.length === 6);
  assert.deepEqual(client.asked, [...servers, ...servers, ...servers]);
  assert.equal(isOpen, false);
  assert.deepEqual(client.reports, [], "it has nothing to report yet");
  client.onAsk = (url) =>
    url === servers[1] ? 9n : Promise.reject(new Error("no route"));
  await clock.end(5_000);
  const host = await opening;
  assert.equal(host.deploymentId, 9n);
  assert.equal(host.info().deploymentId, 9n);
  const waits = hosts.logs.get(1)!.lines.filter((line) =>
    /deployment id.*no route/.test(line)
  );
  assert.equal(waits.length, 1, "told when it began, not at every round");
});

Deno.test("A folder that has its deployment id opens without a master, and its named nodes start again (rule I5)", async () => {
  await using hosts = new Hosts();
  const stateMachines = { counter: () => new Counter() };
  const host = await hosts.open(1, new FakeClient().config({ stateMachines }));
  await host.startCluster(hosts.cluster(1, 1, { stateMachine: "counter" }));
  await host.waitReady(1);
  await host.propose(1, Uint8Array.of(5));
  await hosts.close(1);

  const client = new LostClient();
  const again = await hosts.open(1, client.config({ stateMachines }), {
    timeoutMs: 5_000, // Rather than wait for ever, if it did wait.
  });
  assert.equal(again.deploymentId, 9n);
  await again.waitReady(1);
  assert.equal(await again.read(1, "total"), 5);
  await until("vain reports", () => client.reports.length >= 4);
  assert.deepEqual(client.asked, [], "there was nothing to ask");
  const lines = hosts.logs.get(1)!.lines;
  for (const what of [/report to any master/, /what masters ask for/]) {
    const told = lines.filter((line) => what.test(line));
    assert.equal(told.length, 1, told.join("\n"));
  }
  assert.equal((await again.propose(1, Uint8Array.of(1))).value, 6);
});

Deno.test("The deployment id of a folder never changes: the master's wins over the configuration's, the first over later ones (rules I4, I5)", async () => {
  await using hosts = new Hosts();
  const first = new FakeClient();
  await hosts.open(1, first.config({ deploymentId: 5n }));
  assert.equal(hosts.host(1).deploymentId, 9n);
  await hosts.close(1);

  const later = new FakeClient();
  later.onAsk = () => 10n;
  await hosts.open(1, later.config());
  assert.equal(hosts.host(1).deploymentId, 9n);
  assert.equal((await later.nextReport()).deploymentId, 9n);
  await hosts.close(1);

  await assert.rejects(
    hosts.open(1, { deploymentId: 10n }),
    isRaftError("deploymentMismatch", /deployment 9.*deployment 10/),
  );
  await hosts.open(1, { deploymentId: 9n });

  // A folder that was begun without masters keeps the id it was given.
  await hosts.open(2, { deploymentId: 4n });
  await hosts.close(2);
  await hosts.open(2, later.config());
  assert.equal(hosts.host(2).deploymentId, 4n);
});

Deno.test("Reports tell who the NodeHost is, and its log in the first and in every third", async () => {
  await using hosts = new Hosts();
  const where = { region: "north", apiAddress: "api-1:80" };
  for (const boot of [1, 2]) {
    const client = new FakeClient();
    const host = await hosts.open(1, client.config(where));
    await until("seven reports", () => client.reports.length >= 7);
    for (const [i, report] of client.reports.entries()) {
      const seq = i + 1;
      const isWithLog = seq === 1 || seq % 3 === 0;
      assert.deepEqual({ ...report, clusterInfoList: [] }, {
        nodeHostId: host.nodeHostId,
        boot,
        seq,
        deploymentId: 9n,
        nodeHostAddress: hosts.address(1),
        nodeHostApiAddress: "api-1:80",
        region: "north",
        apps: [],
        clusterInfoList: [],
        clusterIdList: [],
        logInfoIncluded: isWithLog,
        // Of the second life: what the first one left in the log, though it does not run.
        logInfo: boot === 2 && isWithLog ? [{ clusterId: 1, nodeId: 1 }] : [],
        ...(boot === 2 && isWithLog
          ? { leftovers: [{ clusterId: 1, nodeId: 1 }] }
          : {}),
      });
    }
    await host.startCluster(hosts.cluster(1, 1, { clusterId: boot }));
    await hosts.close(1);
    assert.equal(client.stops, 1);
  }
});

Deno.test("Reports tell each cluster's membership, leader and place in the log, as far as they are known", async () => {
  await using hosts = new Hosts();
  const clients = [1, 2, 3].map(() => new FakeClient());
  const open = async (n: number) => {
    const host = await hosts.open(n, clients[n - 1]!.config());
    // Patient, so that nobody else leads meanwhile.
    const patient = { electionTimeoutTicks: 60 };
    await host.startCluster(hosts.cluster(n, 3, patient));
    return host;
  };
  const host = await open(1);
  const alone = await clients[0]!.nextReport();
  assert.deepEqual(alone.clusterIdList, [1]);
  assert.deepEqual(alone.clusterInfoList, [{
    clusterId: 1,
    nodeId: 1,
    isLeader: false,
    nodes: {},
    configChangeIndex: 0,
    pending: true,
    incomplete: false,
    isLagging: true,
    position: { lastTerm: 0, lastIndex: 0, appliedIndex: 0 },
  }]);

  await open(2);
  await open(3);
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  await hosts.open(4, { deploymentId: host.deploymentId });
  await host.addNode(1, { nodeId: 4, address: hosts.address(4) });
  const { configChangeIndex } = await host.getMembership(1);
  assert.ok(configChangeIndex > 0);
  for (const leader of [2, 1]) {
    await host.transferLeadership(1, leader);
    for (const n of [1, 2, 3]) {
      await hosts.host(n).read(1, "total");
      const { clusterInfoList } = await clients[n - 1]!.nextReport();
      assert.deepEqual(clusterInfoList, [{
        clusterId: 1,
        nodeId: n,
        isLeader: n === leader,
        nodes: {
          1: hosts.address(1),
          2: hosts.address(2),
          3: hosts.address(3),
          4: hosts.address(4),
        },
        configChangeIndex,
        pending: false,
        incomplete: false,
        nodeHostIds: Object.fromEntries(
          [1, 2, 3, 4].map((id) => [id, hosts.host(id).nodeHostId]),
        ),
      }]);
    }
  }
});

Deno.test("Reports tell how far the log of a survivor goes while no leader is known, and the name of its state machine (M7, M15)", async () => {
  await using hosts = new Hosts();
  const client = new FakeClient();
  const stateMachines = { counter: () => new Counter() };
  const host = await hosts.open(1, client.config({ stateMachines }));
  await hosts.open(2, { deploymentId: host.deploymentId, stateMachines });
  for (const n of [1, 2]) {
    const config = hosts.cluster(n, 2);
    await hosts.host(n).startCluster({ ...config, stateMachine: "counter" });
  }
  await host.waitReady(1);
  await host.propose(1, Uint8Array.of(5));
  let [info] = (await client.nextReport()).clusterInfoList;
  assert.deepEqual([info?.app, info?.position], ["counter", undefined]);
  await hosts.close(2);
  for (let i = 0; i < 500 && info?.position === undefined; i++) {
    [info] = (await client.nextReport()).clusterInfoList;
  }
  const [status] = host.info().clusters;
  const { lastTerm, lastIndex, applied } = status!;
  assert.ok(lastTerm > 0 && lastIndex > 0);
  assert.deepEqual(info?.position, {
    lastTerm,
    lastIndex,
    appliedIndex: applied,
  });
});

Deno.test("Reports list the clusters that run, and in their log also those that were stopped", async () => {
  await using hosts = new Hosts();
  const client = new FakeClient();
  const host = await hosts.open(1, client.config());
  for (const clusterId of [7, 3]) {
    await host.startCluster(hosts.cluster(1, 1, { clusterId }));
  }
  assert.deepEqual((await client.nextReport()).clusterIdList, [3, 7]);
  await host.stopCluster(3);
  let report = await client.nextReport();
  assert.deepEqual(report.clusterIdList, [7]);
  assert.deepEqual(report.clusterInfoList.map((info) => info.clusterId), [7]);
  while (!report.logInfoIncluded) report = await client.nextReport();
  assert.deepEqual(report.logInfo, [
    { clusterId: 3, nodeId: 1 },
    { clusterId: 7, nodeId: 1 },
  ]);
});

Deno.test("handleMasterRequests() is called again and again, never twice at once, and may use the NodeHost", async () => {
  await using hosts = new Hosts();
  const client = new FakeClient();
  let inside = 0;
  let most = 0;
  client.onHandle = async () => {
    most = Math.max(most, ++inside);
    const { handled, host } = client;
    const count = client.reports.length;
    if (handled === 2) await host!.startCluster(hosts.cluster(1, 1));
    // Longer than its interval, which is that of the reports here: they do not wait for it.
    await until(
      "reports meanwhile",
      () => client.reports.length >= count + 3,
    );
    inside--;
    if (handled === 3) throw new Error("this one failed");
  };
  const host = await hosts.open(1, client.config());
  await until("calls", () => client.handled >= 5);
  assert.equal(most, 1);
  assert.equal(client.host, host);
  await host.waitReady(1);
  assert.equal((await host.propose(1, Uint8Array.of(3))).value, 3);
});

Deno.test("close() ends what is under way with masters, stops the client once, and reports no more", async () => {
  await using hosts = new Hosts();
  const clock = new HeldClock();
  hosts.clock = clock;
  const client = new FakeClient();
  let signal: AbortSignal | undefined;
  let abortedAtStop: boolean | undefined;
  client.onHandle = (options) => {
    signal = options?.signal;
    // It heeds its signal, and nothing else would end it.
    return new Promise((_, reject) =>
      signal?.addEventListener("abort", () => reject(signal?.reason))
    );
  };
  client.onStop = () => {
    abortedAtStop = signal?.aborted;
    throw new Error("the client does not stop well");
  };
  const host = await hosts.open(1, client.config());
  await client.nextReport();
  await until("a call", () => signal !== undefined);
  await Promise.all([host.close(), host.close()]);
  await host.close();
  assert.equal(client.stops, 1);
  assert.equal(abortedAtStop, true, "its calls end before it is stopped");
  assert.equal(client.underWay, 0);
  assert.equal(clock.count, 0, "nothing is left that could report");
  assert.match(hosts.logs.get(1)!.lines.at(-1)!, /does not stop well/);
});

Deno.test("NodeHost.open() stops waiting for a master when its signal is aborted, with the signal's reason (rule R1)", async () => {
  await using hosts = new Hosts();
  const clock = new HeldClock();
  hosts.clock = clock;
  const client = new FakeClient();
  client.onAsk = () => new Promise<bigint>(() => {});
  const controller = new AbortController();
  const { signal } = controller;
  const opening = hosts.open(1, client.config(), { signal });
  const reason = new Error("changed my mind");
  const rejected = assert.rejects(opening, (error) => error === reason);
  await until("a question", () => client.asked.length > 0);
  controller.abort(reason);
  await rejected;
  assert.equal(client.stops, 1);
  assert.equal(clock.count, 0);
  await assert.rejects(
    hosts.open(1, client.config(), { signal }),
    (error) => error === reason,
    "an aborted signal does not even ask",
  );
  assert.equal(client.asked.length, 1);
  // The folder is free again, and still without a deployment.
  client.onAsk = () => 11n;
  const host = await hosts.open(1, client.config());
  assert.equal(host.deploymentId, 11n);
});

Deno.test("NodeHost.open() waits for a master no longer than timeoutMs, and for nothing else", async () => {
  await using hosts = new Hosts();
  const clock = new HeldClock();
  hosts.clock = clock;
  const lost = new LostClient();
  const opening = hosts.open(1, lost.config(), { timeoutMs: 7_000 });
  const rejected = assert.rejects(
    opening,
    isRaftError("timeout", /masters.*deployment id/),
  );
  await clock.end(5_000); // A round in vain.
  await until("the second round", () => lost.asked.length === 4);
  await clock.end(7_000);
  await rejected;
  assert.equal(lost.stops, 1);
  assert.equal(clock.count, 0);
  await assert.rejects(
    hosts.open(1, lost.config(), { timeoutMs: 0 }),
    RangeError,
  );
  await hosts.open(1, new FakeClient().config(), { timeoutMs: 7_000 });
  await hosts.close(1);
  assert.equal(clock.count, 0, "nothing goes on waiting once it is open");
});

Deno.test("A NodeHost without masterServers makes no client, also if it has a factory; with them it has the factory's", async () => {
  await using hosts = new Hosts();
  const none = new FakeClient();
  const alone = none.config({ masterServers: [] });
  const host = await hosts.open(1, { ...alone, deploymentId: 5n });
  assert.equal(host.deploymentId, 5n);
  assert.equal(none.host, undefined, "the factory was not called");
  await hosts.close(1);
  assert.deepEqual(
    [none.asked, none.reports, none.handled, none.stops],
    [[], [], 0, 0],
  );
  const client = new FakeClient();
  const managed = await hosts.open(2, client.config());
  assert.equal(client.host, managed);
  await client.nextReport();
});

Deno.test("NodeHost.open() refuses a factory that makes no client, naming it", async () => {
  for (const made of [{}, null, { ...new FakeClient(), name: "fake" }]) {
    await using hosts = new Hosts();
    const config = {
      ...new FakeClient().config(),
      masterClientFactory: () => made,
    };
    await assert.rejects(
      hosts.open(1, config as unknown as Partial<NodeHostConfig>),
      (error) =>
        error instanceof TypeError &&
        /^Cannot use masterClientFactory\(\)/.test(error.message),
    );
  }
});

Deno.test("A client may refuse one of masterServers for good, in a folder that has a deployment as well (rule I5)", async () => {
  class Choosy extends FakeClient {
    checkServer(url: string): void {
      if (url === servers[1]) throw new RangeError(`Cannot use ${url}`);
    }
  }
  await using hosts = new Hosts();
  await hosts.open(1, new FakeClient().config());
  await hosts.close(1);
  for (const n of [1, 2]) {
    const client = new Choosy();
    await assert.rejects(
      hosts.open(n, client.config()),
      /Cannot use http:\/\/two/,
    );
    assert.deepEqual([client.asked.length, client.stops], [0, 1]);
  }
  const host = await hosts.open(
    1,
    new Choosy().config({ masterServers: servers.slice(0, 1) }),
  );
  assert.equal(host.deploymentId, 9n);
});

Deno.test("NodeHost.open() takes how long to wait second, as every other call does, or behind the ports", async () => {
  const config = {
    dir: "/data",
    raftAddress: "127.0.0.1:7001",
    storage: new Hosts().disk(1),
    masterServers: servers,
    masterClientFactory: () => new LostClient(),
  };
  const inTime = isRaftError("timeout", /in time/);
  const ports = denoPorts();
  await assert.rejects(NodeHost.open(config, { timeoutMs: 1 }), inTime);
  await assert.rejects(NodeHost.open(config, ports, { timeoutMs: 1 }), inTime);
  await assert.rejects(
    NodeHost.open(config, undefined, { timeoutMs: 1 }),
    inTime,
  );
  const reason = new Error("the caller's");
  const signal = AbortSignal.abort(reason);
  await assert.rejects(
    NodeHost.open(config, { signal }),
    (error) => error === reason,
  );
  const wrong: [unknown, unknown, RegExp][] = [
    [{ timeoutMs: 0 }, undefined, /timeoutMs/],
    [{ timeoutMs: 1 }, { timeoutMs: 1 }, /given twice/],
    [5, undefined, /options/],
    [null, undefined, /options/],
    [ports, 5, /options/],
    [{ ...ports, clock: undefined }, undefined, /ports\.clock/],
    [{ clock: {} }, undefined, /ports\.fileSystem/],
  ];
  for (const [second, third, message] of wrong) {
    await assert.rejects(
      NodeHost.open(config, second as never, third as never),
      message,
    );
  }
});
