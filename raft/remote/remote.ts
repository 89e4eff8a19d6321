/**
 * What a NodeHost does for clusters that it has no node of, and for other NodeHosts that have none (rule C7): puts
 * together directory, requests and service.
 */
import { allMembers } from "../core/members.ts";
import type { Membership } from "../core/types.ts";
import type { WaitOptions } from "../config.ts";
import type { SessionFields } from "../entries.ts";
import { RaftError } from "../errors.ts";
import type { ProposalWait } from "../node_proposals.ts";
import type { Clock, Logger } from "../ports.ts";
import { defaultMaxSessions } from "../sessions.ts";
import type { SessionNode } from "../session_requests.ts";
import type { Result } from "../state_machine.ts";
import type { HostIdentity, Link, WireRecord } from "../transport/link_pool.ts";
import { isHarmless } from "./calls.ts";
import type { CallableMethod } from "./calls.ts";
import { Directory } from "./directory.ts";
import type { Located } from "./directory.ts";
import { decodeRemote, encodeRemote, maxPlaces } from "./format.ts";
import type { Place, RemoteBody } from "./format.ts";
import { Requests } from "./requests.ts";
import { type ServedNode, Service } from "./service.ts";
import { encodeValue } from "./values.ts";

/** What is needed of a node. */
export interface LocatedNode extends ServedNode {
  readonly nodeId: number;
  readonly peer: {
    readonly leaderId: number;
    readonly term: number;
    membership(): Membership;
  };
  readonly refusal: RaftError | undefined;
  readonly routes: {
    knownNodeHost(nodeId: number): string;
    addressOf(nodeId: number): string | undefined;
  };
}

/** What {@link Remote} needs of its NodeHost. */
export interface RemoteHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tickMs: number;
  /** Longest command. */
  readonly maxPayloadBytes: number;
  readonly self: HostIdentity;
  /** Whom to ask where clusters are; without any, nothing is asked of others. */
  readonly peers: readonly string[];
  readonly links: {
    linkTo(address: string): Link;
    links(): readonly Link[];
  };
  findNode(clusterId: number): LocatedNode | undefined;
  /** Why an address cannot be reached; `""` if it can, or was not tried. */
  troubleWith(address: string): string;
  call(
    method: CallableMethod,
    clusterId: number,
    args: readonly unknown[],
    options: WaitOptions,
  ): Promise<unknown>;
  /** Another NodeHost says where some are. */
  learnAddresses(link: Link, hosts: readonly HostIdentity[]): void;
  /** Asks for a turn, which sends what was queued. */
  requestTurn(): void;
}

/** Election timeout of a cluster of which nothing is known, in ticks. */
const assumedElectionTicks = 10;

/** Requests to and from other NodeHosts. */
export class Remote {
  /** Whether this NodeHost asks others at all. */
  readonly isOn: boolean;
  readonly #host: RemoteHost;
  readonly #directory: Directory;
  readonly #requests: Requests;
  readonly #service: Service;

  /** Nothing is under way. */
  constructor(host: RemoteHost) {
    this.#host = host;
    this.isOn = host.peers.length > 0;
    const tell = (link: Link, clusterId: number, body: RemoteBody) =>
      this.#tell(link, clusterId, body);
    const linkTo = (address: string) => host.links.linkTo(address);
    this.#directory = new Directory({
      ownAddress: host.self.raftAddress,
      peers: host.peers,
      linkTo,
      links: () => host.links.links(),
      tell,
    });
    this.#requests = new Requests({
      clock: host.clock,
      tickMs: host.tickMs,
      directory: this.#directory,
      linkTo,
      troubleWith: (address) => host.troubleWith(address),
      tell,
    });
    this.#service = new Service({
      maxAnswerBytes: host.maxPayloadBytes,
      findNode: (clusterId) => host.findNode(clusterId),
      call: (...call) => host.call(...call),
      answer: (link, clusterId, body) => this.#reply(link, clusterId, body),
    });
  }

  /** Proposes a command to another NodeHost's node; copied before the call returns. */
  propose(
    clusterId: number,
    command: Uint8Array,
    options: ProposalWait,
    session?: SessionFields,
  ): Promise<Result> {
    const { maxPayloadBytes } = this.#host;
    if (command.length > maxPayloadBytes) {
      const message =
        `Cannot propose ${command.length} bytes: maxPayloadBytes is ${maxPayloadBytes}`;
      return Promise.reject(new RaftError("payloadTooBig", message));
    }
    const order = {
      what: session === undefined ? "propose" as const : "session" as const,
      session,
      payload: command.slice(),
      verb: "propose",
      isHarmless: false,
      check: requireResult,
    };
    const wait = this.#guarded(clusterId, options);
    const sent = this.#requests.send(clusterId, order, wait);
    return sent as Promise<Result>;
  }

  /**
   * A linearizable read on another NodeHost's node.
   *
   * @throws {TypeError} if the query cannot travel.
   */
  read<T>(
    clusterId: number,
    query: unknown,
    options: ProposalWait,
  ): Promise<T> {
    const payload = this.#encode(query, "the query");
    const sent = this.#requests.send(clusterId, {
      what: "read",
      session: undefined,
      payload,
      verb: "read",
      isHarmless: true,
    }, options);
    return sent as Promise<T>;
  }

  /** Calls a method of another NodeHost; `options` without times and signals. */
  call<T>(
    clusterId: number,
    method: CallableMethod,
    args: readonly unknown[],
    wait: ProposalWait,
    options: Record<string, unknown> = {},
  ): Promise<T> {
    const payload = this.#encode([method, args, options], "the arguments");
    const sent = this.#requests.send(clusterId, {
      what: "call",
      session: undefined,
      payload,
      verb: `do ${method}`,
      isHarmless: isHarmless(method),
    }, wait);
    return sent as Promise<T>;
  }

  /** What requests in sessions are made to. */
  sessionNode(clusterId: number): SessionNode {
    return {
      machine: {}, // Whether it keeps sessions, the member says.
      config: {
        maxSessions: defaultMaxSessions, // The member gives its own.
        electionTimeoutTicks: assumedElectionTicks,
      },
      propose: (command, options, session) =>
        this.propose(clusterId, command, options, session),
    };
  }

  /** A record for a NodeHost arrived. Bytes that are none are passed over: whoever waits for more has a deadline. */
  receive(
    link: Link,
    { clusterId, body: bytes }: Extract<WireRecord, { kind: "remote" }>,
  ): void {
    const body = decodeRemote(bytes);
    if (typeof body === "string") return;
    switch (body.kind) {
      case "locate":
        return this.#reply(link, clusterId, this.#locate(link, clusterId));
      case "located":
        if (this.isOn) this.#requests.located(link, clusterId, body);
        return;
      case "request":
        return this.#service.receive(link, clusterId, body);
      case "addresses":
        return this.#host.learnAddresses(link, body.hosts);
      default:
        this.#requests.receive(link, body);
    }
  }

  /** A link is up. */
  linkUp(link: Link): void {
    if (this.isOn) this.#requests.linkUp(link);
  }

  /** A link is down. */
  linkDown(link: Link, reason: string): void {
    this.#service.linkDown(link);
    if (this.isOn) this.#requests.linkDown(link, reason);
  }

  /** Ends what waits. */
  close(failure: RaftError): void {
    this.#requests.close(failure);
  }

  #locate(link: Link, clusterId: number): Located {
    const node = this.#host.findNode(clusterId);
    const places = node === undefined || node.refusal !== undefined
      ? []
      : this.#placesOf(node);
    if (places.length === 0) return this.#directory.hearsay(clusterId, link);
    const { leaderId, term } = node!.peer;
    return { kind: "located", source: "member", term, leaderId, places };
  }

  /** Members that can serve, which a witness cannot. */
  #placesOf({ nodeId, peer, routes }: LocatedNode): Place[] {
    const membership = peer.membership();
    const witnesses = new Set(
      membership.witnesses.map((member) => member.nodeId),
    );
    const { self } = this.#host;
    return allMembers(membership)
      .filter((member) => !witnesses.has(member.nodeId))
      .slice(0, maxPlaces)
      .map((member) => ({
        nodeId: member.nodeId,
        nodeHostId: member.nodeId === nodeId
          ? self.nodeHostId
          : routes.knownNodeHost(member.nodeId),
        address: member.nodeId === nodeId
          ? self.raftAddress
          : routes.addressOf(member.nodeId) ?? member.address,
      }));
  }

  /** Keeps what the caller's own code throws from everybody else. */
  #guarded(clusterId: number, options: ProposalWait): ProposalWait {
    const { onCommitted } = options;
    if (onCommitted === undefined) return options;
    const guarded = () => {
      try {
        onCommitted();
      } catch (error) {
        this.#host.logger.error("an onCommitted callback failed", {
          clusterId,
          error: error instanceof Error ? error.message : String(error),
        });
      }
    };
    return { ...options, onCommitted: guarded };
  }

  #encode(value: unknown, what: string): Uint8Array {
    return encodeValue(value, what, this.#host.maxPayloadBytes);
  }

  #tell(link: Link, clusterId: number, body: RemoteBody): boolean {
    const isSent = link.send(recordOf(clusterId, body));
    if (isSent) this.#host.requestTurn();
    return isSent;
  }

  /** As {@link #tell}, but does not keep the link for its own sake. */
  #reply(link: Link, clusterId: number, body: RemoteBody): void {
    if (link.reply(recordOf(clusterId, body))) this.#host.requestTurn();
  }
}

function recordOf(clusterId: number, body: RemoteBody): WireRecord {
  return {
    kind: "remote",
    clusterId,
    from: 1,
    to: 1,
    body: encodeRemote(body),
  };
}

/** @throws {Error} if what arrived is no state machine's result. */
function requireResult(value: unknown): Result {
  const result = value as Result;
  const isResult = typeof value === "object" && value !== null &&
    typeof result.value === "number" &&
    (result.data === undefined || result.data instanceof Uint8Array);
  if (isResult) return result;
  throw new Error("it is no result");
}
