/**
 * Messages of the core <-> bytes. A message stands in a record (`record.ts`), which gives its kind, sender and
 * receiver; what follows here is the rest. Integers are little-endian; 8-byte ones hold safe integers; `flag` is one
 * byte, 0 or 1.
 *
 * ```text
 *  1 append             term (8B), prev log index (8B), prev log term (8B), commit (8B), batch count (4B), batches
 *  2 appendResponse     term (8B), index (8B), rejected (flag), hint index (8B), hint term (8B)
 *  3 heartbeat          term (8B), commit (8B), round (8B)
 *  4 heartbeatResponse  term (8B), round (8B)
 *  5 vote               term (8B), last log index (8B), last log term (8B), transfer (flag)
 *  6 voteResponse       term (8B), granted (flag)
 *  7 preVote            term (8B), last log index (8B), last log term (8B)
 *  8 preVoteResponse    term (8B), granted (flag)
 *  9 snapshot           term (8B), snapshot
 * 10 timeoutNow         term (8B)
 * 11 readIndex          term (8B), context
 * 12 readIndexResponse  term (8B), context, index (8B), rejected (flag)
 * 13 quiesce            term (8B), index (8B), round (8B)
 * 14 quiesceResponse    term (8B), index (8B), accepted (flag)
 * 15 stopped            term (8B)
 *
 * batch     as in entry_batch.ts; its own header gives its length
 * context   node id (8B), incarnation (8B), counter (8B)
 * snapshot  index (8B), term (8B), length (4B), membership as in membership.ts
 * ```
 */
import { batchHeaderBytes, openBatch } from "../core/entry_batch.ts";
import {
  decodeMembership,
  encodeMembership,
} from "../core/membership_format.ts";
import type {
  Crc32,
  EntryBatch,
  Message,
  MessageType,
  ReadContext,
  SnapshotMeta,
} from "../core/types.ts";
import { unreachable } from "../core/assert.ts";
import type { BatchKeeper } from "./batch_keeper.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";

/** The byte that stands for each message type. */
export const messageKind: Readonly<Record<MessageType, number>> = {
  append: 1,
  appendResponse: 2,
  heartbeat: 3,
  heartbeatResponse: 4,
  vote: 5,
  voteResponse: 6,
  preVote: 7,
  preVoteResponse: 8,
  snapshot: 9,
  timeoutNow: 10,
  readIndex: 11,
  readIndexResponse: 12,
  quiesce: 13,
  quiesceResponse: 14,
  stopped: 15,
};

/** Bytes of the longest body, without batches and membership. */
export const maxMessageBodyBytes = 48;

/** What decoding needs beside the bytes. */
export interface DecodeTools {
  /** Checks batches. */
  readonly crc32: Crc32;
  /** Decides where received batches live. */
  readonly keeper: BatchKeeper;
  /** For whoever is done with a record before it reads the next one. */
  readonly reused?: ReusedRecords;
}

type Changeable<T> = { -readonly [Key in keyof T]: T[Key] };
type MessageOf<Type extends MessageType> = Extract<Message, { type: Type }>;

/** Objects that are filled anew with each record: thousands of idle clusters would else leave as many in each tick. */
export class ReusedRecords {
  /** The record of every message. */
  readonly record: { kind: "message"; clusterId: number; message: Message };
  /** Every heartbeat. */
  readonly heartbeat: Changeable<MessageOf<"heartbeat">> = {
    type: "heartbeat",
    from: 0,
    to: 0,
    term: 0,
    commit: 0,
    round: 0,
  };
  /** Every answer to one. */
  readonly heartbeatResponse: Changeable<MessageOf<"heartbeatResponse">> = {
    type: "heartbeatResponse",
    from: 0,
    to: 0,
    term: 0,
    round: 0,
  };

  /** Nothing was read yet. */
  constructor() {
    this.record = { kind: "message", clusterId: 0, message: this.heartbeat };
  }
}

/** Writes what follows the head of a record; `maxMessageBodyBytes` must be reserved. */
export function encodeMessageBody(writer: ByteWriter, message: Message): void {
  writer.integer(message.term);
  switch (message.type) {
    case "append":
      writer.integer(message.prevLogIndex);
      writer.integer(message.prevLogTerm);
      writer.integer(message.commit);
      writer.uint32(message.batches.length);
      for (const batch of message.batches) writer.bytes(batch.bytes);
      return;
    case "appendResponse":
      writer.integer(message.index);
      writer.flag(message.rejected);
      writer.integer(message.hintIndex);
      writer.integer(message.hintTerm);
      return;
    case "heartbeat":
      writer.integer(message.commit);
      writer.integer(message.round);
      return;
    case "heartbeatResponse":
      writer.integer(message.round);
      return;
    case "vote":
      writer.integer(message.lastLogIndex);
      writer.integer(message.lastLogTerm);
      writer.flag(message.transfer);
      return;
    case "preVote":
      writer.integer(message.lastLogIndex);
      writer.integer(message.lastLogTerm);
      return;
    case "voteResponse":
    case "preVoteResponse":
      writer.flag(message.granted);
      return;
    case "snapshot":
      encodeSnapshotMeta(writer, message.snapshot);
      return;
    case "timeoutNow":
    case "stopped":
      return;
    case "quiesce":
      writer.integer(message.index);
      writer.integer(message.round);
      return;
    case "quiesceResponse":
      writer.integer(message.index);
      writer.flag(message.accepted);
      return;
    case "readIndex":
      encodeReadContext(writer, message.context);
      return;
    case "readIndexResponse":
      encodeReadContext(writer, message.context);
      writer.integer(message.index);
      writer.flag(message.rejected);
      return;
    default:
      unreachable(message);
  }
}

/** Reads a message of this kind; undefined, with the defect in `reader`, if the bytes are none. */
export function decodeMessageBody(
  reader: ByteReader,
  head: { kind: number; from: number; to: number },
  tools: DecodeTools,
): Message | undefined {
  const message = readBody(reader, head, tools);
  return reader.defect === undefined ? message : undefined;
}

function readBody(
  reader: ByteReader,
  { kind, from, to }: { kind: number; from: number; to: number },
  tools: DecodeTools,
): Message | undefined {
  const term = reader.integer();
  switch (kind) {
    case messageKind.append: {
      const prevLogIndex = reader.integer();
      const prevLogTerm = reader.integer();
      const commit = reader.integer();
      const after = { index: prevLogIndex, term: prevLogTerm, maxTerm: term };
      const batches = decodeBatches(reader, after, tools);
      return {
        type: "append",
        from,
        to,
        term,
        prevLogIndex,
        prevLogTerm,
        commit,
        batches,
      };
    }
    case messageKind.appendResponse: {
      const index = reader.integer();
      const rejected = reader.flag();
      const hintIndex = reader.integer();
      const hintTerm = reader.integer();
      const type = "appendResponse";
      return { type, from, to, term, index, rejected, hintIndex, hintTerm };
    }
    case messageKind.heartbeat: {
      const commit = reader.integer();
      const round = reader.integer();
      const reused = tools.reused?.heartbeat;
      if (reused === undefined) {
        return { type: "heartbeat", from, to, term, commit, round };
      }
      reused.from = from;
      reused.to = to;
      reused.term = term;
      reused.commit = commit;
      reused.round = round;
      return reused;
    }
    case messageKind.heartbeatResponse: {
      const round = reader.integer();
      const reused = tools.reused?.heartbeatResponse;
      if (reused === undefined) {
        return { type: "heartbeatResponse", from, to, term, round };
      }
      reused.from = from;
      reused.to = to;
      reused.term = term;
      reused.round = round;
      return reused;
    }
    case messageKind.vote: {
      const lastLogIndex = reader.integer();
      const lastLogTerm = reader.integer();
      const transfer = reader.flag();
      const type = "vote";
      return { type, from, to, term, lastLogIndex, lastLogTerm, transfer };
    }
    case messageKind.voteResponse:
      return { type: "voteResponse", from, to, term, granted: reader.flag() };
    case messageKind.preVote: {
      const lastLogIndex = reader.integer();
      const lastLogTerm = reader.integer();
      return { type: "preVote", from, to, term, lastLogIndex, lastLogTerm };
    }
    case messageKind.preVoteResponse: {
      const granted = reader.flag();
      return { type: "preVoteResponse", from, to, term, granted };
    }
    case messageKind.snapshot: {
      const snapshot = decodeSnapshotMeta(reader);
      if (snapshot === undefined) return undefined;
      return { type: "snapshot", from, to, term, snapshot };
    }
    case messageKind.timeoutNow:
      return { type: "timeoutNow", from, to, term };
    case messageKind.stopped:
      return { type: "stopped", from, to, term };
    case messageKind.quiesce: {
      const index = reader.integer();
      const round = reader.integer();
      return { type: "quiesce", from, to, term, index, round };
    }
    case messageKind.quiesceResponse: {
      const index = reader.integer();
      const accepted = reader.flag();
      return { type: "quiesceResponse", from, to, term, index, accepted };
    }
    case messageKind.readIndex: {
      const context = decodeReadContext(reader);
      return { type: "readIndex", from, to, term, context };
    }
    case messageKind.readIndexResponse: {
      const context = decodeReadContext(reader);
      const index = reader.integer();
      const rejected = reader.flag();
      const type = "readIndexResponse";
      return { type, from, to, term, context, index, rejected };
    }
    default:
      reader.fail("kind");
      return undefined;
  }
}

/** Reads batches that are contiguous, with terms that never fall: what a log can hold. */
export function decodeBatches(
  reader: ByteReader,
  after: { index: number; term: number; maxTerm: number },
  tools: DecodeTools,
): EntryBatch[] {
  const batches: EntryBatch[] = [];
  const count = reader.uint32();
  let { index, term } = after;
  for (let i = 0; i < count; i++) {
    const length = reader.peekUint32(4);
    if (reader.defect !== undefined) break;
    if (length < batchHeaderBytes) {
      reader.fail("batch");
      break;
    }
    const bytes = reader.bytes(length);
    if (reader.defect !== undefined) break;
    const batch = openBatch(tools.keeper.keep(bytes), tools.crc32);
    if (typeof batch === "string") {
      reader.fail("batch");
      break;
    }
    if (
      batch.firstIndex !== index + 1 || batch.term < term ||
      batch.term > after.maxTerm
    ) {
      reader.fail("range");
      break;
    }
    batches.push(batch);
    index = batch.lastIndex;
    term = batch.term;
  }
  return batches;
}

function encodeReadContext(writer: ByteWriter, context: ReadContext): void {
  writer.integer(context.nodeId);
  writer.integer(context.incarnation);
  writer.integer(context.counter);
}

function decodeReadContext(reader: ByteReader): ReadContext {
  const nodeId = reader.id();
  const incarnation = reader.integer();
  const counter = reader.integer();
  return { nodeId, incarnation, counter };
}

/** Writes where a snapshot stands; also what a snapshot connection begins with. */
export function encodeSnapshotMeta(
  writer: ByteWriter,
  snapshot: SnapshotMeta,
): void {
  const membership = encodeMembership(snapshot.membership);
  writer.reserve(20);
  writer.integer(snapshot.index);
  writer.integer(snapshot.term);
  writer.uint32(membership.length);
  writer.bytes(membership);
}

/** Reads what `encodeSnapshotMeta` wrote; undefined, with the defect in `reader`, if the bytes are none. */
export function decodeSnapshotMeta(
  reader: ByteReader,
): SnapshotMeta | undefined {
  const index = reader.id();
  const term = reader.id();
  const bytes = reader.bytes(reader.uint32());
  if (reader.defect !== undefined) return undefined;
  const membership = decodeMembership(bytes);
  if (membership !== undefined) return { index, term, membership };
  reader.fail("membership");
  return undefined;
}
