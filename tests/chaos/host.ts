/** One NodeHost as a process of the chaos run: does what the lines on its standard input say, and ends when they end. */
import { memoryStorage, NodeHost, RaftError, textLogger } from "../../mod.ts";
import type { ClusterConfig, Session } from "../../mod.ts";
import { allKeys, ListMachine } from "./machine.ts";
import type { ListCommand, Lists } from "./machine.ts";
import { diskFailedStatus, readLines } from "./protocol.ts";
import type {
  CallError,
  CallLine,
  Calls,
  NodeState,
  ReplyLine,
} from "./protocol.ts";

const startTimeoutMs = 10_000;
/** A client in a session proposes so often, and then gives up learning what became of it. */
const attemptsMax = 5;
/** After a failed disk, so that whoever waits is told. */
const lastWordsMs = 200;

const timings = {
  // Small, so that a minute sees snapshots, compaction, recycled segments and followers that need a snapshot.
  segmentBytes: 1024 * 1024,
  snapshotEntries: 300,
  compactionOverhead: 50,
  electionTimeoutTicks: 10,
  tickMs: 50,
};

/** What differs between clusters, so that each gets its share of harm. */
const features: Readonly<Record<number, Partial<ClusterConfig>>> = {
  2: { leaseReads: true },
  3: { quiesce: true, entryCompression: true, snapshotCompression: true },
};

let openHost: NodeHost | undefined;
const sessions = new Map<string, Session>();

function host(): NodeHost {
  if (openHost === undefined) {
    throw new Error("Cannot call: no NodeHost is open");
  }
  return openHost;
}

function encode(command: ListCommand): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(command));
}

async function open(request: Calls["open"]["request"]) {
  openHost = await NodeHost.open({
    dir: request.dir ?? "memory",
    raftAddress: request.raftAddress,
    listenAddress: request.listenAddress,
    tickMs: timings.tickMs,
    segmentBytes: timings.segmentBytes,
    peers: [...request.peers],
    logger: textLogger({
      level: "info",
      write: (line) => tell(Deno.stderr, `${new Date().toISOString()} ${line}`),
    }),
    ...(request.dir === undefined ? { storage: memoryStorage() } : {}),
  });
  watchDisk(openHost);
  return { nodeHostId: openHost.info().nodeHostId };
}

/** A NodeHost whose disk failed is of no more use: its process ends, and is started again. */
async function watchDisk(opened: NodeHost): Promise<void> {
  for await (const event of opened.events({ types: ["diskFailed"] })) {
    tell(Deno.stderr, `the disk failed: ${JSON.stringify(event)}`);
    setTimeout(() => Deno.exit(diskFailedStatus), lastWordsMs);
  }
}

async function start(
  { clusterId, nodeId, members }: Calls["start"]["request"],
) {
  await host().startCluster({
    clusterId,
    nodeId,
    ...(members === undefined ? { join: true } : { initialMembers: members }),
    stateMachine: () => new ListMachine(),
    snapshotEntries: timings.snapshotEntries,
    compactionOverhead: timings.compactionOverhead,
    electionTimeoutTicks: timings.electionTimeoutTicks,
    ...features[clusterId],
  });
  return null;
}

/** Opens a session if the client has none; until it has one, nothing was proposed. */
async function sessionOf(
  key: string,
  clusterId: number,
  timeoutMs: number,
): Promise<Session> {
  const known = sessions.get(key);
  if (known !== undefined && !known.isClosed) return known;
  try {
    const opened = await host().openSession(clusterId, { timeoutMs });
    sessions.set(key, opened);
    return opened;
  } catch (error) {
    const { code, message } = errorOf(error);
    throw new RaftError(code as RaftError["code"], message);
  }
}

async function proposeInSession(
  { clusterId, client, command, timeoutMs }: Calls["proposeInSession"][
    "request"
  ],
): Promise<number> {
  const session = await sessionOf(
    `${client} ${clusterId}`,
    clusterId,
    timeoutMs,
  );
  for (let attempt = 1;; attempt++) {
    try {
      const { value } = session.isUnfinished
        ? await host().retry(session, { timeoutMs })
        : await host().propose(session, encode(command), { timeoutMs });
      return value;
    } catch (error) {
      if (!session.isUnfinished) throw error;
      if (attempt < attemptsMax) continue;
      session.abandon();
      throw error;
    }
  }
}

function states(): NodeState[] {
  return host().info().clusters.map((one) => ({
    clusterId: one.clusterId,
    nodeId: one.nodeId,
    leaderId: one.leaderId,
    term: one.term,
    applied: one.applied,
    hash: String(one.hash),
    voters: one.membership.members.map(({ nodeId }) => nodeId),
    ...(one.failure === undefined ? {} : { failure: one.failure }),
  }));
}

const handlers: {
  [K in keyof Calls]: (
    request: Calls[K]["request"],
  ) => Promise<Calls[K]["reply"]> | Calls[K]["reply"];
} = {
  open,
  start,
  async ready({ clusterId, timeoutMs }) {
    await host().waitReady(clusterId, { timeoutMs });
    return null;
  },
  async propose({ clusterId, command, timeoutMs }) {
    const wait = { timeoutMs };
    return (await host().propose(clusterId, encode(command), wait)).value;
  },
  proposeInSession,
  read: ({ clusterId, key, timeoutMs }) =>
    host().read<number[]>(clusterId, key, { timeoutMs }),
  readAll: ({ clusterId, timeoutMs }) =>
    host().read<Lists>(clusterId, allKeys, { timeoutMs }),
  states,
  async replace({ clusterId, timeoutMs, ...replacement }) {
    await host().replaceNode(clusterId, replacement, { timeoutMs });
    return null;
  },
  async transfer({ clusterId, targetNodeId }) {
    await host().transferLeadership(clusterId, targetNodeId);
    return null;
  },
  snapshot: ({ clusterId }) =>
    host().takeSnapshot(clusterId, { timeoutMs: startTimeoutMs }),
  async close() {
    await host().close();
    openHost = undefined;
    setTimeout(() => Deno.exit(0), 0);
    return null;
  },
};

function errorOf(error: unknown): CallError {
  if (error instanceof RaftError) {
    const { code, outcome, message } = error;
    return { code, outcome, message };
  }
  const { name, message, stack } = error as Error;
  return { code: name, outcome: "unknown", message: stack ?? message };
}

function tell(where: typeof Deno.stdout | typeof Deno.stderr, line: string) {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let done = 0; done < bytes.length;) {
    done += where.writeSync(bytes.subarray(done));
  }
}

async function answer<K extends keyof Calls>(line: CallLine<K>): Promise<void> {
  let reply: ReplyLine;
  try {
    reply = { id: line.id, reply: await handlers[line.call](line.request) };
  } catch (error) {
    reply = { id: line.id, error: errorOf(error) };
  }
  tell(Deno.stdout, JSON.stringify(reply));
}

for await (const line of readLines(Deno.stdin.readable)) {
  answer(JSON.parse(line) as CallLine);
}
Deno.exit(0); // The chaos run closed its end, or died.
