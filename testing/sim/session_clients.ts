/** Clients that propose in sessions (rule R2): a command of which they do not learn enough is theirs to repeat. */
import { RaftError } from "../../raft/errors.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import { sessionState } from "../../raft/session.ts";
import type { Session } from "../../raft/session.ts";
import type { Result } from "../../raft/state_machine.ts";
import type { Operation } from "./history.ts";
import type { SimPlan } from "./plan.ts";
import type { SimRandom } from "./random.ts";

/** A client gives up after so many attempts. */
const attemptsMax = 8;

/** How a call may end early. */
interface CallOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly onCommitted?: () => void;
}

/** The sessions that clients hold: they outlive the machine that they were opened at, unless that dies in a call. */
export class SessionClients {
  /** Attempts beyond the first, for the report. */
  retryCount = 0;
  readonly #clientCount: number;
  readonly #clusters: SimPlan["clusters"];
  readonly #random: SimRandom;
  readonly #sessions = new Map<string, Session>();
  readonly #attempts = new Map<Operation, number>();
  /** Sessions of clusters that were rebuilt since: they are void (rules R2, I3). */
  readonly #void = new Set<Session>();
  /** Called when an operation gets a result in a session that is void. */
  onRevived: (operation: Operation) => void = () => {};

  /** The first so many clients of the plan use sessions. */
  constructor(plan: SimPlan, random: SimRandom) {
    this.#clientCount = plan.workload.sessionClientCount;
    this.#clusters = plan.clusters;
    this.#random = random;
  }

  /** Whether a client proposes in sessions; with state machines on disk nobody does. */
  uses(client: number, clusterId: number): boolean {
    return client >= 1 && client <= this.#clientCount &&
      this.#clusters.some((cluster) =>
        cluster.clusterId === clusterId && cluster.machineKind !== "onDisk"
      );
  }

  /** Proposes the operation's command, or proposes it again if nobody knows what became of it. */
  propose(
    host: NodeHost,
    operation: Operation,
    command: Uint8Array,
    options: CallOptions,
  ): Promise<Result> {
    const { onCommitted: _, ...wait } = options;
    const session = this.#sessions.get(keyOf(operation));
    if (session !== undefined && !session.isClosed) {
      operation.session = session.clientId;
      const asked = session.isUnfinished
        ? host.retry(session, wait)
        : host.propose(session, command, options);
      return this.#void.has(session)
        ? asked.finally(() => this.#sessions.delete(keyOf(operation))).then(
          (result) => {
            this.onRevived(operation);
            return result;
          },
        )
        : asked;
    }
    return host.openSession(operation.clusterId, wait).then(
      (opened) => {
        this.#sessions.set(keyOf(operation), opened);
        operation.session = opened.clientId;
        return host.propose(opened, command, options);
      },
      (error) => {
        // Whatever became of the session: the command was not proposed.
        throw error instanceof RaftError
          ? new RaftError(error.code, error.message)
          : error;
      },
    );
  }

  /** A cluster was rebuilt; its clients try all the same to go on in the sessions that they have. */
  rebuilt(clusterId: number): void {
    for (const session of this.#sessions.values()) {
      if (session.clusterId === clusterId) this.#void.add(session);
    }
  }

  /** Whether the operation is to be proposed again. */
  wantsRetry(operation: Operation): boolean {
    const session = this.#sessions.get(keyOf(operation));
    if (session?.isUnfinished !== true) return false;
    const attempts = (this.#attempts.get(operation) ?? 0) + 1;
    if (attempts < attemptsMax && !this.#random.chance(0.05)) {
      this.#attempts.set(operation, attempts);
      this.retryCount++;
      return true;
    }
    this.giveUp(operation);
    return false;
  }

  /** The client goes on without knowing. */
  giveUp(operation: Operation): void {
    this.#attempts.delete(operation);
    this.#sessions.get(keyOf(operation))?.abandon();
  }

  /** The operation has ended: now and then the client closes its session. */
  ended(host: NodeHost | undefined, operation: Operation): void {
    this.#attempts.delete(operation);
    const session = this.#sessions.get(keyOf(operation));
    if (session === undefined) return;
    if (sessionState(session).isBusy || session.isClosed) {
      this.#sessions.delete(keyOf(operation)); // Its machine died in the call; or nobody knows it.
    } else if (host !== undefined && this.#random.chance(0.03)) {
      this.#sessions.delete(keyOf(operation));
      host.closeSession(session).catch(() => {}); // It is forgotten some day.
    }
  }
}

function keyOf(operation: Operation): string {
  return `${operation.client} ${operation.clusterId}`;
}
