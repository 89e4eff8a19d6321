import { closedByOtherEnd } from "./transport.ts";
import { hostOf } from "./address.ts";
import {
  decodeHello,
  encodeHello,
  encodeRefusal,
  findMisfit,
  findPretence,
  type Greeting,
  type Handshaken,
  type Hello,
  type HostIdentity,
  type RefusalNotice,
  versionInCommon,
} from "./handshake.ts";
import { PendingConnection } from "./pending_connection.ts";
import type { Connection } from "./transport.ts";

/** Connections that have not said who they are; one more ends the oldest. */
const maxStrangers = 64;
/** Those of one address, so that nobody can have others' ended before they could speak. */
const maxStrangersOfOne = 16;
/** One address may have this part of all connections that came in. */
const partOfOne = 4;

/** What a greeter needs. */
export interface GreeterOptions {
  /** Who we are. */
  readonly greeting: Greeting;
  /** Connections that may be open of those that came in; of one address a quarter of that. */
  readonly maxConnections: number;
  /** Ticks after which a stranger that was not welcomed is turned away. */
  readonly maxTicks: number;
  /** Says why a NodeHost is not wanted. */
  judge(remote: HostIdentity): string | undefined;
  /** A stranger wants a link: welcome it, refuse it, or let it wait. */
  onLink(stranger: Stranger): void;
  /** A stranger was turned away. */
  onRefused(
    remoteAddress: string,
    refusal: { readonly code: string; readonly reason: string },
  ): void;
  /** A stranger that wants to send a snapshot was welcomed. */
  onSnapshot(handshaken: Handshaken): void;
}

/** Accepts connections, and finds out who is on the other side. A stranger can cost little, and harm nobody. */
export class Greeter {
  readonly #options: GreeterOptions;
  /** In order of arrival. */
  readonly #strangers = new Set<Stranger>();
  /** Connections that came in and are open, by address. */
  readonly #open = new Map<string, number>();
  #openCount = 0;

  /** Makes a greeter that has met nobody. */
  constructor(options: GreeterOptions) {
    this.#options = options;
  }

  /** Whether there are strangers that time must be counted for. */
  get isBusy(): boolean {
    return this.#strangers.size > 0;
  }

  /** Takes a new connection. */
  greet(connection: Connection): void {
    const { remoteAddress } = connection;
    const host = hostOf(remoteAddress);
    const excess = this.#findExcess(host);
    if (excess !== undefined) {
      connection.close();
      return this.#options.onRefused(remoteAddress, {
        code: "busy",
        reason: excess,
      });
    }
    this.#makeRoom(host);
    this.#count(host, 1);
    const pending = new PendingConnection(
      connection,
      () => this.#count(host, -1),
    );
    const { greeting } = this.#options;
    const stranger = new Stranger(pending, greeting, this.#strangers);
    this.#strangers.add(stranger);
    pending.start({
      onFrame: (frame) => this.#onFrame(stranger, frame),
      onClose: (reason) => this.#onClose(stranger, reason),
    });
  }

  /** Why there is no room for another connection of `host`. */
  #findExcess(host: string): string | undefined {
    const { maxConnections } = this.#options;
    const most = Math.max(1, Math.floor(maxConnections / partOfOne));
    const count = this.#open.get(host) ?? 0;
    if (count >= most) {
      return `${count} connections from its address are open, and no more are allowed`;
    }
    if (this.#openCount < maxConnections) return undefined;
    return `${this.#openCount} connections are open, which are \`maxConnections\``;
  }

  #count(host: string, change: 1 | -1): void {
    this.#openCount += change;
    const count = (this.#open.get(host) ?? 0) + change;
    if (count === 0) this.#open.delete(host);
    else this.#open.set(host, count);
  }

  /** Ends the oldest stranger if there are too many, one of the same address if it has too many itself. */
  #makeRoom(host: string): void {
    const ofOne = [...this.#strangers].filter((stranger) =>
      hostOf(stranger.remoteAddress) === host
    );
    const [oldest] = ofOne.length >= maxStrangersOfOne
      ? ofOne
      : this.#strangers.size >= maxStrangers
      ? this.#strangers
      : [];
    if (oldest === undefined) return;
    this.#turnAway(oldest, "busy", "too many others came after it");
  }

  /** Counts time. */
  tick(): void {
    for (const stranger of [...this.#strangers]) {
      if (++stranger.ticks < this.#options.maxTicks) continue;
      this.#turnAway(stranger, "silent", "no handshake in time");
    }
  }

  /** Ends all. */
  close(): void {
    const strangers = [...this.#strangers];
    this.#strangers.clear();
    for (const stranger of strangers) stranger.close();
  }

  #onFrame(stranger: Stranger, frame: Uint8Array): void {
    if (!stranger.isHere) return;
    // It has introduced itself and must wait for the answer.
    if (stranger.isKnown) {
      return this.#turnAway(stranger, "malformed", "it spoke out of turn");
    }
    const hello = decodeHello("hello", frame);
    const refusal = hello === undefined
      ? malformed
      : findMisfit(hello, this.#options.greeting) ??
        stranger.findPretence(hello) ?? this.#judge(hello);
    if (hello === undefined || refusal !== undefined) {
      stranger.refuse(refusal ?? malformed);
      return this.#tell(stranger, refusal ?? malformed);
    }
    stranger.introduce(hello);
    if (hello.purpose === "link") return this.#options.onLink(stranger);
    const connection = stranger.welcome();
    const { remote, version } = stranger;
    this.#options.onSnapshot({ remote, version, connection });
  }

  #judge({ remote }: Hello): RefusalNotice | undefined {
    const reason = this.#options.judge(remote);
    return reason === undefined ? undefined : { code: "identity", reason };
  }

  #onClose(stranger: Stranger, reason: string): void {
    if (!this.#strangers.delete(stranger) || stranger.isKnown) return;
    // Of two hosts that dial each other at once, one hangs up; and so does whoever only looks if the port is open.
    if (reason === closedByOtherEnd) return;
    this.#tell(stranger, { code: "malformed", reason });
  }

  #turnAway(stranger: Stranger, code: string, reason: string): void {
    this.#strangers.delete(stranger);
    stranger.close();
    this.#tell(stranger, { code, reason });
  }

  #tell(
    { remoteAddress }: Stranger,
    refusal: { code: string; reason: string },
  ): void {
    this.#options.onRefused(remoteAddress, refusal);
  }
}

const malformed: RefusalNotice = {
  code: "malformed",
  reason: "what it sent is no handshake",
};

const nobody: HostIdentity = {
  nodeHostId: "",
  incarnation: 0,
  raftAddress: "",
};

/** The other side of a connection that was accepted and not welcomed yet. */
export class Stranger {
  /** Ticks since it came. */
  ticks = 0;
  readonly #connection: PendingConnection;
  readonly #greeting: Greeting;
  readonly #strangers: Set<Stranger>;
  #remote = nobody;
  #version = 0;
  #purpose: Hello["purpose"] = "link";

  /** Made by a greeter, which keeps it in `strangers` as long as it is one. */
  constructor(
    connection: PendingConnection,
    greeting: Greeting,
    strangers: Set<Stranger>,
  ) {
    this.#connection = connection;
    this.#greeting = greeting;
    this.#strangers = strangers;
  }

  /** The other end of the connection. */
  get remoteAddress(): string {
    return this.#connection.remoteAddress;
  }

  /** Who it says it is. */
  get remote(): HostIdentity {
    return this.#remote;
  }

  /** The wire version to speak with it, once it has said who it is. */
  get version(): number {
    return this.#version;
  }

  /** Why its certificate does not fit what it says. */
  findPretence(hello: Hello): RefusalNotice | undefined {
    return findPretence(this.#connection, hello);
  }

  /** Whether it has said so. */
  get isKnown(): boolean {
    return this.#remote !== nobody;
  }

  /** Whether it still waits. */
  get isHere(): boolean {
    return this.#strangers.has(this);
  }

  /** It said who it is. */
  introduce(hello: Hello): void {
    this.#remote = hello.remote;
    this.#version = versionInCommon(hello, this.#greeting);
    this.#purpose = hello.purpose;
  }

  /** Answers, and hands over the connection, held. */
  welcome(): PendingConnection {
    this.#strangers.delete(this);
    this.#connection.hold();
    const chosen = { lowest: this.#version, highest: this.#version };
    this.#connection.send([
      encodeHello("welcome", this.#greeting, this.#purpose, chosen),
    ]);
    return this.#connection;
  }

  /** Answers why not, and closes. */
  refuse(refusal: RefusalNotice): void {
    this.#strangers.delete(this);
    this.#connection.send([encodeRefusal(refusal, this.#greeting)]);
    this.#connection.closeWhenDrained();
  }

  /** Closes without an answer. */
  close(): void {
    this.#strangers.delete(this);
    this.#connection.close();
  }
}
