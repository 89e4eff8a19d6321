/** One NodeHost as a process of the benchmark: does what the lines on its standard input say. */
import { NodeHost, prometheus } from "../mod.ts";
import { process } from "./deps.ts";
import { runFlood, runLoad, SteadyLoad } from "./load.ts";
import { BenchMachine, type MachineState } from "./machine.ts";
import {
  type CallLine,
  type Calls,
  readLines,
  type ReplyLine,
  type StartIdleRequest,
  type StartRequest,
  type Usage,
} from "./protocol.ts";

/** Waits for this many clusters at a time. */
const startedAtOnce = 64;
const readyTimeoutMs = 60_000;

/** As often as a Prometheus that is in a hurry. */
const scrapeMs = 1_000;

let openHost: NodeHost | undefined;
let observing: Observation | undefined;
let steadyLoad: SteadyLoad | undefined;
let clusterCount = 0;

function host(): NodeHost {
  if (openHost === undefined) {
    throw new Error("Cannot call: no NodeHost is open");
  }
  return openHost;
}

function steady(): SteadyLoad {
  if (steadyLoad === undefined) {
    throw new Error("Cannot call: no steady load is running");
  }
  return steadyLoad;
}

/** Does what a user does who watches a NodeHost: takes its events, and makes its page of metrics every second. */
class Observation {
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #listening: Promise<void>;
  #events = 0;

  constructor(observed: NodeHost) {
    const scrape = () => {
      if (!prometheus(observed).includes("drakkar_")) {
        throw new Error("Cannot measure: the page of metrics is empty");
      }
    };
    scrape();
    this.#timer = setInterval(scrape, scrapeMs);
    this.#listening = this.#listen(observed);
  }

  /** Fails if there was nothing to see: then the figure would not be that of a watched NodeHost. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#listening;
    if (this.#events === 0) {
      throw new Error("Cannot count this as observed: there were no events");
    }
  }

  async #listen(observed: NodeHost): Promise<void> {
    for await (const _event of observed.events()) this.#events++;
  }
}

/** Runs `task` for every cluster id, some at a time, and returns the results in order. */
async function forEachCluster<T>(
  task: (clusterId: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  for (let first = 1; first <= clusterCount; first += startedAtOnce) {
    const ids: number[] = [];
    for (
      let id = first;
      id < first + startedAtOnce && id <= clusterCount;
      id++
    ) ids.push(id);
    results.push(...await Promise.all(ids.map(task)));
  }
  return results;
}

async function start(request: StartRequest): Promise<null> {
  clusterCount = request.clusters;
  await forEachCluster(async (clusterId) => {
    await host().startCluster({
      clusterId,
      nodeId: request.nodeId,
      initialMembers: request.members,
      stateMachine: () => new BenchMachine(),
      ...(request.snapshotEntries === undefined
        ? {}
        : { snapshotEntries: request.snapshotEntries }),
    });
  });
  await forEachCluster((clusterId) =>
    host().waitReady(clusterId, { timeoutMs: readyTimeoutMs })
  );
  return null;
}

/** All at once: what they write first shares a few syncs. */
async function startIdle(request: StartIdleRequest): Promise<null> {
  clusterCount = request.clusters;
  const starts: Promise<void>[] = [];
  for (let clusterId = 1; clusterId <= clusterCount; clusterId++) {
    starts.push(
      host().startCluster({
        clusterId,
        nodeId: request.nodeId,
        initialMembers: request.members,
        stateMachine: () => new BenchMachine(),
        ...(request.isQuiet ? { quiesce: true } : {}),
      }),
    );
  }
  await Promise.all(starts);
  return null;
}

function usage(isCollecting: boolean): Usage {
  const { gc } = globalThis as { gc?: () => void };
  if (isCollecting) gc?.();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    rssMb: rss / 2 ** 20,
    heapMb: heapUsed / 2 ** 20,
  };
}

const handlers: {
  [K in keyof Calls]: (
    request: Calls[K]["request"],
  ) => Promise<Calls[K]["reply"]> | Calls[K]["reply"];
} = {
  async open({ dir, raftAddress, tickMs, tls, isObserved }) {
    openHost = await NodeHost.open({
      dir,
      raftAddress,
      ...(tickMs === undefined ? {} : { tickMs }),
      ...(tls === undefined ? {} : { tls }),
    });
    observing = isObserved ? new Observation(openHost) : undefined;
    return null;
  },
  start,
  startIdle,
  led({ nodeId }) {
    let count = 0;
    for (let clusterId = 1; clusterId <= clusterCount; clusterId++) {
      if (host().getLeader(clusterId).leaderId === nodeId) count++;
    }
    return count;
  },
  awake: () => host().info().clusters.filter((one) => !one.isQuiet).length,
  leaders() {
    return Array.from(
      { length: clusterCount },
      (_, i) => host().getLeader(i + 1).leaderId,
    );
  },
  async transfer({ clusterId, targetNodeId }) {
    await host().transferLeadership(clusterId, targetNodeId);
    return null;
  },
  load: (request) => runLoad(host(), request),
  flood: (request) => runFlood(host(), request),
  steadyStart(request) {
    steadyLoad = new SteadyLoad(host(), request);
    return null;
  },
  steadyMark() {
    steady().mark();
    return null;
  },
  steadyStatus: () => steady().status(),
  async steadyStop() {
    const report = await steady().stop();
    steadyLoad = undefined;
    return report;
  },
  states: () =>
    forEachCluster((clusterId) =>
      host().read<MachineState>(clusterId, "state", {
        timeoutMs: readyTimeoutMs,
      })
    ),
  usage: ({ isCollecting }) => usage(isCollecting),
  async close() {
    await host().close();
    await observing?.end();
    openHost = undefined;
    return null;
  },
};

async function answer<K extends keyof Calls>(line: CallLine<K>): Promise<void> {
  let reply: ReplyLine;
  try {
    reply = { id: line.id, reply: await handlers[line.call](line.request) };
  } catch (error) {
    const text = error instanceof Error ? error.stack ?? error.message : error;
    reply = { id: line.id, error: `${text}` };
  }
  const bytes = new TextEncoder().encode(`${JSON.stringify(reply)}\n`);
  for (let done = 0; done < bytes.length;) {
    done += Deno.stdout.writeSync(bytes.subarray(done));
  }
}

// Ctrl-C reaches the whole process group; the benchmark itself decides when its processes end.
Deno.addSignalListener("SIGINT", () => {});
for await (const line of readLines(Deno.stdin.readable)) {
  answer(JSON.parse(line) as CallLine);
}
Deno.exit(0); // The benchmark closed its end, or died.
