/**
 * The network port over TCP. Frames as in `framing.ts`; no part of a frame is copied before the socket's own buffer.
 *
 * Writes are at most 64,000 bytes, because a bigger one exceeds a segment of the loopback interface and halves the
 * rate; small parts are joined first, because each system call costs more than copying them.
 */
import type {
  Connection,
  ConnectionHandlers,
  Listener,
  Network,
} from "./transport.ts";
import { closedByOtherEnd } from "./transport.ts";
import { joinAddress, splitAddress } from "./address.ts";
import { LoopWatch } from "./loop_watch.ts";
import { crc32, setImmediate } from "./deps.ts";
import { frameHeaderBytes, FrameHeaders, FrameReader } from "./framing.ts";

const maxWriteBytes = 64_000;
/**
 * Reads and writes that need not wait complete without a turn of the event loop, so a fast peer could keep timers and
 * disk waiting for ever. After this many bytes the loop gets a turn.
 */
const bytesPerTurn = 512 * 1024;
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
  readonly #limits: { maxFrameBytes: number; loop: LoopWatch };

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
      onConnection(new TcpConnection(socket, this.#limits));
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
    return new TcpConnection(socket, this.#limits);
  }
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

interface DrainWaiter {
  readonly bytes: number;
  readonly resolve: () => void;
}

class TcpConnection implements Connection {
  readonly remoteAddress: string;
  readonly #socket: Deno.TcpConn;
  readonly #maxFrameBytes: number;
  readonly #loop: LoopWatch;
  readonly #headers = new FrameHeaders(crc32);
  #handlers: ConnectionHandlers | undefined;
  #isClosed = false;

  /** What waits to be written, from `#first`; bytes of the first part before `#offset` are gone. */
  #parts: Uint8Array[] = [];
  #first = 0;
  #offset = 0;
  #bufferedBytes = 0;
  #isWriting = false;
  #scratch: Uint8Array | undefined;
  #waiters: DrainWaiter[] = [];

  constructor(
    socket: Deno.TcpConn,
    limits: { maxFrameBytes: number; loop: LoopWatch },
  ) {
    this.#socket = socket;
    this.#maxFrameBytes = limits.maxFrameBytes;
    this.#loop = limits.loop;
    this.#loop.opened();
    this.remoteAddress = joinAddress(socket.remoteAddr);
    try {
      socket.setNoDelay(true);
    } catch {
      // The other end is gone already; reading will say so.
    }
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  start(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    this.#read();
  }

  send(parts: readonly Uint8Array[]): void {
    if (this.#isClosed) return;
    let length = 0;
    for (const part of parts) length += part.length;
    this.#parts.push(this.#headers.make(parts, length));
    for (const part of parts) this.#parts.push(part);
    this.#bufferedBytes += frameHeaderBytes + length;
    if (!this.#isWriting) this.#write();
  }

  drained(bytes: number): Promise<void> {
    if (this.#isClosed || this.#bufferedBytes <= bytes) {
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiters.push({ bytes, resolve }));
  }

  close(): void {
    this.#end("closed here");
  }

  #end(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#loop.closed();
    this.#socket.close();
    this.#parts = [];
    this.#bufferedBytes = 0;
    this.#settleWaiters();
    this.#handlers?.onClose(reason);
  }

  async #read(): Promise<void> {
    const reader = new FrameReader(this.#maxFrameBytes, crc32);
    let bytesInTurn = 0;
    while (!this.#isClosed) {
      let count: number | null;
      try {
        count = await this.#socket.read(reader.space());
      } catch (error) {
        return this.#end(describe(error));
      }
      if (count === null) return this.#end(closedByOtherEnd);
      this.#loop.hadNews();
      reader.filled(count);
      this.#deliver(reader);
      bytesInTurn += count;
      if (bytesInTurn < bytesPerTurn) continue;
      bytesInTurn = 0;
      await turn();
    }
  }

  #deliver(reader: FrameReader): void {
    while (!this.#isClosed) {
      const frame = reader.next();
      if (frame === undefined) return;
      if (typeof frame === "string") return this.#end(frame);
      this.#handlers?.onFrame(frame);
    }
  }

  /** Writes until nothing is left. The first write begins before this returns. */
  async #write(): Promise<void> {
    this.#isWriting = true;
    let bytesInTurn = 0;
    while (this.#bufferedBytes > 0) {
      const bytes = this.#nextWrite();
      for (let done = 0; done < bytes.length;) {
        try {
          const rest = done === 0 ? bytes : bytes.subarray(done);
          done += await this.#socket.write(rest);
        } catch (error) {
          this.#end(describe(error));
        }
        if (this.#isClosed) return;
      }
      this.#bufferedBytes -= bytes.length;
      bytesInTurn += bytes.length;
      if (this.#waiters.length > 0) this.#settleWaiters();
      if (bytesInTurn < bytesPerTurn) continue;
      bytesInTurn = 0;
      await turn();
    }
    this.#isWriting = false;
  }

  /** Takes the next bytes to write off the queue: one long part as it is, or short ones joined. */
  #nextWrite(): Uint8Array {
    const first = this.#parts[this.#first]!;
    if (first.length - this.#offset >= maxWriteBytes) {
      const end = this.#offset + maxWriteBytes;
      const bytes = first.subarray(this.#offset, end);
      this.#skipTo(end);
      return bytes;
    }
    const scratch = this.#scratch ??= new Uint8Array(maxWriteBytes);
    let used = 0;
    while (used < maxWriteBytes && this.#first < this.#parts.length) {
      const part = this.#parts[this.#first]!;
      const end = Math.min(part.length, this.#offset + maxWriteBytes - used);
      const isWhole = this.#offset === 0 && end === part.length;
      const piece = isWhole ? part : part.subarray(this.#offset, end);
      scratch.set(piece, used);
      used += piece.length;
      this.#skipTo(end);
    }
    return scratch.subarray(0, used);
  }

  /** Moves on in the first part, or behind it. */
  #skipTo(offset: number): void {
    this.#offset = offset;
    if (offset < this.#parts[this.#first]!.length) return;
    this.#offset = 0;
    this.#first++;
    // Parts that are gone must not be held; shifting one by one would cost the length of the queue each time.
    if (this.#first < this.#parts.length && this.#first < 1024) return;
    this.#parts.splice(0, this.#first);
    this.#first = 0;
  }

  #settleWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (this.#isClosed || this.#bufferedBytes <= waiter.bytes) {
        waiter.resolve();
      } else {
        this.#waiters.push(waiter);
      }
    }
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
