/** Wire version 1, as release 0.1.0 wrote it: its bytes are read, and written to whoever speaks it (rules I6, L8). */
import { assert } from "../../deps.ts";
import { BatchKeeper } from "../../../raft/codec/batch_keeper.ts";
import { concatBytes } from "../../../raft/codec/bytes.ts";
import { RecordReader } from "../../../raft/codec/record.ts";
import { wireVersionOf } from "../../../raft/codec/record_versions.ts";
import { decodeSnapshotFrame } from "../../../raft/codec/snapshot_chunk.ts";
import {
  entryKind,
  openBatch,
  proposerKeyBytes,
} from "../../../raft/core/entry_batch.ts";
import { decodeConfigChange } from "../../../raft/core/membership_format.ts";
import { EntryCursor, inspectForwardedEntries } from "../../../raft/entries.ts";
import { FrameReader } from "../../../raft/transport/framing.ts";
import {
  decodeHello,
  decodeRefusal,
  frameKind,
} from "../../../raft/transport/handshake.ts";
import { crc32 } from "../../support/entries.ts";
import {
  batchesOf,
  changes,
  codecOf,
  framesOf,
  greeting,
  hexOf,
  readAll,
  recordsOf,
  refusals,
  snapshotFrames,
} from "../../support/wire_v1.ts";

const golden = new Map<string, Uint8Array>();
const file = new URL("../../golden/wire_v1.json", import.meta.url);
const written: Record<string, string> = JSON.parse(Deno.readTextFileSync(file));
for (const [name, hex] of Object.entries(written)) {
  const digits = hex.match(/../g) ?? [];
  golden.set(name, Uint8Array.from(digits, (digit) => parseInt(digit, 16)));
}
const codec = await codecOf(new URL("../../../", import.meta.url).href);

function bytesOf(name: string): Uint8Array {
  const bytes = golden.get(name);
  assert.ok(bytes !== undefined, `no golden frame "${name}"`);
  return bytes;
}

function readRecords(bytes: Uint8Array) {
  return readAll(new RecordReader(bytes, { crc32, keeper: new BatchKeeper() }));
}

Deno.test("What a NodeHost says to one of wire version 1 is byte for byte what release 0.1.0 wrote (rules I6, L8)", () => {
  const frames = framesOf(codec);
  assert.deepEqual([...frames.keys()], [...golden.keys()]);
  for (const [name, bytes] of frames) {
    assert.equal(hexOf(bytes), written[name], name);
  }
});

Deno.test("Every record of wire version 1 is read from its golden frame, and may be sent to who speaks it (rules I6, L8)", () => {
  for (const [name, record] of recordsOf(codec)) {
    assert.deepEqual(readRecords(bytesOf(`record: ${name}`)), [record], name);
    // It was always in the format, and version 1 does not heed it.
    assert.equal(wireVersionOf(record), name === "snapshot" ? 2 : 1, name);
  }
});

Deno.test("The handshake of wire version 1 is read from its golden frames (rules I1, I6, L8)", () => {
  const { self, deploymentId } = greeting;
  for (const kind of ["hello", "welcome"] as const) {
    for (const purpose of ["link", "snapshot"] as const) {
      assert.deepEqual(
        decodeHello(kind, bytesOf(`handshake: ${kind}, ${purpose}`)),
        {
          versions: { lowest: 1, highest: 1 },
          deploymentId,
          purpose,
          remote: self,
        },
      );
    }
  }
  for (const refusal of refusals) {
    assert.deepEqual(
      decodeRefusal(bytesOf(`handshake: refused, ${refusal.code}`)),
      { ...refusal, nodeHostId: self.nodeHostId },
    );
  }
});

Deno.test("The frames of a snapshot's connection of wire version 1 are read from their golden bytes (rules I6, L8)", () => {
  for (const frame of snapshotFrames) {
    const bytes = bytesOf(`snapshot: ${frame.kind}`);
    assert.deepEqual(decodeSnapshotFrame(bytes, crc32), frame);
  }
});

Deno.test("Batches of wire version 1 are read from their golden bytes, entry by entry (rules B1, I6, L8)", () => {
  const found: [index: number, kind: number, keyed: boolean, bytes: number][] =
    [];
  const changesFound: unknown[] = [];
  for (const [i, made] of batchesOf(codec).entries()) {
    const batch = openBatch(bytesOf(`batch: ${i}`), crc32);
    assert.ok(typeof batch !== "string", `${i}: ${batch}`);
    assert.deepEqual(batch, made);
    const cursor = new EntryCursor(batch);
    while (cursor.next()) {
      const { index, kind, proposer } = cursor;
      found.push([index, kind, proposer !== 0, cursor.command().length]);
      if (kind !== entryKind.configChange) continue;
      changesFound.push(decodeConfigChange(cursor.command()));
    }
  }
  const { empty, application, configChange } = entryKind;
  assert.deepEqual(found.slice(0, 8), [
    [9, empty, false, 0],
    [10, application, false, 0],
    [11, application, false, 2],
    [12, application, false, 300],
    [13, application, false, 2],
    [14, application, true, 0],
    [15, application, true, 2],
    [16, application, true, 300],
  ]);
  assert.deepEqual(
    found.slice(8).map(([index, kind, keyed]) => [index, kind, keyed]),
    [17, 18, 19].map((index) => [index, configChange, true]),
  );
  assert.deepEqual(changesFound, changes);
});

Deno.test("Proposals that wire version 1 forwarded are taken (rules B3, L8)", () => {
  // Behind the record's head and its counter, count and length.
  const entries = bytesOf("record: forward").subarray(25 + 16);
  assert.equal(entries.length, 3 * (5 + proposerKeyBytes) + 302);
  assert.equal(inspectForwardedEntries(entries, 3, 77), "plain");
});

Deno.test("The stream of wire version 1 is cut into frames (rules I6, L8)", () => {
  const stream = concatBytes([
    bytesOf("stream: two records"),
    bytesOf("stream: ping"),
  ]);
  const reader = new FrameReader(1024 * 1024, crc32);
  reader.space().set(stream);
  reader.filled(stream.length);
  const first = reader.next();
  assert.ok(first instanceof Uint8Array, String(first));
  assert.equal(first[0], frameKind.records);
  assert.deepEqual(
    readRecords(first.subarray(1)),
    [...recordsOf(codec).values()].slice(0, 2),
  );
  assert.deepEqual(reader.next(), Uint8Array.of(frameKind.ping));
  assert.equal(reader.next(), undefined);
});
