/** No test of the master is forgotten at the edge. */
import { assert } from "../deps.ts";
import { type MasterTests, masterTests } from "./files.ts";

/** They start `main.ts`. */
const withPrograms = ["main_test.ts"];

/** Why a file goes past `instances.ts`, which says where what is stored is, and where masters are. */
const withTheirOwn: Readonly<Record<string, string>> = {
  "client_test.ts": "a client opens a file; that needs a disk",
  "kv_store_test.ts": "a store opens a file; that needs a disk",
  "memory_kv_test.ts":
    "the twin of Deno KV is what it tests, beside a real one",
};

/** Why these have a store and masters of their own: the world that they test has several masters, on one store. */
const withWorlds: Readonly<Record<string, string>> = {
  "board_test.ts": "virtual time",
  "export_test.ts": "virtual time, and a store that is lost",
  "raft_world_test.ts": "virtual time, and a store that lies as a seed says",
  "world_test.ts": "virtual time, and a store that lies as a seed says",
};

function namesOf(those: (one: MasterTests) => boolean): string[] {
  return masterTests().filter(those).map(({ name }) => name);
}

Deno.test("Every test of the master runs at the edge, but for those that start programs", () => {
  assert.ok(masterTests().length > 20);
  assert.deepEqual(namesOf((one) => one.startsPrograms), withPrograms);
});

Deno.test("A test of the master keeps what it stores where the edge says, or there is a reason", () => {
  assert.deepEqual(
    namesOf((one) => one.makesItsOwn && !one.startsPrograms),
    Object.keys(withTheirOwn),
    "use withStore(), storeOver() and masterOver(), so that it runs on masters elsewhere too, or ownMemory() with a reason",
  );
  assert.deepEqual(namesOf((one) => one.hasWorlds), Object.keys(withWorlds));
  // The rest ask functions that know of no store, or one in memory and say why: once at the edge is enough.
  const inAStore = namesOf((one) => one.isInAStore);
  assert.ok(inAStore.length >= 20, inAStore.join());
});
