import { assert, fc } from "../../deps.ts";
import {
  needsVersion2,
  wireVersionOf,
} from "../../../raft/codec/record_versions.ts";
import { sealBatch, withoutPayloads } from "../../../raft/core/entry_batch.ts";
import type { EntryBatch, Message } from "../../../raft/core/types.ts";
import { EntryBuilder } from "../../../raft/entries.ts";
import { change, CoreCluster } from "../../support/core_cluster.ts";
import { encodeEntries, makeBatch, record } from "./arbitraries.ts";
import { crc32 } from "./deps.ts";

const route = { clusterId: 3, from: 1, to: 2 };

function versionOfAppend(...batches: EntryBatch[]): number {
  const message: Message = {
    type: "append",
    from: 1,
    to: 2,
    term: 9,
    prevLogIndex: 0,
    prevLogTerm: 0,
    commit: 0,
    batches,
  };
  return wireVersionOf({ kind: "message", clusterId: 3, message });
}

function forwarded(entries: Uint8Array, entryCount: number): number {
  const counted = { firstCounter: 1, entryCount, entries };
  return wireVersionOf({ kind: "forward", ...route, ...counted });
}

/** What the leader of a cluster of three appends for a change. */
function changeBatch(type: "addNode" | "addObserver" | "addWitness") {
  const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
  cluster.elect(1);
  const batch = cluster.proposeChange(1, change(type, 4));
  assert.ok(typeof batch !== "string", String(batch));
  return batch;
}

Deno.test("Batches with sessions, without payloads, or that add observers or witnesses need wire version 2 (rule I6)", () => {
  const plain = makeBatch(1, 2, { entryCount: 3 });
  assert.equal(versionOfAppend(plain, makeBatch(4, 2)), 1);
  assert.equal(versionOfAppend(), 1);
  const builder = new EntryBuilder();
  builder.add(Uint8Array.of(3));
  const fields = { clientId: 5, series: 3, respondedTo: 2 };
  builder.addInSession(Uint8Array.of(1, 2), fields, 77, 5);
  const sessions = sealBatch(builder.take(), {
    term: 3,
    firstIndex: 4,
    entryCount: 2,
    isConfigChange: false,
    hasSessions: true,
  }, crc32);
  assert.equal(versionOfAppend(plain, sessions), 2);
  assert.equal(versionOfAppend(withoutPayloads(plain, crc32)), 2);
  assert.ok(!needsVersion2(changeBatch("addNode")));
  assert.ok(needsVersion2(changeBatch("addObserver")));
  assert.ok(needsVersion2(changeBatch("addWitness")));
});

Deno.test("A forwarded record needs wire version 2 if any of its entries has session fields (rule I6)", () => {
  assert.equal(forwarded(encodeEntries(3, 16), 3), 1);
  const builder = new EntryBuilder();
  builder.addInSession(
    Uint8Array.of(1, 2),
    { clientId: 5, series: 3, respondedTo: 2 },
    77,
    5,
  );
  const last = builder.take().subarray(32);
  const first = encodeEntries(2, 16);
  const both = new Uint8Array(first.length + last.length);
  both.set(first);
  both.set(last, first.length);
  assert.equal(forwarded(both, 3), 2);
});

Deno.test("Of all records, version 1 of the wire does not know those that docs/VERSIONS.md lists (rule I6)", () => {
  const newer = new Set([
    "snapshot",
    "quiesce",
    "quiesceResponse",
    "stopped",
    "logHeld",
    "remote",
    "fetchEntries",
    "fetchedEntries",
  ]);
  fc.assert(
    fc.property(record, (one) => {
      const name = one.kind === "message" ? one.message.type : one.kind;
      const { change } = one as { change?: Record<string, unknown> };
      const isNewChange = change !== undefined &&
        (change["force"] === true || change["whenCaughtUp"] === true ||
          change["also"] !== undefined ||
          change["type"] === "addObserver" || change["type"] === "addWitness");
      assert.equal(wireVersionOf(one), newer.has(name) || isNewChange ? 2 : 1);
    }),
    { numRuns: 500 },
  );
});
