/** A socket of `node:tls` as a stream of bytes. */
import { joinAddress } from "./address.ts";
import type { TLSSocket } from "./deps.ts";
import type { ByteStream } from "./stream_connection.ts";

/** Bytes that arrived and were not asked for yet; beyond it the socket waits. */
const maxWaitingBytes = 256 * 1024;

/** One connection under TLS, its handshake done. */
export class SecureStream implements ByteStream {
  /** The other end. */
  readonly remoteAddress: string;
  /** See `Connection`. */
  readonly refusePeer: (raftAddress: string) => string | undefined;
  readonly #socket: TLSSocket;
  readonly #isDialledHere: boolean;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  /** Bytes of the first that are taken already. */
  #offset = 0;
  #isPaused = false;
  #hasHeard = false;
  #isEnded = false;
  #error: Error | undefined;
  #wake: () => void = () => {};

  /** Takes over a socket whose peer was checked. */
  constructor(
    socket: TLSSocket,
    options: {
      isDialledHere: boolean;
      refusePeer: (raftAddress: string) => string | undefined;
    },
  ) {
    this.#socket = socket;
    this.#isDialledHere = options.isDialledHere;
    this.refusePeer = options.refusePeer;
    this.remoteAddress = remoteOf(socket);
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => this.#take(chunk));
    socket.on("error", (error: Error) => {
      this.#error ??= error;
      this.#end();
    });
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
  }

  /** See `ByteStream`. */
  async read(target: Uint8Array): Promise<number | null> {
    while (this.#waitingBytes === 0) {
      if (this.#error !== undefined) throw this.#error;
      if (this.#isEnded) {
        if (this.#hasHeard || !this.#isDialledHere) return null;
        // With TLS 1.3 the side that dialled is done with the handshake before its own certificate was looked at.
        throw new Error(
          "closed by the other end right behind the TLS handshake: if it does not accept this NodeHost's " +
            "certificate, its own log says why",
        );
      }
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    this.#hasHeard = true;
    let count = 0;
    while (count < target.length && this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      const rest = first.subarray(
        this.#offset,
        this.#offset + target.length - count,
      );
      target.set(rest, count);
      count += rest.length;
      this.#offset += rest.length;
      if (this.#offset < first.length) break;
      this.#waiting.shift();
      this.#offset = 0;
    }
    this.#waitingBytes -= count;
    if (this.#isPaused && this.#waitingBytes === 0) {
      this.#isPaused = false;
      this.#socket.resume();
    }
    return count;
  }

  /** See `ByteStream`. */
  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#isEnded) {
        return reject(this.#error ?? new Error("it has ended"));
      }
      this.#socket.write(bytes, (error) => {
        if (error === undefined || error === null) resolve(bytes.length);
        else reject(error);
      });
    });
  }

  /** See `ByteStream`. */
  close(): void {
    this.#isEnded = true;
    this.#socket.destroy();
    this.#wake();
  }

  #take(chunk: Uint8Array): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes > maxWaitingBytes && !this.#isPaused) {
      this.#isPaused = true;
      this.#socket.pause();
    }
    this.#wake();
  }

  #end(): void {
    this.#isEnded = true;
    this.#wake();
  }
}

/** Where a socket's other end is, or was. */
export function remoteOf(
  socket: {
    readonly remoteAddress?: string | undefined;
    readonly remotePort?: number | undefined;
  },
): string {
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress === undefined) return "an address that is gone:0";
  // An IPv4 peer of a listener that takes both is told in the form that people know.
  const hostname = remoteAddress.replace(/^::ffff:(?=\d+\.)/, "");
  return joinAddress({ hostname, port: remotePort ?? 0 });
}
