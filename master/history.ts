/** What is told: each event stands in the commit of what it tells, and watchers hear of it when that is done. */
import type { RaftError } from "../raft/errors.ts";
import type { KvAtomic, KvKey } from "./kv.ts";
import type { CommitResult, KvAccess } from "./kv_access.ts";
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

/** An event that is in a commit. */
export interface AddedEvent {
  /** It. */
  readonly event: HistoryEvent;
  /** Where nothing but this commit writes. */
  readonly key: KvKey;
}

/** Adds an event to a commit, which is for {@link commitAndTell}. */
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
): AddedEvent {
  const told: HistoryEvent = { ...event, tick, atMs: access.now() };
  const record = { ...told, v: schemaVersion, w: access.randomHex(8) };
  // Sorted by time within a tick, as far as masters' clocks agree.
  const order = told.atMs.toString(16).padStart(12, "0");
  const key = eventKey(tick, `${order}-${access.randomHex(8)}`);
  atomic.set(key, record, { expireIn: eventTtlMs });
  return { event: told, key };
}

/**
 * Commits once, and tells of the events in it. If the answer is not that it happened, the first event is looked for: it
 * stands under a key of its own, so it tells for certain, whoever wrote over the rest meanwhile (M4).
 */
export async function commitAndTell(
  { access, onEvent }: {
    readonly access: KvAccess;
    readonly onEvent: EventListener | undefined;
  },
  atomic: KvAtomic,
  events: readonly AddedEvent[],
): Promise<CommitResult> {
  const answer = await access.tryCommit(atomic);
  const result = answer.ok || events[0] === undefined
    ? answer
    : await lookFor(access, events[0].key, answer);
  if (result.ok) { for (const { event } of events) onEvent?.(event); }
  return result;
}

async function lookFor(
  access: KvAccess,
  key: KvKey,
  answer: CommitResult,
): Promise<CommitResult> {
  try {
    const { value, versionstamp } = await access.get(key);
    return value === null || versionstamp === null
      ? answer
      : { ok: true, versionstamp };
  } catch (error) {
    return { ok: false, failure: answer.failure ?? error as RaftError };
  }
}
