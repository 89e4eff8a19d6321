/** What is told: each event stands in the commit of what it tells, and watchers hear of it when that is done. */
import type { KvAtomic } from "./kv.ts";
import type { KvAccess } from "./kv_access.ts";
import {
  eventKey,
  type EventRecord,
  eventTtlMs,
  schemaVersion,
} from "./schema.ts";

/** Something that was decided, or that an operator did. */
export type HistoryEvent = Omit<EventRecord, "v" | "w">;

/** Is told of events after they are stored. It must not throw. */
export type EventListener = (event: HistoryEvent) => void;

/** Events that somebody should look at. */
const alarms: ReadonlySet<string> = new Set([
  "failed",
  "replaced",
  "brake",
  "quarantine",
  "interleaved",
]);

/** Whether an event is an alarm. */
export function isAlarm(event: HistoryEvent): boolean {
  return alarms.has(event.what);
}

/** Adds an event to a commit, and returns it for whoever listens. */
export function addEvent(
  { access, tick }: { access: KvAccess; tick: number },
  atomic: KvAtomic,
  event: {
    cluster?: number;
    host?: string;
    what: string;
    why: string;
    who?: string;
  },
): HistoryEvent {
  const told: HistoryEvent = { ...event, tick, atMs: access.now() };
  const record = { ...told, v: schemaVersion, w: access.randomHex(8) };
  // Sorted by time within a tick, as far as masters' clocks agree.
  const order = told.atMs.toString(16).padStart(12, "0");
  atomic.set(eventKey(tick, `${order}-${access.randomHex(4)}`), record, {
    expireIn: eventTtlMs,
  });
  return told;
}
