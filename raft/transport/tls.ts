/**
 * The network port over TLS 1.3 with certificates on both sides. Whoever dials checks that the other's certificate is of
 * an authority that it believes and names the host that it dialled; whoever listens checks the authority, and that the
 * certificate names the host that the other says it is reached at (`refusePeer`, asked in the handshake of
 * `greeter.ts`).
 *
 * Both sides let the handshake come to its end and then look at what it brought, before a byte is said or heard:
 * `node:tls` can turn peers away by itself (`rejectUnauthorized`), but does not say why, and an operator must know. The
 * handshake has proven by then that the peer has the certificate's key. A peer without a certificate, whatever the flags
 * say, is turned away: so a runtime that does not ask for one lets nobody in.
 */
import { RaftError } from "../errors.ts";
import { joinAddress, splitAddress } from "./address.ts";
import { CertificateFiles, type Certificates } from "./certificates.ts";
import {
  checkServerIdentity,
  createTlsServer,
  type PeerCertificate,
  tlsConnect,
  TlsServer,
  type TLSSocket,
} from "./deps.ts";
import { remoteOf, SecureStream } from "./secure_stream.ts";
import { StreamConnection, type StreamLimits } from "./stream_connection.ts";
import type { TlsSettings } from "./tls_settings.ts";
import {
  type Connection,
  type Listener,
  PeerRefusedError,
  type SecureNetwork,
  type TurnedAway,
} from "./transport.ts";

/** A stranger has so long for its TLS handshake. */
const handshakeMs = 5_000;
/** Handshakes under way; one more is turned away. */
const maxHandshakes = 64;
const wrongNameCode = "ERR_TLS_CERT_ALTNAME_INVALID";
const version = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const;

/** Whether this runtime asks clients for their certificates. Deno did not always; then nobody could be believed. */
export function hasClientCertificates(): boolean {
  return typeof TlsServer.prototype.setSecureContext === "function";
}

/** Frames over TLS. */
export class TlsNetwork implements SecureNetwork {
  readonly #files: CertificateFiles;
  readonly #limits: StreamLimits;
  readonly #listeners = new Set<TlsListener>();
  #host = "";
  #certificates: Certificates | undefined;

  /** Reads nothing yet. */
  constructor(settings: TlsSettings, limits: StreamLimits) {
    this.#files = new CertificateFiles(settings);
    this.#limits = limits;
  }

  /** See `SecureNetwork`. */
  async open(raftAddress: string): Promise<void> {
    if (!hasClientCertificates()) {
      throw new RaftError(
        "rejected",
        "Cannot use tls: this version of Deno does not ask a client for its certificate; Deno 2.9 does",
      );
    }
    this.#host = splitAddress(raftAddress).hostname;
    await this.reload();
  }

  /** See `SecureNetwork`. */
  async reload(): Promise<boolean> {
    const certificates = await this.#files.read(this.#host);
    if (certificates === undefined) return false;
    this.#certificates = certificates;
    for (const listener of this.#listeners) listener.use(certificates);
    return true;
  }

  /**
   * Listens on `host:port`; port 0 takes a free one.
   *
   * @throws {Error} with a Node-style `code` if the address cannot be bound.
   */
  async listen(
    address: string,
    onConnection: (connection: Connection) => void,
    onTurnedAway: (stranger: TurnedAway) => void = () => {},
  ): Promise<Listener> {
    const listener = new TlsListener(this.#current(), {
      onSocket: (socket) =>
        onConnection(
          new StreamConnection(
            new SecureStream(socket, {
              isDialledHere: false,
              refusePeer: refuserOf(socket),
            }),
            this.#limits,
          ),
        ),
      onTurnedAway,
      onClose: () => this.#listeners.delete(listener),
    });
    await listener.listen(splitAddress(address));
    this.#listeners.add(listener);
    return listener;
  }

  /**
   * Connects to `host:port`.
   *
   * @throws {PeerRefusedError} if the other is not who it should be; `signal.reason`; an error with a Node-style `code`.
   */
  async connect(address: string, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted();
    const { hostname, port } = splitAddress(address);
    const socket = tlsConnect({
      host: hostname,
      port,
      ...this.#current(),
      ...version,
      rejectUnauthorized: false,
    });
    try {
      await secured(socket, signal);
      const pretence = refuserOf(socket)(address);
      // A wrong name makes `node:tls` doubt the whole certificate; then the name is the reason.
      const isOfName = String(socket.authorizationError) === wrongNameCode;
      const fault = (isOfName ? pretence : undefined) ?? findFault(socket) ??
        pretence;
      if (fault !== undefined) throw new PeerRefusedError(fault);
    } catch (error) {
      socket.destroy();
      signal.throwIfAborted();
      throw explained(error);
    }
    return new StreamConnection(
      new SecureStream(socket, {
        isDialledHere: true,
        refusePeer: refuserOf(socket),
      }),
      this.#limits,
    );
  }

  #current(): Certificates {
    if (this.#certificates === undefined) {
      throw new Error("Cannot use the network: it was not opened");
    }
    return this.#certificates;
  }
}

/** Accepts sockets, and looks at their certificates. */
class TlsListener implements Listener {
  readonly #server: TlsServer;
  readonly #events: {
    onSocket(socket: TLSSocket): void;
    onTurnedAway(stranger: TurnedAway): void;
    onClose(): void;
  };
  #address = "";
  #isClosed = false;
  /** Sockets whose handshake is under way. */
  readonly #pending = new Map<string, { destroy(): void; end(): void }>();

  constructor(certificates: Certificates, events: {
    onSocket(socket: TLSSocket): void;
    onTurnedAway(stranger: TurnedAway): void;
    onClose(): void;
  }) {
    this.#events = events;
    this.#server = createTlsServer({
      ...certificates,
      ...version,
      requestCert: true,
      rejectUnauthorized: false,
    });
    this.#server.on("connection", (socket) => this.#begin(socket));
    this.#server.on("secureConnection", (socket) => this.#judge(socket));
    this.#server.on("tlsClientError", (error, socket) => {
      const parent = (socket as { _parent?: TLSSocket })._parent ?? socket;
      const address = remoteOf(parent);
      // Somebody who only looked whether the port is open is not worth a word.
      if (!this.#settle(address) || isHangUp(error)) return;
      this.#turnAway(address, describe(error));
    });
  }

  get address(): string {
    return this.#address;
  }

  listen({ hostname, port }: { hostname: string; port: number }): Promise<
    void
  > {
    return new Promise((resolve, reject) => {
      const onError = (error: Error) => reject(error);
      this.#server.once("error", onError);
      this.#server.listen(port, hostname, () => {
        this.#server.removeListener("error", onError);
        this.#server.on("error", () => {}); // A socket that could not be accepted; the next one may be.
        const bound = this.#server.address() as { port: number };
        this.#address = joinAddress({ hostname, port: bound.port });
        resolve();
      });
    });
  }

  /** New connections use these from now on. */
  use(certificates: Certificates): void {
    this.#server.setSecureContext({ ...certificates, ...version });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#server.close();
    for (const pending of [...this.#pending.values()]) pending.destroy();
    this.#events.onClose();
  }

  #begin(
    socket: {
      readonly remoteAddress?: string | undefined;
      readonly remotePort?: number | undefined;
      destroy(): void;
      once(event: "close", listener: () => void): void;
    },
  ): void {
    const address = remoteOf(socket);
    if (this.#isClosed) return socket.destroy();
    if (this.#pending.size >= maxHandshakes) {
      socket.destroy();
      return this.#turnAway(
        address,
        `${maxHandshakes} others are in the midst of their TLS handshake`,
        "busy",
      );
    }
    const timer = setTimeout(() => {
      this.#settle(address);
      socket.destroy();
      this.#turnAway(
        address,
        `no TLS handshake within ${handshakeMs} ms`,
        "silent",
      );
    }, handshakeMs);
    this.#pending.set(address, {
      destroy: () => socket.destroy(),
      end: () => clearTimeout(timer),
    });
    socket.once("close", () => this.#settle(address));
  }

  /** A handshake is over; false if it was already. */
  #settle(address: string): boolean {
    const pending = this.#pending.get(address);
    if (pending === undefined) return false;
    pending.end();
    return this.#pending.delete(address);
  }

  #judge(socket: TLSSocket): void {
    const address = remoteOf(socket);
    this.#settle(address);
    socket.on("error", () => {}); // Whoever owns it has a listener of its own.
    const fault = findFault(socket);
    if (fault === undefined && !this.#isClosed) {
      return this.#events.onSocket(socket);
    }
    socket.destroy();
    if (fault !== undefined) this.#turnAway(address, fault);
  }

  #turnAway(remoteAddress: string, reason: string, code = "tls"): void {
    if (this.#isClosed) return;
    this.#events.onTurnedAway({ remoteAddress, code, reason });
  }
}

/** Resolves when the handshake is done. */
function secured(socket: TLSSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      signal.removeEventListener("abort", onAbort);
      socket.removeListener("close", onClose);
      end();
    };
    const onAbort = () => settle(() => reject(signal.reason));
    const onClose = () =>
      settle(() => reject(new Error("closed in the midst of the handshake")));
    socket.on("error", (error: Error) => settle(() => reject(error)));
    socket.once("close", onClose);
    socket.once("secureConnect", () => settle(resolve));
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** What is wrong with the certificate of a peer whose handshake is done; undefined if nothing is. */
function findFault(socket: TLSSocket): string | undefined {
  const certificate = certificateOf(socket);
  if (certificate === undefined) return "it has no certificate";
  const dates = findExpiry(certificate);
  if (dates !== undefined) return dates;
  if (socket.authorized === true) return undefined;
  return `its certificate (${nameOf(certificate.subject)}, issued by ${
    nameOf(certificate.issuer)
  }) is not of an authority in tls.ca (${String(socket.authorizationError)})`;
}

function certificateOf(socket: TLSSocket): PeerCertificate | undefined {
  if (typeof socket.getPeerCertificate !== "function") return undefined;
  const certificate = socket.getPeerCertificate();
  if (!((certificate?.raw?.length ?? 0) > 0)) return undefined;
  return certificate;
}

function findExpiry(certificate: PeerCertificate): string | undefined {
  const now = Date.now();
  const { subject, valid_from: from, valid_to: to } = certificate;
  if (now > Date.parse(to)) {
    return `its certificate (${nameOf(subject)}) has expired on ${to}`;
  }
  if (now < Date.parse(from)) {
    return `its certificate (${nameOf(subject)}) is valid only from ${from} on`;
  }
  // A date that cannot be read compares as neither.
  return now <= Date.parse(to) ? undefined : "its certificate has no end";
}

/** Says why the peer's certificate does not let it be the NodeHost at `raftAddress`. */
function refuserOf(
  socket: TLSSocket,
): (raftAddress: string) => string | undefined {
  const certificate = certificateOf(socket);
  return (raftAddress) => {
    if (certificate === undefined) return "it has no certificate";
    const { hostname } = splitAddress(raftAddress);
    if (checkServerIdentity(hostname, certificate) === undefined) {
      return undefined;
    }
    const names = certificate.subjectaltname ?? nameOf(certificate.subject);
    return `its certificate names ${names}, and not ${hostname}`;
  };
}

function nameOf(subject: { readonly CN?: unknown } | undefined): string {
  return String(subject?.CN ?? "without a name");
}

/** Tells an error of TLS from one of the connection. */
function explained(error: unknown): unknown {
  if (error instanceof PeerRefusedError) return error;
  const { code } = error as { code?: string };
  const isOfConnection = code === undefined || /^E[A-Z]+$/.test(code);
  return isOfConnection ? error : new PeerRefusedError(describe(error));
}

function describe(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  switch (code) {
    case "ERR_SSL_WRONG_VERSION_NUMBER":
      return "what it sent is no TLS: it may be a NodeHost without tls";
    default:
      return `the TLS handshake failed: ${message ?? String(error)}`;
  }
}

function isHangUp(error: unknown): boolean {
  return (error as { code?: string }).code === "ECONNRESET";
}
