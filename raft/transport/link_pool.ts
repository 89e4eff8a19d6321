/**
 * All connections of a NodeHost: one per pair of NodeHosts, whoever dialled.
 *
 * Both sides of a pair may dial at once. Then the connection dialled by the side with the smaller NodeHost id stays,
 * and both sides come to that without talking about it:
 * - The greater side drops its own attempt, or connection, as soon as the smaller one's hello arrives.
 * - The smaller side refuses the greater one's hello while its own connection stands. While its own hello is under
 *   way it lets the other's wait, and takes it only if its own attempt fails. Before that, it gives its own up.
 * A hello from the same direction as the connection that stands means that the other side has lost that, so the newest
 * wins; and a newer incarnation wins always.
 */
import type { WireRecord } from "../codec/record.ts";
import type { Clock, Logger, Random, Timer } from "../ports.ts";
import { Greeter, type Stranger } from "./greeter.ts";
import { hostOf } from "./address.ts";
import { newTransportCounters, type TransportCounters } from "./counters.ts";
import {
  dial,
  type Greeting,
  HandshakeError,
  type Handshaken,
  type HostIdentity,
  type RefusalNotice,
  wireVersions,
} from "./handshake.ts";
import { type Link, type LinkEnvironment, PeerLink } from "./link.ts";
import {
  LinkSession,
  type SessionEvents,
  type SessionLimits,
} from "./link_session.ts";
import { Notices } from "./notices.ts";
import type { Connection, Listener, Network } from "./transport.ts";

export type { HostIdentity } from "./handshake.ts";
export type { Link } from "./link.ts";
export type { RecordBase, RecordRoute, WireRecord } from "../codec/record.ts";

const tickMs = 500;
const pingAfterTicks = 2;
const maxSilentTicks = 10;
const handshakeTicks = 10;
const handshakeMs = handshakeTicks * tickMs;
const defaultMaxQueuedBytes = 64 * 1024 * 1024;
const defaultMaxConnections = 1_024;
const minFrameBytes = 64 * 1024;

/** Somebody who was turned away. */
export interface Refusal {
  /** Where the other came from, or what was dialled. */
  readonly address: string;
  /** Whether this side had dialled. */
  readonly isDialledHere: boolean;
  /** For programs: a `RefusalCode`, or `silent`, `busy` or `tls`. */
  readonly code: string;
  /** For people. */
  readonly reason: string;
}

/** What a pool tells its owner. Nothing is called after `close()`. */
export interface LinkHandlers {
  /** A record arrived. If it is a message, it is overwritten when this returns. */
  onRecord(link: Link, record: WireRecord): void;
  /** All records of a frame were delivered. */
  onFrameEnd(): void;
  /** The handshake is done, `link.remote` is known, and `link.epoch` has grown. */
  onLinkUp(link: Link): void;
  /** A link that was up is down, or an attempt to dial failed. */
  onLinkDown(link: Link, reason: string): void;
  /** Another NodeHost wants to send a snapshot; the owner calls `start` before this returns, or it is closed. */
  onSnapshotConnection(remote: HostIdentity, connection: Connection): void;
  /** Somebody was turned away. */
  onRefused?(refusal: Refusal): void;
}

/** Options of a {@linkcode LinkPool}. */
export interface LinkPoolOptions {
  /** Makes connections. */
  readonly network: Network;
  /** Time. */
  readonly clock: Clock;
  /** For jitter. */
  readonly random: Random;
  /** Where refusals are told. */
  readonly logger: Logger;
  /** Who we are. */
  readonly self: HostIdentity;
  /** Only NodeHosts of the same deployment are talked to. */
  readonly deploymentId: bigint;
  /** `host:port` to listen on. */
  readonly listenAddress: string;
  /** Longest frame, at least 64 KiB; the network's own limit must not be lower. */
  readonly maxFrameBytes: number;
  /** Bytes that may wait on one link, 64 MiB by default; beyond it what carries entries is dropped and counted. */
  readonly maxQueuedBytes?: number;
  /** Connections that may come in, 1,024 by default; of one address a quarter of that. */
  readonly maxConnections?: number;
  /** Who is told. */
  readonly handlers: LinkHandlers;
  /** Says why a NodeHost is not wanted, or undefined (rule I1: hosts persist whom they saw). */
  readonly judge?: (remote: HostIdentity) => string | undefined;
  /** Where it counts. */
  readonly counters?: TransportCounters;
  /** The newest wire version to speak, if not the newest that there is: as an older release does. */
  readonly highestVersion?: number | undefined;
}

/** The links of a NodeHost. */
export class LinkPool {
  readonly #options: LinkPoolOptions;
  readonly #handlers: LinkHandlers;
  readonly #greeting: Greeting;
  readonly #environment: LinkEnvironment;
  readonly #limits: SessionLimits;
  readonly #events: SessionEvents;
  readonly #notices: Notices;
  readonly #counters: TransportCounters;
  readonly #greeter: Greeter;
  readonly #links = new Map<string, PeerLink>();
  /** By NodeHost id. */
  readonly #sessions = new Map<string, LinkSession>();
  /** The links over each session, first the one named by the other side's own address. */
  readonly #linksOf = new Map<LinkSession, PeerLink[]>();
  /** Hellos of greater sides that wait until our own attempt is decided. */
  readonly #waiting = new Map<PeerLink, Stranger>();
  readonly #snapshotDials = new Set<AbortController>();
  #queued: LinkSession[] = [];
  #listener: Listener | undefined;
  #ticker: Timer | undefined;
  #isClosed = false;

  /**
   * Makes a pool without connections.
   *
   * @throws {RangeError} if `maxFrameBytes` is too small.
   */
  constructor(options: LinkPoolOptions) {
    if (options.maxFrameBytes < minFrameBytes) {
      throw new RangeError(
        `Cannot use maxFrameBytes ${options.maxFrameBytes}: at least ${minFrameBytes} are needed`,
      );
    }
    const { network, clock, random, logger, self, deploymentId } = options;
    this.#options = options;
    this.#handlers = options.handlers;
    const { lowest, highest } = wireVersions;
    this.#greeting = {
      self,
      deploymentId,
      versions: { lowest, highest: options.highestVersion ?? highest },
    };
    this.#notices = new Notices(logger, clock);
    this.#counters = options.counters ?? newTransportCounters();
    this.#environment = {
      network,
      clock,
      random,
      greeting: this.#greeting,
      counters: this.#counters,
      onDialled: (link, handshaken) => this.#onDialled(link, handshaken),
      onDialFailed: (link, error) => this.#onDialFailed(link, error),
    };
    this.#limits = {
      maxFrameBytes: options.maxFrameBytes,
      maxQueuedBytes: options.maxQueuedBytes ?? defaultMaxQueuedBytes,
      maxSilentTicks,
      pingAfterTicks,
      counters: this.#counters,
    };
    this.#events = {
      onQueued: (session) => this.#queued.push(session),
      onRecord: (session, record) => this.#onRecord(session, record),
      onFrameEnd: () => {
        if (!this.#isClosed) this.#handlers.onFrameEnd();
      },
      onEnd: (session, reason) => this.#onSessionEnd(session, reason),
    };
    this.#greeter = new Greeter({
      greeting: this.#greeting,
      onRefused: (stranger, refusal) => this.#tellRefused(stranger, refusal),
      maxTicks: handshakeTicks,
      maxConnections: options.maxConnections ?? defaultMaxConnections,
      judge: (remote) => options.judge?.(remote),
      onLink: (stranger) => this.#onHello(stranger),
      onSnapshot: (handshaken) => this.#onSnapshot(handshaken),
    });
  }

  /** The address listened on, with the real port; `""` before `listen()`. */
  get listenAddress(): string {
    return this.#listener?.address ?? "";
  }

  /**
   * Begins to accept connections.
   *
   * @throws {Error} with a Node-style `code`, as the network gave it, if the address cannot be bound.
   */
  async listen(): Promise<void> {
    const { network, listenAddress } = this.#options;
    const listener = await network.listen(
      listenAddress,
      (connection) => {
        if (this.#isClosed) return connection.close();
        this.#counters.accepted++;
        this.#greeter.greet(connection);
        this.#keepTicking();
      },
      (stranger) => {
        if (!this.#isClosed) {
          this.#tellRefused(stranger.remoteAddress, stranger);
        }
      },
    );
    if (this.#isClosed) listener.close();
    else this.#listener = listener;
  }

  /** The link to an address, made on demand. It dials once there is something to send. */
  linkTo(address: string): Link {
    const link = this.#linkAt(address);
    link.isWanted = true;
    return link;
  }

  /** The link to a NodeHost, if there is one that is up. */
  linkOf(nodeHostId: string): Link | undefined {
    const session = this.#sessions.get(nodeHostId);
    return session && this.#linksOf.get(session)?.[0];
  }

  /** All links, in order of their addresses. */
  links(): readonly Link[] {
    return [...this.#links.values()].sort((a, b) =>
      a.address < b.address ? -1 : 1
    );
  }

  /** Ends a turn: what was sent to each link leaves in one frame. */
  flush(): void {
    const queued = this.#queued;
    if (queued.length === 0) return;
    this.#queued = [];
    for (const session of queued) session.flush();
  }

  /**
   * Makes a connection for one snapshot, which shares neither queue nor fate with the link. The caller must call
   * `connection.start` or `connection.close`.
   *
   * @throws {HandshakeError} if that fails; `signal.reason` if it is aborted.
   */
  async openSnapshotConnection(
    address: string,
    signal: AbortSignal,
  ): Promise<
    { remote: HostIdentity; version: number; connection: Connection }
  > {
    signal.throwIfAborted();
    if (this.#isClosed) throw poolClosed;
    const { network, clock } = this.#options;
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal.reason);
    signal.addEventListener("abort", onAbort);
    const timeout = clock.setTimer(
      handshakeMs,
      () => controller.abort(snapshotTimedOut),
    );
    this.#snapshotDials.add(controller);
    try {
      const handshaken = await dial({
        network,
        address,
        greeting: this.#greeting,
        purpose: "snapshot",
        signal: controller.signal,
      });
      const refusal = this.#judge(handshaken.remote);
      if (!controller.signal.aborted && refusal === undefined) {
        return handshaken;
      }
      handshaken.connection.close();
      controller.signal.throwIfAborted();
      throw new HandshakeError(refusal!);
    } finally {
      timeout.cancel();
      signal.removeEventListener("abort", onAbort);
      this.#snapshotDials.delete(controller);
    }
  }

  /** Closes every connection, except those that were handed over for snapshots. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listener?.close();
    this.#ticker?.cancel();
    this.#greeter.close();
    for (const controller of this.#snapshotDials) controller.abort(poolClosed);
    for (const link of this.#links.values()) link.close();
    for (const session of this.#sessions.values()) session.end("closed here");
    this.#sessions.clear();
    this.#linksOf.clear();
    this.#waiting.clear();
    this.#queued = [];
  }

  // ---- Connections that others dialled.

  /** A stranger said who it is, and what it said fits. */
  #onHello(stranger: Stranger): void {
    const { remote } = stranger;
    const refusal = this.#findConflict(remote);
    if (refusal !== undefined) {
      stranger.refuse(refusal);
      if (refusal.code === "duplicate") return; // Not an error.
      return this.#tellRefused(stranger.remoteAddress, refusal);
    }
    const link = this.#links.get(remote.raftAddress);
    if (link?.isHelloSent && this.#isSmallerThan(remote)) {
      this.#waiting.get(link)?.refuse(duplicate);
      this.#waiting.set(link, stranger);
      return;
    }
    this.#accept(stranger);
  }

  #accept(stranger: Stranger): void {
    const { remote } = stranger;
    const standing = this.#sessions.get(remote.nodeHostId);
    const links = this.#end(standing, "dialled again by the other side");
    this.#linkAt(remote.raftAddress).session?.end(
      "another NodeHost has its address now",
    );
    const { version } = stranger;
    const connection = stranger.welcome();
    this.#begin({ remote, version, connection, isDialledHere: false }, links);
  }

  /** Says why a NodeHost that dialled us must not be accepted. */
  #findConflict(remote: HostIdentity): RefusalNotice | undefined {
    const standing = this.#sessions.get(remote.nodeHostId);
    if (standing !== undefined) {
      const known = standing.remote.incarnation;
      if (remote.incarnation > known) return undefined;
      if (remote.incarnation < known) return olderLife(remote, known);
      if (!standing.isDialledHere || !this.#isSmallerThan(remote)) {
        return undefined;
      }
      // If the other side has lost it, this finds out.
      standing.ping();
      return duplicate;
    }
    const atAddress = this.#links.get(remote.raftAddress)?.session;
    // We reached that one at its address ourselves; the stranger only claims to be there.
    if (atAddress?.isDialledHere) {
      return {
        code: "address",
        reason: `NodeHost ${atAddress.remote.nodeHostId} answers at ` +
          `${remote.raftAddress}, not NodeHost ${remote.nodeHostId}`,
      };
    }
    return undefined;
  }

  #onSnapshot({ remote, connection }: Handshaken): void {
    if (this.#isClosed) return connection.close();
    this.#handlers.onSnapshotConnection(remote, connection);
    if (connection.isHeld) connection.close();
  }

  // ---- Connections that we dialled.

  #onDialled(link: PeerLink, handshaken: Handshaken): void {
    const { remote, connection } = handshaken;
    const refusal = this.#judge(remote) ?? this.#findNewer(remote);
    if (refusal !== undefined) {
      connection.close();
      link.backOff();
      return this.#onDialFailed(link, new HandshakeError(refusal));
    }
    const standing = this.#sessions.get(remote.nodeHostId);
    if (standing !== undefined && this.#mustStand(standing, remote)) {
      connection.close();
      this.#attach(link, standing);
    } else {
      const links = this.#end(standing, "replaced by a newer connection");
      links.push(link);
      this.#begin({ ...handshaken, isDialledHere: true }, links);
    }
    this.#settleWaiting(link);
  }

  #onDialFailed(link: PeerLink, error: HandshakeError): void {
    this.#settleWaiting(link);
    if (error.code === "duplicate") {
      const standing = this.#sessions.get(error.refusedBy);
      if (standing !== undefined) this.#attach(link, standing);
      return;
    }
    if (error.code !== "unreachable") {
      this.#notices.warn(
        `${link.address} ${error.code}`,
        `Cannot link to ${link.address}: ${error.message}`,
        { address: link.address, code: error.code },
      );
      this.#countRefused({
        address: link.address,
        isDialledHere: true,
        code: error.code,
        reason: error.message,
      });
    }
    this.#counters.dialFailures++;
    if (!this.#isClosed && !link.isUp) {
      this.#handlers.onLinkDown(link, error.message);
    }
  }

  /** The other side may have dialled while our hello was under way; it wins if we did not succeed. */
  #settleWaiting(link: PeerLink): void {
    const stranger = this.#waiting.get(link);
    if (stranger === undefined) return;
    this.#waiting.delete(link);
    if (!stranger.isHere) return;
    const refusal = this.#findConflict(stranger.remote);
    if (refusal === undefined) this.#accept(stranger);
    else stranger.refuse(refusal);
  }

  /** Whether a connection that the other dialled wins against the one that we just dialled. */
  #mustStand(standing: LinkSession, remote: HostIdentity): boolean {
    return standing.remote.incarnation === remote.incarnation &&
      !standing.isDialledHere && !this.#isSmallerThan(remote);
  }

  #findNewer(remote: HostIdentity): RefusalNotice | undefined {
    const known = this.#sessions.get(remote.nodeHostId)?.remote.incarnation;
    if (known === undefined || known <= remote.incarnation) return undefined;
    return olderLife(remote, known);
  }

  // ---- Sessions and the links over them.

  /** Ends a session that another one replaces, and returns its links, which go on over that. */
  #end(session: LinkSession | undefined, reason: string): PeerLink[] {
    if (session === undefined) return [];
    const links = [...this.#linksOf.get(session) ?? []];
    session.end(reason);
    return links.filter((link) => this.#links.get(link.address) === link);
  }

  #begin(
    handshaken: Handshaken & { isDialledHere: boolean },
    links: readonly PeerLink[],
  ): void {
    // The owner may have closed the pool when it heard that the last connection ended.
    if (this.#isClosed) return handshaken.connection.close();
    const { nodeHostId, raftAddress } = handshaken.remote;
    const session = new LinkSession(handshaken, this.#limits, this.#events);
    this.#sessions.set(nodeHostId, session);
    this.#linksOf.set(session, []);
    this.#keepTicking();
    this.#attach(this.#linkAt(raftAddress), session);
    for (const link of links) this.#attach(link, session);
    session.start();
  }

  #attach(link: PeerLink, session: LinkSession): void {
    if (link.session === session || !session.isOpen) return;
    if (link.session !== undefined) {
      this.#detach(link, link.session, "another NodeHost has its address now");
    }
    link.attach(session);
    this.#linksOf.get(session)?.push(link);
    this.#counters.linksUp++;
    if (!this.#isClosed) this.#handlers.onLinkUp(link);
  }

  #detach(link: PeerLink, session: LinkSession, reason: string): void {
    const links = this.#linksOf.get(session) ?? [];
    const at = links.indexOf(link);
    this.#counters.linksDown++;
    if (at >= 0) links.splice(at, 1);
    link.detach();
    if (!link.isWanted) {
      link.close();
      this.#links.delete(link.address);
    }
    if (!this.#isClosed) this.#handlers.onLinkDown(link, reason);
  }

  #onSessionEnd(session: LinkSession, reason: string): void {
    if (this.#isClosed) return;
    const { nodeHostId, raftAddress } = session.remote;
    if (reason.startsWith("not a ")) {
      this.#notices.warn(
        `${raftAddress} malformed`,
        `Cannot use the link to ${raftAddress}: ${reason}`,
        { address: raftAddress, nodeHostId },
      );
    }
    if (this.#sessions.get(nodeHostId) === session) {
      this.#sessions.delete(nodeHostId);
    }
    const links = [...this.#linksOf.get(session) ?? []];
    for (const link of links) this.#detach(link, session, reason);
    this.#linksOf.delete(session);
  }

  #onRecord(session: LinkSession, record: WireRecord): void {
    const link = this.#linksOf.get(session)?.[0];
    if (link !== undefined) this.#handlers.onRecord(link, record);
  }

  #linkAt(address: string): PeerLink {
    let link = this.#links.get(address);
    if (link === undefined) {
      link = new PeerLink(address, this.#environment);
      if (this.#isClosed) link.close();
      this.#links.set(address, link);
    }
    return link;
  }

  #isSmallerThan(remote: HostIdentity): boolean {
    return this.#options.self.nodeHostId < remote.nodeHostId;
  }

  /** Strangers are told apart by machine: each of their connections has another port. */
  #tellRefused(
    address: string,
    { code, reason }: { code: string; reason: string },
  ): void {
    this.#notices.warn(
      `${hostOf(address)} ${code}`,
      `Cannot accept a connection from ${address}: ${reason}`,
      { address, code },
    );
    this.#countRefused({ address, isDialledHere: false, code, reason });
  }

  #countRefused(refusal: Refusal): void {
    this.#counters.refused++;
    if (!this.#isClosed) this.#handlers.onRefused?.(refusal);
  }

  #judge(remote: HostIdentity): RefusalNotice | undefined {
    const reason = this.#options.judge?.(remote);
    return reason === undefined ? undefined : { code: "identity", reason };
  }

  // ---- Time.

  #keepTicking(): void {
    if (this.#ticker !== undefined || this.#isClosed) return;
    this.#ticker = this.#options.clock.setTimer(tickMs, () => {
      this.#ticker = undefined;
      this.#greeter.tick();
      for (const session of [...this.#sessions.values()]) session.tick();
      if (this.#sessions.size > 0 || this.#greeter.isBusy) this.#keepTicking();
    });
  }
}

const duplicate: RefusalNotice = {
  code: "duplicate",
  reason: "there is a connection already",
};

const poolClosed = new HandshakeError({
  code: "unreachable",
  reason: "the NodeHost is closed",
});

const snapshotTimedOut = new HandshakeError({
  code: "unreachable",
  reason: `no handshake within ${handshakeMs} ms`,
});

function olderLife(remote: HostIdentity, known: number): RefusalNotice {
  return {
    code: "incarnation",
    reason: `NodeHost ${remote.nodeHostId} comes with incarnation ` +
      `${remote.incarnation}, after incarnation ${known} was seen`,
  };
}
