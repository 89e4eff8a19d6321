/** What the chaos run and its NodeHost processes say to each other: one line of JSON each way. */
import type { ListCommand, Lists } from "./machine.ts";

/** Opens the NodeHost. */
export interface OpenRequest {
  /** Its folder; undefined for one in memory. */
  readonly dir: string | undefined;
  /** Where others reach it: the proxy. */
  readonly raftAddress: string;
  /** Where the proxy reaches it. */
  readonly listenAddress: string;
  /** NodeHosts to ask about clusters that have no node here. */
  readonly peers: readonly string[];
}

/** Starts a node. */
export interface StartRequest {
  /** Its cluster. */
  readonly clusterId: number;
  /** Its id. */
  readonly nodeId: number;
  /** Addresses of the first members by node id; undefined for a node that joins. */
  readonly members: Record<number, string> | undefined;
}

/** A node as its NodeHost knows it. */
export interface NodeState {
  /** Its cluster. */
  readonly clusterId: number;
  /** Its id. */
  readonly nodeId: number;
  /** The leader as far as it knows, or 0. */
  readonly leaderId: number;
  /** Its term. */
  readonly term: number;
  /** Last entry applied. */
  readonly applied: number;
  /** Of the whole state, as a text. */
  readonly hash: string;
  /** Voters, by id. */
  readonly voters: readonly number[];
  /** Why it stopped; absent while it runs. */
  readonly failure?: string;
}

/** Every call: what is asked, and what is answered. */
export interface Calls {
  /** See {@link OpenRequest}. */
  open: { request: OpenRequest; reply: { nodeHostId: string } };
  /** See {@link StartRequest}. */
  start: { request: StartRequest; reply: null };
  /** Waits until a node is ready. */
  ready: { request: { clusterId: number; timeoutMs: number }; reply: null };
  /** Proposes outside of a session. */
  propose: {
    request: { clusterId: number; command: ListCommand; timeoutMs: number };
    reply: number;
  };
  /** Proposes in the session of a client, again and again until it knows the outcome or gives up. */
  proposeInSession: {
    request: {
      clusterId: number;
      client: number;
      command: ListCommand;
      timeoutMs: number;
    };
    reply: number;
  };
  /** Reads a list linearizably. */
  read: {
    request: { clusterId: number; key: string; timeoutMs: number };
    reply: number[];
  };
  /** Reads all lists linearizably. */
  readAll: { request: { clusterId: number; timeoutMs: number }; reply: Lists };
  /** Tells of all nodes here. */
  states: { request: null; reply: NodeState[] };
  /** Replaces a node by one at another address. */
  replace: {
    request: {
      clusterId: number;
      nodeId: number;
      newNodeId: number;
      address: string;
      timeoutMs: number;
    };
    reply: null;
  };
  /** Hands leadership over. */
  transfer: {
    request: { clusterId: number; targetNodeId: number };
    reply: null;
  };
  /** Saves a snapshot. */
  snapshot: { request: { clusterId: number }; reply: number };
  /** Closes the NodeHost; the process ends. */
  close: { request: null; reply: null };
}

/** A call on its way to the process. */
export interface CallLine<K extends keyof Calls = keyof Calls> {
  /** Repeated in the reply; calls overlap. */
  readonly id: number;
  /** What to do. */
  readonly call: K;
  /** Its argument. */
  readonly request: Calls[K]["request"];
}

/** Why a call failed. */
export interface CallError {
  /** Of a `RaftError`, else the name of the error. */
  readonly code: string;
  /** Whether it may have been applied (rule R1). */
  readonly outcome: "notApplied" | "unknown";
  /** For people. */
  readonly message: string;
}

/** A reply on its way back. */
export interface ReplyLine {
  /** The call's. */
  readonly id: number;
  /** The result, without `error`. */
  readonly reply?: unknown;
  /** Why there is none. */
  readonly error?: CallError;
}

/** A call that failed. */
export class CallFailure extends Error {
  /** Always `"CallFailure"`. */
  override readonly name = "CallFailure";
  /** See {@link CallError}. */
  readonly code: string;
  /** See {@link CallError}. */
  readonly outcome: "notApplied" | "unknown";

  /** Says what the process said. */
  constructor({ code, outcome, message }: CallError) {
    super(message);
    this.code = code;
    this.outcome = outcome;
  }
}

/** The process ended before it answered: nobody knows what it did. */
export function processEnded(how: string): CallFailure {
  return new CallFailure({ code: "ended", outcome: "unknown", message: how });
}

/** Exit status of a NodeHost process whose disk failed. */
export const diskFailedStatus = 4;

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
