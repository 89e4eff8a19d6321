import { ByteWriter } from "../../raft/codec/bytes.ts";
import { encodeRecord } from "../../raft/codec/record.ts";
import { batchHeaderBytes, sealBatch } from "../../raft/core/entry_batch.ts";
import type { EntryBatch, Message } from "../../raft/core/types.ts";
import { crc32 } from "../../testing/deps.ts";
import { Timeline } from "../../testing/sim/clock.ts";
import { SimConnection } from "../../testing/sim/connection.ts";
import type { SimNetwork } from "../../testing/sim/network.ts";
import { Trace } from "../../testing/sim/trace.ts";
import { WireWatch } from "../../testing/sim/wire.ts";
import { assert } from "../deps.ts";

/** Messages as they would leave a NodeHost. */
class Fixture {
  readonly failures: string[] = [];
  readonly wire: WireWatch = new WireWatch((failure) =>
    this.failures.push(failure.check)
  );
  readonly #sender: SimConnection;

  constructor() {
    const timeline = new Timeline(new Trace());
    this.#sender = new SimConnection(
      {} as SimNetwork,
      0,
      timeline.world,
      "m1:1",
    );
    this.#sender.purpose = 1;
  }

  send(message: Message): boolean {
    const writer = new ByteWriter();
    encodeRecord(writer, { kind: "message", clusterId: 1, message });
    const records = writer.concat();
    const frame = new Uint8Array(1 + records.length);
    frame[0] = 16;
    frame.set(records, 1);
    this.wire.onSend(this.#sender, frame);
    return this.wire.bearsDisorder(this.#sender, frame);
  }
}

function batch(firstIndex: number, term: number, byte = 0): EntryBatch {
  const bytes = new Uint8Array(batchHeaderBytes + 6);
  bytes.set([1, 1, 0, 0, 0, byte], batchHeaderBytes);
  return sealBatch(bytes, {
    term,
    firstIndex,
    entryCount: 1,
    isConfigChange: false,
  }, crc32);
}

function append(
  term: number,
  commit: number,
  batches: readonly EntryBatch[],
  prevLogTerm = 1,
): Message {
  const prevLogIndex = (batches[0]?.firstIndex ?? 1) - 1;
  return {
    type: "append",
    from: 1,
    to: 2,
    term,
    prevLogIndex,
    prevLogTerm,
    commit,
    batches,
  };
}

Deno.test("WireWatch finds two votes in one term", () => {
  const watched = new Fixture();
  watched.send({
    type: "voteResponse",
    from: 3,
    to: 1,
    term: 4,
    granted: true,
  });
  watched.send({
    type: "voteResponse",
    from: 3,
    to: 2,
    term: 4,
    granted: false,
  });
  watched.send({
    type: "voteResponse",
    from: 3,
    to: 1,
    term: 4,
    granted: true,
  });
  assert.deepEqual(watched.failures, []);
  watched.send({
    type: "vote",
    from: 3,
    to: 1,
    term: 4,
    lastLogIndex: 1,
    lastLogTerm: 1,
    transfer: false,
  });
  assert.deepEqual(watched.failures, ["one vote per term"]);
});

Deno.test("WireWatch finds two entries with one index and term (paper 5.3)", () => {
  const fixture = new Fixture();
  fixture.send(append(2, 0, [batch(5, 2)]));
  fixture.send(append(3, 0, [batch(5, 2)]));
  assert.deepEqual(fixture.failures, []);
  fixture.send(append(3, 0, [batch(5, 2, 9)]));
  assert.deepEqual(fixture.failures, ["logs match"]);
});

Deno.test("WireWatch finds a commit of an older term by counting (paper 5.4.2)", () => {
  const fixture = new Fixture();
  fixture.send(append(4, 3, [batch(5, 2), batch(6, 4)]));
  fixture.send(append(4, 6, []));
  assert.deepEqual(fixture.failures, []);
  fixture.send(append(5, 6, [batch(7, 4), batch(8, 5)], 4));
  fixture.send(append(5, 7, []));
  assert.deepEqual(fixture.failures, ["commits its own term first"]);
});

Deno.test("WireWatch does not take for an older term what a follower got in a snapshot", () => {
  const fixture = new Fixture();
  // The leader was the only voter when it committed its first entries; the follower got them in a snapshot.
  fixture.send(append(8, 401, []));
  fixture.send(append(8, 402, [batch(403, 8)], 8));
  assert.deepEqual(fixture.failures, []);
  fixture.send(append(9, 402, [batch(404, 9)], 8));
  fixture.send(append(9, 403, [], 8));
  assert.deepEqual(fixture.failures, ["commits its own term first"]);
});

Deno.test("WireWatch remembers what a node promised, until a later leader may have cut it off", () => {
  const fixture = new Fixture();
  fixture.send({
    type: "appendResponse",
    from: 2,
    to: 1,
    term: 4,
    index: 9,
    rejected: false,
    hintIndex: 0,
    hintTerm: 0,
  });
  assert.deepEqual(fixture.wire.promises(1, 2), {
    term: 4,
    index: 9,
    indexTerm: 4,
  });
  fixture.send(append(4, 0, [batch(10, 4)]));
  assert.equal(fixture.wire.promises(1, 2).index, 9);
  fixture.send(append(5, 0, [batch(9, 5)]));
  assert.deepEqual(fixture.wire.promises(1, 2), {
    term: 4,
    index: 0,
    indexTerm: 5,
  });
  assert.deepEqual(fixture.wire.promises(1, 3), {
    term: 0,
    index: 0,
    indexTerm: 0,
  });
});

Deno.test("WireWatch knows what a log that ends with an entry must know to be committed (rule L3)", () => {
  const fixture = new Fixture();
  fixture.wire.applied(1, 2, 5);
  fixture.send(append(2, 7, [batch(8, 2)]));
  const last = { index: 8, term: 2 };
  assert.equal(fixture.wire.commitFloor(1, 2, last), 7);
  assert.equal(fixture.wire.commitFloor(1, 2, { index: 8, term: 3 }), 0);
  assert.equal(
    fixture.wire.commitFloor(1, 1, last),
    0,
    "its maker knew less when it wrote it",
  );
  fixture.wire.restarted(1, 2);
  fixture.send(append(3, 2, [batch(8, 2)]));
  assert.equal(fixture.wire.commitFloor(1, 2, last), 2);
});

Deno.test("WireWatch lets messages of the core be lost or doubled, and nothing else", () => {
  const fixture = new Fixture();
  assert.equal(fixture.send(append(2, 0, [batch(5, 2)])), true);
  const sender = new SimConnection(
    {} as SimNetwork,
    0,
    new Timeline(new Trace()).world,
    "m1:1",
  );
  sender.purpose = 2;
  const frame = new Uint8Array([16]);
  fixture.wire.onSend(sender, frame);
  assert.equal(fixture.wire.bearsDisorder(sender, frame), false);
});

Deno.test("WireWatch finds a promise of a node whose folder was lost with what it had promised before (rule I2)", () => {
  const watched = new Fixture();
  const vote = (from: number, granted: boolean): Message => ({
    type: "voteResponse",
    from,
    to: 1,
    term: 4,
    granted,
  });
  watched.send(vote(3, true));
  watched.wire.wiped(1, 3);
  watched.wire.wiped(1, 2); // It had said nothing yet, so nothing is forgotten.
  assert.equal(watched.wire.isSilenced(1, 3), true);
  assert.equal(watched.wire.isSilenced(1, 2), false);
  watched.send(vote(3, false));
  watched.send(vote(2, true));
  assert.deepEqual(watched.failures, []);
  // The same vote again: nobody else would see anything wrong in it.
  watched.send(vote(3, true));
  assert.deepEqual(watched.failures, ["wiped means silent"]);
  watched.wire.rebuilt(1);
  assert.equal(watched.wire.isSilenced(1, 3), false);
});
