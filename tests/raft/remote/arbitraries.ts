/** What may travel between NodeHosts, for property tests. */
import type { Place, RemoteBody } from "../../../raft/remote/format.ts";
import { fc } from "../../deps.ts";
import { id, integer, object, text } from "../codec/arbitraries.ts";

const leaf = fc.oneof(
  fc.constantFrom(null, undefined, true, false, -0, NaN, Infinity),
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(1n << 80n), max: 1n << 80n }),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.uint8Array({ maxLength: 40 }),
  fc.date({ min: new Date(-1e14), max: new Date(1e14) }),
);

/** Any value that may be a query or an answer. */
export const remoteValue: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(
      fc.string({ unit: "grapheme", maxLength: 8 })
        .filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 5, noNullPrototype: true },
    ),
    fc.array(fc.tuple(fc.string({ unit: "grapheme" }), tie("value")), {
      maxLength: 4,
    }).map((entries) => new Map(entries)),
    fc.array(fc.integer(), { maxLength: 4 }).map((values) => new Set(values)),
  ),
})).value;

const place: fc.Arbitrary<Place> = object({
  nodeId: integer,
  nodeHostId: text,
  address: text,
});

/** Any body of a `remote` record. */
export const remoteBody: fc.Arbitrary<RemoteBody> = fc.oneof(
  fc.constant({ kind: "locate" as const }),
  object({
    kind: fc.constant("located" as const),
    source: fc.constantFrom("nobody", "member", "hearsay"),
    term: integer,
    leaderId: integer,
    places: fc.array(place, { maxLength: 5 }),
  }),
  object({
    kind: fc.constant("request" as const),
    id: integer,
    timeoutMs: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    wantsCommit: fc.boolean(),
    payload: fc.uint8Array({ maxLength: 60 }),
    of: fc.oneof(
      object({
        what: fc.constantFrom("propose" as const, "read", "call"),
        session: fc.constant(undefined),
      }),
      object({
        what: fc.constant("session" as const),
        session: object({ clientId: id, series: id, respondedTo: integer }),
      }),
    ),
  }).map(({ of, ...rest }) => ({ ...rest, ...of })),
  object({ kind: fc.constant("committed" as const), id: integer }),
  object({
    kind: fc.constant("result" as const),
    id: integer,
    payload: fc.uint8Array({ maxLength: 60 }),
  }),
  object({
    kind: fc.constant("addresses" as const),
    hosts: fc.array(
      object({ nodeHostId: text, incarnation: integer, raftAddress: text }),
      { maxLength: 5 },
    ),
  }),
  object({
    kind: fc.constant("failure" as const),
    id: integer,
    type: fc.constantFrom("RaftError", "TypeError", "RangeError", "other"),
    isUnknown: fc.boolean(),
    name: text,
    message: text,
  }),
);
