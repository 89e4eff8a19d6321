/** The network port over TCP; `stream_connection.ts` makes frames of it. */
import type {
  Connection,
  Listener,
  Network,
  SecureNetwork,
} from "./transport.ts";
import { joinAddress, splitAddress } from "./address.ts";
import { LoopWatch } from "./loop_watch.ts";
import {
  type ByteStream,
  StreamConnection,
  type StreamLimits,
} from "./stream_connection.ts";
import type { TlsSettings } from "./tls_settings.ts";
import { TlsNetwork } from "./tls.ts";

const defaultMaxFrameBytes = 64 * 1024 * 1024;
/** Accepting fails while the process has too many files open; it is tried again after this long. */
const acceptPauseMs = 100;

/** Options of a {@linkcode TcpNetwork}. */
export interface TcpNetworkOptions {
  /** Longest frame, in bytes; a longer one ends the connection. 64 MiB by default. */
  readonly maxFrameBytes?: number;
  /** Told of connections and of what they bring, so that the loop looks at them often enough. */
  readonly loop?: LoopWatch;
}

/** Frames over TCP. */
export class TcpNetwork implements Network {
  readonly #limits: StreamLimits;

  /** Makes a network; nothing is opened yet. */
  constructor(options: TcpNetworkOptions = {}) {
    this.#limits = {
      maxFrameBytes: options.maxFrameBytes ?? defaultMaxFrameBytes,
      loop: options.loop ?? new LoopWatch(),
    };
  }

  /**
   * Listens on `host:port`; port 0 takes a free one.
   *
   * @throws {Error} with a Node-style `code` if the address cannot be bound.
   */
  async listen(
    address: string,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener> {
    const { hostname, port } = splitAddress(address);
    await Promise.all(closing);
    const listener = Deno.listen({ hostname, port });
    return new TcpListener(listener, hostname, (socket) => {
      onConnection(new StreamConnection(streamOf(socket), this.#limits));
    });
  }

  /** Connects to `host:port`. */
  async connect(address: string, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted();
    const { hostname, port } = splitAddress(address);
    const socket = await Deno.connect({ hostname, port, signal });
    if (signal.aborted) {
      socket.close();
      signal.throwIfAborted();
    }
    return new StreamConnection(streamOf(socket), this.#limits);
  }

  /** The same network with mutual TLS. */
  secure(settings: TlsSettings): SecureNetwork {
    return new TlsNetwork(settings, this.#limits);
  }
}

function streamOf(socket: Deno.TcpConn): ByteStream {
  try {
    socket.setNoDelay(true);
  } catch {
    // The other end is gone already; reading will say so.
  }
  return {
    remoteAddress: joinAddress(socket.remoteAddr),
    read: (target) => socket.read(target),
    write: (bytes) => socket.write(bytes),
    close: () => socket.close(),
  };
}

/**
 * Listeners that were closed while they waited for a connection: the address is free a moment later, and whoever opens
 * a NodeHost right after closing it must not find it in use.
 */
const closing = new Set<Promise<void>>();

class TcpListener implements Listener {
  readonly address: string;
  readonly #listener: Deno.TcpListener;
  readonly #accepting: Promise<void>;
  #isClosed = false;
  #pause: { cancel: () => void; end: () => void } | undefined;

  constructor(
    listener: Deno.TcpListener,
    hostname: string,
    onSocket: (socket: Deno.TcpConn) => void,
  ) {
    this.#listener = listener;
    this.address = joinAddress({ hostname, port: listener.addr.port });
    this.#accepting = this.#accept(onSocket);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listener.close();
    closing.add(this.#accepting);
    this.#accepting.then(() => closing.delete(this.#accepting));
    if (this.#pause === undefined) return;
    this.#pause.cancel();
    this.#pause.end();
  }

  async #accept(onSocket: (socket: Deno.TcpConn) => void): Promise<void> {
    while (!this.#isClosed) {
      let socket;
      try {
        socket = await this.#listener.accept();
      } catch {
        // The peer gave up already, or there are no more file descriptors, or close() was called.
        if (!this.#isClosed) await this.#wait();
        continue;
      }
      if (this.#isClosed) return socket.close();
      onSocket(socket);
    }
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        this.#pause = undefined;
        resolve();
      };
      const timer = setTimeout(end, acceptPauseMs);
      this.#pause = { cancel: () => clearTimeout(timer), end };
    });
  }
}
