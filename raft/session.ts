/** The client's side of a session: what its owner holds, and which of its proposals is under way (rule R2). */
import { RaftError } from "./errors.ts";
import type { SessionFields } from "./entries.ts";

/** What a session knows of itself. */
export interface SessionState {
  readonly clusterId: number;
  readonly clientId: number;
  /** Proposals up to this one are over for the client; the next one, or the unfinished one, is one more. */
  respondedTo: number;
  /** The command of the last proposal, if nobody knows whether it was applied. */
  unfinished: Uint8Array | undefined;
  /** A proposal is under way. */
  isBusy: boolean;
  /** The cluster does not know it any more. */
  isClosed: boolean;
}

/** For the parts of this library that propose in it. */
let reveal: (session: Session) => SessionState;
let isOurs: (value: unknown) => value is Session;

/**
 * A client's session with one cluster, in which each proposal is applied exactly once, however often it has to be sent:
 * `NodeHost.openSession` makes it, `NodeHost.propose` and `NodeHost.retry` use it, `NodeHost.closeSession` ends it.
 *
 * It has one proposal at a time; who wants several at once opens several sessions. It may be used at any NodeHost that
 * carries a node of the cluster, and it does not hold on to one.
 */
export class Session {
  readonly #state: SessionState;

  static {
    reveal = (session) => session.#state;
    isOurs = (value): value is Session =>
      typeof value === "object" && value !== null && #state in value;
  }

  /** Made by `NodeHost.openSession`. */
  private constructor(state: SessionState) {
    this.#state = state;
  }

  /** The cluster. */
  get clusterId(): number {
    return this.#state.clusterId;
  }

  /** The client: random, registered with the cluster. */
  get clientId(): number {
    return this.#state.clientId;
  }

  /** Number of the unfinished proposal, or of the next one: from 1. */
  get seriesId(): number {
    return this.#state.respondedTo + 1;
  }

  /** Proposals up to this number are over: their results came back, they were never applied, or they were abandoned. */
  get respondedTo(): number {
    return this.#state.respondedTo;
  }

  /**
   * Whether the last proposal ended without anybody knowing if it was applied. `NodeHost.retry` finds out;
   * {@link abandon} goes on without. Until then nothing else can be proposed in the session.
   */
  get isUnfinished(): boolean {
    return this.#state.unfinished !== undefined;
  }

  /** Whether it was closed, or the cluster has forgotten it: open another one. */
  get isClosed(): boolean {
    return this.#state.isClosed;
  }

  /**
   * Gives up learning what became of the unfinished proposal: it was applied once, or never will be once a later proposal
   * of the session was applied. Does nothing if none is unfinished.
   *
   * @throws {RaftError} `invalidSession` while a proposal is under way.
   */
  abandon(): void {
    const state = this.#state;
    if (state.isBusy) throw busyError("abandon the proposal");
    if (state.unfinished === undefined) return;
    state.unfinished = undefined;
    state.respondedTo++;
  }
}

/** A session that was just registered. */
export function makeSession(clusterId: number, clientId: number): Session {
  const SessionClass = Session as unknown as new (
    state: SessionState,
  ) => Session;
  return new SessionClass({
    clusterId,
    clientId,
    respondedTo: 0,
    unfinished: undefined,
    isBusy: false,
    isClosed: false,
  });
}

/** What is inside a session. @throws {TypeError} if it is none. */
export function sessionState(session: unknown): SessionState {
  if (isOurs(session)) return reveal(session);
  throw new TypeError(
    "Cannot use the session: it must be a cluster id, or what openSession() returned",
  );
}

/** The fields of the entry that the session's unfinished or next proposal is. */
export function fieldsOf(state: SessionState): SessionFields {
  const { clientId, respondedTo } = state;
  return { clientId, series: respondedTo + 1, respondedTo };
}

/** @throws {RaftError} if the cluster's state machine keeps no sessions. */
export function requireSessions(
  node: { readonly machine: { readonly kind?: string } },
  clusterId: number,
): void {
  if (node.machine.kind !== "onDisk") return;
  throw new RaftError(
    "invalidSession",
    `Cannot open a session: cluster ${clusterId} has a state machine on disk, whose snapshots hold no sessions; ` +
      "propose with the cluster's id, and let the state machine recognise what comes twice",
  );
}

/** Why a session may not begin something now; undefined if it may. */
export function objectionTo(
  state: SessionState,
  what: string,
): RaftError | undefined {
  if (state.isBusy) return busyError(what);
  if (!state.isClosed) return undefined;
  return new RaftError(
    "invalidSession",
    `Cannot ${what}: the session was closed, or the cluster has forgotten it; open another one`,
  );
}

function busyError(what: string): RaftError {
  return new RaftError(
    "invalidSession",
    `Cannot ${what}: another request of the session is under way; wait for it, or open a session for each`,
  );
}
