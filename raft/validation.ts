/** Checks of what callers give: each names what is wrong, and throws `TypeError` or `RangeError` at once. */
import { assert } from "./core/assert.ts";

/** Whether it is an object, and no array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws {TypeError} if `value` has another type. */
export function requireType(
  name: string,
  value: unknown,
  type: "string" | "boolean" | "function" | "bigint",
): void {
  const found: string = typeof value;
  if (found !== type) {
    throw new TypeError(
      `Cannot use ${name}: it must be a ${type}, got ${found}`,
    );
  }
}

/** @throws {TypeError} @throws {RangeError} if `value` is not an integer from `min` to `max`. */
export function requireInteger(
  name: string,
  value: unknown,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): void {
  if (typeof value !== "number") {
    throw new TypeError(
      `Cannot use ${name}: it must be a number, got ${typeof value}`,
    );
  }
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new RangeError(
      `Cannot use ${name}: ${value} is not an integer from ${min} ` +
        (max === Number.MAX_SAFE_INTEGER ? "on" : `to ${max}`),
    );
  }
}

/** @throws {TypeError} if there is a field that is not known. */
export function requireKnownFields(
  what: string,
  value: Record<string, unknown>,
  known: ReadonlySet<string>,
): void {
  for (const name of Object.keys(value)) {
    if (!known.has(name)) {
      throw new TypeError(`Cannot use ${what}: there is no field ${name}`);
    }
  }
}

/**
 * An object of values by key, such as addresses by node id.
 *
 * @throws {TypeError} if it is something else; of a `Map` nobody would see the entries.
 */
export function requireEntries(
  name: string,
  value: unknown,
): asserts value is Record<string, unknown> {
  if (value instanceof Map) {
    throw new TypeError(
      `Cannot use ${name}: it is a Map; give an object, for example Object.fromEntries(map)`,
    );
  }
  if (!isObject(value)) {
    throw new TypeError(`Cannot use ${name}: it must be an object`);
  }
}

/**
 * A text for people and for reports to masters, which take no other.
 *
 * @throws {TypeError} @throws {RangeError} if it is longer than `maxLength`, or has control characters.
 */
export function requireText(
  name: string,
  value: unknown,
  maxLength = 255,
): void {
  requireType(name, value, "string");
  const { length } = value as string;
  if (length > maxLength) {
    throw new RangeError(
      `Cannot use ${name}: it has ${length} characters, ${maxLength} at most`,
    );
  }
  if (/\p{C}/u.test(value as string)) {
    throw new RangeError(`Cannot use ${name}: it has control characters`);
  }
}

/** Checks that all of `methods` are there. @throws {TypeError} naming the first that is not. */
export function requireMethods(
  name: string,
  value: unknown,
  methods: readonly string[],
): void {
  if (!isObject(value)) {
    throw new TypeError(`Cannot use ${name}: it must be an object`);
  }
  for (const method of methods) {
    requireType(`${name}.${method}`, value[method], "function");
  }
}

/** Checks a `host:port` address. */
export function validateAddress(name: string, value: unknown): void {
  requireType(name, value, "string");
  const text = value as string;
  const colon = text.lastIndexOf(":");
  const port = Number(text.slice(colon + 1));
  const isPort = /^[0-9]{1,5}$/.test(text.slice(colon + 1)) && port >= 1 &&
    port <= 65_535;
  if (
    colon < 1 || text.length > 255 || /[\s/\p{C}]/u.test(text) || !isPort
  ) {
    const shown = text.length > 255 ? `${text.slice(0, 255)}…` : text;
    throw new RangeError(`Cannot use ${name}: "${shown}" is not host:port`);
  }
  const host = text.slice(0, colon);
  if (!/^(\[[0-9a-fA-F:.%]+\]|[^:[\]]+)$/.test(host)) {
    throw new RangeError(
      `Cannot use ${name}: "${text}" is not host:port; an IPv6 address stands in brackets, as in [::1]:7001`,
    );
  }
}

/** Checks the id of a NodeHost. @throws {RangeError} if it is none. */
export function requireNodeHostId(name: string, id: string): void {
  if (/^[0-9a-f]{32}$/.test(id)) return;
  throw new RangeError(
    `Cannot use ${name}: a nodeHostId has 32 digits from 0 to f; host.info() tells it`,
  );
}

/** Checks an id of a cluster or a node. */
export function validateId(name: string, value: unknown): void {
  requireInteger(name, value, 1);
}

/**
 * Checks that a key of a map of members is a node id as it is written: "2" is, "02", "2.0" and "+2" are not. Two keys
 * that differ as texts would name one node otherwise, and one disk would count as two members (rule I3).
 *
 * @throws {RangeError} if it is not.
 */
export function validateIdKey(name: string, key: string): void {
  const id = Number(key);
  if (String(id) === key) return validateId(name, id);
  throw new RangeError(
    `Cannot use ${name}: "${key}" is not a node id` +
      (Number.isSafeInteger(id) && id >= 1 ? `; write it as ${id}` : ""),
  );
}

/**
 * Checks a map of members: node ids, and an address that nobody shares for each.
 *
 * @throws {TypeError} @throws {RangeError} naming the entry that is wrong.
 */
export function validateMembers(
  name: string,
  members: Readonly<Record<string, unknown>>,
): void {
  const addresses = new Set<string>();
  for (const [id, address] of Object.entries(members)) {
    validateIdKey(`${name}[${id}]`, id);
    validateAddress(`${name}[${id}]`, address);
    const place = (address as string).toLowerCase();
    if (addresses.has(place)) {
      throw new RangeError(`Cannot use ${name}: ${address} occurs twice`);
    }
    addresses.add(place);
  }
}

/** The members of a map that was checked, ascending by node id; no two have the same id (rule I3). */
export function membersInOrder(
  members: Readonly<Record<string, string>>,
): (readonly [nodeId: number, address: string])[] {
  const list = Object.entries(members)
    .map(([nodeId, address]) => [Number(nodeId), address] as const)
    .sort((a, b) => a[0] - b[0]);
  assert(hasUniqueIds(list), "every member has an id of its own (rule I3)");
  return list;
}

/** Whether no id occurs twice in a list of members. */
export function hasUniqueIds(
  members: readonly (readonly [nodeId: number, address: string])[],
): boolean {
  return new Set(members.map(([nodeId]) => nodeId)).size === members.length;
}
