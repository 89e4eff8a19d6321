/**
 * What travels in a frame between two NodeHosts: records, one after the other. Every record names its cluster, its
 * sender and its receiver. Integers are little-endian; 8-byte ones hold safe integers.
 *
 * ```text
 *  0  kind       (1B)
 *  1  cluster id (8B)
 *  9  from       (8B)   node id
 * 17  to         (8B)   node id
 * 25  by kind:
 *       1-15  a message of the core (message.ts)
 *      32 hello            fingerprint (text), generation (8B), newcomer (flag), member count (1B, at most 63), each
 *                          member: node id (8B), address (text)
 *      33 welcome          nothing
 *      34 refused          reason (text)
 *      35 forward          first counter (8B), entry count (4B), length (4B), entries as in entry_batch.ts
 *      36 forwarded        first counter (8B), entry count (4B), first index (8B), term (8B), refusal (text)
 *      37 forwardChange    counter (8B), proposer key (16B), length (4B), change as in membership.ts
 *      38 forwardTransfer  counter (8B), target (8B)
 *      39 logHeld          term (8B), bytes (8B)
 *      40 remote           length (4B), what one NodeHost tells another as in remote/format.ts; from and to are 1
 *      41 fetchEntries     first index (8B), last index (8B)
 *      42 fetchedEntries   first index (8B), first held (8B), count (4B), batches
 *
 * text  length (2B), UTF-8
 * ```
 */
import {
  entryHasProposerKey,
  entryHasSession,
  entryHeaderBytes,
  entryKind,
  proposerKeyBytes,
  sessionFieldBytes,
} from "../core/entry_batch.ts";
import {
  decodeConfigChange,
  encodeConfigChange,
  membershipBytesMax,
} from "../core/membership_format.ts";
import type { ConfigChange, EntryBatch, Message } from "../core/types.ts";
import { assert, unreachable } from "../core/assert.ts";
import {
  ByteReader,
  type ByteWriter,
  type CodecDefect,
  maxTextBytes,
} from "./bytes.ts";
import {
  decodeBatches,
  decodeMessageBody,
  type DecodeTools,
  encodeMessageBody,
  maxMessageBodyBytes,
  messageKind,
} from "./message.ts";

/** What every record carries. */
export interface RecordBase {
  /** The cluster it belongs to. */
  readonly clusterId: number;
}

/** The nodes that a record which is not a message travels between. */
export interface RecordRoute extends RecordBase {
  /** Sender's node id. */
  readonly from: number;
  /** Receiver's node id. */
  readonly to: number;
}

/** One record of a frame between two NodeHosts. */
export type WireRecord =
  | (RecordBase & {
    /** A message of the core. */
    readonly kind: "message";
    readonly message: Message;
  })
  | (RecordRoute & {
    /** The first thing a node says to another on a connection (rule I3). */
    readonly kind: "hello";
    /** Of the cluster's initial members. */
    readonly fingerprint: string;
    /** Raised by an import of a snapshot. */
    readonly generation: number;
    /** The sender is not admitted yet and wants an answer (rule I2). */
    readonly newcomer: boolean;
    /** Initial members, ascending, if the receiver is not one of them; else none. */
    readonly initialMembers:
      readonly (readonly [nodeId: number, address: string])[];
  })
  | (RecordRoute & {
    /** Answers a newcomer's hello. */
    readonly kind: "welcome";
  })
  | (RecordRoute & {
    /** Answers a hello that does not fit. */
    readonly kind: "refused";
    /** Why, for people. */
    readonly reason: string;
  })
  | (RecordRoute & {
    /** Proposals for the leader (rule B3). */
    readonly kind: "forward";
    /** The first proposal's counter; the others follow. */
    readonly firstCounter: number;
    readonly entryCount: number;
    /** Encoded entries, each with its proposer key. */
    readonly entries: Uint8Array;
  })
  | (RecordRoute & {
    /** The leader's answer: taken at `firstIndex` in `term`; or not taken, with term 0 and the reason in `refusal`. */
    readonly kind: "forwarded";
    readonly firstCounter: number;
    readonly entryCount: number;
    readonly firstIndex: number;
    readonly term: number;
    readonly refusal: string;
  })
  | (RecordRoute & {
    /** A membership change for the leader; answered by `forwarded` with entry count 1. */
    readonly kind: "forwardChange";
    readonly counter: number;
    readonly change: ConfigChange;
    /** 16 bytes. */
    readonly proposerKey: Uint8Array;
  })
  | (RecordRoute & {
    /** A wish for a transfer of leadership; answered by `forwarded` with entry count 1. */
    readonly kind: "forwardTransfer";
    readonly counter: number;
    readonly target: number;
  })
  | (RecordRoute & {
    /** A follower tells the leader of its term how much of the log it holds in memory, while that is much. */
    readonly kind: "logHeld";
    readonly term: number;
    readonly bytes: number;
  })
  | (RecordRoute & {
    /** From NodeHost to NodeHost, which need not have nodes of the cluster: see `remote/format.ts`. */
    readonly kind: "remote";
    readonly body: Uint8Array;
  })
  | (RecordRoute & {
    /** A node that damage took committed entries from asks another member for them (rule L7). */
    readonly kind: "fetchEntries";
    readonly firstIndex: number;
    readonly lastIndex: number;
  })
  | (RecordRoute & {
    /** The answer: batches from `firstIndex` on that the sender knows to be committed, as many as fit; or none. */
    readonly kind: "fetchedEntries";
    readonly firstIndex: number;
    /** The first index of the sender's log; what is below is compacted. */
    readonly firstHeld: number;
    readonly batches: readonly EntryBatch[];
  });

const recordKind = {
  hello: 32,
  welcome: 33,
  refused: 34,
  forward: 35,
  forwarded: 36,
  forwardChange: 37,
  forwardTransfer: 38,
  logHeld: 39,
  remote: 40,
  fetchEntries: 41,
  fetchedEntries: 42,
} as const;

const headBytes = 25;
const maxInitialMembers = 63;
const fixedBytes = headBytes + maxMessageBodyBytes;

/**
 * Whether a record may wait: those that carry entries do, so that heartbeats and replies never wait for them (rule C6).
 * So do appends without entries: one that asks whether those before it arrived must not overtake them, or their receiver
 * refuses it, and all of them are sent again.
 */
export function isBulk(record: WireRecord): boolean {
  if (record.kind === "message") return record.message.type === "append";
  return record.kind === "forward" || record.kind === "remote" ||
    record.kind === "fetchedEntries";
}

/** At least the bytes that a record takes. */
export function recordBytesAtMost(record: WireRecord): number {
  if (record.kind === "forward") return fixedBytes + record.entries.length;
  if (record.kind === "remote") return fixedBytes + record.body.length;
  if (record.kind === "hello") {
    const { initialMembers } = record;
    return fixedBytes + initialMembers.length * (10 + maxTextBytes) +
      2 + maxTextBytes * 3;
  }
  if (record.kind === "fetchedEntries") {
    return fixedBytes + totalBytes(record.batches);
  }
  if (record.kind === "forwardChange") {
    const identities = 1 + (record.change.also?.length ?? 0);
    return fixedBytes + 4 + maxTextBytes * 2 +
      identities * (10 + maxTextBytes);
  }
  if (record.kind !== "message") return fixedBytes + 2 + maxTextBytes * 3;
  const message = record.message;
  let bytes = fixedBytes;
  if (message.type === "append") {
    bytes += totalBytes(message.batches);
  } else if (message.type === "snapshot") {
    bytes += 64 + membershipBytesMax(message.snapshot.membership);
  }
  return bytes;
}

function totalBytes(batches: readonly EntryBatch[]): number {
  let bytes = 0;
  for (const batch of batches) bytes += batch.bytes.length;
  return bytes;
}

/** Writes a record. */
export function encodeRecord(writer: ByteWriter, record: WireRecord): void {
  writer.reserve(fixedBytes);
  if (record.kind === "message") {
    const message = record.message;
    writer.uint8(messageKind[message.type]);
    writer.integer(record.clusterId);
    writer.integer(message.from);
    writer.integer(message.to);
    encodeMessageBody(writer, message);
    return;
  }
  writer.uint8(recordKind[record.kind]);
  writer.integer(record.clusterId);
  writer.integer(record.from);
  writer.integer(record.to);
  encodeRecordBody(writer, record);
}

function encodeRecordBody(
  writer: ByteWriter,
  record: Exclude<WireRecord, { kind: "message" }>,
): void {
  switch (record.kind) {
    case "hello":
      writer.text(record.fingerprint);
      writer.reserve(9);
      writer.integer(record.generation);
      writer.flag(record.newcomer);
      assert(
        record.initialMembers.length <= maxInitialMembers,
        "a hello must not name too many members",
      );
      writer.reserve(1);
      writer.uint8(record.initialMembers.length);
      for (const [nodeId, address] of record.initialMembers) {
        writer.reserve(8);
        writer.integer(nodeId);
        writer.text(address);
      }
      return;
    case "welcome":
      return;
    case "refused":
      writer.text(record.reason);
      return;
    case "forward":
      writer.integer(record.firstCounter);
      writer.uint32(record.entryCount);
      writer.uint32(record.entries.length);
      writer.bytes(record.entries);
      return;
    case "forwarded":
      writer.integer(record.firstCounter);
      writer.uint32(record.entryCount);
      writer.integer(record.firstIndex);
      writer.integer(record.term);
      writer.text(record.refusal);
      return;
    case "forwardChange": {
      assert(
        record.proposerKey.length === proposerKeyBytes,
        "a proposer key must have 16 bytes",
      );
      const change = encodeConfigChange(record.change);
      writer.integer(record.counter);
      writer.bytes(record.proposerKey);
      writer.reserve(4);
      writer.uint32(change.length);
      writer.bytes(change);
      return;
    }
    case "forwardTransfer":
      writer.integer(record.counter);
      writer.integer(record.target);
      return;
    case "logHeld":
      writer.integer(record.term);
      writer.integer(record.bytes);
      return;
    case "remote":
      writer.uint32(record.body.length);
      writer.bytes(record.body);
      return;
    case "fetchEntries":
      writer.integer(record.firstIndex);
      writer.integer(record.lastIndex);
      return;
    case "fetchedEntries":
      writer.integer(record.firstIndex);
      writer.integer(record.firstHeld);
      writer.uint32(record.batches.length);
      for (const batch of record.batches) writer.bytes(batch.bytes);
      return;
    default:
      unreachable(record);
  }
}

/** Reads the records of a frame one by one, so that a long frame needs no list of them. */
export class RecordReader {
  readonly #reader: ByteReader;
  readonly #tools: DecodeTools;
  /** Of the record being read. */
  readonly #head = { kind: 0, from: 0, to: 0 };

  /** Reads `bytes`: whole records to the end. */
  constructor(bytes: Uint8Array, tools: DecodeTools) {
    this.#reader = new ByteReader(bytes);
    this.#tools = tools;
  }

  /** The next record; undefined at the end; or why the bytes are none, after which nothing more can be read. */
  next(): WireRecord | CodecDefect | undefined {
    const reader = this.#reader;
    if (reader.defect !== undefined) return reader.defect;
    if (reader.remaining === 0) return undefined;
    const kind = reader.uint8();
    const clusterId = reader.id();
    const from = reader.id();
    const to = reader.id();
    if (kind < recordKind.hello) {
      const head = this.#head;
      head.kind = kind;
      head.from = from;
      head.to = to;
      const message = decodeMessageBody(reader, head, this.#tools);
      if (message === undefined) return reader.defect;
      const record = this.#tools.reused?.record;
      if (record === undefined) return { kind: "message", clusterId, message };
      record.clusterId = clusterId;
      record.message = message;
      return record;
    }
    const route = { clusterId, from, to };
    const record = kind === recordKind.fetchedEntries
      ? decodeFetched(reader, route, this.#tools)
      : decodeRecordBody(reader, kind, route);
    return reader.defect ?? record;
  }
}

function decodeRecordBody(
  reader: ByteReader,
  kind: number,
  route: RecordRoute,
): WireRecord | undefined {
  const { clusterId, from, to } = route;
  switch (kind) {
    case recordKind.hello: {
      const fingerprint = reader.text();
      const generation = reader.integer();
      const newcomer = reader.flag();
      const initialMembers = decodeInitialMembers(reader);
      return {
        kind: "hello",
        ...route,
        fingerprint,
        generation,
        newcomer,
        initialMembers,
      };
    }
    case recordKind.welcome:
      return { kind: "welcome", clusterId, from, to };
    case recordKind.refused:
      return { kind: "refused", clusterId, from, to, reason: reader.text() };
    case recordKind.forward: {
      const firstCounter = reader.integer();
      const entryCount = reader.uint32();
      const entries = reader.bytes(reader.uint32());
      if (!areEntries(entries, entryCount)) reader.fail("range");
      if (!Number.isSafeInteger(firstCounter + entryCount)) {
        reader.fail("range");
      }
      return { kind: "forward", ...route, firstCounter, entryCount, entries };
    }
    case recordKind.forwarded: {
      const firstCounter = reader.integer();
      const entryCount = reader.uint32();
      const firstIndex = reader.integer();
      const term = reader.integer();
      const refusal = reader.text();
      if (!Number.isSafeInteger(firstCounter + entryCount)) {
        reader.fail("range");
      }
      return {
        kind: "forwarded",
        ...route,
        firstCounter,
        entryCount,
        firstIndex,
        term,
        refusal,
      };
    }
    case recordKind.forwardChange: {
      const counter = reader.integer();
      const proposerKey = reader.bytes(proposerKeyBytes).slice();
      const bytes = reader.bytes(reader.uint32());
      if (reader.defect !== undefined) return undefined;
      const change = decodeConfigChange(bytes);
      if (change === undefined) {
        reader.fail("membership");
        return undefined;
      }
      return { kind: "forwardChange", ...route, counter, change, proposerKey };
    }
    case recordKind.forwardTransfer: {
      const counter = reader.integer();
      const target = reader.id();
      return { kind: "forwardTransfer", ...route, counter, target };
    }
    case recordKind.logHeld: {
      const term = reader.integer();
      const bytes = reader.integer();
      return { kind: "logHeld", ...route, term, bytes };
    }
    case recordKind.remote:
      return { kind: "remote", ...route, body: reader.bytes(reader.uint32()) };
    case recordKind.fetchEntries: {
      const firstIndex = reader.id();
      const lastIndex = reader.id();
      if (lastIndex < firstIndex) reader.fail("range");
      return { kind: "fetchEntries", ...route, firstIndex, lastIndex };
    }
    default:
      reader.fail("kind");
      return undefined;
  }
}

function decodeFetched(
  reader: ByteReader,
  route: RecordRoute,
  tools: DecodeTools,
): WireRecord {
  const firstIndex = reader.id();
  const firstHeld = reader.id();
  const after = {
    index: firstIndex - 1,
    term: 0,
    maxTerm: Number.MAX_SAFE_INTEGER,
  };
  const batches = decodeBatches(reader, after, tools);
  return { kind: "fetchedEntries", ...route, firstIndex, firstHeld, batches };
}

/**
 * Whether `bytes` are exactly `count` proposals with proposer keys. The leader seals them into a batch unread, and what
 * is in a sealed batch is trusted for ever, so this is the last place to look.
 */
function areEntries(bytes: Uint8Array, count: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let offset = 0;
  let seen = 0;
  while (offset + entryHeaderBytes <= bytes.length) {
    const kind = view.getUint8(offset);
    const plain = kind & ~entryHasSession;
    const isCommand = plain === (entryKind.application | entryHasProposerKey) ||
      plain === (entryKind.packed | entryHasProposerKey);
    if (!isCommand) return false;
    offset += entryHeaderBytes + proposerKeyBytes +
      ((kind & entryHasSession) === 0 ? 0 : sessionFieldBytes) +
      view.getUint32(offset + 1, true);
    seen++;
  }
  return offset === bytes.length && seen === count && seen >= 1;
}

function decodeInitialMembers(
  reader: ByteReader,
): readonly (readonly [nodeId: number, address: string])[] {
  const count = reader.uint8();
  if (count > maxInitialMembers) reader.fail("range");
  const members: (readonly [number, string])[] = [];
  for (let i = 0; i < count && reader.defect === undefined; i++) {
    members.push([reader.id(), reader.text()]);
  }
  // One disk would count as two members (rule I3).
  if (new Set(members.map(([id]) => id)).size < members.length) {
    reader.fail("range");
  }
  return members;
}
