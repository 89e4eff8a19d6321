/**
 * All state of a store as lines of text, and back (M11).
 *
 *     {"format":"drakkar-master","version":1}
 *     [key, value]                                one per line, in the order of keys
 *
 * Values are JSON with {"$bigint":"7"} and {"$bytes":"base64"} for what JSON does not have. Versionstamps are left out:
 * nothing depends on them. What follows from other records is left out as well, and computed anew, so a copy that was
 * made while masters were writing is as good as one of a moment.
 * `import.ts` reads them.
 */
import type { KvKey } from "./kv.ts";
import type { KvAccess } from "./kv_access.ts";

/** Name of the format, in its first line. */
export const formatName = "drakkar-master";
/** Version of the format. */
export const formatVersion = 1;

/** What is exported, in this order; the rest follows from it. */
export const exportedPrefixes = [
  "meta",
  "clock",
  "h",
  "addr",
  "c",
  "tomb",
  "ev",
] as const;

const bytesPerCall = 0x8000;

/** All state, line by line. */
export async function* exportLines(
  access: KvAccess,
): AsyncGenerator<string> {
  yield JSON.stringify({ format: formatName, version: formatVersion });
  for (const prefix of exportedPrefixes) {
    for await (const { key, value } of access.list([prefix], 500)) {
      yield line(key, value);
    }
    // A list has what is below a key, not what is at it.
    const { key, value } = await access.get([prefix]);
    if (value !== null) yield line(key, value);
  }
}

function line(key: KvKey, value: unknown): string {
  return JSON.stringify([key, toJson(value)]);
}

function toJson(value: unknown): unknown {
  if (typeof value === "bigint") return { $bigint: value.toString() };
  if (value instanceof Uint8Array) return { $bytes: toBase64(value) };
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, toJson(one)]),
  );
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += bytesPerCall) {
    text += String.fromCharCode(...bytes.subarray(at, at + bytesPerCall));
  }
  return btoa(text);
}
