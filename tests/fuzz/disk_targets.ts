/** Decoders of what lies on disk, whole logs aside. */
import type { KnownAddress } from "../../raft/address_book.ts";
import {
  decodeAddressBook,
  encodeAddressBook,
} from "../../raft/address_book_format.ts";
import { RaftError } from "../../raft/errors.ts";
import { decodeIdentity, encodeIdentity } from "../../raft/identity_format.ts";
import type { Identity } from "../../raft/identity_format.ts";
import {
  encodeRegistration,
  registerSeries,
  SessionTable,
} from "../../raft/sessions.ts";
import type { Bootstrap } from "../../storage/log_store.ts";
import {
  decodeFileHead,
  encodeFileHead,
} from "../../storage/snapshot_files.ts";
import {
  blockKind,
  encodeSnapshotHeader,
  encodeSnapshotTrailer,
  machineKinds,
  sealSnapshotBlock,
  sealSnapshotBlock2,
  snapshotBlockHeadBytes,
  snapshotBlockHeadBytes2,
  SnapshotParser,
  snapshotTrailerBytes,
} from "../../storage/snapshot_format.ts";
import type { SnapshotTraits } from "../../storage/snapshot_format.ts";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  part,
} from "../../storage/wal/format.ts";
import type { SegmentHeader } from "../../storage/wal/format.ts";
import { decodeProfile, encodeProfile } from "../../storage/wal/profile.ts";
import type { NodeProfile } from "../../storage/wal/profile.ts";
import { RecordBuffer } from "../../storage/wal/record.ts";
import {
  beginSection,
  endSection,
  ParsedSection,
  putBounds,
  putHardState,
  putProfile,
  readBatchHead,
} from "../../storage/wal/section.ts";
import type { Crc32, Membership } from "../../raft/core/types.ts";
import { fc } from "../deps.ts";
import { id, integer, membership, object, text } from "./values.ts";
import { refusing, target } from "./target.ts";
import type { AnyTarget, Outcome } from "./target.ts";

const isCorruption = (error: unknown) =>
  error instanceof RaftError && error.code === "corruption";

/** A snapshot file, taken apart. */
interface Snapshot {
  readonly clusterId: number;
  readonly index: number;
  readonly term: number;
  readonly membership: Membership;
  readonly traits: SnapshotTraits | undefined;
  readonly blocks: readonly number[][];
}

function encodeSnapshot(snapshot: Snapshot, crc32: Crc32): Uint8Array {
  const { clusterId, traits, blocks, ...meta } = snapshot;
  const header = encodeSnapshotHeader(
    { clusterId, meta, ...(traits === undefined ? {} : { traits }) },
    crc32,
  );
  const parts = [header];
  let checksum = new DataView(header.buffer).getUint32(header.length - 4, true);
  const headBytes = traits === undefined
    ? snapshotBlockHeadBytes
    : snapshotBlockHeadBytes2;
  for (const data of blocks) {
    const block = new Uint8Array(headBytes + data.length);
    block.set(data, headBytes);
    checksum = traits === undefined
      ? sealSnapshotBlock(block, checksum, crc32)
      : sealSnapshotBlock2(
        block,
        { kind: blockKind.state, codec: 0, rawLength: data.length },
        checksum,
        crc32,
      );
    parts.push(block);
  }
  const before = parts.reduce((sum, { length }) => sum + length, 0);
  parts.push(encodeSnapshotTrailer({
    blockCount: blocks.length,
    bodyBytes: blocks.reduce((sum, { length }) => sum + length, 0),
    fileBytes: before + snapshotTrailerBytes,
    lastChecksum: checksum,
  }, crc32));
  const bytes = new Uint8Array(before + snapshotTrailerBytes);
  let at = 0;
  for (const one of parts) {
    bytes.set(one, at);
    at += one.length;
  }
  return bytes;
}

/** In pieces, whose sizes must not matter. */
function decodeSnapshot(bytes: Uint8Array, crc32: Crc32): Outcome<Snapshot> {
  return refusing(isCorruption, () => {
    const parser = new SnapshotParser("fuzz", crc32);
    const blocks: number[][] = [];
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + 1 + at % 97);
      for (const { data } of parser.push(piece)) blocks.push([...data]);
      at += piece.length;
    }
    parser.finish();
    const { clusterId, meta, traits } = parser.header!;
    return { clusterId, ...meta, traits, blocks };
  });
}

const shortText = fc.string({ unit: "grapheme-ascii", maxLength: 12 });

/** A section of a log's record. */
interface Section {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly hardState:
    | { term: number; votedFor: number; commit: number }
    | undefined;
  readonly bounds:
    | { compactedIndex: number; compactedTerm: number; lastIndex: number }
    | undefined;
  readonly profile: number[] | undefined;
}

function encodeSection(section: Section): Uint8Array {
  const { clusterId, nodeId, hardState, bounds, profile } = section;
  const buffer = new RecordBuffer();
  buffer.begin();
  const recordBytes = buffer.length;
  const start = beginSection(buffer);
  if (hardState !== undefined) putHardState(buffer, hardState);
  if (bounds !== undefined) putBounds(buffer, bounds);
  if (profile !== undefined) putProfile(buffer, Uint8Array.from(profile));
  const parts = (hardState === undefined ? 0 : part.hardState) |
    (bounds === undefined ? 0 : part.bounds) |
    (profile === undefined ? 0 : part.profile);
  endSection(buffer, start, { clusterId, nodeId }, parts);
  return buffer.bytes.slice(recordBytes, buffer.length);
}

/** As a replay reads it: never beyond what is there. */
function decodeSection(bytes: Uint8Array): Outcome<Section> {
  if (bytes.length < 24) return { refusal: "short" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const section = new ParsedSection();
  const defect = section.read({ bytes, view }, 0, bytes.length);
  if (defect !== undefined) return { refusal: defect };
  for (let at = section.batchesAt; at < section.end;) {
    const head = readBatchHead({ bytes, view }, at, section.end);
    if (typeof head === "string") return { refusal: head };
    at += head.length;
  }
  const { clusterId, nodeId, hardState, bounds, profile } = section;
  const own = profile === undefined ? undefined : [...profile];
  return { value: { clusterId, nodeId, hardState, bounds, profile: own } };
}

const bootstrap: fc.Arbitrary<Bootstrap> = object({
  join: fc.boolean(),
  initialMembers: fc.array(fc.tuple(id, text), { maxLength: 3 }),
  stateMachineName: text,
  fingerprint: text,
  generation: integer,
  admitted: fc.boolean(),
  settings: fc.array(fc.integer(), { maxLength: 4 }),
});

/** A table of sessions, as bytes: each was registered, and used once with a result. */
function tableOf(clients: readonly number[]): number[] {
  const table = new SessionTable();
  for (const clientId of clients) {
    const noUpdate = () => ({ value: 0 });
    table.apply(
      { clientId, series: registerSeries, respondedTo: 0 },
      encodeRegistration(100),
      noUpdate,
    );
    table.apply(
      { clientId, series: 1, respondedTo: 0 },
      new Uint8Array(0),
      () => ({ value: 1, data: new Uint8Array(clientId % 50) }),
    );
  }
  return [...table.encode(1)];
}

/** All of them. */
export const diskTargets: readonly AnyTarget[] = [
  target<Identity>({
    name: "identity file",
    values: object({
      nodeHostId: fc.stringMatching(/^[0-9a-f]{32}$/),
      incarnation: id,
      deploymentId: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      raftAddress: text,
      place: object({
        folderInode: fc.nat(),
        lockInode: fc.nat(),
        lockBirthMs: fc.nat(),
        device: fc.nat(),
      }),
    }),
    encode: encodeIdentity,
    decode: (bytes, crc32) =>
      refusing(isCorruption, () => decodeIdentity(bytes, "identity", crc32)),
  }),
  target<KnownAddress[]>({
    name: "file of addresses",
    values: fc.array(
      object({
        nodeHostId: text,
        incarnation: integer,
        raftAddress: text,
        isMoved: fc.constant(true),
      }),
      { maxLength: 5 },
    ),
    encode: encodeAddressBook,
    decode(bytes, crc32) {
      const moved = decodeAddressBook(bytes, crc32);
      return typeof moved === "string" ? { refusal: moved } : { value: moved };
    },
  }),
  target<Snapshot>({
    name: "snapshot file",
    values: object({
      clusterId: id,
      index: id,
      term: id,
      membership,
      traits: fc.option(
        object({
          kind: fc.constantFrom(...machineKinds),
          isDummy: fc.boolean(),
          isImported: fc.boolean(),
          machineIndex: fc.nat(),
          generation: integer,
          fingerprint: shortText,
        }),
        { nil: undefined },
      ),
      blocks: fc.array(
        fc.array(fc.nat(255), { minLength: 1, maxLength: 40 }),
        { maxLength: 4 },
      ),
    }),
    encode: encodeSnapshot,
    decode: decodeSnapshot,
    isLenient: true, // Blocks may be of other kinds, and packed.
  }),
  target<SnapshotFileHeadValue>({
    name: "file in a snapshot",
    values: object({
      id: integer,
      size: integer,
      metadata: fc.uint8Array({ maxLength: 30 }).map((bytes) => [...bytes]),
    }),
    encode: (head) =>
      encodeFileHead({ ...head, metadata: Uint8Array.from(head.metadata) }),
    decode(bytes) {
      const head = decodeFileHead(bytes);
      return head === undefined
        ? { refusal: "none" }
        : { value: { ...head, metadata: [...head.metadata] } };
    },
  }),
  target<SegmentHeader>({
    name: "segment header",
    values: object({
      number: integer,
      salt: object({
        headerSeed: fc.nat(0x7fffffff),
        payloadSeed: fc.nat(0x7fffffff),
      }),
      base: integer,
      size: integer,
      previousEnd: integer,
      oldest: integer,
      syncedTo: integer,
      judgedTo: integer,
    }),
    encode: encodeSegmentHeader,
    decode(bytes, crc32) {
      const header = decodeSegmentHeader(bytes, crc32);
      return "defect" in header ? { refusal: header.defect } : {
        value: header,
      };
    },
  }),
  target<Section>({
    name: "log section",
    values: object({
      clusterId: id,
      nodeId: id,
      hardState: fc.option(
        object({ term: integer, votedFor: integer, commit: integer }),
        { nil: undefined },
      ),
      bounds: fc.option(
        object({
          compactedIndex: integer,
          compactedTerm: integer,
          lastIndex: integer,
        }),
        { nil: undefined },
      ),
      profile: fc.option(fc.array(fc.nat(255), { maxLength: 20 }), {
        nil: undefined,
      }),
    }),
    encode: encodeSection,
    decode: decodeSection,
    isLenient: true, // Batches and compactions.
  }),
  target<NodeProfile>({
    name: "node profile",
    values: object({
      snapshot: fc.option(object({ index: id, term: id, membership }), {
        nil: undefined,
      }),
      bootstrap: fc.option(bootstrap, { nil: undefined }),
      peers: fc.array(
        object({ nodeId: id, incarnation: integer, nodeHostId: text }),
        { maxLength: 3 },
      ),
    }),
    encode: (profile) => encodeProfile(profile),
    decode(bytes) {
      const profile = decodeProfile(bytes);
      return profile === undefined ? { refusal: "none" } : { value: profile };
    },
  }),
  target<readonly number[]>({
    name: "table of sessions",
    values: fc.uniqueArray(id, { maxLength: 5 }).map(tableOf),
    encode: (bytes) => Uint8Array.from(bytes),
    decode(bytes) {
      const table = SessionTable.decode(bytes, 0);
      if (typeof table === "string") return { refusal: table };
      // Only what it says matters: it must say again what it read.
      const again = SessionTable.decode(table.encode(1), 0);
      if (typeof again === "string") throw new Error(again);
      return { value: [...bytes] };
    },
    isLenient: true,
  }),
];

/** As {@link decodeFileHead} gives it, with plain numbers. */
interface SnapshotFileHeadValue {
  readonly id: number;
  readonly size: number;
  readonly metadata: readonly number[];
}
