/** What the default application answers, for the checker of linearizability: written from its description, not its code. */
import type { Model } from "../linearizability/model.ts";
import type { SimInput } from "./application.ts";
import type { KeyValueAnswer } from "./key_value.ts";

const listLimit = 16;
const empty: KeyValueAnswer = { value: 0, list: [], version: 0 };

/** A key's row. Writes answer the value before, queries the whole row. */
export const keyValueRowModel: Model<KeyValueAnswer, SimInput, unknown> = {
  name: "keyValueRow",
  init: () => empty,
  step(row, { kind, input }, output) {
    if (kind === "read") {
      const answer = output as KeyValueAnswer | undefined;
      return [answer === undefined || areEqual(answer, row), row];
    }
    const { isAppend, value } = commandOf(input);
    const result = output as { readonly value: number } | undefined;
    return [result === undefined || result.value === row.value, {
      value: isAppend ? row.value : value,
      list: isAppend ? appended(row.list, value) : row.list,
      version: row.version + 1,
    }];
  },
  canPrecede(row, { kind }, output) {
    if (kind !== "read") return true;
    const answer = output as KeyValueAnswer;
    const writes = answer.version - row.version;
    if (writes <= 0) return writes === 0 && areEqual(answer, row);
    // Where the list was cut, its beginning tells nothing.
    return answer.list.length === listLimit ||
      answer.list.length - row.list.length <= writes &&
        beginsWith(answer.list, row.list);
  },
  equal: areEqual,
  hash: ({ value, version }) => Math.imul(version, 0x9e3779b1) ^ value,
  partition: ({ kind, input }) =>
    kind === "read" ? Number(input) : (input as Uint8Array)[1]!,
};

function commandOf(
  input: unknown,
): { isAppend: boolean; key: number; value: number } {
  const bytes = input as Uint8Array;
  return {
    isAppend: bytes[0] !== 0,
    key: bytes[1]!,
    value: (bytes[2]! | bytes[3]! << 8 | bytes[4]! << 16 | bytes[5]! << 24) >>>
      0,
  };
}

function appended(list: readonly number[], value: number): number[] {
  const longer = list.slice(list.length < listLimit ? 0 : 1);
  longer.push(value);
  return longer;
}

function beginsWith(
  list: readonly number[],
  beginning: readonly number[],
): boolean {
  for (let i = 0; i < beginning.length; i++) {
    if (list[i] !== beginning[i]) return false;
  }
  return true;
}

function areEqual(a: KeyValueAnswer, b: KeyValueAnswer): boolean {
  return a.value === b.value && a.version === b.version &&
    (a.list === b.list ||
      a.list.length === b.list.length && beginsWith(a.list, b.list));
}
