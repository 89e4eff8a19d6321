/**
 * Whether what a line of an export holds is a record of a store. An import is an operator's, and what was exported is
 * right; but a file may be cut, mended by hand, or of another program, and a store that took it would stand still for
 * ever. Fields that are not known are let pass: a newer master may have written them.
 */
import { clusterLives } from "./schema.ts";

type Fields = Record<string, unknown>;
type Check = (value: unknown) => boolean;

const maxId = 2n ** 64n - 1n;
/** Bytes of a key in Deno KV are bounded; none of ours comes near. */
const maxKeyText = 512;

const isCount: Check = (value) =>
  Number.isSafeInteger(value) && (value as number) >= 0;
const isId: Check = (value) =>
  Number.isSafeInteger(value) && (value as number) >= 1;
const isInteger: Check = (value) => Number.isSafeInteger(value);
const isFlag: Check = (value) => typeof value === "boolean";
const isText: Check = (value) => typeof value === "string";
const isName: Check = (value) =>
  typeof value === "string" && value.length >= 1 && value.length <= maxKeyText;
const isTextList: Check = (value) =>
  Array.isArray(value) && value.every(isText);
const isIdList: Check = (value) => Array.isArray(value) && value.every(isId);
const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) &&
  !(value instanceof Uint8Array);

function objectWith(
  needed: Readonly<Record<string, Check>>,
  optional: Readonly<Record<string, Check>> = {},
): Check {
  return (value) =>
    isObject(value) &&
    Object.entries(needed).every(([name, check]) => check(value[name])) &&
    Object.entries(optional).every(([name, check]) =>
      value[name] === undefined || check(value[name])
    );
}

function mapWith(check: Check): Check {
  return (value) => isObject(value) && Object.values(value).every(check);
}

function listWith(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check);
}

function oneOf(...texts: string[]): Check {
  return (value) => typeof value === "string" && texts.includes(value);
}

const isRegionWish = objectWith({ region: isText, count: isId });

const isDefinition = objectWith({
  gen: isCount,
  app: isText,
  size: isId,
  regions: listWith(isRegionWish),
  config: mapWith(isInteger),
});

const isMember = objectWith({
  role: oneOf("voter", "observer", "witness"),
  address: isText,
}, { host: isName });

/** By the first part of the key: its other parts, and what stands there. */
const records: Readonly<Record<string, { key: Check[]; value: Check }>> = {
  meta: {
    key: [],
    value: objectWith({
      deploymentId: (value) =>
        typeof value === "bigint" && value >= 1n && value <= maxId,
    }),
  },
  clock: {
    key: [],
    value: objectWith({ tick: isCount, busy: isFlag, paused: isFlag }, {
      gen: isCount,
      adopt: listWith(
        objectWith({ app: isText }, {
          regions: listWith(isRegionWish),
          config: mapWith(isInteger),
        }),
      ),
    }),
  },
  h: {
    key: [isName],
    value: objectWith({ boot: isCount, seq: isCount, addr: isText }, {
      region: isText,
      state: oneOf("ok", "failing", "failed", "gone"),
      tick: isInteger,
      ttl: isCount,
      apps: isTextList,
      secretHash: isText,
    }),
  },
  addr: { key: [isName], value: objectWith({ host: isName }) },
  c: {
    key: [isId],
    value: objectWith({ cci: isCount }, {
      life: oneOf(...clusterLives),
      def: isDefinition,
      members: mapWith(isMember),
      voters: mapWith(isText),
      confirmedBy: isTextList,
      gone: isIdList,
      zombies: mapWith(isText),
      condemned: isIdList,
      avoid: mapWith(isInteger),
      steps: isCount,
    }),
  },
  tomb: { key: [isId], value: objectWith({ tick: isCount, steps: isCount }) },
  ev: {
    key: [isCount, isName],
    value: objectWith({ tick: isCount, what: isText, why: isText }),
  },
};

/** Why a key and a value are no record of a store, or `undefined` if they are. */
export function checkRecord(
  key: unknown,
  value: unknown,
  prefixes: readonly string[],
): string | undefined {
  const prefix = Array.isArray(key) ? key[0] : undefined;
  if (!prefixes.includes(prefix) || !isObject(value)) return "it is no record";
  const { key: parts, value: check } = records[prefix]!;
  const given = (key as unknown[]).slice(1);
  const isKey = given.length === parts.length &&
    parts.every((part, i) => part(given[i]));
  if (!isKey) return "it is no record";
  if (prefix === "c") {
    const { members, voters } = value as Record<string, object | undefined>;
    for (const id of Object.keys({ ...voters, ...members })) {
      // "1" and "01" would become one member, or one NodeHost two (rule I3).
      if (!isIdKey(id)) return `"${id.slice(0, 32)}" is not a node id`;
    }
    // A cluster that a version wrote which knew no `members` has `voters`.
    if (members === undefined && voters === undefined) return "it is no record";
  }
  return check(value) ? undefined : "its record is not what it should be";
}

function isIdKey(key: string): boolean {
  const id = Number(key);
  return Number.isSafeInteger(id) && id >= 1 && String(id) === key;
}
