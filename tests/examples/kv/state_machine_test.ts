import { assert } from "../../deps.ts";
import { encodeDelete, encodePut } from "../../../examples/kv/commands.ts";
import { effects, KvStateMachine } from "../../../examples/kv/state_machine.ts";

let lastIndex = 0;

function apply(machine: KvStateMachine, command: Uint8Array): number {
  return machine.update({ index: ++lastIndex, term: 1, command }).value;
}

function put(machine: KvStateMachine, key: string, ...bytes: number[]): number {
  return apply(machine, encodePut(key, new Uint8Array(bytes)));
}

function get(machine: KvStateMachine, key: string): unknown {
  return machine.lookup({ type: "get", key });
}

async function snapshotOf(machine: KvStateMachine): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  await machine.saveSnapshot({
    write: (bytes) => {
      pieces.push(bytes.slice());
      return Promise.resolve();
    },
    addFile: () => Promise.reject(new Error("there are no files")),
  });
  return pieces;
}

/** The same bytes, cut into pieces of another size. */
function streamOf(
  pieces: Uint8Array[],
  pieceBytes: number,
): ReadableStream<Uint8Array> {
  const all = new Uint8Array(pieces.flatMap((piece) => [...piece]));
  const cut: Uint8Array[] = [];
  for (let at = 0; at < all.length; at += pieceBytes) {
    cut.push(all.slice(at, at + pieceBytes));
  }
  return ReadableStream.from(cut);
}

Deno.test("KvStateMachine applies puts and deletes and says what they did", () => {
  const machine = new KvStateMachine();
  assert.equal(put(machine, "a", 1), effects.created);
  assert.equal(put(machine, "a", 2), effects.replaced);
  assert.deepEqual(get(machine, "a"), new Uint8Array([2]));
  assert.equal(apply(machine, encodeDelete("a")), effects.deleted);
  assert.equal(apply(machine, encodeDelete("a")), effects.absent);
  assert.equal(get(machine, "a"), undefined);
  assert.equal(apply(machine, new Uint8Array([7])), effects.malformed);
});

Deno.test("KvStateMachine keeps a copy of the value, not a view of its batch (rule B4)", () => {
  const machine = new KvStateMachine();
  const command = encodePut("a", new Uint8Array([1, 2, 3]));
  apply(machine, command);
  command.fill(0);
  assert.deepEqual(get(machine, "a"), new Uint8Array([1, 2, 3]));
});

Deno.test("KvStateMachine.hash() depends on the state alone, not on how it came about", () => {
  const one = new KvStateMachine();
  const other = new KvStateMachine();
  assert.equal(one.hash(), 0n);
  put(one, "a", 1);
  put(one, "b", 2);
  put(other, "b", 9);
  put(other, "c", 3);
  put(other, "a", 1);
  put(other, "b", 2);
  assert.notEqual(one.hash(), other.hash());
  apply(other, encodeDelete("c"));
  assert.equal(one.hash(), other.hash());
  apply(one, encodeDelete("a"));
  apply(one, encodeDelete("b"));
  assert.equal(one.hash(), 0n);
});

Deno.test("KvStateMachine lists keys in order, by prefix and page by page", () => {
  const machine = new KvStateMachine();
  for (const key of ["b/2", "a", "b/1", "c", "b/3"]) put(machine, key, 1, 1);
  const list = (prefix: string, after: string, limit: number) =>
    machine.lookup({ type: "list", prefix, after, limit });
  const key = (key: string) => ({ key, bytes: 2 });
  assert.deepEqual(list("b/", "", 2), {
    keys: [key("b/1"), key("b/2")],
    more: true,
  });
  assert.deepEqual(list("b/", "b/2", 2), { keys: [key("b/3")], more: false });
  assert.deepEqual(list("", "b/3", 9), { keys: [key("c")], more: false });
  assert.deepEqual(list("d", "", 9), { keys: [], more: false });
  put(machine, "d", 1, 1); // A listing made before must not hide it.
  assert.deepEqual(list("d", "", 9), { keys: [key("d")], more: false });
});

Deno.test("KvStateMachine recovers from its snapshot, however the stream is cut", async () => {
  const machine = new KvStateMachine();
  put(machine, "empty");
  put(machine, "gone", 1);
  apply(machine, encodeDelete("gone"));
  for (let i = 0; i < 150; i++) {
    apply(machine, encodePut(`key/${i}`, new Uint8Array(i).fill(i)));
  }
  apply(machine, encodePut("big", new Uint8Array(70_000).fill(5)));
  apply(machine, encodePut("after", new Uint8Array(65_530).fill(6)));
  const pieces = await snapshotOf(machine);
  for (const pieceBytes of [3, 7, 4_096, 1 << 30]) {
    const copy = new KvStateMachine();
    put(copy, "must not survive", 1);
    await copy.recoverFromSnapshot(streamOf(pieces, pieceBytes));
    assert.equal(copy.hash(), machine.hash());
    assert.deepEqual(get(copy, "big"), new Uint8Array(70_000).fill(5));
    assert.deepEqual(get(copy, "empty"), new Uint8Array(0));
    assert.equal(get(copy, "must not survive"), undefined);
  }
});

Deno.test("KvStateMachine writes a snapshot piece by piece, as fast as they are taken", async () => {
  const machine = new KvStateMachine();
  for (let i = 0; i < 100; i++) {
    apply(machine, encodePut(`key/${i}`, new Uint8Array(10_000)));
  }
  let beingWritten = 0;
  let largest = 0;
  await machine.saveSnapshot({
    async write(bytes) {
      assert.equal(++beingWritten, 1, "the last write was not awaited");
      largest = Math.max(largest, bytes.length);
      await Promise.resolve();
      beingWritten--;
    },
    addFile: () => Promise.reject(new Error("there are no files")),
  });
  assert.ok(largest <= 64 * 1024);
});

Deno.test("KvStateMachine refuses a snapshot that is cut, foreign or of another version", async () => {
  const machine = new KvStateMachine();
  put(machine, "a", 1, 2, 3);
  const whole = await snapshotOf(machine);
  const bytes = new Uint8Array(whole.flatMap((piece) => [...piece]));
  for (let end = 0; end < bytes.length; end++) {
    await assert.rejects(
      new KvStateMachine().recoverFromSnapshot(
        streamOf([bytes.slice(0, end)], 1 << 20),
      ),
      /^Error: Cannot read the snapshot/,
    );
  }
  const foreign = bytes.slice();
  foreign[3] = 0x32;
  await assert.rejects(
    new KvStateMachine().recoverFromSnapshot(streamOf([foreign], 1 << 20)),
    /another version/,
  );
});
