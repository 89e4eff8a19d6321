import { assert } from "../deps.ts";
import {
  decodeCbor,
  digestOf,
  encodeCbor,
  readReport,
  rowsOf,
  sliceLog,
  sliceNodes,
  unpackLog,
  unpackRows,
  writeReport,
} from "../../master/wire/mod.ts";
import { cluster, report } from "./fixtures.ts";

const big = Number.MAX_SAFE_INTEGER;

Deno.test("A report survives CBOR and JSON", () => {
  const info = report(1, [
    cluster(big, 1, { isLeader: true, nodes: { [big - 1]: "h1:7001" } }),
    cluster(2, 1, { pending: true, nodes: {}, configChangeIndex: 0 }),
    cluster(3, 1, { incomplete: true, nodes: {} }),
  ], {
    region: "Nordpå",
    logInfoIncluded: true,
    logInfo: [{ clusterId: 3, nodeId: 1 }],
    boot: 4,
    seq: 7,
    deploymentId: (1n << 64n) - 1n,
    apps: ["kv"],
    failureDomain: "rack 7",
    capacity: 3,
    isDiskLow: true,
    hears: ["host-2"],
    seeks: ["host-3"],
    epoch: "abc",
    acknowledgements: [
      { clusterId: 1, n: 9, isDone: true },
      // By this masters know whom a leader never met (I6).
      {
        clusterId: 2,
        n: 4,
        isDone: false,
        code: "timeout",
        detail: "Cannot add\u0000it: node 3 at h3:7001 …",
      },
    ],
    leftovers: [{ clusterId: 8, nodeId: 4 }],
  });
  const wire = writeReport(info);
  assert.deepEqual(readReport(decodeCbor(encodeCbor(wire))), info);
  assert.deepEqual(readReport(JSON.parse(JSON.stringify(wire))), info);
});

Deno.test("readReport() reads the beginning of an error's text, whatever it is", () => {
  const one = { clusterId: 1, n: 9, isDone: false, detail: "é\n".repeat(900) };
  const info = report(1, [], { acknowledgements: [one] });
  const [read] = readReport(writeReport(info)).acknowledgements!;
  assert.equal(read!.detail, "é\n".repeat(250));
  const wrong = { ...info, acknowledgements: [{ ...one, detail: 5 }] };
  assert.throws(() => readReport(wrong), /detail is not a text/);
});

Deno.test("readReport() reads integers of eight bytes, as other encoders write them", () => {
  const bytes = encodeCbor({ id: 1 });
  const wide = new Uint8Array([
    ...bytes.slice(0, -1),
    0x1b,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    5,
  ]);
  assert.deepEqual(decodeCbor(wide), { id: 2 ** 48 + 5 });
});

Deno.test("decodeCbor() refuses a map whose key is an array, as an error of its own (found by fuzzing)", () => {
  const bytes = Uint8Array.of(0xa1, 0x81, 0x01, 0x02); // { [1]: 2 }
  assert.throws(() => decodeCbor(bytes), {
    name: "RangeError",
    message: /byte 1 opens a map's key/,
  });
  assert.deepEqual(decodeCbor(Uint8Array.of(0xa1, 0x61, 0x61, 0x81, 0x02)), {
    a: [2],
  });
});

Deno.test("readReport() refuses what is not a report, by the name of the field", () => {
  const good = writeReport(report(1, [cluster(1, 1)])) as Record<
    string,
    unknown
  >;
  const one = (rest: Record<string, unknown>) => ({
    ...good,
    clusterInfoList: [{ ...cluster(1, 1), ...rest }],
  });
  const bad: [unknown, RegExp][] = [
    [null, /it is not an object/],
    [[], /it is not an object/],
    [{}, /nodeHostId/],
    [{ ...good, nodeHostId: "" }, /nodeHostId/],
    [{ ...good, nodeHostId: "a b" }, /nodeHostId/],
    [{ ...good, nodeHostId: "a".repeat(129) }, /nodeHostId/],
    [{ ...good, nodeHostAddress: 7 }, /nodeHostAddress/],
    [{ ...good, nodeHostAddress: "h:1".repeat(100) }, /nodeHostAddress/],
    [{ ...good, nodeHostApiAddress: "a\n" }, /nodeHostApiAddress/],
    [{ ...good, region: null }, /region/],
    [{ ...good, region: "r".repeat(256) }, /region/],
    [{ ...good, clusterInfoList: {} }, /clusterInfoList is not an array/],
    [{ ...good, clusterInfoList: new Array(25_001) }, /25000 at most/],
    [{ ...good, clusterInfoList: [null] }, /clusterInfoList\[0\]/],
    [{ ...good, clusterInfoList: [cluster(1, 1), cluster(1, 2)] }, /1 twice/],
    [one({ clusterId: 0 }), /clusterId/],
    [one({ clusterId: 2 ** 53 }), /clusterId/],
    [one({ clusterId: "1" }), /clusterId/],
    [one({ nodeId: 1.5 }), /nodeId/],
    [one({ isLeader: 1 }), /isLeader/],
    [one({ nodes: [] }), /nodes is not an object/],
    [one({ nodes: {} }), /nodes is empty/],
    [one({ nodes: { x: "h:1" } }), /not a node id/],
    [one({ nodes: { "01": "h:1" } }), /not a node id/],
    [one({ nodes: { 9007199254740993: "h:1" } }), /node id/],
    [one({ nodes: JSON.parse('{"__proto__":"h:1"}') }), /not a node id/],
    [one({ nodes: { 1: "" } }), /nodes\[1\]/],
    [
      one({
        nodes: Object.fromEntries(
          Array.from({ length: 128 }, (_, i) => [i + 1, "h:1"]),
        ),
      }),
      /127 at most/,
    ],
    [one({ configChangeIndex: -1 }), /configChangeIndex/],
    [one({ pending: undefined }), /pending/],
    [{ ...good, clusterIdList: ["1"] }, /clusterIdList\[0\]/],
    [{ ...good, logInfoIncluded: "yes" }, /logInfoIncluded/],
    [
      { ...good, logInfo: [{ clusterId: 1, nodeId: 1 }] },
      /logInfo is not empty/,
    ],
    [{ ...good, logInfoIncluded: true, logInfo: [{ clusterId: 1 }] }, /nodeId/],
    [{ ...good, boot: -1 }, /boot/],
    [{ ...good, seq: "1" }, /seq/],
    [{ ...good, deploymentId: 7 }, /deploymentId/],
    [{ ...good, deploymentId: "18446744073709551616" }, /deploymentId/],
  ];
  for (const [value, message] of bad) {
    assert.throws(
      () => readReport(value),
      (error) => error instanceof RangeError && message.test(error.message),
      String(message),
    );
  }
  assert.deepEqual(readReport({ ...good, later: 1 }), readReport(good));
});

Deno.test("decodeCbor() refuses whatever is not plain, before it believes a length", () => {
  const bad: [string, number[]][] = [
    ["nothing", []],
    ["a second item", [0x01, 0x02]],
    ["an array that claims 4 billion items", [0x9a, 0xff, 0xff, 0xff, 0xff]],
    ["an array of 2^63 items", [0x9b, 0x80, 0, 0, 0, 0, 0, 0, 0]],
    ["a map that claims 65,535 pairs", [0xb9, 0xff, 0xff, 0x00]],
    ["a text beyond the end", [0x78, 0x10, 0x61]],
    ["an argument beyond the end", [0x1b, 0x00]],
    ["an indefinite array", [0x9f, 0x01, 0xff]],
    ["an indefinite text", [0x7f, 0x61, 0x61, 0xff]],
    ["a break", [0xff]],
    ["a byte string", [0x41, 0x00]],
    ["a tag", [0xc1, 0x00]],
    ["a typed array by tag", [0xd8, 0x40, 0x41, 0x00]],
    ["a simple value", [0xf8, 0x20]],
    ["depth", [...new Array(64).fill(0x81), 0x01]],
    ["reserved", [0x1c]],
  ];
  for (const [what, bytes] of bad) {
    assert.throws(() => decodeCbor(new Uint8Array(bytes)), RangeError, what);
  }
  assert.throws(
    () => decodeCbor(new Uint8Array([0x78, 0x10, 0x61])),
    /a text of 16 bytes where 1 are left/,
  );
  const many = new Uint8Array(4 * 1024 * 1024).fill(0x9a);
  assert.throws(() => decodeCbor(many), RangeError);
});

Deno.test("decodeCbor() ends with a value or a RangeError, whatever a byte is changed to", () => {
  const bytes = encodeCbor(writeReport(report(1, [cluster(2 ** 40, 1)])));
  for (let i = 0; i < bytes.length; i++) {
    for (const change of [0x01, 0x20, 0x80, 0xff]) {
      const copy = bytes.slice();
      copy[i] = copy[i]! ^ change;
      try {
        readReport(decodeCbor(copy));
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }
  }
});

Deno.test("Rows are packed sorted, in slices of whole rows, and come back", () => {
  const clusters = Array.from(
    { length: 1_500 },
    (_, i) =>
      cluster(1_500 - i, 1, {
        isLeader: i % 2 === 0,
        configChangeIndex: big - i,
        pending: i % 3 === 0,
      }),
  );
  const info = report(1, clusters, { clusterIdList: [1, 9_999] });
  const slices = sliceNodes(rowsOf(info));
  const rows = slices.flatMap((slice) => unpackRows(slice));
  assert.deepEqual(slices.map((slice) => slice.length % 25), [0, 0]);
  assert.ok(slices.every((slice) => slice.length <= 32 * 1024));
  assert.equal(rows.length, 1_501);
  assert.deepEqual(rows[0], {
    clusterId: 1,
    nodeId: 1,
    configChangeIndex: big - 1_499,
    isLeader: false,
    pending: false,
    isLagging: false,
    areObserversReady: false,
  });
  assert.deepEqual(rows[1_500], {
    clusterId: 9_999,
    nodeId: 0,
    configChangeIndex: 0,
    isLeader: false,
    pending: true,
    isLagging: false,
    areObserversReady: false,
  });
  const reversed = report(1, clusters.toReversed(), info);
  assert.equal(digestOf(sliceNodes(rowsOf(reversed))), digestOf(slices));
});

Deno.test("A log is packed sorted, each node once", () => {
  const nodes = [[2, 9], [1, 5], [2, 9], [2, big]].map((
    [clusterId, nodeId],
  ) => ({
    clusterId: clusterId!,
    nodeId: nodeId!,
  }));
  const slices = sliceLog(nodes);
  assert.deepEqual(slices.flatMap((slice) => unpackLog(slice)), [
    { clusterId: 1, nodeId: 5 },
    { clusterId: 2, nodeId: 9 },
    { clusterId: 2, nodeId: big },
  ]);
  assert.deepEqual(sliceLog([]), []);
});
