/**
 * Fuzzing of decoders. A target says how to make values, encode and decode them; the harness makes bytes that are
 * right, nearly right, cut, with lengths at their limits, or anything, and looks for three things: whatever the bytes
 * are, the decoder ends with a value or with its own refusal; it never takes memory by a length that it was only told;
 * and what it accepts, it encodes and decodes again to the same value.
 *
 * Checksums would hide what stands behind them: half of the time encoder and decoder are given one that always holds.
 */
import { crc32 as realCrc32 } from "../../storage/deps.ts";
import type { Crc32 } from "../../raft/core/types.ts";
import { assert, fc } from "../deps.ts";
import { countingAllocations } from "./allocations.ts";

/** What a decoder made of bytes: a value, or its own refusal. */
export type Outcome<Value> =
  | { readonly value: Value }
  | { readonly refusal: string };

/** One decoder. */
export interface Target<Value> {
  readonly name: string;
  /** Values to encode. */
  readonly values: fc.Arbitrary<Value>;
  /** Encodes one. */
  encode(value: Value, crc32: Crc32): Uint8Array;
  /** Decodes. Whatever it throws is a bug. */
  decode(bytes: Uint8Array, crc32: Crc32): Outcome<Value>;
  /** Some decoders accept what their encoder would not make. */
  readonly isLenient?: boolean;
}

/** A target of any value. */
export type AnyTarget = Target<unknown>;

/** Hides the type of a target's values. */
export function target<Value>(one: Target<Value>): AnyTarget {
  return one as unknown as AnyTarget;
}

/** Turns a decoder's own error into a refusal, and lets every other error pass. */
export function refusing<Value>(
  isRefusal: (error: unknown) => boolean,
  decode: () => Value,
): Outcome<Value> {
  try {
    return { value: decode() };
  } catch (error) {
    if (isRefusal(error)) return { refusal: String(error) };
    throw error;
  }
}

/** A checksum that always holds. */
const anyCrc32: Crc32 = () => 0;

/** Memory that a decoder may take whatever it reads: arenas. */
const freeBytes = 2 * 1024 * 1024;
/** Beside that, for each byte it was given. */
const bytesPerByte = 64;

/** A change to bytes. */
export type Mutation =
  | { kind: "byte"; at: number; value: number }
  | { kind: "number"; at: number; width: 1 | 2 | 4 | 8; value: bigint }
  | { kind: "cut"; at: number }
  | { kind: "remove"; at: number; count: number }
  | { kind: "repeat"; at: number; count: number };

/** A place in bytes of any length: a fraction of it, in 1/65536, or a distance from its end. */
const place = fc.nat(0xffff);
const extreme = fc.constantFrom(
  0n,
  1n,
  0x7fn,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
);
/** Any change. */
export const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({
    kind: fc.constant("byte" as const),
    at: place,
    value: fc.nat(255),
  }),
  fc.record({
    kind: fc.constant("number" as const),
    at: place,
    width: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
    value: extreme,
  }),
  fc.record({ kind: fc.constant("cut" as const), at: place }),
  fc.record({
    kind: fc.constant("remove" as const),
    at: place,
    count: fc.integer({ min: 1, max: 64 }),
  }),
  fc.record({
    kind: fc.constant("repeat" as const),
    at: place,
    count: fc.integer({ min: 1, max: 64 }),
  }),
);

/** Half of all places are near the beginning, where lengths stand. */
function offsetOf(at: number, length: number): number {
  return (at & 1) === 0
    ? Math.min(at >> 9, Math.max(0, length - 1))
    : Math.floor(at * length / 0x10000);
}

/** Makes a change. */
export function mutate(bytes: Uint8Array, change: Mutation): Uint8Array {
  if (bytes.length === 0) return bytes;
  const at = offsetOf(change.at, bytes.length);
  switch (change.kind) {
    case "byte":
      return bytes.with(at, change.value);
    case "number": {
      const copy = bytes.slice();
      for (let i = 0; i < change.width && at + i < copy.length; i++) {
        copy[at + i] = Number((change.value >> BigInt(8 * i)) & 0xffn);
      }
      return copy;
    }
    case "cut":
      return bytes.slice(0, at);
    case "remove":
      return join(bytes.slice(0, at), bytes.slice(at + change.count));
    case "repeat":
      return join(bytes.slice(0, at + change.count), bytes.slice(at));
  }
}

function join(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.length + tail.length);
  bytes.set(head);
  bytes.set(tail, head.length);
  return bytes;
}

/** Decodes, and fails if that throws, takes too much, or gives a value that is not worth its bytes. */
export function tryDecode(
  one: AnyTarget,
  bytes: Uint8Array,
  crc32: Crc32,
): Outcome<unknown> {
  const { result, allocatedBytes } = countingAllocations(() =>
    one.decode(bytes, crc32)
  );
  assert.ok(
    allocatedBytes <= freeBytes + bytesPerByte * bytes.length,
    `${bytes.length} bytes made it take ${allocatedBytes}`,
  );
  if ("value" in result && one.isLenient !== true) {
    const again = one.decode(one.encode(result.value, crc32), crc32);
    assert.deepEqual(again, result, "what it accepts, it can say again");
  }
  return result;
}

/** The properties of a target, by what they look for. */
export function propertiesOf(
  one: AnyTarget,
): Record<string, fc.IRawProperty<unknown>> {
  const isWeak = fc.boolean();
  const crcOf = (weak: boolean) => weak ? anyCrc32 : realCrc32;
  return {
    "round trip": fc.property(one.values, (value) => {
      const bytes = one.encode(value, realCrc32);
      assert.deepEqual(one.decode(bytes, realCrc32), { value });
    }),
    "nearly right": fc.property(
      one.values,
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      isWeak,
      (value, changes, weak) => {
        const crc32 = crcOf(weak);
        let bytes = one.encode(value, crc32);
        for (const change of changes) bytes = mutate(bytes, change);
        tryDecode(one, bytes, crc32);
      },
    ),
    "spliced": fc.property(
      one.values,
      one.values,
      place,
      place,
      (first, second, firstAt, secondAt) => {
        const head = one.encode(first, anyCrc32);
        const tail = one.encode(second, anyCrc32);
        const bytes = join(
          head.slice(0, offsetOf(firstAt, head.length)),
          tail.slice(offsetOf(secondAt, tail.length)),
        );
        tryDecode(one, bytes, anyCrc32);
      },
    ),
    "anything": fc.property(
      fc.uint8Array({ maxLength: 600 }),
      isWeak,
      (bytes, weak) => {
        tryDecode(one, bytes, crcOf(weak));
      },
    ),
  } as unknown as Record<string, fc.IRawProperty<unknown>>;
}
