/**
 * Client sessions as every replica keeps them (rule R2; thesis 6.3): for each registered client, up to where it has its
 * results, and the last result, so that a proposal that comes twice is applied once. Everything here follows from the
 * entries applied and from nothing else, so that all replicas keep the same table, its order included.
 *
 * The table in a snapshot; integers are little-endian, 8-byte ones hold safe integers:
 *
 * ```text
 *  0  version        (4B)  = 1
 *  4  session count  (4B)
 *  8  generation     (8B)  of the cluster (rule I3): sessions of an older one are void
 * 16  most sessions  (4B)
 * 20  zero           (4B)
 * 24  sessions, the least recently used first, each:
 *       client id    (8B)
 *       responded to (8B)  the client has the results of all proposals up to this one
 *       series       (8B)  of the last proposal applied, 0 if there was none
 *       kept         (1B)  0 nothing, 1 a value, 2 a value and data, 3 a result that was too big
 *       [value (8B, IEEE 754)]  with 1 and 2    [bytes (8B) of the result]  with 3
 *       [length (4B), data]     with 2
 * ```
 *
 * The command of a registration, an entry with the series {@link registerSeries}:
 *
 * ```text
 *  0  version        (1B)  = 1
 *  1  most sessions  (4B)  that the cluster keeps from now on
 * ```
 */
import { assert } from "./core/assert.ts";
import { getUint64, setUint64 } from "./core/entry_batch.ts";
import type { Crc32 } from "./core/types.ts";
import type { RaftErrorCode } from "./errors.ts";
import type { SessionFields } from "./entries.ts";
import type { Result } from "./state_machine.ts";

/** Series of the entry that registers a session. */
export const registerSeries = 2 ** 53 - 2;
/** Series of the entry that ends one. */
export const unregisterSeries = 2 ** 53 - 1;
/** Sessions of one cluster unless its configuration says otherwise. */
export const defaultMaxSessions = 4_096;
/** The most that a configuration may say. */
export const sessionCountLimit = 100_000;
/** Bytes of a result that a session keeps. */
export const maxSessionResultBytes = 64 * 1024;
/** Bytes that all sessions of a cluster may take, as {@link SessionTable.bytes} counts them. */
export const maxSessionTableBytes = 16 * 1024 * 1024;

const tableVersion = 1;
const registrationVersion = 1;
const tableHeadBytes = 24;
/** Of a session without data, rounded up. */
const sessionBytes = 48;
const kept = { nothing: 0, value: 1, data: 2, tooBig: 3 } as const;

/** Why a proposal in a session has no result. */
export interface SessionRefusal {
  /** For the caller. */
  readonly code: RaftErrorCode;
  /** For people. */
  readonly message: string;
  /** Whether the command was applied once, now or before. */
  readonly isApplied: boolean;
}

/** What became of a proposal in a session. */
export type SessionOutcome =
  | { readonly result: Result; readonly refusal?: undefined }
  | { readonly result?: undefined; readonly refusal: SessionRefusal };

/** One client, and its place in the order of use. */
interface ClientSession {
  readonly clientId: number;
  /** The one used just before it. */
  older: ClientSession | undefined;
  /** The one used just after it. */
  newer: ClientSession | undefined;
  respondedTo: number;
  series: number;
  /** The result of `series`; undefined if there is none, or it was too big. */
  result: Result | undefined;
  /** Bytes of a result that was too big, else 0. */
  tooBigBytes: number;
}

/** All sessions of one cluster, as of the entries applied. */
export class SessionTable {
  readonly #sessions = new Map<number, ClientSession>();
  /** The order of use is a list: a map whose keys are set anew at every use makes itself anew again and again. */
  #oldest: ClientSession | undefined;
  #newest: ClientSession | undefined;
  #maxSessions = defaultMaxSessions;
  #bytes = 0;

  /** Sessions registered. */
  get count(): number {
    return this.#sessions.size;
  }

  /** What they take, kept results included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether nobody ever registered: such a table need not be kept. */
  get isPristine(): boolean {
    return this.#sessions.size === 0 &&
      this.#maxSessions === defaultMaxSessions;
  }

  /**
   * Applies an entry of a session: `update` is called if its command is to be applied now, which is at most once for
   * each series of a session, whatever comes twice.
   */
  apply(
    fields: SessionFields,
    command: Uint8Array,
    update: () => Result,
  ): SessionOutcome {
    return this.begin(fields, command) ?? this.complete(fields, update());
  }

  /**
   * What becomes of an entry of a session whose command must not be applied; undefined if it is to be applied now, and
   * {@link complete} called with its result before the next entry.
   */
  begin(
    fields: SessionFields,
    command: Uint8Array,
  ): SessionOutcome | undefined {
    const { clientId, series, respondedTo } = fields;
    if (series === registerSeries) return this.#register(clientId, command);
    if (series === unregisterSeries) return this.#unregister(clientId);
    const session = this.#sessions.get(clientId);
    if (session === undefined) return unknownSession(clientId);
    if (session !== this.#newest) { // Used now, so the last to be evicted.
      this.#unlink(session);
      this.#link(session);
    }
    this.#acknowledge(session, respondedTo);
    if (series <= session.respondedTo || series < session.series) {
      return alreadyAcknowledged(series);
    }
    return series > session.series ? undefined : outcomeOf(session);
  }

  /** The command of an entry was applied, with this result. */
  complete(
    { clientId, series }: SessionFields,
    result: Result,
  ): SessionOutcome {
    const session = this.#newest!; // That of the entry, as `begin` has left it.
    assert(
      session.clientId === clientId,
      "a session is used before it is kept",
    );
    this.#keep(session, series, result);
    this.#evict(session);
    return outcomeOf(session);
  }

  /** The table as a snapshot has it, in a cluster of this generation. */
  encode(generation: number): Uint8Array {
    let length = tableHeadBytes;
    for (let at = this.#oldest; at !== undefined; at = at.newer) {
      length += encodedBytes(at);
    }
    const bytes = new Uint8Array(length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, tableVersion, true);
    view.setUint32(4, this.#sessions.size, true);
    setUint64(view, 8, generation);
    view.setUint32(16, this.#maxSessions, true);
    let at = tableHeadBytes;
    for (let one = this.#oldest; one !== undefined; one = one.newer) {
      at = encodeSession(bytes, view, at, one);
    }
    return bytes;
  }

  /** Of the whole table, order included. */
  hash(crc32: Crc32): bigint {
    const bytes = this.encode(0);
    return BigInt(crc32(bytes)) << 32n | BigInt(crc32(bytes, 0x5e5510));
  }

  /**
   * Reads a table, or says why the bytes are none. `generation` is the cluster's, as far as the node knows: what an older
   * one wrote is void, since the cluster was set back to a snapshot since (rules I3, R2).
   */
  static decode(bytes: Uint8Array, generation: number): SessionTable | string {
    if (bytes.length < tableHeadBytes) return "it is too short";
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const version = view.getUint32(0, true);
    if (version !== tableVersion) {
      return `its version is ${version}, and this library reads ${tableVersion}`;
    }
    const own = getUint64(view, 8);
    const maxSessions = view.getUint32(16, true);
    if (!Number.isSafeInteger(own) || !isSessionCount(maxSessions)) {
      return "its head is out of range";
    }
    const table = new SessionTable();
    if (own < generation) return table;
    table.#maxSessions = maxSessions;
    const end = table.#read(bytes, view, view.getUint32(4, true));
    if (end === undefined) return "a session in it cannot be understood";
    if (end !== bytes.length) return "it does not end where it should";
    return table;
  }

  #register(clientId: number, command: Uint8Array): SessionOutcome {
    const maxSessions = decodeRegistration(command);
    if (maxSessions === undefined) {
      return refusal(
        "invalidSession",
        `Cannot register session ${clientId}: its registration cannot be understood`,
        false,
      );
    }
    if (this.#sessions.has(clientId)) {
      return refusal(
        "invalidSession",
        `Cannot register session ${clientId}: it is registered already`,
        false,
      );
    }
    this.#maxSessions = maxSessions;
    const session = newSession(clientId);
    this.#add(session);
    this.#evict(session);
    return { result: { value: clientId } };
  }

  #unregister(clientId: number): SessionOutcome {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return unknownSession(clientId);
    this.#remove(session);
    return { result: { value: clientId } };
  }

  /** Adds one that was just used, without a result yet. */
  #add(session: ClientSession): void {
    this.#sessions.set(session.clientId, session);
    this.#bytes += sessionBytes;
    this.#link(session);
  }

  #link(session: ClientSession): void {
    session.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = session;
    else this.#newest.newer = session;
    this.#newest = session;
  }

  #unlink(session: ClientSession): void {
    const { older, newer } = session;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    session.older = undefined;
    session.newer = undefined;
  }

  /** The client has the results up to `series`: they need not be kept. */
  #acknowledge(session: ClientSession, series: number): void {
    if (series <= session.respondedTo) return;
    session.respondedTo = series;
    if (session.series <= series) this.#forget(session);
  }

  #forget(session: ClientSession): void {
    this.#bytes -= session.result?.data?.length ?? 0;
    session.result = undefined;
    session.tooBigBytes = 0;
  }

  #keep(session: ClientSession, series: number, result: Result): void {
    this.#forget(session);
    session.series = series;
    const data = result.data;
    if (data !== undefined && data.length > maxSessionResultBytes) {
      session.tooBigBytes = data.length;
      return;
    }
    session.result = data === undefined
      ? { value: result.value }
      : { value: result.value, data: data.slice() };
    this.#bytes += data?.length ?? 0;
  }

  /** Lets the least recently used go until the table fits; the one used now stays. */
  #evict(current: ClientSession): void {
    while (
      this.#sessions.size > this.#maxSessions ||
      this.#bytes > maxSessionTableBytes
    ) {
      if (this.#oldest === current) return;
      this.#remove(this.#oldest!);
    }
  }

  #remove(session: ClientSession): void {
    this.#forget(session);
    this.#bytes -= sessionBytes;
    this.#sessions.delete(session.clientId);
    this.#unlink(session);
  }

  /** Reads `count` sessions; returns where they end. */
  #read(
    bytes: Uint8Array,
    view: DataView,
    count: number,
  ): number | undefined {
    let at = tableHeadBytes;
    for (let i = 0; i < count; i++) {
      const read = decodeSession(bytes, view, at);
      if (read === undefined || this.#sessions.has(read.session.clientId)) {
        return undefined;
      }
      this.#add(read.session);
      this.#bytes += read.session.result?.data?.length ?? 0;
      at = read.end;
    }
    return at;
  }
}

function newSession(clientId: number): ClientSession {
  return {
    clientId,
    older: undefined,
    newer: undefined,
    respondedTo: 0,
    series: 0,
    result: undefined,
    tooBigBytes: 0,
  };
}

/** The command of a registration. */
export function encodeRegistration(maxSessions: number): Uint8Array {
  const bytes = new Uint8Array(5);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, registrationVersion);
  view.setUint32(1, maxSessions, true);
  return bytes;
}

function decodeRegistration(bytes: Uint8Array): number | undefined {
  if (bytes.length !== 5 || bytes[0] !== registrationVersion) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const maxSessions = view.getUint32(1, true);
  return isSessionCount(maxSessions) ? maxSessions : undefined;
}

function isSessionCount(count: number): boolean {
  return count >= 1 && count <= sessionCountLimit;
}

function encodedBytes(session: ClientSession): number {
  const { result, tooBigBytes } = session;
  if (result === undefined) return tooBigBytes === 0 ? 25 : 33;
  return result.data === undefined ? 33 : 37 + result.data.length;
}

function encodeSession(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  session: ClientSession,
): number {
  const { clientId, respondedTo, series, result, tooBigBytes } = session;
  setUint64(view, start, clientId);
  setUint64(view, start + 8, respondedTo);
  setUint64(view, start + 16, series);
  const at = start + 25;
  if (result === undefined) {
    view.setUint8(start + 24, tooBigBytes === 0 ? kept.nothing : kept.tooBig);
    if (tooBigBytes > 0) setUint64(view, at, tooBigBytes);
  } else {
    view.setFloat64(at, result.value, true);
    view.setUint8(
      start + 24,
      result.data === undefined ? kept.value : kept.data,
    );
    if (result.data !== undefined) {
      view.setUint32(at + 8, result.data.length, true);
      bytes.set(result.data, at + 12);
    }
  }
  return start + encodedBytes(session);
}

function decodeSession(
  bytes: Uint8Array,
  view: DataView,
  start: number,
): { session: ClientSession; end: number } | undefined {
  let at = start + 25;
  if (at > bytes.length) return undefined;
  const clientId = getUint64(view, start);
  const session = newSession(clientId);
  session.respondedTo = getUint64(view, start + 8);
  session.series = getUint64(view, start + 16);
  const areIntegers = [clientId, session.respondedTo, session.series]
    .every(Number.isSafeInteger);
  const what = bytes[start + 24]!;
  if (!areIntegers || clientId === 0 || what > kept.tooBig) return undefined;
  if (what === kept.nothing) return { session, end: at };
  at += 8;
  if (at > bytes.length) return undefined;
  if (what === kept.tooBig) {
    session.tooBigBytes = getUint64(view, at - 8);
    if (!Number.isSafeInteger(session.tooBigBytes)) return undefined;
    return { session, end: at };
  }
  session.result = { value: view.getFloat64(at - 8, true) };
  if (what === kept.value) return { session, end: at };
  if (at + 4 > bytes.length) return undefined;
  const length = view.getUint32(at, true);
  at += 4;
  if (length > maxSessionResultBytes || at + length > bytes.length) {
    return undefined;
  }
  session.result.data = bytes.slice(at, at + length);
  return { session, end: at + length };
}

function outcomeOf(session: ClientSession): SessionOutcome {
  const { result, series, tooBigBytes } = session;
  if (result === undefined) {
    return refusal(
      "payloadTooBig",
      `Cannot return the result of proposal ${series} of a session: it was applied, and its result of ${tooBigBytes} ` +
        `bytes is more than the ${maxSessionResultBytes} that a session keeps`,
      true,
    );
  }
  return {
    result: result.data === undefined
      ? { value: result.value }
      : { value: result.value, data: result.data.slice() },
  };
}

function unknownSession(clientId: number): SessionOutcome {
  return refusal(
    "invalidSession",
    `Cannot use session ${clientId}: the cluster does not know it (closed, evicted after long disuse, or older than an ` +
      "import); open another one",
    false,
  );
}

function alreadyAcknowledged(series: number): SessionOutcome {
  return refusal(
    "alreadyAcknowledged",
    `Cannot apply proposal ${series} of a session: the client has gone on to a later one`,
    true,
  );
}

function refusal(
  code: RaftErrorCode,
  message: string,
  isApplied: boolean,
): SessionOutcome {
  return { refusal: { code, message, isApplied } };
}
