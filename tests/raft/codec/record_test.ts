import { assert, fc } from "../../deps.ts";
import { BatchKeeper } from "../../../raft/codec/batch_keeper.ts";
import { ByteWriter } from "../../../raft/codec/bytes.ts";
import {
  encodeRecord,
  isBulk,
  recordBytesAtMost,
  RecordReader,
  type WireRecord,
} from "../../../raft/codec/record.ts";
import { encodeEntries, makeBatch, record } from "./arbitraries.ts";
import { crc32 } from "./deps.ts";

function encode(records: readonly WireRecord[]): Uint8Array {
  const writer = new ByteWriter();
  for (const one of records) encodeRecord(writer, one);
  return writer.concat();
}

/** All records, and the defect if the bytes end with one. */
function decode(
  bytes: Uint8Array,
): { records: WireRecord[]; defect: string | undefined } {
  const reader = new RecordReader(bytes, { crc32, keeper: new BatchKeeper() });
  const records: WireRecord[] = [];
  while (true) {
    const next = reader.next();
    if (next === undefined) return { records, defect: undefined };
    if (typeof next === "string") {
      assert.equal(reader.next(), next, "a defect must be final");
      return { records, defect: next };
    }
    records.push(next);
  }
}

function defectOf(one: WireRecord): string | undefined {
  return decode(encode([one])).defect;
}

const route = { clusterId: 3, from: 1, to: 2 };

Deno.test("RecordReader reads what encodeRecord wrote", () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 20 }), (records) => {
      const decoded = decode(encode(records));
      assert.equal(decoded.defect, undefined);
      assert.deepEqual(decoded.records, records);
    }),
    { numRuns: 300 },
  );
});

Deno.test("encodeRecord is deterministic, and recordBytesAtMost is never less than what it writes", () => {
  fc.assert(fc.property(record, (one) => {
    const bytes = encode([one]);
    assert.deepEqual(encode([one]), bytes);
    assert(bytes.length <= recordBytesAtMost(one));
  }));
});

Deno.test("RecordReader names a defect, or reads a prefix, wherever a frame is cut", () => {
  fc.assert(
    fc.property(record, record, (first, second) => {
      const head = encode([first]).length;
      const bytes = encode([first, second]);
      for (let cut = 0; cut < bytes.length; cut++) {
        if (cut > 200 && cut % 97 !== 0) continue;
        const { records, defect } = decode(bytes.subarray(0, cut));
        assert.equal(records.length, cut < head ? 0 : 1);
        if (cut !== 0 && cut !== head) assert.equal(typeof defect, "string");
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("RecordReader never throws, and never yields a number out of range, whatever the bytes are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      if (bytes.length > 0) bytes[0] = bytes[0]! % 40;
      checkNumbers(decode(bytes).records);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("RecordReader survives any byte of a valid frame changed", () => {
  const change = fc.record({ at: fc.nat(), value: fc.nat(255) });
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 4 }),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      (records, changes) => {
        const bytes = encode(records);
        for (const { at, value } of changes) bytes[at % bytes.length] = value;
        checkNumbers(decode(bytes).records);
      },
    ),
    { numRuns: 1000 },
  );
});

function checkNumbers(value: unknown): void {
  if (typeof value === "number") assert(Number.isSafeInteger(value));
  if (value instanceof Uint8Array || typeof value !== "object") return;
  if (value === null) return;
  for (const inner of Object.values(value)) checkNumbers(inner);
}

Deno.test("RecordReader does not loop or allocate for a count that the bytes cannot hold", () => {
  const bytes = encode([{
    kind: "message",
    clusterId: 1,
    message: {
      type: "append",
      from: 1,
      to: 2,
      term: 3,
      prevLogIndex: 0,
      prevLogTerm: 0,
      commit: 0,
      batches: [],
    },
  }]);
  new DataView(bytes.buffer).setUint32(bytes.length - 4, 0xffff_ffff, true);
  assert.equal(decode(bytes).defect, "short");
});

Deno.test("RecordReader refuses batches that no log can hold (rule B1)", () => {
  const append = (batches: [number, number][], term = 5): WireRecord => ({
    kind: "message",
    clusterId: 1,
    message: {
      type: "append",
      from: 1,
      to: 2,
      term,
      prevLogIndex: 9,
      prevLogTerm: 3,
      commit: 0,
      batches: batches.map(([index, term]) => makeBatch(index, term)),
    },
  });
  assert.equal(defectOf(append([[10, 3], [11, 5]])), undefined);
  assert.equal(defectOf(append([[11, 3]])), "range", "a gap before");
  assert.equal(defectOf(append([[10, 3], [12, 3]])), "range", "a gap between");
  assert.equal(defectOf(append([[10, 2]])), "range", "a term that falls");
  assert.equal(defectOf(append([[10, 6]])), "range", "a term to come");
  const damaged = encode([append([[10, 3]])]);
  damaged[damaged.length - 1]! ^= 1;
  assert.equal(decode(damaged).defect, "batch");
});

Deno.test("RecordReader refuses forwarded entries that are not proposals with keys (rule B3)", () => {
  const forward = (entries: Uint8Array, entryCount: number): WireRecord => ({
    kind: "forward",
    ...route,
    firstCounter: 1,
    entryCount,
    entries,
  });
  const entries = encodeEntries(3, 16);
  assert.equal(defectOf(forward(entries, 3)), undefined);
  assert.equal(defectOf(forward(entries, 2)), "range");
  assert.equal(defectOf(forward(entries, 4)), "range");
  assert.equal(defectOf(forward(entries.subarray(1), 3)), "range");
  assert.equal(
    defectOf(forward(entries.subarray(0, entries.length - 1), 3)),
    "range",
  );
  assert.equal(defectOf(forward(new Uint8Array(0), 0)), "range");
  const change = entries.slice();
  change[0] = 0x12; // A membership change in disguise.
  assert.equal(defectOf(forward(change, 3)), "range");
  const keyless = entries.slice();
  keyless[0] = 0x01;
  assert.equal(defectOf(forward(keyless, 3)), "range");
});

Deno.test("RecordReader refuses ids of zero, unknown kinds, flags and texts", () => {
  const welcome = encode([{ kind: "welcome", ...route }]);
  for (const at of [1, 9, 17]) {
    const bytes = welcome.slice();
    bytes[at] = 0;
    assert.equal(decode(bytes).defect, "range");
  }
  for (const kind of [0, 13, 31, 39, 255]) {
    const bytes = welcome.slice();
    bytes[0] = kind;
    assert.notEqual(decode(bytes).defect, undefined);
  }
  const unsafe = welcome.slice().fill(0xff, 1, 9);
  assert.equal(decode(unsafe).defect, "range");
  const refused = encode([{ kind: "refused", ...route, reason: "abc" }]);
  refused[refused.length - 1] = 0xff;
  assert.equal(decode(refused).defect, "text");
  const long = encode([{ kind: "refused", ...route, reason: "abc" }]);
  new DataView(long.buffer).setUint16(25, 1025, true);
  assert.equal(decode(long).defect, "text");
});

Deno.test("isBulk is true only for requests of other NodeHosts, entries and appends, which keep their order among themselves (rule C6)", () => {
  fc.assert(fc.property(record, (one) => {
    const mayWait = one.kind === "forward" || one.kind === "remote" ||
      one.kind === "fetchedEntries" ||
      one.kind === "message" && one.message.type === "append";
    assert.equal(isBulk(one), mayWait);
  }));
});

Deno.test("BatchKeeper leaves a batch in its frame unless that pins eight times its size (rule B4)", () => {
  const keeper = new BatchKeeper();
  const arena = new Uint8Array(256 * 1024).fill(9);
  const big = arena.subarray(100, 100 + 32 * 1024);
  assert.equal(keeper.keep(big), big);
  for (const length of [10, 2048, 2049, 32 * 1024 - 1]) {
    const small = arena.subarray(100, 100 + length);
    const kept = keeper.keep(small);
    assert.deepEqual(kept, small);
    assert.notEqual(kept.buffer, arena.buffer);
    assert(kept.buffer.byteLength <= Math.max(16 * 1024, length));
  }
  const alone = new Uint8Array(60);
  assert.equal(keeper.keep(alone), alone);
});

Deno.test("Wire version 1 stays as it is", () => {
  const hex = (records: readonly WireRecord[]) =>
    [...encode(records)].map((byte) => byte.toString(16).padStart(2, "0"))
      .join("");
  const heartbeat: WireRecord = {
    kind: "message",
    clusterId: 0x1234,
    message: {
      type: "heartbeat",
      from: 1,
      to: 2,
      term: 0x1_0000_0005,
      commit: 7,
      round: 9,
    },
  };
  assert.equal(
    hex([heartbeat]),
    "03" + "3412000000000000" + "0100000000000000" + "0200000000000000" +
      "0500000001000000" + "0700000000000000" + "0900000000000000",
  );
  const refused: WireRecord = { kind: "refused", ...route, reason: "\u00e9" };
  assert.equal(
    hex([refused]),
    "22" + "0300000000000000" + "0100000000000000" + "0200000000000000" +
      "0200" + "c3a9",
  );
  const append: WireRecord = {
    kind: "message",
    clusterId: 1,
    message: {
      type: "append",
      from: 1,
      to: 2,
      term: 3,
      prevLogIndex: 4,
      prevLogTerm: 2,
      commit: 4,
      batches: [makeBatch(5, 3, { commandBytes: 2 })],
    },
  };
  const bytes = encode([append]);
  assert.equal(bytes.length, 61 + 32 + 5 + 16 + 2);
  assert.equal(crc32(bytes), 1_166_871_251);
});

Deno.test("RecordReader refuses a hello in which a cluster began with one node twice (rule I3)", () => {
  const hello = {
    kind: "hello",
    ...route,
    fingerprint: "00",
    generation: 1,
    newcomer: false,
  } as const;
  const members = [[1, "a:1"], [2, "b:1"]] as const;
  assert.equal(defectOf({ ...hello, initialMembers: members }), undefined);
  assert.equal(
    defectOf({ ...hello, initialMembers: [...members, [2, "c:1"]] }),
    "range",
  );
});
