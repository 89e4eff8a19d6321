import { decodeCbor } from "../../../master/wire/cbor.ts";
import { RaftError } from "../../../raft/errors.ts";
import { decodeValue, encodeValue } from "../../../raft/remote/values.ts";
import { assert, fc } from "../../deps.ts";
import { remoteValue } from "./arbitraries.ts";

const limit = 1024 * 1024;

Deno.test("Values: what can travel arrives as it was (rule C7)", () => {
  fc.assert(
    fc.property(remoteValue, (value) => {
      const bytes = encodeValue(value, "the query", limit);
      assert.deepEqual(decodeValue(bytes), { value });
    }),
  );
});

Deno.test("Values: numbers that are easily lost", () => {
  const numbers = [-0, NaN, Infinity, 2 ** 53, -(2 ** 53), 1e300, 0.1, 23, 24];
  for (const value of [...numbers, 255, 256, 65_536, 2 ** 32, 2 ** 53 - 1]) {
    const decoded = decodeValue(encodeValue(value, "it", limit));
    assert.ok(typeof decoded === "object" && Object.is(decoded.value, value));
  }
});

Deno.test("Values: a key called __proto__ stays a key", () => {
  const value = JSON.parse('{"__proto__":{"isAdmin":true}}');
  const decoded = decodeValue(encodeValue(value, "it", limit));
  assert.ok(typeof decoded === "object");
  const arrived = decoded.value as Record<string, unknown>;
  assert.ok(Object.hasOwn(arrived, "__proto__"));
  assert.equal(arrived.isAdmin, undefined);
});

Deno.test("Values: they are CBOR", () => {
  const value = { a: [1, -2, "x", null, true, 0.5], b: { c: 70_000 } };
  assert.deepEqual(decodeCbor(encodeValue(value, "it", limit)), value);
});

Deno.test("Values: what cannot travel is refused by name with TypeError (rule C7)", () => {
  const circle: unknown[] = [];
  circle.push(circle);
  const cases: [unknown, RegExp][] = [
    [() => 1, /the query is a function/],
    [{ a: [1, Symbol("x")] }, /the query\.a\[1\] is a symbol/],
    [{ at: new URL("http://x") }, /the query\.at is an instance of URL/],
    [new Float64Array(2), /an instance of Float64Array/],
    [new Map([[{ f: Math.max }, 1]]), /a key of the query\.f is a function/],
    [circle, /contains itself/],
    ["\ud800", /half of a surrogate pair/],
  ];
  for (const [value, message] of cases) {
    assert.throws(
      () => encodeValue(value, "the query", limit),
      (error) => error instanceof TypeError && message.test(error.message),
      String(message),
    );
  }
});

Deno.test("Values: a value that is too big is refused", () => {
  assert.throws(
    () => encodeValue(new Uint8Array(1_001), "the query", 1_000),
    (error) => error instanceof RaftError && error.code === "payloadTooBig",
  );
});

Deno.test("Values: a length that was only told takes no memory", () => {
  // An array of 2^32 - 1 values, a map of as many, a text, a byte string.
  for (const first of [0x9a, 0xba, 0x7a, 0x5a]) {
    const bytes = new Uint8Array([first, 0xff, 0xff, 0xff, 0xff, 0xf6]);
    assert.equal(typeof decodeValue(bytes), "string");
  }
  assert.equal(
    decodeValue(new Uint8Array(200).fill(0x81)),
    "range",
    "too deep",
  );
  assert.equal(decodeValue(new Uint8Array([0xf6, 0xf6])), "trailing");
});
