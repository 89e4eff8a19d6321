/**
 * Entries inside a batch: how the NodeHost writes them and reads them back. The layout is drawn in
 * `core/entry_batch.ts`; the core itself never looks at a payload.
 */
import {
  batchHeaderBytes,
  entryHasProposerKey,
  entryHasSession,
  entryHeaderBytes,
  entryKind,
  getUint64,
  proposerKeyBytes,
  sessionFieldBytes,
  setUint64,
} from "./core/entry_batch.ts";
import { assert } from "./core/assert.ts";
import type { EntryBatch } from "./core/types.ts";

const smallestChunkBytes = 1024;
const largestChunkBytes = 256 * 1024;

/** The kinds of entries that hold a command: as it is, or packed (`packed_commands.ts`). */
export type CommandKind =
  | typeof entryKind.application
  | typeof entryKind.packed;

/** Where an entry stands in its client's session, as the fields of the entry have it. */
export interface SessionFields {
  /** The client: a random safe integer, not 0. */
  readonly clientId: number;
  /** Which of its proposals it is, from 1; or a registration or its end (`sessions.ts`). */
  readonly series: number;
  /** The client has the results of all proposals up to this one. */
  readonly respondedTo: number;
}

/**
 * Collects entries of one cluster until the turn of the event loop ends. Entries are encoded straight into the
 * memory that the batch keeps for ever (rule B4): a chunk is handed on, never used again from the start.
 */
export class EntryBuilder {
  #chunk = new Uint8Array(0);
  #view = new DataView(this.#chunk.buffer);
  #start = 0;
  #end = 0;
  #lastBytes = 0;
  #count = 0;
  #hasSessions = false;
  readonly #headroom: number;

  /** `headroom` bytes stay free before the first entry, for a batch's header. */
  constructor(headroom: number = batchHeaderBytes) {
    this.#headroom = headroom;
  }

  /** Entries collected. */
  get count(): number {
    return this.#count;
  }

  /** Whether some entry collected has session fields. */
  get hasSessions(): boolean {
    return this.#hasSessions;
  }

  /** Bytes collected, headroom included; 0 if there is no entry. */
  get bytes(): number {
    return this.#count === 0 ? 0 : this.#end - this.#start;
  }

  /** Adds one application entry; `kind` says whether its command is packed. */
  add(command: Uint8Array, kind: CommandKind = entryKind.application): void {
    let at = this.#reserve(entryHeaderBytes + command.length, 1);
    const chunk = this.#chunk;
    const length = command.length;
    chunk[at++] = kind;
    chunk[at++] = length;
    chunk[at++] = length >>> 8;
    chunk[at++] = length >>> 16;
    chunk[at++] = length >>> 24;
    chunk.set(command, at);
  }

  /** Adds one application entry that names its proposer, so that the proposer finds its result (rule B3). */
  addWithKey(
    command: Uint8Array,
    proposer: number,
    counter: number,
    kind: CommandKind = entryKind.application,
  ): void {
    const at = this.#reserve(
      entryHeaderBytes + proposerKeyBytes + command.length,
      1,
    );
    const view = this.#view;
    view.setUint8(at, kind | entryHasProposerKey);
    view.setUint32(at + 1, command.length, true);
    setUint64(view, at + entryHeaderBytes, proposer);
    setUint64(view, at + entryHeaderBytes + 8, counter);
    this.#chunk.set(command, at + entryHeaderBytes + proposerKeyBytes);
  }

  /** Adds one application entry of a session; with a proposer key if `proposer` is not 0. */
  addInSession(
    command: Uint8Array,
    session: SessionFields,
    proposer: number,
    counter: number,
    kind: CommandKind = entryKind.application,
  ): void {
    const hasKey = proposer !== 0;
    let at = this.#reserve(
      entryHeaderBytes + (hasKey ? proposerKeyBytes : 0) + sessionFieldBytes +
        command.length,
      1,
    );
    const view = this.#view;
    view.setUint8(
      at,
      kind | entryHasSession |
        (hasKey ? entryHasProposerKey : 0),
    );
    view.setUint32(at + 1, command.length, true);
    at += entryHeaderBytes;
    if (hasKey) {
      setUint64(view, at, proposer);
      setUint64(view, at + 8, counter);
      at += proposerKeyBytes;
    }
    setUint64(view, at, session.clientId);
    setUint64(view, at + 8, session.series);
    setUint64(view, at + 16, session.respondedTo);
    this.#chunk.set(command, at + sessionFieldBytes);
    this.#hasSessions = true;
  }

  /** Adds entries that are encoded already. */
  addEncoded(
    entries: Uint8Array,
    entryCount: number,
    hasSessions = false,
  ): void {
    const at = this.#reserve(entries.length, entryCount);
    this.#chunk.set(entries, at);
    if (hasSessions) this.#hasSessions = true;
  }

  /** Hands over what was collected, headroom first, and begins anew. */
  take(): Uint8Array {
    assert(this.#count > 0, "an empty builder has nothing to hand over");
    const bytes = this.#chunk.subarray(this.#start, this.#end);
    this.#lastBytes = bytes.length;
    this.#start = this.#end;
    this.#count = 0;
    this.#hasSessions = false;
    return bytes;
  }

  /** Throws away what was collected. */
  clear(): void {
    this.#start = this.#end;
    this.#count = 0;
    this.#hasSessions = false;
  }

  /** Makes room for `bytes` more, and returns where they begin. */
  #reserve(bytes: number, entryCount: number): number {
    if (this.#count === 0) this.#begin(bytes);
    if (this.#end + bytes > this.#chunk.length) this.#grow(bytes);
    const at = this.#end;
    this.#end += bytes;
    this.#count += entryCount;
    return at;
  }

  #begin(bytes: number): void {
    const expected = Math.max(this.#headroom + bytes, this.#lastBytes);
    if (this.#chunk.length - this.#start < expected) {
      const room = Math.min(largestChunkBytes, 8 * this.#lastBytes);
      this.#chunk = new Uint8Array(
        Math.max(smallestChunkBytes, room, expected),
      );
      this.#view = new DataView(this.#chunk.buffer);
      this.#start = 0;
    }
    this.#end = this.#start + this.#headroom;
  }

  #grow(bytes: number): void {
    const used = this.#end - this.#start;
    const bigger = new Uint8Array(Math.max(2 * used, used + bytes));
    bigger.set(this.#chunk.subarray(this.#start, this.#end));
    this.#chunk = bigger;
    this.#view = new DataView(bigger.buffer);
    this.#start = 0;
    this.#end = used;
  }
}

/** A proposer key as it stands in an entry. */
export function proposerKey(proposer: number, counter: number): Uint8Array {
  const key = new Uint8Array(proposerKeyBytes);
  const view = new DataView(key.buffer);
  setUint64(view, 0, proposer);
  setUint64(view, 8, counter);
  return key;
}

/** Steps through the entries of one batch without copying. Fields describe the current entry after `next()`. */
export class EntryCursor {
  /** Index of the current entry. */
  index = 0;
  /** Its kind, one of `entryKind`. */
  kind = 0;
  /** Who proposed it, or 0 if it says nothing of that. */
  proposer = 0;
  /** Which of the proposer's requests it is. */
  counter = 0;
  /** The client in whose session it was proposed, or 0. */
  clientId = 0;
  /** Which proposal of the session it is. */
  series = 0;
  /** Up to which proposal the client has the results. */
  respondedTo = 0;
  /** Where the command begins in `bytes`. */
  commandStart = 0;
  /** Where the command ends in `bytes`. */
  commandEnd = 0;
  /** The batch's bytes. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at: number = batchHeaderBytes;

  /** Stands before the first entry of `batch`. */
  constructor(batch: EntryBatch) {
    this.bytes = batch.bytes;
    this.#view = new DataView(
      batch.bytes.buffer,
      batch.bytes.byteOffset,
      batch.bytes.length,
    );
    this.index = batch.firstIndex - 1;
  }

  /** Moves to the next entry; false at the end. */
  next(): boolean {
    let at = this.#at;
    const bytes = this.bytes;
    if (at >= bytes.length) return false;
    const head = bytes[at]!;
    const length = this.#view.getUint32(at + 1, true);
    at += entryHeaderBytes;
    this.index++;
    this.kind = head & 0x0f;
    this.proposer = 0;
    if ((head & entryHasProposerKey) !== 0) {
      this.proposer = getUint64(this.#view, at);
      this.counter = getUint64(this.#view, at + 8);
      at += proposerKeyBytes;
    }
    this.clientId = 0;
    if ((head & entryHasSession) !== 0) {
      this.clientId = getUint64(this.#view, at);
      this.series = getUint64(this.#view, at + 8);
      this.respondedTo = getUint64(this.#view, at + 16);
      at += sessionFieldBytes;
    }
    this.commandStart = at;
    this.commandEnd = at + length;
    assert(
      this.commandEnd <= bytes.length,
      "an entry must end inside its batch",
    );
    this.#at = this.commandEnd;
    return true;
  }

  /** The command, as a view. */
  command(): Uint8Array {
    return this.bytes.subarray(this.commandStart, this.commandEnd);
  }
}

/** What a peer forwarded, once it was looked through. */
export type ForwardedEntries = "malformed" | "plain" | "sessions";

/**
 * Looks through what a peer forwarded: `bytes` must be exactly `entryCount` application entries, each with a proposer key
 * of `firstCounter` onwards. Nothing in it is trusted before this said so. Tells whether some have session fields.
 */
export function inspectForwardedEntries(
  bytes: Uint8Array,
  entryCount: number,
  firstCounter: number,
): ForwardedEntries {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const headBytes = entryHeaderBytes + proposerKeyBytes;
  let hasSessions = false;
  let at = 0;
  for (let i = 0; i < entryCount; i++) {
    if (at + headBytes > bytes.length) return "malformed";
    const head = bytes[at]!;
    if (!isForwardedHead(head)) return "malformed";
    const counter = getUint64(view, at + entryHeaderBytes + 8);
    if (counter !== firstCounter + i) return "malformed";
    if (!Number.isSafeInteger(getUint64(view, at + entryHeaderBytes))) {
      return "malformed";
    }
    const commandBytes = view.getUint32(at + 1, true);
    at += headBytes;
    if ((head & entryHasSession) !== 0) {
      if (!areSessionFields(view, at)) return "malformed";
      hasSessions = true;
      at += sessionFieldBytes;
    }
    at += commandBytes;
  }
  if (at !== bytes.length) return "malformed";
  return hasSessions ? "sessions" : "plain";
}

/** Whether an entry begins like one with a command and a proposer key. */
export function isForwardedHead(head: number): boolean {
  const kind = head & ~entryHasSession;
  return kind === (entryKind.application | entryHasProposerKey) ||
    kind === (entryKind.packed | entryHasProposerKey);
}

function areSessionFields(view: DataView, at: number): boolean {
  if (at + sessionFieldBytes > view.byteLength) return false;
  const clientId = getUint64(view, at);
  const series = getUint64(view, at + 8);
  const respondedTo = getUint64(view, at + 16);
  return Number.isSafeInteger(clientId) && clientId >= 1 &&
    Number.isSafeInteger(series) && series >= 1 &&
    Number.isSafeInteger(respondedTo);
}
