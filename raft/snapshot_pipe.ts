/** A snapshot on its way from a state machine to another NodeHost, without a file: what is written on one side is sent. */
import type { SnapshotSink } from "../storage/snapshot_writer.ts";
import type { ChunkSource } from "./snapshot_sender.ts";

/** Most bytes that wait for the sender; then the state machine does. */
const maxWaitingBytes = 1024 * 1024;

/** The two ends of a pipe. */
export class SnapshotPipe implements SnapshotSink, ChunkSource {
  /** Bytes appended. */
  bytes = 0;
  /** See `ChunkSource`: nobody knows before the end. */
  readonly fileBytes = 0;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #hasEnded = false;
  #failure: { readonly error: unknown } | undefined;
  #wakes: (() => void)[] = [];

  /** See `SnapshotSink`. */
  get needsSync(): boolean {
    return this.#waitingBytes >= maxWaitingBytes;
  }

  /** See `SnapshotSink`. */
  append(bytes: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    this.bytes += bytes.length;
    this.#waitingBytes += bytes.length;
    this.#waiting.push(bytes);
    this.#wake();
  }

  /** Waits until the sender took most of what waits. */
  async sync(): Promise<void> {
    await this.#until(() => !this.needsSync);
  }

  /** Nothing more comes; waits until the sender took all of it. */
  async finish(): Promise<void> {
    this.#hasEnded = true;
    this.#wake();
    await this.#until(() => this.#waitingBytes === 0);
  }

  /** Gives up: the sender fails. */
  abort(): void {
    this.fail(new Error("the snapshot was given up"));
  }

  /** Ends both sides with an error. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  /** The next bytes, at most `length` of them; none at the end. */
  async next(length: number): Promise<Uint8Array> {
    await this.#until(() => this.#waiting.length > 0 || this.#hasEnded);
    const first = this.#waiting[0];
    if (first === undefined) return new Uint8Array(0);
    const part = first.subarray(0, length);
    if (part.length === first.length) this.#waiting.shift();
    else this.#waiting[0] = first.subarray(length);
    this.#waitingBytes -= part.length;
    this.#wake();
    return part;
  }

  async #until(condition: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (condition()) return;
      await new Promise<void>((resolve) => this.#wakes.push(resolve));
    }
  }

  #wake(): void {
    const wakes = this.#wakes;
    this.#wakes = [];
    for (const wake of wakes) wake();
  }
}
