/**
 * What happened, as a running hash and as a short memory of the latest events. Two runs of one seed must give
 * the same hash; a difference means that something in the system did not come through a port.
 */

/** One remembered event. */
export interface TraceEvent {
  /** Simulated time in microseconds. */
  readonly timeUs: number;
  /** Who: a host's name, or `world`. */
  readonly who: string;
  /** What. */
  readonly what: string;
  /** Details, formatted only when somebody looks. */
  readonly detail: unknown;
}

const rememberedCount = 400;

/** Collects the trace of one run. */
export class Trace {
  #low = 0x9e3779b9;
  #high = 0x7f4a7c15;
  #eventCount = 0;
  readonly #recent: TraceEvent[] = [];
  #next = 0;
  readonly #sink: ((event: TraceEvent) => void) | undefined;

  /** `sink` gets every noted event at once, for `--verbose`. */
  constructor(sink?: (event: TraceEvent) => void) {
    this.#sink = sink;
  }

  /** Mixes two numbers into the hash: 64 bits of state, integer arithmetic. */
  mix(a: number, b: number): void {
    let low = Math.imul(this.#low ^ a, 0x85ebca6b);
    low ^= low >>> 15;
    let high = Math.imul(this.#high ^ b ^ low, 0xc2b2ae35);
    high ^= high >>> 13;
    this.#low = (low + (high << 7)) | 0;
    this.#high = (high + (low >>> 3)) | 0;
    this.#eventCount++;
  }

  /** Remembers an event for a person to read. It enters the hash by its time and name. */
  note(timeUs: number, who: string, what: string, detail?: unknown): void {
    this.mix(timeUs | 0, what.length);
    const event: TraceEvent = { timeUs, who, what, detail };
    this.#recent[this.#next] = event;
    this.#next = (this.#next + 1) % rememberedCount;
    this.#sink?.(event);
  }

  /** How often something was mixed in. */
  get eventCount(): number {
    return this.#eventCount;
  }

  /** The hash so far, as 16 hexadecimal digits. */
  hash(): string {
    const hex = (value: number) => (value >>> 0).toString(16).padStart(8, "0");
    return hex(this.#high) + hex(this.#low);
  }

  /** The latest noted events, oldest first. */
  recent(): TraceEvent[] {
    return [
      ...this.#recent.slice(this.#next),
      ...this.#recent.slice(0, this.#next),
    ];
  }
}

/** One line for a noted event. */
export function formatTraceEvent(event: TraceEvent): string {
  const time = (event.timeUs / 1_000_000).toFixed(6).padStart(12);
  const detail = event.detail === undefined
    ? ""
    : " " + formatDetail(event.detail);
  return `${time} ${event.who.padEnd(6)} ${event.what}${detail}`;
}

function formatDetail(detail: unknown): string {
  if (typeof detail === "string") return detail;
  return JSON.stringify(detail, (_key, value) => {
    if (typeof value === "bigint") return `${value}n`;
    if (value instanceof Uint8Array) return `<${value.length} bytes>`;
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    return value;
  });
}
