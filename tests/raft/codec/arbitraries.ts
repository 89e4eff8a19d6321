/** Any record that may travel, for property tests. */
import { fc } from "../../deps.ts";
import { crc32 } from "./deps.ts";
import {
  batchHeaderBytes,
  entryHasProposerKey,
  entryHeaderBytes,
  entryKind,
  proposerKeyBytes,
  sealBatch,
} from "../../../raft/core/entry_batch.ts";
import type {
  ConfigChange,
  EntryBatch,
  MemberKind,
  Membership,
  Message,
  ReadContext,
  SnapshotMeta,
} from "../../../raft/core/types.ts";
import type { WireRecord } from "../../../raft/codec/record.ts";

/** A plain object of any such fields. */
export function object<T>(
  fields: { [K in keyof T]: fc.Arbitrary<T[K]> },
): fc.Arbitrary<T> {
  return fc.record(fields, { noNullPrototype: true });
}

const max = Number.MAX_SAFE_INTEGER;
export const integer = fc.oneof(fc.nat(1000), fc.integer({ min: 0, max }));
export const id = fc.oneof(
  fc.integer({ min: 1, max: 1000 }),
  fc.integer({ min: 1, max }),
);
export const text = fc.string({ unit: "grapheme", maxLength: 60 });

/** `count` encoded proposals with keys, each with a command of `commandBytes`. */
export function encodeEntries(count: number, commandBytes: number): Uint8Array {
  const each = entryHeaderBytes + proposerKeyBytes + commandBytes;
  const bytes = new Uint8Array(count * each).fill(7);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += each) {
    view.setUint8(at, entryKind.application | entryHasProposerKey);
    view.setUint32(at + 1, commandBytes, true);
  }
  return bytes;
}

/** A batch of entries as a leader makes it. */
export function makeBatch(
  firstIndex: number,
  term: number,
  { entryCount = 1, commandBytes = 16 } = {},
): EntryBatch {
  const entries = encodeEntries(entryCount, commandBytes);
  const bytes = new Uint8Array(batchHeaderBytes + entries.length);
  bytes.set(entries, batchHeaderBytes);
  const seal = { term, firstIndex, entryCount, isConfigChange: false };
  return sealBatch(bytes, seal, crc32);
}

const kind: fc.Arbitrary<MemberKind> = fc.constantFrom(
  "voter",
  "voter",
  "observer",
  "witness",
);

export const membership: fc.Arbitrary<Membership> = object({
  configChangeIndex: integer,
  all: fc.uniqueArray(
    object({ nodeId: id, address: text, nodeHostId: text, kind }),
    { maxLength: 7, selector: (member) => member.nodeId },
  ).map((members) => members.sort((a, b) => a.nodeId - b.nodeId)),
  removed: fc.uniqueArray(id, { maxLength: 9 })
    .map((ids) => ids.sort((a, b) => a - b)),
}).map(({ all, ...rest }) => {
  const of = (wanted: MemberKind) =>
    all.filter((member) => member.kind === wanted)
      .map(({ nodeId, address, nodeHostId }) => ({
        nodeId,
        address,
        nodeHostId,
      }));
  return {
    ...rest,
    members: of("voter"),
    observers: of("observer"),
    witnesses: of("witness"),
  };
});

const snapshotMeta: fc.Arbitrary<SnapshotMeta> = object({
  index: id,
  term: id,
  membership,
});

export const change: fc.Arbitrary<ConfigChange> = object({
  type: fc.constantFrom(
    "addNode",
    "removeNode",
    "identify",
    "addObserver",
    "addWitness",
  ),
  nodeId: id,
  address: text,
  nodeHostId: text,
  expectedConfigChangeIndex: fc.option(
    integer.filter((value) => value < Number.MAX_SAFE_INTEGER),
    { nil: undefined },
  ),
  flags: fc.constantFrom<Pick<ConfigChange, "force" | "whenCaughtUp">>(
    {},
    { force: true },
    { whenCaughtUp: true },
    { force: true, whenCaughtUp: true },
  ),
  also: fc.uniqueArray(id, { minLength: 1, maxLength: 4 }),
  nodeHostIds: fc.array(text, { minLength: 4, maxLength: 4 }),
}).map(({ flags, also, nodeHostIds, ...rest }) => {
  const behind = rest.type === "identify"
    ? also.filter((nodeId) => nodeId > rest.nodeId).sort((a, b) => a - b)
    : [];
  const members = behind.map((nodeId, i) => ({
    nodeId,
    nodeHostId: nodeHostIds[i]!,
  }));
  return {
    ...rest,
    ...(members.length === 0 ? {} : { also: members }),
    ...flags,
  };
});

const context: fc.Arbitrary<ReadContext> = object({
  nodeId: id,
  incarnation: integer,
  counter: integer,
});

const base = { from: id, to: id, term: integer };
const flag = fc.boolean();

const append: fc.Arbitrary<Message> = object({
  from: id,
  to: id,
  term: fc.integer({ min: 10, max: 20 }),
  prevLogIndex: fc.oneof(fc.nat(1000), fc.integer({ min: 0, max: 2 ** 52 })),
  prevLogTerm: fc.nat(4),
  commit: integer,
  shapes: fc.array(
    object({
      entryCount: fc.integer({ min: 1, max: 5 }),
      commandBytes: fc.constantFrom(0, 1, 16, 700, 3000),
    }),
    { maxLength: 5 },
  ),
}).map(({ shapes, ...rest }) => {
  const batches: EntryBatch[] = [];
  let index = rest.prevLogIndex;
  for (const [i, shape] of shapes.entries()) {
    const batch = makeBatch(index + 1, 4 + i, shape);
    batches.push(batch);
    index = batch.lastIndex;
  }
  return { type: "append", ...rest, batches };
});

/** Any message of the core. */
export const message: fc.Arbitrary<Message> = fc.oneof(
  append,
  object({
    type: fc.constant("appendResponse" as const),
    ...base,
    index: integer,
    rejected: flag,
    hintIndex: integer,
    hintTerm: integer,
  }),
  object({
    type: fc.constant("heartbeat" as const),
    ...base,
    commit: integer,
    round: integer,
  }),
  object({
    type: fc.constant("heartbeatResponse" as const),
    ...base,
    round: integer,
  }),
  object({
    type: fc.constant("vote" as const),
    ...base,
    lastLogIndex: integer,
    lastLogTerm: integer,
    transfer: flag,
  }),
  object({
    type: fc.constant("preVote" as const),
    ...base,
    lastLogIndex: integer,
    lastLogTerm: integer,
  }),
  object({
    type: fc.constantFrom(
      "voteResponse" as const,
      "preVoteResponse" as const,
    ),
    ...base,
    granted: flag,
  }),
  object({
    type: fc.constant("snapshot" as const),
    ...base,
    snapshot: snapshotMeta,
  }),
  object({ type: fc.constant("timeoutNow" as const), ...base }),
  object({ type: fc.constant("stopped" as const), ...base }),
  object({
    type: fc.constant("quiesce" as const),
    ...base,
    index: integer,
    round: integer,
  }),
  object({
    type: fc.constant("quiesceResponse" as const),
    ...base,
    index: integer,
    accepted: fc.boolean(),
  }),
  object({ type: fc.constant("readIndex" as const), ...base, context }),
  object({
    type: fc.constant("readIndexResponse" as const),
    ...base,
    context,
    index: integer,
    rejected: flag,
  }),
);

const route = { clusterId: id, from: id, to: id };
const smallCounter = fc.integer({ min: 0, max: 2 ** 52 });

/** Any record. */
export const record: fc.Arbitrary<WireRecord> = fc.oneof(
  {
    weight: 6,
    arbitrary: object({
      kind: fc.constant("message" as const),
      clusterId: id,
      message,
    }),
  },
  object({
    kind: fc.constant("hello" as const),
    ...route,
    fingerprint: text,
    generation: integer,
    newcomer: flag,
    initialMembers: fc.uniqueArray(fc.tuple(id, text), {
      maxLength: 5,
      selector: ([nodeId]) => nodeId,
    }).map((members) => members.sort((a, b) => a[0] - b[0])),
  }),
  object({ kind: fc.constant("welcome" as const), ...route }),
  object({ kind: fc.constant("refused" as const), ...route, reason: text }),
  object({
    kind: fc.constant("forward" as const),
    ...route,
    firstCounter: smallCounter,
    entryCount: fc.integer({ min: 1, max: 9 }),
    commandBytes: fc.constantFrom(0, 16, 400),
  }).map(({ commandBytes, ...rest }) => ({
    ...rest,
    entries: encodeEntries(rest.entryCount, commandBytes),
  })),
  object({
    kind: fc.constant("forwarded" as const),
    ...route,
    firstCounter: smallCounter,
    entryCount: fc.nat(1000),
    firstIndex: integer,
    term: integer,
    refusal: text,
  }),
  object({
    kind: fc.constant("forwardChange" as const),
    ...route,
    counter: integer,
    change,
    proposerKey: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  }),
  object({
    kind: fc.constant("forwardTransfer" as const),
    ...route,
    counter: integer,
    target: id,
  }),
  object({
    kind: fc.constant("fetchEntries" as const),
    ...route,
    firstIndex: fc.integer({ min: 1, max: 1000 }),
    lastIndex: fc.integer({ min: 1000, max }),
  }),
  object({
    ...route,
    firstIndex: fc.integer({ min: 1, max: 2 ** 52 }),
    firstHeld: id,
    count: fc.nat(3),
  }).map(({ count, ...rest }) => ({
    kind: "fetchedEntries" as const,
    ...rest,
    batches: Array.from(
      { length: count },
      (_, i) => makeBatch(rest.firstIndex + i, 3 + i),
    ),
  })),
  object({
    kind: fc.constant("logHeld" as const),
    ...route,
    term: integer,
    bytes: integer,
  }),
  object({
    kind: fc.constant("remote" as const),
    ...route,
    body: fc.uint8Array({ maxLength: 60 }),
  }),
);
