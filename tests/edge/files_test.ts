/** No test of the master is forgotten at the edge. */
import { assert } from "../deps.ts";
import { masterTests } from "./files.ts";

/** They start `main.ts`. */
const withPrograms = ["main_test.ts"];

/** Why a file has a database of its own beside, or instead of, the one that the edge gives it. */
const withTheirOwn: Readonly<Record<string, string>> = {
  "board_test.ts":
    "virtual time; counts what is read, and measures an embedded one",
  "budget_test.ts": "counts what is billed",
  "client_test.ts": "its clients open theirs",
  "export_schedule_test.ts": "a second one, for the copy",
  "export_test.ts": "a second one, for the copy",
  "kv_store_test.ts": "opens files",
  "liveness_test.ts": "counts what is billed",
  "memory_kv_test.ts": "compares one with its twin",
  "moved_hosts_test.ts":
    "a period of 60 ms, which is less than one far away takes",
  "raft_world_test.ts": "virtual time",
  "scale_test.ts": "counts what is read, and measures an embedded one",
  "todo_list_test.ts": "looks at what is stored after each of many ticks",
  "world_test.ts": "virtual time",
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
    one.hasItsOwn && !one.startsPrograms
  ).map(({ name }) => name);
  assert.deepEqual(
    own,
    Object.keys(withTheirOwn),
    "use withStore() or storeOver(), so that it runs on masters elsewhere too",
  );
  const inAStore = masterTests().filter((one) => one.isInAStore);
  assert.ok(inAStore.length >= 12, `${inAStore.length} files`);
});
