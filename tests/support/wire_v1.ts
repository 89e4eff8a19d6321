/**
 * Everything that wire version 1 can say, once. `tests/golden/wire_v1.json` holds the bytes, as release 0.1.0 wrote them:
 * this file makes them with the modules of any release, and with those of commit f5dfcfe it made that file:
 *
 * ```sh
 * git worktree add ../first f5dfcfe
 * deno run -A tests/support/wire_v1.ts "$(realpath ../first)" > tests/golden/wire_v1.json
 * ```
 */
import type { RecordReader, WireRecord } from "../../raft/codec/record.ts";
import type { SnapshotFrame } from "../../raft/codec/snapshot_chunk.ts";
import type {
  ConfigChange,
  EntryBatch,
  Membership,
  Message,
} from "../../raft/core/types.ts";
import type {
  Greeting,
  RefusalNotice,
} from "../../raft/transport/handshake.ts";
import { pathToFileURL } from "./deps.ts";
import { crc32 } from "./entries.ts";

/** The modules that write, as they are today; those of version 1 export the same. */
interface Modules {
  bytes: typeof import("../../raft/codec/bytes.ts");
  record: typeof import("../../raft/codec/record.ts");
  chunk: typeof import("../../raft/codec/snapshot_chunk.ts");
  batch: typeof import("../../raft/core/entry_batch.ts");
  entries: typeof import("../../raft/entries.ts");
  handshake: typeof import("../../raft/transport/handshake.ts");
  framing: typeof import("../../raft/transport/framing.ts");
}

/** What writes the frames of a release. */
export interface Codec extends Pick<Modules, Exclude<keyof Modules, "batch">> {
  batch: Pick<Modules["batch"], "emptyBatch" | "sealBatch">;
  /** In a module of its own since. */
  encodeConfigChange(change: ConfigChange): Uint8Array;
}

/** The modules of the release whose files lie in `root`, an URL that ends with a slash. */
export async function codecOf(root: string): Promise<Codec> {
  const load = async (path: string) => await import(new URL(path, root).href);
  const membership = await load("raft/core/membership_format.ts")
    .catch(() => load("raft/core/membership.ts"));
  return {
    bytes: await load("raft/codec/bytes.ts"),
    record: await load("raft/codec/record.ts"),
    chunk: await load("raft/codec/snapshot_chunk.ts"),
    batch: await load("raft/core/entry_batch.ts"),
    entries: await load("raft/entries.ts"),
    handshake: await load("raft/transport/handshake.ts"),
    framing: await load("raft/transport/framing.ts"),
    encodeConfigChange: membership.encodeConfigChange,
  };
}

/** A NodeHost that greets, and what it speaks. */
export const greeting: Greeting = {
  self: {
    nodeHostId: "0123456789abcdef0123456789abcdef",
    incarnation: 7,
    raftAddress: "[2001:db8::1]:7000",
  },
  deploymentId: 0xfedc_ba98_7654_3210n,
  versions: { lowest: 1, highest: 1 },
};

/** Reasons for which version 1 refuses a connection. */
export const refusals: readonly RefusalNotice[] = [
  "malformed",
  "version",
  "deployment",
  "self",
  "incarnation",
  "address",
  "identity",
  "duplicate",
  "unreachable",
].map((code) => ({
  code: code as RefusalNotice["code"],
  reason: `weil « ${code} »`,
}));

const membership: Membership = {
  configChangeIndex: 70_000,
  members: [
    { nodeId: 1, address: "a.example:7000", nodeHostId: "f".repeat(32) },
    { nodeId: 2, address: "bücher:7000", nodeHostId: "" },
    { nodeId: 2 ** 53 - 1, address: "[::1]:7000", nodeHostId: "c".repeat(32) },
  ],
  observers: [],
  witnesses: [],
  removed: [3, 2 ** 40],
};

/** Membership changes that version 1 knows. */
export const changes: readonly ConfigChange[] = [
  {
    type: "addNode",
    nodeId: 4,
    address: "d:7000",
    nodeHostId: "d".repeat(32),
    expectedConfigChangeIndex: 0,
  },
  {
    type: "removeNode",
    nodeId: 2 ** 33,
    address: "",
    nodeHostId: "",
    expectedConfigChangeIndex: undefined,
  },
  {
    type: "identify",
    nodeId: 2,
    address: "bücher:7000",
    nodeHostId: "b".repeat(32),
    expectedConfigChangeIndex: 2 ** 52,
  },
];

const term = 0x1_0000_0005;
const route = { clusterId: 0x1234_5678_9abc, from: 1, to: 2 };
const proposer = 0x12_3456_789a;
const commands = [
  new Uint8Array(0),
  Uint8Array.of(0, 255),
  new Uint8Array(300).map((_, i) => i),
];

/** Batches that version 1 makes, one behind the other, from index 9 on. */
export function batchesOf(codec: Codec): EntryBatch[] {
  const { emptyBatch, sealBatch } = codec.batch;
  const { EntryBuilder, proposerKey } = codec.entries;
  const plain = new EntryBuilder();
  for (const command of commands) plain.add(command);
  const keyed = new EntryBuilder();
  keyed.add(commands[1]!);
  for (const [i, command] of commands.entries()) {
    keyed.addWithKey(command, proposer, 2 ** 21 + i);
  }
  const batches = [emptyBatch(term - 1, 9, crc32)];
  const add = (bytes: Uint8Array, entryCount: number, isConfigChange = false) =>
    batches.push(
      sealBatch(bytes, {
        term: term - 1,
        firstIndex: batches.at(-1)!.lastIndex + 1,
        entryCount,
        isConfigChange,
      }, crc32),
    );
  add(plain.take(), 3);
  add(keyed.take(), 4);
  for (const [i, change] of changes.entries()) {
    const command = codec.encodeConfigChange(change);
    // Header, kind 2 with a proposer key, length, key, command: as the core writes it.
    const bytes = new Uint8Array(32 + 5 + 16 + command.length);
    bytes[32] = 0x12;
    new DataView(bytes.buffer).setUint32(33, command.length, true);
    bytes.set(proposerKey(proposer, 2 ** 52 + i), 37);
    bytes.set(command, 53);
    add(bytes, 1, true);
  }
  return batches;
}

function messagesOf(codec: Codec): Message[] {
  const head = { from: 1, to: 2 ** 53 - 1, term };
  const context = { nodeId: 3, incarnation: 12, counter: 2 ** 45 };
  const batches = batchesOf(codec);
  const after = { prevLogIndex: 8, prevLogTerm: 4, commit: 7 };
  const last = { lastLogIndex: 2 ** 34, lastLogTerm: 5 };
  const snapshot = { index: 2 ** 36, term: 6, membership };
  return [
    { type: "append", ...head, ...after, batches },
    { type: "append", ...head, ...after, batches: [] },
    {
      type: "appendResponse",
      ...head,
      index: 2 ** 32,
      rejected: true,
      hintIndex: 6,
      hintTerm: 2,
    },
    { type: "heartbeat", ...head, commit: 2 ** 41, round: 8 },
    { type: "heartbeatResponse", ...head, round: 8 },
    { type: "vote", ...head, ...last, transfer: true },
    { type: "voteResponse", ...head, granted: true },
    { type: "preVote", ...head, ...last },
    { type: "preVoteResponse", ...head, granted: false },
    { type: "snapshot", ...head, snapshot },
    { type: "timeoutNow", ...head },
    { type: "readIndex", ...head, context },
    {
      type: "readIndexResponse",
      ...head,
      context,
      index: 2 ** 42,
      rejected: false,
    },
  ];
}

/** Every record of version 1, by what the file of frames calls it. */
export function recordsOf(codec: Codec): Map<string, WireRecord> {
  const { EntryBuilder, proposerKey } = codec.entries;
  const builder = new EntryBuilder(0);
  for (const [i, command] of commands.entries()) {
    builder.addWithKey(command, proposer, 77 + i);
  }
  const answer = { firstCounter: 2 ** 50, entryCount: 3 };
  const records: [string, WireRecord][] = [
    ["hello", {
      kind: "hello",
      ...route,
      fingerprint: "0123456789abcdef",
      generation: 3,
      newcomer: true,
      initialMembers: [[1, "a.example:7000"], [2, "bücher:7000"]],
    }],
    ["welcome", { kind: "welcome", ...route }],
    ["refused", { kind: "refused", ...route, reason: "näher nicht" }],
    ["forward", {
      kind: "forward",
      ...route,
      firstCounter: 77,
      entryCount: 3,
      entries: builder.take(),
    }],
    ["forwarded, taken", {
      kind: "forwarded",
      ...route,
      ...answer,
      firstIndex: 2 ** 35,
      term,
      refusal: "",
    }],
    ["forwarded, refused", {
      kind: "forwarded",
      ...route,
      ...answer,
      firstIndex: 0,
      term: 0,
      refusal: "notLeader",
    }],
    ["forwardTransfer", {
      kind: "forwardTransfer",
      ...route,
      counter: 2 ** 52 + 1,
      target: 3,
    }],
  ];
  for (const change of changes) {
    const counter = 2 ** 52;
    records.push([`forwardChange, ${change.type}`, {
      kind: "forwardChange",
      ...route,
      counter,
      change,
      proposerKey: proposerKey(proposer, counter),
    }]);
  }
  for (const message of messagesOf(codec)) {
    const { type } = message;
    const isEmpty = type === "append" && message.batches.length === 0;
    const { clusterId } = route;
    records.push([
      isEmpty ? "append, no entries" : type,
      { kind: "message", clusterId, message },
    ]);
  }
  return new Map(records);
}

/** Every frame of a connection that carries a snapshot. */
export const snapshotFrames: readonly SnapshotFrame[] = [
  {
    kind: "offer",
    offer: {
      ...route,
      term,
      meta: { index: 2 ** 36, term: 6, membership },
      fileBytes: 2 ** 33,
      fingerprint: "0123456789abcdef",
      generation: 3,
    },
  },
  { kind: "accept" },
  { kind: "refused", reason: "näher nicht" },
  { kind: "chunk", offset: 2 ** 32 + 1, data: commands[2]! },
  { kind: "progress", bytes: 2 ** 32 },
  { kind: "done" },
  { kind: "failed", reason: "näher nicht" },
];

/** The bytes of a record, without the frame's. */
export function encodeOne(codec: Codec, record: WireRecord): Uint8Array {
  const writer = new codec.bytes.ByteWriter();
  codec.record.encodeRecord(writer, record);
  return writer.concat();
}

/** All that a reader finds. */
export function readAll(reader: RecordReader): (WireRecord | string)[] {
  const found: (WireRecord | string)[] = [];
  for (let next = reader.next(); next !== undefined; next = reader.next()) {
    found.push(next);
    if (typeof next === "string") break;
  }
  return found;
}

/** Everything that a NodeHost of this release says to one of wire version 1, by name. */
export function framesOf(codec: Codec): Map<string, Uint8Array> {
  const { encodeHello, encodeRefusal, frameKind } = codec.handshake;
  const frames = new Map<string, Uint8Array>();
  for (const kind of ["hello", "welcome"] as const) {
    for (const purpose of ["link", "snapshot"] as const) {
      const bytes = encodeHello(kind, greeting, purpose);
      frames.set(`handshake: ${kind}, ${purpose}`, bytes);
    }
  }
  for (const refusal of refusals) {
    const bytes = encodeRefusal(refusal, greeting);
    frames.set(`handshake: refused, ${refusal.code}`, bytes);
  }
  for (const [name, record] of recordsOf(codec)) {
    frames.set(`record: ${name}`, encodeOne(codec, record));
  }
  for (const frame of snapshotFrames) {
    const parts = codec.chunk.encodeSnapshotFrame(frame, crc32);
    frames.set(`snapshot: ${frame.kind}`, codec.bytes.concatBytes(parts));
  }
  for (const [i, batch] of batchesOf(codec).entries()) {
    frames.set(`batch: ${i}`, batch.bytes);
  }
  // What stands in the stream: a frame of two records, and one that only says that there is somebody.
  const records = [...recordsOf(codec).values()].slice(0, 2)
    .map((record) => encodeOne(codec, record));
  const frame = (parts: Uint8Array[]) => {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const header = new codec.framing.FrameHeaders(crc32).make(parts, length);
    return codec.bytes.concatBytes([header, ...parts]);
  };
  frames.set(
    "stream: two records",
    frame([Uint8Array.of(frameKind.records), ...records]),
  );
  frames.set("stream: ping", frame([Uint8Array.of(frameKind.ping)]));
  return frames;
}

/** As the file has them. */
export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

if (import.meta.main) {
  const codec = await codecOf(pathToFileURL(`${Deno.args[0]}/`).href);
  const texts = [...framesOf(codec)]
    .map(([name, bytes]) => [name, hexOf(bytes)]);
  const text = JSON.stringify(Object.fromEntries(texts), undefined, 2);
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
