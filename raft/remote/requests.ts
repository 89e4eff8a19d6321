/**
 * The side of the caller: requests for clusters that this NodeHost has no node of. Each travels to one member, the leader
 * by preference, and ends exactly once (rule R1). A proposal leaves this process once at most: when the connection it
 * was sent on ends, nobody knows what became of it. Reads, which change nothing, go to the next member then.
 */
import { RaftError, type RaftErrorCode } from "../errors.ts";
import type { ProposalWait } from "../node_proposals.ts";
import type { Clock, Timer } from "../ports.ts";
import { abortable, requestError, settleError } from "../requests.ts";
import type { Settle } from "../requests.ts";
import type { Link } from "../transport/link_pool.ts";
import { canServe } from "./directory.ts";
import type { Directory, Located, Route } from "./directory.ts";
import type { RemoteBody, RemoteRequest } from "./format.ts";
import { decodeValue } from "./values.ts";

/** What is asked for; `id`, time and the wish for the commit are filled in. */
export type Order = Pick<RemoteRequest, "what" | "session" | "payload"> & {
  /** What cannot be done, in errors: `propose`, `read`. */
  readonly verb: string;
  /** It changes nothing, so that it may be asked of a second member. */
  readonly isHarmless: boolean;
  /** Checks the result, and makes of it what the caller gets. */
  readonly check?: (value: unknown) => unknown;
};

/** What {@link Requests} need of their NodeHost. */
export interface RequestsHost {
  readonly clock: Clock;
  readonly tickMs: number;
  readonly directory: Directory;
  linkTo(address: string): Link;
  /** Why an address cannot be reached; `""` if it can, or was not tried. */
  troubleWith(address: string): string;
  /** Sends over a link; makes it dial if it is down. False: it did not leave. */
  tell(link: Link, clusterId: number, body: RemoteBody): boolean;
}

/** A request that has not ended. */
interface Pending {
  readonly id: number;
  readonly order: Order;
  readonly route: Route;
  readonly deadline: number;
  readonly settle: Settle<unknown>;
  /** Told once that it is committed. */
  onCommitted: (() => void) | undefined;
  /** Where it was sent; undefined while it waits here. */
  sent: { readonly link: Link; readonly nodeHostId: string } | undefined;
  /** Why the last member did not do it. */
  refusal: RaftError | undefined;
}

const maxPending = 16_384;
const maxPendingBytes = 64 * 1024 * 1024;
/** What a request costs beside its payload. */
const overheadBytes = 512;
/** A member that cannot be reached in so many ticks is passed over. */
const patienceTicks = 10;
const askAgainTicks = 4;
/** What is known of a cluster's leader is asked for again after so many ticks of use. */
const refreshTicks = 20;

/** Codes of a member that cannot serve now, or never again. */
const memberTrouble: ReadonlySet<RaftErrorCode> = new Set<RaftErrorCode>([
  "notReady",
  "timeout",
  "clusterClosed",
  "nodeRemoved",
  "closed",
  "diskFailed",
  "rejected",
]);
/** Of those, and others, the codes with which a read is worth another try. */
const readAgain: ReadonlySet<RaftErrorCode> = new Set<RaftErrorCode>([
  "notReady",
  "dropped",
  "clusterClosed",
  "nodeRemoved",
  "closed",
  "diskFailed",
]);

/** The requests of one NodeHost to others. */
export class Requests {
  readonly #host: RequestsHost;
  readonly #pending = new Map<number, Pending>();
  /** Those that wait here, by their cluster's route. */
  readonly #waiting = new Map<Route, Set<Pending>>();
  #bytes = 0;
  #lastId = 0;
  #timer: Timer | undefined;
  #failure: RaftError | undefined;

  /** Nothing is under way. */
  constructor(host: RequestsHost) {
    this.#host = host;
  }

  /** Sends a request; resolves with what `check` made of its result. */
  send(clusterId: number, order: Order, wait: ProposalWait): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const cost = costOf(order);
    const isFull = this.#pending.size >= maxPending ||
      (this.#bytes > 0 && this.#bytes + cost > maxPendingBytes);
    if (isFull) {
      const message =
        `Cannot ${order.verb}: too many requests to other NodeHosts are under way`;
      return Promise.reject(requestError("busy", message));
    }
    const { directory, clock } = this.#host;
    const route = directory.routeTo(clusterId, (one) => this.#waiting.has(one));
    return abortable<unknown>(wait.signal, (settle) => {
      const pending: Pending = {
        id: ++this.#lastId,
        order,
        route,
        deadline: clock.now() + wait.timeoutMs,
        settle,
        onCommitted: wait.onCommitted,
        sent: undefined,
        refusal: undefined,
      };
      this.#pending.set(pending.id, pending);
      this.#bytes += cost;
      this.#wait(pending);
      this.#keepTicking();
      this.#pump(route);
      return () => this.#forget(pending);
    });
  }

  /** An answer to a request came. */
  receive(
    link: Link,
    body: Extract<RemoteBody, { kind: "committed" | "result" | "failure" }>,
  ): void {
    const pending = this.#pending.get(body.id);
    const nodeHostId = link.remote?.nodeHostId;
    // Only whoever was asked may answer.
    if (pending?.sent === undefined || pending.sent.nodeHostId !== nodeHostId) {
      return;
    }
    if (body.kind === "committed") return tellCommitted(pending);
    if (body.kind === "failure") return this.#failed(pending, body, link);
    const decoded = decodeValue(body.payload);
    try {
      if (typeof decoded === "string") throw new Error(decoded);
      const value = pending.order.check?.(decoded.value) ?? decoded.value;
      this.#end(pending, value);
    } catch (defect) {
      this.#fail(
        pending,
        new RaftError(
          "rejected",
          `Cannot ${pending.order.verb}: the answer of the NodeHost at ${link.address} cannot be read (${
            (defect as Error).message
          })`,
          { outcome: pending.order.isHarmless ? "notApplied" : "unknown" },
        ),
      );
    }
  }

  /** A NodeHost says where a cluster is. */
  located(link: Link, clusterId: number, located: Located): void {
    const { directory, clock } = this.#host;
    const route = directory.routeTo(clusterId, (one) => this.#waiting.has(one));
    directory.learn(route, link, located, clock.now());
    this.#pump(route);
  }

  /** A link is up: what waited for it may leave. */
  linkUp(link: Link): void {
    this.#host.directory.linkUp(link);
    for (const route of [...this.#waiting.keys()]) {
      if (route.place?.address === link.address) this.#pump(route);
    }
  }

  /** A link is down: what was sent over it is lost, or will never be heard of. */
  linkDown(link: Link, reason: string): void {
    this.#host.directory.linkDown(link);
    const routes = new Set<Route>();
    for (const pending of [...this.#pending.values()]) {
      if (pending.sent?.link !== link) continue;
      if (pending.order.isHarmless) {
        this.#wait(pending);
        routes.add(pending.route);
        continue;
      }
      this.#fail(
        pending,
        requestError(
          "dropped",
          `Cannot ${pending.order.verb}: the connection to the NodeHost at ${link.address} was lost (${reason}), and ` +
            "whether it was done is unknown",
          "unknown",
        ),
      );
    }
    for (const route of this.#waiting.keys()) {
      if (route.place?.address !== link.address) continue;
      route.next();
      routes.add(route);
    }
    for (const route of routes) this.#pump(route);
  }

  /** Ends everything. */
  close(failure: RaftError): void {
    this.#failure = failure;
    this.#timer?.cancel();
    for (const pending of [...this.#pending.values()]) {
      const isUnknown = pending.sent !== undefined && !pending.order.isHarmless;
      const error = isUnknown
        ? new RaftError(failure.code, failure.message, { outcome: "unknown" })
        : failure;
      this.#fail(pending, error);
    }
  }

  /** Does what can be done for those who wait for a route. */
  #pump(route: Route): void {
    const { directory, clock, linkTo, tell } = this.#host;
    const now = clock.now();
    // Each turn of the loop passes over one place; when there is none left, it is asked where the cluster is.
    while (this.#waiting.has(route)) {
      const { place } = route;
      if (place === undefined) return this.#ask(route, now);
      const link = linkTo(place.address);
      if (!link.isUp) {
        if (route.triedSince < 0) route.triedSince = now;
        tell(link, route.clusterId, { kind: "locate" }); // Makes it dial.
        return;
      }
      const isAnother = place.nodeHostId !== "" &&
        link.remote?.nodeHostId !== place.nodeHostId;
      if (isAnother || !canServe(link)) {
        route.next();
        continue;
      }
      route.triedSince = -1;
      if (now - route.toldAt > refreshTicks * this.#host.tickMs) {
        route.toldAt = now;
        directory.refresh(route, link);
      }
      for (const pending of [...this.#waiting.get(route) ?? []]) {
        this.#sendTo(link, pending, now);
      }
      return;
    }
  }

  #ask(route: Route, now: number): void {
    const { directory, tickMs } = this.#host;
    if (now >= route.askAgainAt) {
      route.askAgainAt = now + askAgainTicks * tickMs;
      directory.ask(route);
    } else if (route.questions.size === 0) return; // A tick will ask.
    if (!route.isUnknownToAll) return;
    route.askAgainAt = 0;
    for (const pending of [...this.#waiting.get(route) ?? []]) {
      this.#fail(pending, pending.refusal ?? unknownToAll(route));
    }
  }

  #sendTo(link: Link, pending: Pending, now: number): void {
    const { order, route, deadline, id } = pending;
    const timeoutMs = Math.ceil(deadline - now);
    if (timeoutMs < 1) return; // The next tick ends it.
    const isSent = this.#host.tell(link, route.clusterId, {
      kind: "request",
      id,
      timeoutMs,
      what: order.what,
      wantsCommit: pending.onCommitted !== undefined,
      session: order.session,
      payload: order.payload,
    });
    if (!isSent) {
      const message =
        `Cannot ${order.verb}: too much waits for the connection to ${link.address}`;
      return this.#fail(pending, requestError("busy", message));
    }
    const waiting = this.#waiting.get(route);
    waiting?.delete(pending);
    if (waiting?.size === 0) this.#waiting.delete(route);
    pending.sent = { link, nodeHostId: link.remote?.nodeHostId ?? "" };
  }

  #failed(
    pending: Pending,
    failure: Extract<RemoteBody, { kind: "failure" }>,
    link: Link,
  ): void {
    const { route, order } = pending;
    const error = errorOf(failure, link);
    if (!(error instanceof RaftError)) return this.#fail(pending, error);
    const isHere = route.place?.nodeHostId === pending.sent?.nodeHostId;
    if (isHere && memberTrouble.has(error.code)) route.next();
    // Whoever has no node of the cluster has done nothing.
    const isNotThere = error.code === "clusterNotFound" &&
      error.outcome === "notApplied";
    if (isNotThere && isHere) route.next();
    const isTriedAgain = isNotThere ||
      (order.isHarmless && readAgain.has(error.code));
    if (!isTriedAgain) return this.#fail(pending, error);
    pending.refusal = error;
    this.#wait(pending);
    this.#pump(route);
  }

  #wait(pending: Pending): void {
    pending.sent = undefined;
    const waiting = this.#waiting.get(pending.route);
    if (waiting !== undefined) waiting.add(pending);
    else this.#waiting.set(pending.route, new Set([pending]));
  }

  #fail(pending: Pending, error: unknown): void {
    if (this.#forget(pending)) settleError(pending.settle, error);
  }

  #end(pending: Pending, value: unknown): void {
    if (!this.#forget(pending)) return;
    tellCommitted(pending); // What has a result is committed.
    pending.settle(value as Promise<never>);
  }

  /** False if it had ended already. */
  #forget(pending: Pending): boolean {
    if (!this.#pending.delete(pending.id)) return false;
    this.#bytes -= costOf(pending.order);
    const waiting = this.#waiting.get(pending.route);
    if (waiting?.delete(pending) && waiting.size === 0) {
      this.#waiting.delete(pending.route);
    }
    return true;
  }

  #keepTicking(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#host.clock.setTimer(this.#host.tickMs, () => {
      this.#timer = undefined;
      this.#tick();
      if (this.#pending.size > 0) this.#keepTicking();
    });
  }

  #tick(): void {
    const { clock, tickMs } = this.#host;
    const now = clock.now();
    for (const pending of [...this.#pending.values()]) {
      if (pending.deadline <= now) {
        this.#fail(pending, timedOut(pending, this.#host));
      }
    }
    for (const route of [...this.#waiting.keys()]) {
      const isTried = route.triedSince >= 0 &&
        now - route.triedSince > patienceTicks * tickMs;
      if (isTried) route.next();
      this.#pump(route);
    }
  }
}

function costOf(order: Order): number {
  return order.payload.length + overheadBytes;
}

function tellCommitted(pending: Pending): void {
  const tell = pending.onCommitted;
  pending.onCommitted = undefined;
  tell?.();
}

function unknownToAll({ clusterId, questions }: Route): RaftError {
  const asked = questions.size === 0
    ? "there is no other NodeHost to ask: name some in peers"
    : `none of the NodeHosts that were asked knows it (${
      [...questions.keys()].slice(0, 5).join(", ")
    })`;
  return requestError(
    "clusterNotFound",
    `Cannot use cluster ${clusterId}: this NodeHost has no node of it, and ${asked}`,
  );
}

function timedOut(
  { order, route, sent, refusal }: Pending,
  host: RequestsHost,
): RaftError {
  const because = (address: string) => {
    const trouble = host.troubleWith(address);
    return trouble === "" ? address : `${address} (${trouble})`;
  };
  const why = sent !== undefined
    ? `the NodeHost at ${sent.link.address} has not answered`
    : refusal !== undefined
    ? refusal.message
    : route.place !== undefined
    ? `cannot reach its member at ${because(route.place.address)}`
    : `no NodeHost that answers knows where it is; asked: ${
      [...route.questions.keys()].slice(0, 5).map(because).join(", ")
    }`;
  const isUnknown = sent !== undefined && !order.isHarmless;
  return requestError(
    "timeout",
    `Cannot ${order.verb} in time: cluster ${route.clusterId} has no node here, and ${why}`,
    isUnknown ? "unknown" : "notApplied",
  );
}

/** The error that a member's failure was. */
function errorOf(
  failure: Extract<RemoteBody, { kind: "failure" }>,
  link: Link,
): Error {
  const { type, name, message, isUnknown } = failure;
  switch (type) {
    case "RaftError":
      return new RaftError(
        name as RaftErrorCode,
        `${message} (said by the NodeHost at ${link.address})`,
        { outcome: isUnknown ? "unknown" : "notApplied" },
      );
    case "TypeError":
      return new TypeError(message);
    case "RangeError":
      return new RangeError(message);
    default: {
      const error = new Error(message);
      error.name = name;
      return error;
    }
  }
}
