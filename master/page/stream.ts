/**
 * Server-sent events for the page. While anybody watches, an instance reads the board once per interval, for all of
 * them; each is sent the parts that changed since it was last sent something, and one that reads slowly gets the latest
 * only, never a queue.
 *
 *     event: board      data: {"atMs":…, "status":…, "hosts":…, "work":…, "events":…}   parts that did not change are left out
 *     event: trouble    data: {"code":…, "detail":…}     the store cannot be read; what was sent before is old
 *     event: bye        data: {"why":"session"|"age"|"closing"}     sign in again; or ask again
 *     : still here                                       every 15 s
 */
import type { Timer } from "../../raft/ports.ts";
import type { Board, BoardView } from "../board/types.ts";
import type { MasterClock } from "../system.ts";

/** What a {@link BoardStreams} is made of. */
export interface BoardStreamsOptions {
  /** What is shown. */
  readonly board: Board;
  /** Paces the readings. */
  readonly clock: MasterClock;
  /** Milliseconds between two readings. */
  readonly intervalMs: number;
  /** So many may watch at once; others are told to ask now and then. */
  readonly streamsMax?: number;
  /** What to tell of a failure. */
  readonly describe: (error: unknown) => Trouble;
}

/** Why nothing new can be shown. */
export interface Trouble {
  /** One word. */
  readonly code: string;
  /** For people. */
  readonly detail: string;
}

const parts = ["status", "hosts", "work", "events"] as const;
type Part = typeof parts[number];

/** What there is to send: each part as text. */
type Reading =
  | { readonly atMs: number; readonly texts: Readonly<Record<Part, string>> }
  | { readonly trouble: string };

const stillHereMs = 15_000;
const checkMs = 60_000;
/** A platform may cut what is too old in the midst of something: the page comes back by itself. */
const ageMaxMs = 15 * 60_000;

interface Watcher {
  wake(): void;
}

/** All who watch at this instance. */
export class BoardStreams {
  readonly #options: BoardStreamsOptions;
  readonly #watchers = new Set<Watcher>();
  #reading: Reading | undefined;
  #timer: Timer | undefined;
  #isReading = false;
  #isClosed = false;

  /** Reads nothing while nobody watches. */
  constructor(options: BoardStreamsOptions) {
    this.#options = options;
  }

  /** How many watch. */
  get count(): number {
    return this.#watchers.size;
  }

  /** Whether as many watch as may. */
  get isFull(): boolean {
    return this.#watchers.size >= (this.#options.streamsMax ?? 64);
  }

  /** Ends all streams: a server that is to stop waits for its last answer. */
  close(): void {
    this.#isClosed = true;
    for (const watcher of this.#watchers) watcher.wake();
  }

  /** A stream of events, until its reader goes, `isValid` says no (it is asked each minute), or it is too old. */
  open(isValid: () => boolean): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { clock } = this.#options;
    const encoder = new TextEncoder();
    const sent = new Map<string, string>();
    const startedAtMs = clock.wallTime();
    let checkedAtMs = startedAtMs;
    let news = Promise.withResolvers<void>();
    const watcher: Watcher = { wake: () => news.resolve() };
    const leave = () => this.#leave(watcher);
    // Not before somebody reads: an answer to HEAD is never read, and never cancelled.
    let hasJoined = false;
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller) => {
        if (!hasJoined && !this.#isClosed) this.#join(watcher);
        hasJoined = true;
        for (;;) {
          const nowMs = clock.wallTime();
          const isDue = Math.abs(nowMs - checkedAtMs) >= checkMs;
          if (isDue) checkedAtMs = nowMs;
          const why = this.#isClosed
            ? "closing"
            : isDue && !isValid()
            ? "session"
            : Math.abs(nowMs - startedAtMs) >= ageMaxMs
            ? "age"
            : undefined;
          const text = why === undefined
            ? this.#frame(sent)
            : frameOf("bye", JSON.stringify({ why }));
          if (text !== undefined) {
            controller.enqueue(encoder.encode(text));
            if (why === undefined) return;
            leave();
            controller.close();
            return;
          }
          news = Promise.withResolvers<void>();
          const isNews = await this.#either(news.promise, stillHereMs);
          if (!this.#watchers.has(watcher)) return; // Its reader went.
          if (!isNews) {
            controller.enqueue(encoder.encode(": still here\n\n"));
            return;
          }
        }
      },
      cancel: () => {
        leave();
        news.resolve();
      },
    }, { highWaterMark: 0 });
  }

  /** Whether there was news within that time. */
  async #either(news: Promise<void>, withinMs: number): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const timer = this.#options.clock.setTimer(
      withinMs,
      () => late.resolve(false),
    );
    try {
      return await Promise.race([news.then(() => true), late.promise]);
    } finally {
      timer.cancel();
    }
  }

  /** What one who was sent `sent` has not seen; `undefined` if nothing. */
  #frame(sent: Map<string, string>): string | undefined {
    const reading = this.#reading;
    if (reading === undefined) return undefined;
    if ("trouble" in reading) {
      if (sent.get("trouble") === reading.trouble) return undefined;
      sent.set("trouble", reading.trouble);
      return frameOf("trouble", reading.trouble);
    }
    const changed = parts.filter((part) =>
      sent.get(part) !== reading.texts[part]
    );
    // After trouble the page must hear that all is well again, whether anything changed or not.
    if (changed.length === 0 && !sent.delete("trouble")) return undefined;
    sent.delete("trouble");
    for (const part of changed) sent.set(part, reading.texts[part]);
    const fields = changed.map((part) => `"${part}":${reading.texts[part]}`);
    return frameOf(
      "board",
      `{${[`"atMs":${reading.atMs}`, ...fields].join()}}`,
    );
  }

  #join(watcher: Watcher): void {
    this.#watchers.add(watcher);
    if (this.#timer !== undefined || this.#isReading) return;
    this.#reading = undefined; // It is as old as the last one who watched.
    this.#read();
  }

  #leave(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #read(): Promise<void> {
    const { board, clock, intervalMs, describe } = this.#options;
    this.#timer = undefined;
    this.#isReading = true;
    try {
      this.#reading = readingOf(await board.view(intervalMs / 2));
    } catch (error) {
      this.#reading = { trouble: JSON.stringify(describe(error)) };
    }
    this.#isReading = false;
    for (const watcher of this.#watchers) watcher.wake();
    if (this.#watchers.size === 0) return;
    this.#timer = clock.setTimer(intervalMs, () => void this.#read());
  }
}

function readingOf({ atMs, status, hosts, work, events }: BoardView): Reading {
  return {
    atMs,
    texts: {
      status: JSON.stringify(status),
      hosts: JSON.stringify(hosts),
      work: JSON.stringify(work),
      events: JSON.stringify(events),
    },
  };
}

/** JSON has no line breaks of its own, so one line holds it. */
function frameOf(event: string, data: string): string {
  return `event: ${event}\ndata: ${data}\n\n`;
}
