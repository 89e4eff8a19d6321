import { assert } from "../../deps.ts";
import {
  decodeCommand,
  encodeDelete,
  encodePut,
  keyBytesMax,
} from "../../../examples/kv/commands.ts";

Deno.test("encodePut() draws the bytes that its file describes", () => {
  assert.deepEqual(
    encodePut("aé", new Uint8Array([9, 8])),
    new Uint8Array([1, 1, 3, 0, 0x61, 0xc3, 0xa9, 9, 8]),
  );
  assert.deepEqual(encodeDelete("a"), new Uint8Array([1, 2, 1, 0, 0x61]));
});

Deno.test("decodeCommand() returns what was encoded", () => {
  const keys = ["k", "a/b#0", "ключ", "\ufeffbom", "x".repeat(keyBytesMax)];
  for (const key of keys) {
    const value = new Uint8Array([0, 255, 7]);
    assert.deepEqual(decodeCommand(encodePut(key, value)), {
      type: "put",
      key,
      value,
    });
    assert.deepEqual(decodeCommand(encodeDelete(key)), { type: "delete", key });
  }
  assert.deepEqual(decodeCommand(encodePut("k", new Uint8Array(0))), {
    type: "put",
    key: "k",
    value: new Uint8Array(0),
  });
});

Deno.test("decodeCommand() returns undefined for every other kind of bytes", () => {
  const put = encodePut("key", new Uint8Array([1]));
  const damaged = (at: number, byte: number) => {
    const bytes = put.slice();
    bytes[at] = byte;
    return bytes;
  };
  const wrong = [
    new Uint8Array(0),
    put.subarray(0, 3),
    put.subarray(0, 5), // Cut inside the key.
    damaged(0, 2), // A version that is not ours.
    damaged(1, 9), // No such operation.
    damaged(2, 0), // An empty key.
    damaged(3, 255), // A key longer than the command.
    damaged(4, 0xff), // Not UTF-8.
    new Uint8Array([...encodeDelete("key"), 0]), // Something behind a delete.
  ];
  for (const bytes of wrong) assert.equal(decodeCommand(bytes), undefined);
});

Deno.test("encodePut() refuses a key that is empty or too long", () => {
  const value = new Uint8Array(0);
  assert.throws(() => encodePut("", value), RangeError);
  assert.throws(
    () => encodePut("x".repeat(keyBytesMax + 1), value),
    RangeError,
  );
  assert.throws(() => encodeDelete(""), RangeError);
});
