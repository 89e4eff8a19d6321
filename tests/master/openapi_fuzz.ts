/**
 * Requests made of an OpenAPI document: each value is what its schema wants, or hostile. Seeded, so that a failure
 * comes back.
 */
import { fc } from "../deps.ts";
import type { Operation } from "./openapi_reader.ts";

type Json = Record<string, unknown>;

/** A request, and whether everything in it is as the document wants. */
export interface FuzzedRequest {
  path: string;
  query: [string, string][];
  headers: [string, string][];
  body: unknown;
}

/** What breaks readers. */
const hostile: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 53,
    -(2 ** 63),
    1e308,
    "",
    "0",
    "1",
    "__proto__",
    "constructor",
    "\u0000",
    "\ud800",
    "\u202e",
    "../../x",
    "a".repeat(300),
    [],
    [[[[[[[[[[]]]]]]]]]],
    {},
  ),
  fc.constant(JSON.parse('{"__proto__":{"polluted":1},"constructor":{}}')),
  fc.string({ maxLength: 20, unit: "binary" }),
  fc.jsonValue({ maxDepth: 3 }),
  fc.double(),
);

/** Few ids, so that they meet. */
const fewIds = fc.integer({ min: 1, max: 6 });

/** What a schema wants. Unions and patterns are met by trying. */
function wanted(schema: Json): fc.Arbitrary<unknown> {
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
  if ("const" in schema) return fc.constant(schema.const);
  switch (schema.type) {
    case "boolean":
      return fc.boolean();
    case "integer":
      return wantedInteger(schema);
    case "string":
      return wantedText(schema);
    case "array":
      return fc.array(wanted(schema.items as Json), {
        minLength: Number(schema.minItems ?? 0),
        maxLength: Math.min(3, Number(schema.maxItems ?? 3)),
      });
    default:
      return wantedObject(schema);
  }
}

function wantedInteger(schema: Json): fc.Arbitrary<number> {
  const min = Number(schema.minimum ?? 0);
  const max = Number(schema.maximum ?? Number.MAX_SAFE_INTEGER);
  const few = fewIds.filter((id) => id >= min && id <= max);
  const any = fc.integer({ min, max });
  const small = fc.integer({ min, max: Math.min(max, min + 9) });
  return fc.oneof({ weight: 6, arbitrary: few }, small, any);
}

function wantedText(schema: Json): fc.Arbitrary<string> {
  const pattern = new RegExp(String(schema.pattern ?? ""), "u");
  const minLength = Number(schema.minLength ?? 0);
  const maxLength = Math.min(40, Number(schema.maxLength ?? 40));
  const known = fc.constantFrom(
    "1",
    "2",
    "3",
    "7",
    "host-1",
    "host-2",
    "kv",
    "north",
    "h1:7001",
    "a-secret-of-one-nodehost-of-32-characters",
  );
  const any = fc.oneof(
    fc.string({ minLength, maxLength }),
    fc.string({ minLength, maxLength, unit: "grapheme" }),
  );
  const fits = (text: string) =>
    pattern.test(text) && [...text].length >= minLength &&
    [...text].length <= Number(schema.maxLength ?? Infinity);
  const fitting = known.filter(fits);
  return minLength >= 30
    ? fitting
    : fc.oneof({ weight: 3, arbitrary: fitting }, any.filter(fits));
}

function wantedObject(schema: Json): fc.Arbitrary<unknown> {
  const properties = (schema.properties ?? {}) as Record<string, Json>;
  const names = Object.keys(properties);
  if (names.length === 0) {
    const members = (schema.patternProperties ?? {}) as Record<string, Json>;
    const [item] = Object.values(members);
    if (item === undefined) return fc.constant({});
    return fc.dictionary(fewIds.map(String), wanted(item), { maxKeys: 3 });
  }
  return fc.record(
    Object.fromEntries(names.map((name) => [name, wanted(properties[name]!)])),
    { requiredKeys: (schema.required ?? []) as never[] },
  );
}

/** A body with one part of it spoilt, left out, or added. */
function spoilt(body: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(body, fc.nat(), fc.nat(3), hostile).map(
    ([value, pick, how, bad]) => {
      if (typeof value !== "object" || value === null || how === 0) return bad;
      const copy = structuredClone(value) as Json;
      const names = Object.keys(copy);
      const name = names[pick % Math.max(1, names.length)] ?? "more";
      if (how === 1) delete copy[name];
      else if (how === 2) copy[name] = bad;
      else copy[`${name}x`] = bad;
      return copy;
    },
  );
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

/** Requests of an operation. */
export function requestsOf(operation: Operation): fc.Arbitrary<FuzzedRequest> {
  const { parameters, body } = operation;
  const value = (schema: Json) =>
    fc.oneof(
      { weight: 9, arbitrary: wanted(schema) },
      { weight: 1, arbitrary: hostile },
    ).map(asText);
  const place = (where: string) =>
    fc.tuple(
      ...parameters.filter((one) => one.in === where).map((one) =>
        fc.tuple(
          fc.constant(one.name),
          value(one.schema),
          one.required ? fc.constant(true) : fc.boolean(),
        )
      ),
    ).map((all) =>
      all.filter(([, , isThere]) => isThere)
        .map(([name, text]): [string, string] => [name, text])
    );
  return fc.record({
    path: place("path").map((values) =>
      operation.path.replaceAll(
        /\{(\w+)\}/g,
        (_, name) =>
          encodeURIComponent(
            (values.find(([one]) => one === name)?.[1] ?? "").toWellFormed(),
          ),
      )
    ),
    query: place("query"),
    headers: place("header").map((all) =>
      all.filter(([, text]) => isHeader(text))
    ),
    body: body === undefined
      ? fc.constant(undefined)
      : fc.oneof(wanted(body), spoilt(wanted(body))),
  });
}

/** What `fetch` lets pass as a header. */
function isHeader(text: string): boolean {
  try {
    new Headers({ x: text });
    return true;
  } catch {
    return false;
  }
}
