import type { WireRecord } from "../codec/record.ts";
import type { Clock, Random, Timer } from "../ports.ts";
import {
  dial,
  type Greeting,
  HandshakeError,
  type Handshaken,
  type HostIdentity,
} from "./handshake.ts";
import type { TransportCounters } from "./counters.ts";
import type { LinkSession } from "./link_session.ts";
import type { Network } from "./transport.ts";

/** The way to another NodeHost, by its address. It outlives its connections. */
export interface Link {
  /** Where the other NodeHost listens. */
  readonly address: string;
  /** Who it is, while the link is up. */
  readonly remote: HostIdentity | undefined;
  /** The wire version of the connection, while the link is up; 0 if it is not. */
  readonly version: number;
  /** Whether there is a connection, handshake done. */
  readonly isUp: boolean;
  /** Bytes that wait to be sent. */
  readonly queuedBytes: number;
  /** Grows by one with each new connection: after that nothing the other was told on the last one counts. */
  readonly epoch: number;
  /** Records dropped since the link was made: because it was down, or because too much waited. */
  readonly droppedRecords: number;
  /**
   * Queues a record until the pool's `flush()`. While the link is down it is dropped, and a connection is made. False
   * if it was dropped: nothing of it left this process.
   */
  send(record: WireRecord): boolean;
  /** As `send`, but only if the link is up, and without keeping it for its own sake when it is down. */
  reply(record: WireRecord): boolean;
}

const firstBackOffMs = 50;
const maxBackOffMs = 1_000;
const dialTimeoutMs = 5_000;
/** A connection that lasted less does not end the back-off, so that two hosts cannot flap at full speed. */
const steadyAfterMs = 1_000;

/** What all links of a pool share. */
export interface LinkEnvironment {
  /** Makes connections. */
  readonly network: Network;
  /** Time. */
  readonly clock: Clock;
  /** For jitter. */
  readonly random: Random;
  /** Who we are. */
  readonly greeting: Greeting;
  /** Where they count. */
  readonly counters: TransportCounters;
  /** A dialled connection is ready; the pool decides what becomes of it. */
  onDialled(link: PeerLink, handshaken: Handshaken): void;
  /** Dialling failed. */
  onDialFailed(link: PeerLink, error: HandshakeError): void;
}

/** An attempt under way. */
interface Attempt {
  readonly controller: AbortController;
  readonly timeout: Timer;
  isHelloSent: boolean;
}

/** The pool's side of a {@linkcode Link}: dials when there is something to send, with back-off. */
export class PeerLink implements Link {
  /** Where the other NodeHost listens. */
  readonly address: string;
  /** The owner asked for it or used it, so it is kept while it is down. */
  isWanted = false;
  readonly #environment: LinkEnvironment;
  readonly #isOwnAddress: boolean;
  #session: LinkSession | undefined;
  #epoch = 0;
  #upSince = 0;
  #droppedBefore = 0;
  #attempt: Attempt | undefined;
  #failures = 0;
  #backOff: Timer | undefined;
  #isNeeded = false;
  #isClosed = false;

  /** Makes a link that is down. */
  constructor(address: string, environment: LinkEnvironment) {
    this.address = address;
    this.#environment = environment;
    this.#isOwnAddress = address === environment.greeting.self.raftAddress;
  }

  /** Who it is, while the link is up. */
  get remote(): HostIdentity | undefined {
    return this.#session?.remote;
  }

  /** The wire version of the connection. */
  get version(): number {
    return this.#session?.version ?? 0;
  }

  /** Whether there is a connection. */
  get isUp(): boolean {
    return this.#session !== undefined;
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#session?.queuedBytes ?? 0;
  }

  /** Grows by one with each new connection. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Records dropped so far. */
  get droppedRecords(): number {
    return this.#droppedBefore + (this.#session?.droppedRecords ?? 0);
  }

  /** The connection, while the link is up. */
  get session(): LinkSession | undefined {
    return this.#session;
  }

  /** Whether the other side may already count on a connection that we are dialling. */
  get isHelloSent(): boolean {
    return this.#attempt?.isHelloSent ?? false;
  }

  /** Queues a record. */
  send(record: WireRecord): boolean {
    this.isWanted = true;
    if (this.#session !== undefined) return this.#session.send(record);
    this.#droppedBefore++;
    this.#environment.counters.recordsDropped++;
    this.#isNeeded = true;
    this.#dialIfFree();
    return false;
  }

  /** Queues a record, if the link is up. */
  reply(record: WireRecord): boolean {
    return this.#session?.send(record) ?? false;
  }

  /** The link is up. */
  attach(session: LinkSession): void {
    this.cancelAttempt();
    this.#backOff?.cancel();
    this.#backOff = undefined;
    this.#isNeeded = false;
    this.#session = session;
    this.#epoch++;
    this.#upSince = this.#environment.clock.now();
  }

  /** The link is down. */
  detach(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    this.#droppedBefore += session.droppedRecords;
    const lastedMs = this.#environment.clock.now() - this.#upSince;
    if (lastedMs >= steadyAfterMs) this.#failures = 0;
    else this.backOff();
  }

  /** Gives up the attempt under way, silently. */
  cancelAttempt(): void {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    this.#endAttempt();
    attempt.controller.abort(cancelled);
  }

  /** Waits before dialling again: 50 ms doubling to 1 s, each spread over plus or minus a quarter. */
  backOff(): void {
    const doubled = firstBackOffMs << Math.min(this.#failures, 10);
    const delayMs = Math.min(doubled, maxBackOffMs);
    this.#failures++;
    const bytes = new Uint8Array(1);
    this.#environment.random.fill(bytes);
    const spread = 0.75 + (bytes[0] ?? 0) / 512;
    this.#backOff?.cancel();
    this.#backOff = this.#environment.clock.setTimer(delayMs * spread, () => {
      this.#backOff = undefined;
      if (this.#isNeeded) this.#dialIfFree();
    });
  }

  /** Nothing happens from here on. */
  close(): void {
    this.#isClosed = true;
    this.#session = undefined;
    this.#backOff?.cancel();
    this.cancelAttempt();
  }

  #dialIfFree(): void {
    if (this.#isClosed || this.#isOwnAddress) return;
    if (this.#attempt !== undefined || this.#backOff !== undefined) return;
    this.#isNeeded = false;
    const controller = new AbortController();
    const timeout = this.#environment.clock.setTimer(
      dialTimeoutMs,
      () => controller.abort(timedOut),
    );
    const attempt = { controller, timeout, isHelloSent: false };
    this.#attempt = attempt;
    this.#dial(attempt);
  }

  async #dial(attempt: Attempt): Promise<void> {
    const { network, greeting } = this.#environment;
    let handshaken: Handshaken;
    try {
      handshaken = await dial({
        network,
        address: this.address,
        greeting,
        purpose: "link",
        signal: attempt.controller.signal,
        onHelloSent: () => attempt.isHelloSent = true,
      });
    } catch (error) {
      if (this.#attempt !== attempt) return;
      this.#endAttempt();
      this.backOff();
      this.#environment.onDialFailed(this, asHandshakeError(error));
      return;
    }
    if (this.#attempt !== attempt) return handshaken.connection.close();
    this.#endAttempt();
    this.#environment.onDialled(this, handshaken);
  }

  #endAttempt(): void {
    this.#attempt?.timeout.cancel();
    this.#attempt = undefined;
  }
}

const cancelled = new HandshakeError({
  code: "unreachable",
  reason: "given up",
});
const timedOut = new HandshakeError({
  code: "unreachable",
  reason: `no handshake within ${dialTimeoutMs} ms`,
});

function asHandshakeError(error: unknown): HandshakeError {
  if (error instanceof HandshakeError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new HandshakeError({ code: "unreachable", reason });
}
