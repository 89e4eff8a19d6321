/** Reads committed entries back from one node's log, for audits, change feeds and the like. */
import { requireKnownFields } from "./validation.ts";
import { entryKind } from "./core/entry_batch.ts";
import { EntryCursor } from "./entries.ts";
import { commandOf } from "./packed_commands.ts";
import type { Compression } from "../storage/compression.ts";
import { registerSeries } from "./sessions.ts";
import type { NodeLog } from "../storage/log_store.ts";

/** Which entries are asked for. */
export interface LogQuery {
  /** Index of the first one. */
  readonly firstIndex: number;
  /** Index of the last one; by default the last that is applied here. */
  readonly lastIndex?: number;
  /** Stop after so many bytes of commands, though never before the first entry; 1 MiB by default, 16 MiB at most. */
  readonly maxBytes?: number;
}

/** One committed entry, as it stands in the log. */
export interface LogEntry {
  /** Its index. */
  readonly index: number;
  /** The term in which a leader appended it. */
  readonly term: number;
  /**
   * `command`: what was proposed. `session`: a session began or ended. `membership`: a membership change, whose form is not
   * told. `empty`: what a leader appends when its term begins.
   */
  readonly kind: "command" | "session" | "membership" | "empty";
  /** The command, a copy; empty unless `kind` is `command`. */
  readonly command: Uint8Array;
}

/** What a query found. */
export interface LogQueryResult {
  /** The entries, without a gap, from the first that was asked for; none if that is not applied here yet. */
  readonly entries: readonly LogEntry[];
  /** The first entry that this node's log still holds; those before it are only in snapshots. */
  readonly availableFrom: number;
  /** The last entry that is applied here; 0 if none is. */
  readonly availableTo: number;
}

/** More is never read at once, however much is asked for: it would be held in memory, and hold up the rest. */
const mostBytes = 16 * 1024 * 1024;

const noBytes = new Uint8Array(0);

const queryNames: ReadonlySet<string> = new Set<keyof LogQuery>([
  "firstIndex",
  "lastIndex",
  "maxBytes",
]);

/** Checks what callers give. @throws {TypeError | RangeError} */
export function validateQuery(query: LogQuery): void {
  if (typeof query !== "object" || query === null) {
    throw new TypeError("Cannot read the log: the query must be an object");
  }
  requireKnownFields("a query of the log", { ...query }, queryNames);
  validateIndex("firstIndex", query.firstIndex);
  if (query.lastIndex !== undefined) {
    validateIndex("lastIndex", query.lastIndex);
    if (query.lastIndex < query.firstIndex) {
      throw new RangeError(
        `Cannot read the log: lastIndex ${query.lastIndex} is below firstIndex ${query.firstIndex}`,
      );
    }
  }
  if (query.maxBytes !== undefined) validateIndex("maxBytes", query.maxBytes);
}

function validateIndex(name: string, value: unknown): void {
  if (typeof value !== "number") {
    throw new TypeError(
      `Cannot read the log: ${name} must be a number, got ${typeof value}`,
    );
  }
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(
      `Cannot read the log: ${name} ${value} is not an integer from 1 on`,
    );
  }
}

/**
 * Reads entries that `log` holds and that are applied up to `applied`. Reads whole batches, one after the other, and stops at
 * `maxBytes`: what is wanted beyond is asked for again.
 *
 * @throws {RangeError} if an entry that was asked for is not there, with what is.
 */
export function queryLog(
  log: NodeLog,
  applied: number,
  query: LogQuery,
  compression: Compression,
): LogQueryResult {
  const { firstIndex, lastIndex = applied } = query;
  const maxBytes = Math.min(query.maxBytes ?? 1024 * 1024, mostBytes);
  const availableFrom = log.firstIndex();
  if (firstIndex < availableFrom || lastIndex > applied) {
    const range = availableFrom > applied
      ? "none"
      : `${availableFrom} to ${applied}`;
    const reason = firstIndex < availableFrom
      ? "; what is before that is in snapshots only"
      : "; the rest is not applied here yet";
    throw new RangeError(
      `Cannot read entries ${firstIndex} to ${lastIndex}: this node's log holds ${range}${reason}`,
    );
  }
  const entries: LogEntry[] = [];
  let bytes = 0;
  for (let index = firstIndex; index <= lastIndex;) {
    const batch = log.batchAt(index);
    if (batch === undefined) break; // Compacted meanwhile: what follows can be asked for again.
    const cursor = new EntryCursor(batch);
    while (cursor.next()) {
      if (cursor.index < index) continue;
      if (cursor.index > lastIndex) break;
      const kind = kindOf(cursor);
      const command = kind === "command"
        ? commandOf(cursor, compression).slice()
        : noBytes;
      if (entries.length > 0 && bytes + command.length > maxBytes) {
        return { entries, availableFrom, availableTo: applied };
      }
      bytes += command.length;
      entries.push({ index: cursor.index, term: batch.term, kind, command });
    }
    index = batch.lastIndex + 1;
  }
  return { entries, availableFrom, availableTo: applied };
}

function kindOf(cursor: EntryCursor): LogEntry["kind"] {
  if (cursor.kind === entryKind.configChange) return "membership";
  if (cursor.kind === entryKind.empty) return "empty";
  const isCall = cursor.clientId !== 0 && cursor.series >= registerSeries;
  return isCall ? "session" : "command";
}
