/** What the benchmark and its three NodeHost processes say to each other: one line of JSON each way. */
import type { CertificatePaths } from "./certificates.ts";
import type { MachineState } from "./machine.ts";

/** Acknowledged commands of one cluster. */
export interface Acknowledged {
  /** How many. */
  count: number;
  /** The sum of `mix` over their values. */
  sum: number;
}

/** Commands to propose in a closed loop: each proposer waits for its result before it goes on. */
export interface LoadRequest {
  /** Propose, or read. */
  readonly isRead: boolean;
  /** How many of the proposers of each cluster have a session. */
  readonly sessions: number;
  /** The clusters; nothing is done for none. */
  readonly clusterIds: readonly number[];
  /** Proposers for each cluster. */
  readonly outstanding: number;
  /** Bytes of a command. */
  readonly payload: number;
  /** End after this long, or when `count` commands were acknowledged, whatever comes first. */
  readonly seconds: number;
  /** See `seconds`. */
  readonly count: number;
}

/** Commands to propose at a fixed rate, whether earlier ones have ended or not. */
export interface FloodRequest {
  /** The cluster. */
  readonly clusterId: number;
  /** Bytes of a command. */
  readonly payload: number;
  /** Proposals offered in a second. */
  readonly rate: number;
  /** End after this long. */
  readonly seconds: number;
}

/** What became of a load. */
export interface LoadReport {
  /** Acknowledged commands (or reads) in a second. */
  readonly ops: number;
  /** Calls made. */
  readonly offered: number;
  /** Acknowledged commands for each cluster. */
  readonly acknowledged: Record<number, Acknowledged>;
  /** Latencies in milliseconds: `Histogram.toSparse()`. */
  readonly latencies: readonly [bucket: number, count: number][];
  /** Calls that failed, by code. */
  readonly errors: Record<string, number>;
  /** Failed calls that may have been applied nevertheless. */
  readonly unknown: number;
  /** The longest time between two successes, in milliseconds. */
  readonly longestGapMs: number;
  /** Calls that had not ended at the worst moment. */
  readonly mostPending: number;
}

/** How a steady load is doing. */
export interface SteadyStatus {
  /** Proposals that succeeded since the last mark. */
  readonly successes: number;
  /** The longest time without a success since the last mark, the time until now included, in milliseconds. */
  readonly longestGapMs: number;
  /** The time since the last success in milliseconds. */
  readonly quietMs: number;
}

/** What a process uses. */
export interface Usage {
  /** Processor time since it started. */
  readonly cpuSeconds: number;
  /** Resident memory now. */
  readonly rssMb: number;
  /** Live JavaScript objects, after a collection if the process may force one. */
  readonly heapMb: number;
}

/** Opens the NodeHost. */
export interface OpenRequest {
  /** Its folder. */
  readonly dir: string;
  /** Its address. */
  readonly raftAddress: string;
  /** Length of a tick; undefined for the default. */
  readonly tickMs: number | undefined;
  /** Paths of certificates; undefined for no TLS. */
  readonly tls?: CertificatePaths | undefined;
  /** Whether to listen to its events and make its metrics, as a user who watches it does. */
  readonly isObserved: boolean;
}

/** Starts the node of each cluster and waits until it is ready. */
export interface StartRequest {
  /** How many clusters, numbered from 1. */
  readonly clusters: number;
  /** The id of this NodeHost's node in each. */
  readonly nodeId: number;
  /** Addresses by node id. */
  readonly members: Record<number, string>;
  /** Entries between snapshots; undefined for the default. */
  readonly snapshotEntries: number | undefined;
}

/** Starts the node of each cluster, all at once, and does not wait until they are ready. */
export interface StartIdleRequest {
  /** How many clusters, numbered from 1. */
  readonly clusters: number;
  /** The id of this NodeHost's node in each. */
  readonly nodeId: number;
  /** Addresses by node id. */
  readonly members: Record<number, string>;
  /** Whether they may fall quiet: `quiesce`. */
  readonly isQuiet: boolean;
}

/** Every call: what is asked, and what is answered. */
export interface Calls {
  /** See {@link OpenRequest}. */
  open: { request: OpenRequest; reply: null };
  /** See {@link StartRequest}. */
  start: { request: StartRequest; reply: null };
  /** See {@link StartIdleRequest}. */
  startIdle: { request: StartIdleRequest; reply: null };
  /** How many clusters this NodeHost leads. */
  led: { request: { nodeId: number }; reply: number };
  /** How many clusters have not fallen quiet here. */
  awake: { request: null; reply: number };
  /** Which node leads each cluster, as this NodeHost knows it, from cluster 1 on; 0 for none. */
  leaders: { request: null; reply: number[] };
  /** Hands leadership over. */
  transfer: {
    request: { clusterId: number; targetNodeId: number };
    reply: null;
  };
  /** Runs a closed loop to its end. */
  load: { request: LoadRequest; reply: LoadReport };
  /** Runs an open loop to its end. */
  flood: { request: FloodRequest; reply: LoadReport };
  /** Begins a load that goes on through failures, until `steadyStop`. */
  steadyStart: {
    request: { clusterId: number; outstanding: number; payload: number };
    reply: null;
  };
  /** Forgets successes and gaps so far. */
  steadyMark: { request: null; reply: null };
  /** Looks at the steady load. */
  steadyStatus: { request: null; reply: SteadyStatus };
  /** Ends the steady load. */
  steadyStop: { request: null; reply: LoadReport };
  /** Reads each cluster's state linearizably, from cluster 1 on. */
  states: { request: null; reply: MachineState[] };
  /** What the process uses. */
  usage: { request: { isCollecting: boolean }; reply: Usage };
  /** Closes the NodeHost; it can be opened again. */
  close: { request: null; reply: null };
}

/** A call on its way to the process. */
export interface CallLine<K extends keyof Calls = keyof Calls> {
  /** Repeated in the reply; calls may overlap. */
  readonly id: number;
  /** What to do. */
  readonly call: K;
  /** Its argument. */
  readonly request: Calls[K]["request"];
}

/** A reply on its way back. */
export interface ReplyLine {
  /** The call's. */
  readonly id: number;
  /** The result, without `error`. */
  readonly reply?: unknown;
  /** Why the call failed. */
  readonly error?: string;
}

/** Cuts a stream of bytes into lines, without their ends. */
export async function* readLines(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}
