/** Decoders of what the master reads: reports over HTTP, and rows of its store. */
import {
  decodeCbor,
  encodeCbor,
  readReport,
  rowsOf,
  sliceLog,
  sliceNodes,
  unpackLog,
  unpackRows,
  writeReport,
} from "../../master/wire/mod.ts";
import type { NodeRow } from "../../master/wire/mod.ts";
import type { NodeHostInfo } from "../../master/protocol.ts";
import { fc } from "../deps.ts";
import { cluster, report } from "../master/fixtures.ts";
import { id, object, text } from "./values.ts";
import { refusing, target } from "./target.ts";
import type { AnyTarget } from "./target.ts";

const isRangeError = (error: unknown) => error instanceof RangeError;

const info: fc.Arbitrary<NodeHostInfo> = object({
  ids: fc.uniqueArray(id, { maxLength: 4 }),
  nodeId: id,
  isLeader: fc.boolean(),
  configChangeIndex: fc.nat(),
  region: fc.string({ maxLength: 20 }),
  boot: fc.nat(),
  hasLog: fc.boolean(),
}).map(({ ids, nodeId, isLeader, configChangeIndex, region, boot, hasLog }) =>
  report(
    7,
    ids.map((clusterId) =>
      cluster(clusterId, nodeId, { isLeader, configChangeIndex })
    ),
    {
      region,
      boot,
      logInfoIncluded: hasLog,
      logInfo: hasLog ? ids.map((clusterId) => ({ clusterId, nodeId })) : [],
    },
  )
);

function joined(slices: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(slices.flatMap((slice) => [...slice]));
}

/** All of them. */
export const masterTargets: readonly AnyTarget[] = [
  target<unknown>({
    name: "CBOR",
    values: fc.letrec((tie) => ({
      item: fc.oneof(
        { maxDepth: 3 },
        fc.constantFrom(null, true, false),
        fc.integer(),
        fc.double({ noNaN: true }).filter((value) => !Object.is(value, -0)),
        text,
        fc.array(tie("item"), { maxLength: 4 }),
        fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), tie("item"), {
          maxKeys: 4,
          noNullPrototype: true,
        }),
      ),
    })).item,
    encode: encodeCbor,
    decode: (bytes) => refusing(isRangeError, () => decodeCbor(bytes)),
    isLenient: true, // One value has several encodings.
  }),
  target<NodeHostInfo>({
    name: "report in CBOR",
    values: info,
    encode: (one) => encodeCbor(writeReport(one)),
    decode: (bytes) =>
      refusing(isRangeError, () => readReport(decodeCbor(bytes))),
  }),
  target<NodeHostInfo>({
    name: "report in JSON",
    values: info,
    encode: (one) => new TextEncoder().encode(JSON.stringify(writeReport(one))),
    decode: (bytes) =>
      refusing(
        (error) =>
          error instanceof RangeError || error instanceof SyntaxError ||
          error instanceof TypeError,
        () =>
          readReport(
            JSON.parse(
              new TextDecoder("utf-8", { fatal: true }).decode(bytes),
            ),
          ),
      ),
  }),
  target<readonly NodeRow[]>({
    name: "rows of nodes",
    values: info.map(rowsOf),
    encode: (rows) => joined(sliceNodes(rows)),
    decode: (bytes) => ({ value: unpackRows(bytes) }),
    isLenient: true, // The master reads only what it wrote.
  }),
  target<{ clusterId: number; nodeId: number }[]>({
    name: "rows of a log",
    values: fc.uniqueArray(id, { maxLength: 5 }).map((ids) =>
      ids.sort((a, b) => a - b).map((clusterId) => ({ clusterId, nodeId: 3 }))
    ),
    encode: (nodes) => joined(sliceLog(nodes)),
    decode: (bytes) => ({ value: unpackLog(bytes) }),
    isLenient: true,
  }),
];
