/**
 * Frames over a stream of bytes, TCP or TLS. Frames as in `framing.ts`; no part of a frame is copied before the
 * stream's own buffer.
 *
 * Writes are at most 64,000 bytes, because a bigger one exceeds a segment of the loopback interface and halves the
 * rate; small parts are joined first, because each system call, and each record of TLS, costs more than copying them.
 */
import type { Connection, ConnectionHandlers } from "./transport.ts";
import { closedByOtherEnd } from "./transport.ts";
import type { LoopWatch } from "./loop_watch.ts";
import { crc32, setImmediate } from "./deps.ts";
import { frameHeaderBytes, FrameHeaders, FrameReader } from "./framing.ts";

const maxWriteBytes = 64_000;
/**
 * Reads and writes that need not wait complete without a turn of the event loop, so a fast peer could keep timers and
 * disk waiting for ever. After this many bytes the loop gets a turn.
 */
const bytesPerTurn = 512 * 1024;

/** A stream of bytes, both ways. */
export interface ByteStream {
  /** The other end, `host:port`. */
  readonly remoteAddress: string;
  /** See `Connection`. */
  readonly refusePeer?: (raftAddress: string) => string | undefined;
  /** Reads at least one byte into `target`, and returns how many; null at the end. Called one at a time. */
  read(target: Uint8Array): Promise<number | null>;
  /** Writes some of `bytes`, which may be used again when the promise has settled; returns how many. */
  write(bytes: Uint8Array): Promise<number>;
  /** Ends both directions; a read or write under way ends with it. */
  close(): void;
}

/** What a connection keeps to. */
export interface StreamLimits {
  /** Longest frame, in bytes; a longer one ends the connection. */
  readonly maxFrameBytes: number;
  /** Told of connections and of what they bring. */
  readonly loop: LoopWatch;
}

interface DrainWaiter {
  readonly bytes: number;
  readonly resolve: () => void;
}

/** A connection over any stream of bytes. */
export class StreamConnection implements Connection {
  /** The other end, for logs. */
  readonly remoteAddress: string;
  /** See `Connection`. */
  readonly refusePeer:
    | ((raftAddress: string) => string | undefined)
    | undefined;
  readonly #stream: ByteStream;
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

  /** Takes over a stream that is open. */
  constructor(stream: ByteStream, limits: StreamLimits) {
    this.#stream = stream;
    this.#maxFrameBytes = limits.maxFrameBytes;
    this.#loop = limits.loop;
    this.#loop.opened();
    this.remoteAddress = stream.remoteAddress;
    this.refusePeer = stream.refusePeer;
  }

  /** Bytes given to `send` that have not left yet. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Frames arrive from now on. */
  start(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    this.#read();
  }

  /** Queues one frame. */
  send(parts: readonly Uint8Array[]): void {
    if (this.#isClosed) return;
    let length = 0;
    for (const part of parts) length += part.length;
    this.#parts.push(this.#headers.make(parts, length));
    for (const part of parts) this.#parts.push(part);
    this.#bufferedBytes += frameHeaderBytes + length;
    if (!this.#isWriting) this.#write();
  }

  /** Resolves when at most `bytes` wait, or the connection is closed. */
  drained(bytes: number): Promise<void> {
    if (this.#isClosed || this.#bufferedBytes <= bytes) {
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiters.push({ bytes, resolve }));
  }

  /** Ends the connection. */
  close(): void {
    this.#end("closed here");
  }

  #end(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#loop.closed();
    this.#stream.close();
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
        count = await this.#stream.read(reader.space());
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
          done += await this.#stream.write(rest);
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
