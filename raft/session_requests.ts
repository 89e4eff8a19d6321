/**
 * Requests in sessions: registers and ends sessions, and sends a proposal again as long as nobody knows what became of
 * it. That is safe because replicas apply each series of a session once (`sessions.ts`, rules R1, R2).
 */
import { RaftError } from "./errors.ts";
import type { SessionFields } from "./entries.ts";
import type { ProposalWait } from "./node_proposals.ts";
import type { Clock } from "./ports.ts";
import {
  fieldsOf,
  makeSession,
  objectionTo,
  requireSessions,
  sessionState,
} from "./session.ts";
import type { Session, SessionState } from "./session.ts";
import {
  encodeRegistration,
  registerSeries,
  unregisterSeries,
} from "./sessions.ts";
import type { Result } from "./state_machine.ts";

/** Elections that an attempt may last before another one is made, which lasts twice as long. */
const firstPatience = 3;
/** Ticks between two attempts. */
const pauseTicks = 2;

const nothing = new Uint8Array(0);

/** What they need of a node, which may be another NodeHost's. */
export interface SessionNode {
  readonly machine: { readonly kind?: string };
  readonly config: {
    readonly maxSessions: number;
    readonly electionTimeoutTicks: number;
  };
  propose(
    command: Uint8Array,
    options: ProposalWait,
    session?: SessionFields,
  ): Promise<Result>;
}

/** What {@link SessionRequests} need of their NodeHost. */
export interface SessionHost {
  readonly clock: Clock;
  readonly tickMs: number;
  /** A random integer from 1 to 2^52. */
  randomId(): number;
  /** The node of a cluster. @throws {RaftError} if there is none. */
  node(clusterId: number): SessionNode;
  /** Waits; rejects with the signal's reason, and once the NodeHost is closed. */
  pause(ms: number, signal?: AbortSignal): Promise<void>;
}

/** One request, which may take several attempts. */
interface Request {
  readonly clusterId: number;
  readonly what: string;
  readonly options: ProposalWait;
  /** What to send; asked anew for every attempt. */
  next(node: SessionNode): { command: Uint8Array; fields: SessionFields };
  /** An attempt before this request may have been applied. */
  readonly mayBeApplied: boolean;
}

/** The attempts of a request so far. */
interface Attempts {
  /** Of the clock: no attempt after it. */
  readonly deadline: number;
  /** Elections that the next one may last. */
  patience: number;
  /** The last one has left. */
  isSent: boolean;
  /** One of them may have been, or may still be applied. */
  mayBeApplied: boolean;
}

/** How a request ended without a result. */
interface Failure {
  readonly error: unknown;
  /** One of the attempts may have been, or may still be applied. */
  readonly mayBeApplied: boolean;
}

type Ending = { readonly result: Result } | Failure;

/** All of one NodeHost. */
export class SessionRequests {
  readonly #host: SessionHost;

  /** Nothing is under way. */
  constructor(host: SessionHost) {
    this.#host = host;
  }

  /** See `NodeHost.openSession`. */
  async open(clusterId: number, options: ProposalWait): Promise<Session> {
    requireSessions(this.#host.node(clusterId), clusterId);
    const ending = await this.#run({
      clusterId,
      what: "open a session",
      options,
      // A new id each time: if an earlier one was registered after all, nobody uses it, and it is evicted.
      next: (node) => ({
        command: encodeRegistration(node.config.maxSessions),
        fields: {
          clientId: this.#host.randomId(),
          series: registerSeries,
          respondedTo: 0,
        },
      }),
      mayBeApplied: false,
    });
    if ("result" in ending) return makeSession(clusterId, ending.result.value);
    throw ending.error;
  }

  /** See `NodeHost.closeSession`. */
  async close(session: Session, options: ProposalWait): Promise<void> {
    const state = sessionState(session);
    const objection = objectionTo(state, "close the session");
    if (objection !== undefined) throw objection;
    state.isBusy = true;
    const ending = await this.#run({
      clusterId: state.clusterId,
      what: "close the session",
      options,
      next: () => ({
        command: nothing,
        fields: {
          clientId: state.clientId,
          series: unregisterSeries,
          respondedTo: 0,
        },
      }),
      mayBeApplied: false,
    });
    state.isBusy = false;
    if ("result" in ending) return end(state);
    if (isCode(ending.error, "invalidSession")) {
      end(state);
      if (ending.mayBeApplied) return; // An attempt before has closed it.
    }
    throw ending.error;
  }

  /** See `NodeHost.propose`. The command is copied before the call returns. */
  propose(
    session: Session,
    command: Uint8Array,
    options: ProposalWait,
  ): Promise<Result> {
    const state = sessionState(session);
    const objection = objectionTo(state, "propose") ??
      unfinishedError(state, command);
    if (objection !== undefined) return Promise.reject(objection);
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    return this.#propose(state, command.slice(), options, false);
  }

  /** See `NodeHost.retry`. */
  retry(session: Session, options: ProposalWait): Promise<Result> {
    const state = sessionState(session);
    const objection = objectionTo(state, "retry");
    if (objection !== undefined) return Promise.reject(objection);
    const command = state.unfinished;
    if (command === undefined) {
      return Promise.reject(
        new RaftError(
          "invalidSession",
          "Cannot retry: the session has no unfinished proposal",
        ),
      );
    }
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    return this.#propose(state, command, options, true);
  }

  /** The first attempt, which nearly always is the only one, costs no more promises than it must. */
  #propose(
    state: SessionState,
    command: Uint8Array,
    options: ProposalWait,
    mayBeApplied: boolean,
  ): Promise<Result> {
    state.isBusy = true;
    const attempt = { command, fields: fieldsOf(state) };
    const request: Request = {
      clusterId: state.clusterId,
      what: "propose",
      options: toldOnce(options),
      next: () => attempt,
      mayBeApplied,
    };
    const attempts = this.#begin(request);
    return this.#attempt(request, attempts, options.timeoutMs).then(
      (result) => proposalDone(state, result),
      async (error) => {
        const ending = await this.#goOn(request, attempts, error);
        if ("result" in ending) return proposalDone(state, ending.result);
        state.isBusy = false;
        throw this.#proposalFailed(state, command, ending);
      },
    );
  }

  /** What the caller is told, after the session was told. */
  #proposalFailed(
    state: SessionState,
    command: Uint8Array,
    { error, mayBeApplied }: Failure,
  ): unknown {
    if (isCode(error, "invalidSession")) end(state);
    const isDecided = isCode(error, "alreadyAcknowledged") ||
      isCode(error, "payloadTooBig");
    if (!mayBeApplied || isDecided) {
      // Its number is not used again, so that nothing that was said of it can be taken for the next one.
      state.unfinished = undefined;
      state.respondedTo++;
      return error;
    }
    if (state.isClosed) return asUnknown(error as RaftError);
    state.unfinished = command;
    if (!(error instanceof RaftError)) return error; // The reason of the caller's signal.
    return new RaftError(
      error.code,
      `${error.message}; whether it was applied is unknown: retry(session) tells, and applies it if it was not`,
      { outcome: "unknown", cause: error, isInSession: true },
    );
  }

  /** Makes attempts until one is decided, or the time is over. Never rejects. */
  async #run(request: Request): Promise<Ending> {
    const attempts = this.#begin(request);
    try {
      const { timeoutMs } = request.options;
      return { result: await this.#attempt(request, attempts, timeoutMs) };
    } catch (error) {
      return await this.#goOn(request, attempts, error);
    }
  }

  #begin({ options, mayBeApplied }: Request): Attempts {
    return {
      deadline: this.#host.clock.now() + options.timeoutMs,
      patience: firstPatience,
      isSent: false,
      mayBeApplied,
    };
  }

  /** Makes one attempt, with so much time left for the request. */
  #attempt(
    request: Request,
    attempts: Attempts,
    leftMs: number,
  ): Promise<Result> {
    const { signal, onCommitted } = request.options;
    attempts.isSent = false;
    try {
      const node = this.#host.node(request.clusterId);
      const { electionTimeoutTicks } = node.config;
      const attemptMs = attempts.patience * electionTimeoutTicks *
        this.#host.tickMs;
      const timeoutMs = Math.min(leftMs, attemptMs);
      const { command, fields } = request.next(node);
      attempts.isSent = true;
      const wait = onCommitted === undefined
        ? { signal, timeoutMs }
        : { signal, timeoutMs, onCommitted };
      return node.propose(command, wait, fields);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Makes further attempts after one that failed. Never rejects. */
  async #goOn(
    request: Request,
    attempts: Attempts,
    error: unknown,
  ): Promise<Ending> {
    const { options, what } = request;
    const { clock, tickMs } = this.#host;
    while (true) {
      if (!(error instanceof RaftError)) {
        return {
          error,
          mayBeApplied: attempts.mayBeApplied || attempts.isSent,
        };
      }
      if (error.outcome === "unknown") attempts.mayBeApplied = true;
      const { mayBeApplied } = attempts;
      if (!mayTryAgain(error, mayBeApplied)) return { error, mayBeApplied };
      attempts.patience *= 2;
      try {
        const leftMs = attempts.deadline - clock.now();
        if (leftMs <= 0) return { error: inTime(what, error), mayBeApplied };
        await this.#host.pause(
          Math.min(pauseTicks * tickMs, leftMs),
          options.signal,
        );
      } catch (reason) {
        return { error: reason, mayBeApplied };
      }
      try {
        const leftMs = Math.ceil(attempts.deadline - clock.now());
        return {
          result: await this.#attempt(request, attempts, Math.max(1, leftMs)),
        };
      } catch (caught) {
        error = caught;
      }
    }
  }
}

/** The session has the result of its proposal. */
function proposalDone(state: SessionState, result: Result): Result {
  state.isBusy = false;
  state.unfinished = undefined;
  state.respondedTo++;
  return result;
}

/** The caller is told once that its command is committed, though several entries may have it. */
function toldOnce(options: ProposalWait): ProposalWait {
  const { onCommitted } = options;
  if (onCommitted === undefined) return options;
  let isTold = false;
  return {
    ...options,
    onCommitted: () => {
      if (isTold) return;
      isTold = true;
      onCommitted();
    },
  };
}

/** Whether another attempt may fare better. What is refused for good, or for want of room, is the caller's to know. */
function mayTryAgain(error: RaftError, mayBeApplied: boolean): boolean {
  switch (error.code) {
    case "timeout":
    case "dropped":
    case "notReady":
      return true;
    case "busy":
    case "diskFull":
      return mayBeApplied;
    default:
      return false;
  }
}

function inTime(what: string, error: RaftError): RaftError {
  if (error.code === "timeout") return error;
  return new RaftError(
    "timeout",
    `Cannot ${what} in time: ${error.message}`,
    { outcome: error.outcome, cause: error },
  );
}

/** The cluster has no such session any more. */
function end(state: SessionState): void {
  state.isClosed = true;
  state.unfinished = undefined;
}

function isCode(error: unknown, code: RaftError["code"]): boolean {
  return error instanceof RaftError && error.code === code;
}

function asUnknown(error: RaftError): RaftError {
  return new RaftError(
    error.code,
    `${error.message}; whether the proposal was applied before is unknown`,
    { outcome: "unknown", cause: error },
  );
}

/** Why nothing can be proposed while a proposal is unfinished. */
function unfinishedError(
  state: SessionState,
  command: Uint8Array,
): RaftError | undefined {
  const { unfinished } = state;
  if (unfinished === undefined) return undefined;
  // The same command is likely the same proposal, of which "not applied" would be a lie.
  const isSame = unfinished.length === command.length &&
    unfinished.every((byte, i) => byte === command[i]);
  return new RaftError(
    "invalidSession",
    "Cannot propose: whether the session's last proposal was applied is unknown; retry(session) tells, " +
      "session.abandon() goes on without knowing",
    { outcome: isSame ? "unknown" : "notApplied" },
  );
}
