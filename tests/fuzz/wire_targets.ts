/** Decoders of what other NodeHosts send. */
import { BatchKeeper } from "../../raft/codec/batch_keeper.ts";
import { ByteWriter } from "../../raft/codec/bytes.ts";
import { encodeRecord, RecordReader } from "../../raft/codec/record.ts";
import type { WireRecord } from "../../raft/codec/record.ts";
import {
  decodeSnapshotFrame,
  encodeSnapshotFrame,
} from "../../raft/codec/snapshot_chunk.ts";
import type { SnapshotFrame } from "../../raft/codec/snapshot_chunk.ts";
import {
  batchHeaderBytes,
  openBatch,
  sealBatch,
} from "../../raft/core/entry_batch.ts";
import {
  decodeConfigChange,
  decodeMembership,
  encodeConfigChange,
  encodeMembership,
} from "../../raft/core/membership_format.ts";
import type { ConfigChange, Crc32, Membership } from "../../raft/core/types.ts";
import { EntryBuilder, inspectForwardedEntries } from "../../raft/entries.ts";
import { decodeRemote, encodeRemote } from "../../raft/remote/format.ts";
import type { RemoteBody } from "../../raft/remote/format.ts";
import { decodeValue, encodeValue } from "../../raft/remote/values.ts";
import { FrameHeaders, FrameReader } from "../../raft/transport/framing.ts";
import {
  decodeHello,
  decodeRefusal,
  encodeHello,
  encodeRefusal,
} from "../../raft/transport/handshake.ts";
import type { Hello, RefusalNotice } from "../../raft/transport/handshake.ts";
import { fc } from "../deps.ts";
import { encodeEntries, record } from "../raft/codec/arbitraries.ts";
import { remoteBody, remoteValue } from "../raft/remote/arbitraries.ts";
import { change, id, integer, membership, object, text } from "./values.ts";
import { target } from "./target.ts";
import type { AnyTarget, Outcome } from "./target.ts";

function orRefusal<Value extends object>(
  value: Value | string | undefined,
): Outcome<Value> {
  return typeof value === "object" ? { value } : { refusal: value ?? "none" };
}

/** Reads as a socket gives it: in pieces whose sizes follow from the bytes. */
function readFrames(
  stream: Uint8Array,
  crc32: Crc32,
): Outcome<readonly number[][]> {
  const reader = new FrameReader(64 * 1024, crc32);
  const frames: number[][] = [];
  for (let at = 0; at < stream.length;) {
    const space = reader.space();
    const wanted = Math.min(space.length, stream.length - at, 1 + at % 61);
    space.set(stream.subarray(at, at + wanted));
    reader.filled(wanted);
    at += wanted;
    for (;;) {
      const next = reader.next();
      if (next === undefined) break;
      if (typeof next === "string") return { refusal: next };
      frames.push([...next]);
    }
  }
  return { value: frames };
}

function writeFrames(frames: readonly number[][], crc32: Crc32): Uint8Array {
  const headers = new FrameHeaders(crc32);
  const parts = frames.flatMap((frame) => {
    const payload = Uint8Array.from(frame);
    return [...headers.make([payload], payload.length), ...payload];
  });
  return Uint8Array.from(parts);
}

function readRecords(
  bytes: Uint8Array,
  crc32: Crc32,
): Outcome<readonly WireRecord[]> {
  const reader = new RecordReader(bytes, { crc32, keeper: new BatchKeeper() });
  const records: WireRecord[] = [];
  for (;;) {
    const next = reader.next();
    if (next === undefined) return { value: records };
    if (typeof next === "string") return { refusal: next };
    records.push(next);
  }
}

const snapshotFrame: fc.Arbitrary<SnapshotFrame> = fc.oneof(
  object({
    kind: fc.constant("offer" as const),
    offer: object({
      clusterId: id,
      from: id,
      to: id,
      term: id,
      meta: object({ index: id, term: id, membership }),
      fileBytes: id,
      generation: integer,
      fingerprint: text,
    }),
  }),
  fc.constant({ kind: "accept" as const }),
  object({ kind: fc.constant("refused" as const), reason: text }),
  object({
    kind: fc.constant("chunk" as const),
    offset: integer,
    data: fc.uint8Array({ minLength: 1, maxLength: 100 }),
  }),
  object({ kind: fc.constant("progress" as const), bytes: integer }),
  fc.constant({ kind: "done" as const }),
  object({ kind: fc.constant("failed" as const), reason: text }),
);

interface Batch {
  readonly term: number;
  readonly firstIndex: number;
  readonly entryCount: number;
  readonly commandBytes: number;
}

/** All of them. */
export const wireTargets: readonly AnyTarget[] = [
  target<readonly number[][]>({
    name: "frames",
    values: fc.array(
      fc.array(fc.nat(255), { minLength: 1, maxLength: 300 }),
      { maxLength: 5 },
    ),
    encode: writeFrames,
    decode: readFrames,
    isLenient: true, // The rest of a frame may still come.
  }),
  target<readonly WireRecord[]>({
    name: "records",
    values: fc.array(record, { maxLength: 6 }),
    encode(records) {
      const writer = new ByteWriter();
      for (const one of records) encodeRecord(writer, one);
      return writer.concat();
    },
    decode: readRecords,
    isLenient: true, // A batch may hold entries of any kind: whoever applies them looks.
  }),
  target<SnapshotFrame>({
    name: "snapshot frame",
    values: snapshotFrame,
    encode: (frame, crc32) => {
      const writer = new ByteWriter();
      for (const part of encodeSnapshotFrame(frame, crc32)) writer.bytes(part);
      return writer.concat();
    },
    decode: (bytes, crc32) => orRefusal(decodeSnapshotFrame(bytes, crc32)),
  }),
  target<Hello>({
    name: "hello",
    values: object({
      versions: fc.tuple(fc.nat({ max: 100 }), fc.nat({ max: 100 }))
        .map(([lowest, more]) => ({ lowest, highest: lowest + more })),
      deploymentId: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      purpose: fc.constantFrom("link" as const, "snapshot" as const),
      remote: object({
        nodeHostId: fc.stringMatching(/^[0-9a-f]{1,32}$/),
        incarnation: integer,
        raftAddress: fc.nat({ max: 60_000 }).map((n) => `host-${n}:${n + 1}`),
      }),
    }),
    encode: ({ remote, versions, ...rest }) =>
      encodeHello("hello", { self: remote, versions, ...rest }, rest.purpose),
    decode: (bytes) => orRefusal(decodeHello("hello", bytes)),
    isLenient: true, // Versions that we do not speak are read, and refused by name.
  }),
  target<RefusalNotice & { nodeHostId: string }>({
    name: "refusal",
    values: object({
      code: fc.constantFrom("identity" as const, "duplicate" as const),
      reason: text,
      nodeHostId: fc.stringMatching(/^[0-9a-f]{1,32}$/),
    }),
    encode: ({ code, reason, nodeHostId }) =>
      encodeRefusal({ code, reason }, {
        self: { nodeHostId, incarnation: 1, raftAddress: "host-1:1" },
        deploymentId: 1n,
      }),
    decode: (bytes) => orRefusal(decodeRefusal(bytes)),
  }),
  target<Batch>({
    name: "batch",
    values: object({
      term: id,
      firstIndex: fc.integer({ min: 1, max: 2 ** 52 }),
      entryCount: fc.integer({ min: 1, max: 5 }),
      commandBytes: fc.constantFrom(0, 1, 30),
    }),
    encode({ term, firstIndex, entryCount, commandBytes }, crc32) {
      const entries = encodeEntries(entryCount, commandBytes);
      const bytes = new Uint8Array(batchHeaderBytes + entries.length);
      bytes.set(entries, batchHeaderBytes);
      const seal = { term, firstIndex, entryCount, isConfigChange: false };
      return sealBatch(bytes, seal, crc32).bytes;
    },
    decode(bytes, crc32) {
      const batch = openBatch(bytes, crc32);
      if (typeof batch === "string") return { refusal: batch };
      const { term, firstIndex, lastIndex } = batch;
      const entryCount = lastIndex - firstIndex + 1;
      const commandBytes = (bytes.length - batchHeaderBytes) / entryCount - 21;
      return { value: { term, firstIndex, entryCount, commandBytes } };
    },
    isLenient: true, // Entries are looked at one by one.
  }),
  target<{ count: number; commandBytes: number }>({
    name: "forwarded entries",
    values: object({
      count: fc.integer({ min: 1, max: 5 }),
      commandBytes: fc.constantFrom(0, 1, 30),
    }),
    encode({ count, commandBytes }) {
      const builder = new EntryBuilder();
      for (let i = 0; i < count; i++) {
        builder.addWithKey(new Uint8Array(commandBytes), 5, i);
      }
      return builder.take().subarray(batchHeaderBytes);
    },
    decode(bytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let count = 1; count <= 5; count++) {
        if (inspectForwardedEntries(bytes, count, 0) === "malformed") continue;
        return { value: { count, commandBytes: view.getUint32(1, true) } };
      }
      return { refusal: "malformed" };
    },
    isLenient: true,
  }),
  target<RemoteBody>({
    name: "remote body",
    values: remoteBody,
    encode: encodeRemote,
    decode: (bytes) => orRefusal(decodeRemote(bytes)),
  }),
  target<unknown>({
    name: "query or answer",
    values: remoteValue,
    encode: (value) => encodeValue(value, "it", 1024 * 1024),
    decode(bytes) {
      const decoded = decodeValue(bytes);
      return typeof decoded === "object" ? decoded : { refusal: decoded };
    },
    isLenient: true, // A Map may come with two keys that are one here.
  }),
  target<ConfigChange>({
    name: "membership change",
    values: change,
    encode: (one) => encodeConfigChange(one),
    decode: (bytes) => orRefusal(decodeConfigChange(bytes)),
  }),
  target<Membership>({
    name: "membership",
    values: membership,
    encode: (one) => encodeMembership(one),
    decode: (bytes) => orRefusal(decodeMembership(bytes)),
  }),
];
