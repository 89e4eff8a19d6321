/** No test of the master is forgotten at the edge. */
import { assert } from "../deps.ts";
import { masterTests } from "./files.ts";

/** They start `main.ts`. */
const withPrograms = ["main_test.ts"];

/** Why a file has a database of its own beside, or instead of, the one that the edge gives it. */
const withTheirOwn: Readonly<Record<string, string>> = {
  "board_test.ts": "measures an embedded one",
  "client_test.ts": "its clients open theirs",
  "export_schedule_test.ts": "a second one, for the copy",
  "export_test.ts": "a second one, for the copy",
  "kv_store_test.ts": "opens files",
  "memory_kv_test.ts": "compares one with its twin",
  "scale_test.ts": "measures an embedded one",
};

Deno.test("Every test of the master runs at the edge, but for those that start programs", () => {
  const all = masterTests();
  assert.ok(all.length > 20);
  assert.deepEqual(
    all.filter((one) => one.startsPrograms).map(({ name }) => name),
    withPrograms,
  );
});

Deno.test("A test of the master keeps what it stores where the edge says, or there is a reason", () => {
  const own = masterTests().filter((one) =>
    one.opensItsOwn && !one.startsPrograms
  ).map(({ name }) => name);
  assert.deepEqual(
    own,
    Object.keys(withTheirOwn),
    "use withStore() or storeOver(), so that it runs on masters elsewhere too",
  );
  const inAStore = masterTests().filter((one) => one.isInAStore);
  assert.ok(inAStore.length >= 12, `${inAStore.length} files`);
});
