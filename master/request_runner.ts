/**
 * Carries out what masters ask a NodeHost for. A request is repeated in every reply until its effect was seen, so it is
 * kept only once; an old one is dropped, because the judgement that it rests on is old (M2); one of a lower step, or of
 * another state of the store, is void (M10).
 */
import { RaftError } from "../raft/errors.ts";
import type {
  Acknowledgement,
  MasterRequest,
  ReportReply,
} from "./protocol.ts";

/** What a NodeHost can do for a master. Every call rejects with a `RaftError` if it cannot. */
export interface RequestTarget {
  /** Starts a node, unless it runs already. */
  start(node: StartRequest): Promise<void>;
  /** Stops a node, and moves its data out of the way. */
  kill(clusterId: number, nodeId: number): Promise<void>;
  /** Adds a member that has no vote. */
  addObserver(change: AdditionRequest): Promise<void>;
  /** Gives an observer a vote. */
  promote(change: AdditionRequest): Promise<void>;
  /** Removes a member. */
  remove(change: ChangeRequest): Promise<void>;
  /** Hands leadership over, if the node leads. */
  transfer(
    transfer: { clusterId: number; nodeId: number; target: number },
  ): Promise<void>;
}

/** A node to start. */
export interface StartRequest {
  /** The cluster. */
  clusterId: number;
  /** The node. */
  nodeId: number;
  /** Name of its state machine. */
  app: string;
  /** Further fields of `ClusterConfig`. */
  config: Record<string, number>;
  /** A new cluster: all its members. */
  initialMembers?: Record<number, string>;
  /** A node that was added to a cluster. */
  join?: boolean;
}

/** A change of members. */
export interface ChangeRequest {
  /** The cluster. */
  clusterId: number;
  /** The member. */
  nodeId: number;
  /** Valid only under this index. */
  expectedConfigChangeIndex: number;
}

/** A member that comes. */
export interface AdditionRequest extends ChangeRequest {
  /** Where it is, or will be. */
  address: string;
  /** The NodeHost there. */
  nodeHostId: string;
}

interface Held {
  readonly request: MasterRequest;
  readonly atMs: number;
  readonly maxAgeMs: number;
}

/** What is remembered of a cluster: its last step, and what became of it. */
interface Memory {
  n: number;
  acknowledgement: Acknowledgement | undefined;
}

/** The requests to one NodeHost. */
export class RequestRunner {
  readonly #target: RequestTarget;
  readonly #now: () => number;
  readonly #held = new Map<number, Held>();
  readonly #memories = new Map<number, Memory>();
  /** What is to be told in the next report, by cluster. */
  readonly #untold = new Map<number, Acknowledgement>();
  #epoch: string | undefined;

  /** `now` tells milliseconds. */
  constructor(target: RequestTarget, now: () => number) {
    this.#target = target;
    this.#now = now;
  }

  /** The state of the store that the last reply came from. */
  get epoch(): string | undefined {
    return this.#epoch;
  }

  /** Whether something is to be done. */
  get hasWork(): boolean {
    return this.#held.size > 0;
  }

  /** Takes what a reply asks for. */
  receive(reply: ReportReply): void {
    const { epoch, requests = [], nextReportMs = 20_000 } = reply;
    if (epoch === undefined) return; // A master that asks for nothing.
    if (epoch !== this.#epoch) {
      // Numbers of steps begin anew, and what the other one asked for is void.
      this.#held.clear();
      this.#memories.clear();
      this.#untold.clear();
      this.#epoch = epoch;
    }
    for (const request of requests) this.#hold(request, nextReportMs);
  }

  #hold(request: MasterRequest, periodMs: number): void {
    if (request.epoch !== this.#epoch) return;
    const { clusterId, n } = request;
    const memory = this.#memories.get(clusterId);
    if (memory !== undefined && n < memory.n) return;
    // A node that was still starting when it was to be stopped runs now: that is done once more.
    const isAgain = request.kind === "kill" &&
      memory?.acknowledgement?.isDone === true;
    if (memory?.n === n && !isAgain) {
      // Done already: the answer may have been lost.
      const { acknowledgement } = memory;
      if (acknowledgement !== undefined) {
        this.#untold.set(clusterId, acknowledgement);
      }
      return;
    }
    const held = this.#held.get(clusterId);
    if (held !== undefined && n < held.request.n) return;
    const atMs = this.#now();
    this.#held.set(clusterId, { request, atMs, maxAgeMs: 2 * periodMs });
  }

  /** Does what is held, one request per cluster, side by side. Failures are acknowledged, never thrown. */
  async run(): Promise<void> {
    const held = [...this.#held.values()];
    this.#held.clear();
    await Promise.all(held.map((one) => this.#runOne(one)));
  }

  async #runOne({ request, atMs, maxAgeMs }: Held): Promise<void> {
    if (Math.abs(this.#now() - atMs) > maxAgeMs) return;
    const { clusterId, n, epoch } = request;
    const memory: Memory = { n, acknowledgement: undefined };
    this.#memories.set(clusterId, memory);
    let acknowledgement: Acknowledgement = { clusterId, n, isDone: true };
    try {
      await this.#carryOut(request);
    } catch (error) {
      acknowledgement = { ...acknowledgement, isDone: false, ...why(error) };
    }
    if (epoch !== this.#epoch || this.#memories.get(clusterId) !== memory) {
      return;
    }
    memory.acknowledgement = acknowledgement;
    this.#untold.set(clusterId, acknowledgement);
  }

  async #carryOut(request: MasterRequest): Promise<void> {
    const target = this.#target;
    const { clusterId, nodeId, expectedConfigChangeIndex } = request;
    const change = { clusterId, nodeId, expectedConfigChangeIndex };
    switch (request.kind) {
      case "launch":
      case "join":
      case "restore":
        return await this.#start(request);
      case "addObserver":
      case "promote": {
        const { kind, address = "", nodeHostId = "" } = request;
        return await target[kind]({ ...change, address, nodeHostId });
      }
      case "remove":
        return await target.remove(change);
      case "kill":
        return await target.kill(clusterId, nodeId);
      case "transfer":
        return await target.transfer({
          clusterId,
          nodeId,
          target: request.target ?? 0,
        });
      default:
        throw new RaftError(
          "rejected",
          `Cannot carry out "${request.kind}": this NodeHost does not know it`,
        );
    }
  }

  async #start(request: MasterRequest): Promise<void> {
    const { clusterId, nodeId, kind, app = "", config = {} } = request;
    await this.#target.start({
      clusterId,
      nodeId,
      app,
      config,
      ...(kind === "launch" ? { initialMembers: request.members ?? {} } : {}),
      ...(kind === "join" ? { join: true } : {}),
    });
  }

  /** What became of requests, for the next report. Call {@link told} when it arrived. */
  acknowledgements(): Acknowledgement[] {
    return [...this.#untold.values()]
      .sort((a, b) => a.clusterId - b.clusterId);
  }

  /** A report with these arrived. */
  told(acknowledgements: readonly Acknowledgement[]): void {
    for (const one of acknowledgements) {
      if (this.#untold.get(one.clusterId) === one) {
        this.#untold.delete(one.clusterId);
      }
    }
  }
}

function why(error: unknown): { code: string; detail: string } {
  const detail = error instanceof Error ? error.message : String(error);
  const code = error instanceof RaftError ? error.code : "refused";
  return { code, detail: detail.slice(0, 500) };
}
