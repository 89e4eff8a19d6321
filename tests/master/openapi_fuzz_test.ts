import { assert, fc } from "../deps.ts";
import { encodeCbor } from "../../master/wire/mod.ts";
import { cluster, report, withStore } from "./fixtures.ts";
import { isFar, masterOver } from "./instances.ts";
import { requestsOf } from "./openapi_fuzz.ts";
import { Reader } from "./openapi_reader.ts";

/** A store that is far away takes its time. */
const runsEach = isFar ? 3 : 100;

Deno.test("Whatever is sent to a route, the answer is one that the document knows, and none is a 500", async () => {
  await withStore(async (store, _kv, clock) => {
    const errors: unknown[] = [];
    const error = (text: string, fields?: unknown) =>
      void errors.push([text, fields]);
    const logger = { debug() {}, info() {}, warn() {}, error };
    const master = masterOver({ store, logger });
    master.close(); // A stream of events would have no end.
    const reader = new Reader(
      await (await master.request("/v1/openapi.json")).json(),
    );
    for (const n of [1, 2, 3]) {
      const known = [cluster(1, n), cluster(2, n)];
      await store.report(report(n, known, { apps: ["kv"] }));
    }
    const seen = new Set<number>();
    for (const [i, operation] of reader.operations.entries()) {
      const { method } = operation;
      await fc.assert(
        fc.asyncProperty(
          requestsOf(operation),
          fc.boolean(),
          async ({ path, query, headers, body }, isCbor) => {
            clock.advance(1_000);
            const type = isCbor ? "application/cbor" : "application/json";
            const response = await master.request(
              `${path}?${new URLSearchParams(query)}`,
              {
                method,
                headers: [
                  ...headers,
                  ["accept", type],
                  ["content-type", type],
                ],
                ...(body === undefined
                  ? {}
                  : { body: isCbor ? encodeCbor(body) : JSON.stringify(body) }),
              },
            );
            seen.add(response.status);
            // `.` and `..` in a path are taken out of it by whoever sends it: that is another path.
            if (!/\/\.\.?(\/|$)/.test(decodeURIComponent(path))) {
              await reader.judge(operation, response);
            }
          },
        ),
        { seed: 4711 + i, numRuns: runsEach },
      );
    }
    assert.deepEqual(errors, []);
    for (const status of [200, 400, 404, 409, 422]) {
      assert.ok(seen.has(status), `nothing was answered with ${status}`);
    }
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });
});
