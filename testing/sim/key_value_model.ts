/** What the default application answers, for the checker of linearizability: written from its description, not its code. */
import type { Model } from "../linearizability/model.ts";
import type { SimInput } from "./application.ts";
import type { KeyValueAnswer } from "./key_value.ts";

const listLimit = 64;
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
      list: isAppend ? [...row.list, value].slice(-listLimit) : row.list,
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
        row.list.every((value, i) => value === answer.list[i]);
  },
  equal: areEqual,
  hash: ({ value, version }) => Math.imul(version, 0x9e3779b1) ^ value,
  partition: ({ kind, input }) =>
    kind === "read" ? Number(input) : commandOf(input).key,
};

function commandOf(
  input: unknown,
): { isAppend: boolean; key: number; value: number } {
  const { buffer, byteOffset } = input as Uint8Array;
  const view = new DataView(buffer, byteOffset);
  return {
    isAppend: view.getUint8(0) !== 0,
    key: view.getUint8(1),
    value: view.getUint32(2, true),
  };
}

function areEqual(a: KeyValueAnswer, b: KeyValueAnswer): boolean {
  return a.value === b.value && a.version === b.version &&
    (a.list === b.list ||
      a.list.length === b.list.length &&
        a.list.every((value, i) => value === b.list[i]));
}
