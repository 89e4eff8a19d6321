/** The side of a member: carries out what other NodeHosts ask for, as its own callers would (rule C7). */
import type { WaitOptions } from "../config.ts";
import type { SessionFields } from "../entries.ts";
import { RaftError } from "../errors.ts";
import type { ProposalWait } from "../node_proposals.ts";
import { requestError } from "../requests.ts";
import { requireSessions } from "../session.ts";
import { encodeRegistration, registerSeries } from "../sessions.ts";
import type { Result } from "../state_machine.ts";
import type { Link } from "../transport/link_pool.ts";
import { isCallable } from "./calls.ts";
import type { CallableMethod } from "./calls.ts";
import type { FailureType, RemoteBody, RemoteRequest } from "./format.ts";
import { decodeValue, encodeValue } from "./values.ts";

/** What the service needs of a node. */
export interface ServedNode {
  readonly machine: {
    readonly kind?: string;
    lookup(query: unknown): unknown;
  };
  readonly config: { readonly maxSessions: number };
  propose(
    command: Uint8Array,
    options: ProposalWait,
    session?: SessionFields,
  ): Promise<Result>;
  read<T>(
    answer: () => T,
    options: { signal: AbortSignal | undefined; timeoutMs: number },
  ): Promise<T>;
}

/** What the service needs of its NodeHost. */
export interface ServiceHost {
  /** Longest answer. */
  readonly maxAnswerBytes: number;
  /** The node of a cluster, or undefined. */
  findNode(clusterId: number): ServedNode | undefined;
  /** Calls a method of the NodeHost. */
  call(
    method: CallableMethod,
    clusterId: number,
    args: readonly unknown[],
    options: WaitOptions,
  ): Promise<unknown>;
  /** Answers over a link, if it is still the same connection. */
  answer(link: Link, clusterId: number, body: RemoteBody): void;
}

/** Requests under way for one connection, or for all together. */
interface Load {
  epoch: number;
  count: number;
  bytes: number;
}

const maxCountOfLink = 4_096;
const maxBytesOfLink = 64 * 1024 * 1024;
/** Of all connections together. */
const shares = 4;

/** Serves the requests of other NodeHosts. */
export class Service {
  readonly #host: ServiceHost;
  readonly #loads = new Map<Link, Load>();
  readonly #all: Load = { epoch: 0, count: 0, bytes: 0 };

  /** Nothing is under way. */
  constructor(host: ServiceHost) {
    this.#host = host;
  }

  /** A request came in. It ends with exactly one `result` or `failure`, unless its connection ends before. */
  receive(link: Link, clusterId: number, request: RemoteRequest): void {
    const { epoch } = link;
    const load = this.#loadOf(link);
    const bytes = request.payload.length;
    if (isFull(load, bytes, 1) || isFull(this.#all, bytes, shares)) {
      const message =
        `Cannot serve the request: ${load.count} of this NodeHost are under way already`;
      const error = requestError("busy", message);
      return this.#host.answer(link, clusterId, failureOf(request.id, error));
    }
    add(load, 1, bytes);
    add(this.#all, 1, bytes);
    const answer = (body: RemoteBody) => {
      if (link.isUp && link.epoch === epoch) {
        this.#host.answer(link, clusterId, body);
      }
    };
    this.#run(clusterId, request, answer).then((body) => {
      add(load, -1, -bytes);
      add(this.#all, -1, -bytes);
      answer(body);
    });
  }

  /** A link is down: nobody waits for what was asked on it. */
  linkDown(link: Link): void {
    this.#loads.delete(link);
  }

  /** Never rejects. */
  async #run(
    clusterId: number,
    request: RemoteRequest,
    answer: (body: RemoteBody) => void,
  ): Promise<RemoteBody> {
    const { id, what } = request;
    let value: unknown;
    try {
      value = await this.#carryOut(clusterId, request, answer);
    } catch (error) {
      return failureOf(id, error);
    }
    try {
      const { maxAnswerBytes } = this.#host;
      const payload = encodeValue(value, "the answer", maxAnswerBytes);
      return { kind: "result", id, payload };
    } catch (error) {
      const failure = failureOf(id, error);
      // It was applied; only what it returned cannot travel.
      return what === "read" ? failure : { ...failure, isUnknown: true };
    }
  }

  async #carryOut(
    clusterId: number,
    request: RemoteRequest,
    answer: (body: RemoteBody) => void,
  ): Promise<unknown> {
    const { id, what, timeoutMs, payload, session } = request;
    const node = this.#host.findNode(clusterId);
    if (node === undefined) throw notHere(clusterId);
    const wait = { signal: undefined, timeoutMs };
    if (what === "read") {
      const query = requireValue(payload);
      return await node.read(() => node.machine.lookup(query), wait);
    }
    if (what === "call") return await this.#call(clusterId, payload, timeoutMs);
    const options: ProposalWait = request.wantsCommit
      ? { ...wait, onCommitted: () => answer({ kind: "committed", id }) }
      : wait;
    if (session?.series !== registerSeries) {
      return await node.propose(payload, options, session);
    }
    requireSessions(node, clusterId);
    const registration = encodeRegistration(node.config.maxSessions);
    return await node.propose(registration, options, session);
  }

  async #call(
    clusterId: number,
    payload: Uint8Array,
    timeoutMs: number,
  ): Promise<unknown> {
    const call = requireValue(payload);
    const [method, args, options] = Array.isArray(call) ? call : [];
    if (!isCallable(method) || !Array.isArray(args)) {
      throw new RaftError(
        "rejected",
        `Cannot call ${String(method)}: no NodeHost does that for another`,
      );
    }
    const wait = { ...(options as WaitOptions | undefined), timeoutMs };
    return await this.#host.call(method, clusterId, args, wait);
  }

  #loadOf(link: Link): Load {
    const known = this.#loads.get(link);
    if (known?.epoch === link.epoch) return known;
    const load = { epoch: link.epoch, count: 0, bytes: 0 };
    this.#loads.set(link, load);
    return load;
  }
}

function isFull(load: Load, bytes: number, times: number): boolean {
  return load.count >= maxCountOfLink * times ||
    load.bytes + bytes > maxBytesOfLink * times;
}

function add(load: Load, count: number, bytes: number): void {
  load.count += count;
  load.bytes += bytes;
}

function requireValue(payload: Uint8Array): unknown {
  const decoded = decodeValue(payload);
  if (typeof decoded === "object") return decoded.value;
  throw new RaftError(
    "rejected",
    `Cannot serve the request: its bytes are none (${decoded})`,
  );
}

function notHere(clusterId: number): RaftError {
  return requestError(
    "clusterNotFound",
    `Cannot use cluster ${clusterId}: the NodeHost that was asked has no node of it`,
  );
}

function failureOf(
  id: number,
  error: unknown,
): Extract<RemoteBody, { kind: "failure" }> {
  const isRaft = error instanceof RaftError;
  const type: FailureType = isRaft
    ? "RaftError"
    : error instanceof TypeError
    ? "TypeError"
    : error instanceof RangeError
    ? "RangeError"
    : "other";
  const isError = error instanceof Error;
  return {
    kind: "failure",
    id,
    type,
    isUnknown: isRaft && error.outcome === "unknown",
    name: isRaft ? error.code : isError ? error.name : "Error",
    message: isError ? error.message : String(error),
  };
}
