/** Ready-made models: a register, a key-value store, lists by key and a counter. */
import type { Model } from "./model.ts";

/** What a register is asked. */
export type RegisterInput<Value> =
  | { readonly op: "read" }
  | { readonly op: "write"; readonly value: Value }
  | { readonly op: "cas"; readonly expected: Value; readonly value: Value };

/** The value of a read, whether a compare-and-set took place, `null` for a write. */
export type RegisterOutput<Value> = Value | boolean | null;

/** One value that can be read, written, and compared and set. Values are compared by `Object.is`. */
export function registerModel<Value extends string | number | null>(
  initial: Value,
): Model<Value, RegisterInput<Value>, RegisterOutput<Value>> {
  return {
    name: "register",
    init: () => initial,
    step(state, input, output) {
      if (input.op === "read") return [matches(output, state), state];
      if (input.op === "write") return [true, input.value];
      const isSet = Object.is(state, input.expected);
      return [matches(output, isSet), isSet ? input.value : state];
    },
    hash: (state) => hashOf(String(state)),
  };
}

/** What a key-value store of strings is asked. */
export type KeyValueInput =
  | { readonly op: "get"; readonly key: string }
  | { readonly op: "put"; readonly key: string; readonly value: string }
  | { readonly op: "append"; readonly key: string; readonly value: string }
  | {
    readonly op: "cas";
    readonly key: string;
    readonly expected: string;
    readonly value: string;
  };

/** The value of a get, whether a compare-and-set took place, `null` for a put and an append. */
export type KeyValueOutput = string | boolean | null;

/** Strings by key; a key that was never written holds the empty string. Each key is searched alone. */
export function keyValueModel(): Model<string, KeyValueInput, KeyValueOutput> {
  return {
    name: "keyValue",
    init: () => "",
    step(state, input, output) {
      switch (input.op) {
        case "get":
          return [matches(output, state), state];
        case "put":
          return [true, input.value];
        case "append":
          return [true, state + input.value];
        case "cas": {
          const isSet = state === input.expected;
          return [matches(output, isSet), isSet ? input.value : state];
        }
      }
    },
    hash: hashOf,
    partition: (input) => input.key,
  };
}

/** What a store of lists is asked. */
export type ListInput =
  | { readonly op: "read"; readonly key: string }
  | { readonly op: "append"; readonly key: string; readonly value: number }
  | {
    readonly op: "appendAt";
    readonly key: string;
    /** Appended only if the list is so long. */
    readonly length: number;
    readonly value: number;
  };

/** The list of a read; how long the list is after an addition, or 0 if `appendAt` found another length. */
export type ListOutput = readonly number[] | number;

/**
 * Lists by key that only grow; each begins empty and is searched alone. With values that occur once, every answer tells
 * all that happened before, so that histories with many unknown outcomes are decided as well.
 */
export function listModel(): Model<readonly number[], ListInput, ListOutput> {
  return {
    name: "list",
    init: () => [],
    step(list, input, output) {
      if (input.op === "read") {
        return [output === undefined || areSameLists(output, list), list];
      }
      const isAdded = input.op === "append" || list.length === input.length;
      const after = isAdded ? [...list, input.value] : list;
      return [matches(output, isAdded ? after.length : 0), after];
    },
    equal: areSameLists,
    hash: (list) =>
      Math.imul(list.length, 0x9e3779b1) ^ (list[list.length - 1] ?? 0),
    partition: (input) => input.key,
    canPrecede(list, _input, output) {
      if (typeof output === "number") {
        return output === 0 || list.length < output;
      }
      return list.length <= output.length &&
        list.every((value, i) => value === output[i]);
    },
  };
}

function areSameLists(a: ListOutput, b: ListOutput): boolean {
  return typeof a === "object" && typeof b === "object" &&
    a.length === b.length && a.every((value, i) => value === b[i]);
}

/** What a counter is asked. */
export type CounterInput =
  | { readonly op: "read" }
  | { readonly op: "add"; readonly value: number };

/** The total: of a read, or after an addition. `null` if an addition was only acknowledged. */
export type CounterOutput = number | null;

/** A total that begins at 0. */
export function counterModel(): Model<number, CounterInput, CounterOutput> {
  return {
    name: "counter",
    init: () => 0,
    step(state, input, output) {
      if (input.op === "read") return [matches(output, state), state];
      const total = state + input.value;
      return [output === null || matches(output, total), total];
    },
    hash: (state) => state | 0,
  };
}

/** An answer that nobody knows may have been any. */
function matches<Value>(output: unknown, expected: Value): boolean {
  return output === undefined || Object.is(output, expected);
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash;
}
