import type { FileSystem } from "../../storage/file_system.ts";
import { assert } from "../deps.ts";
import { explore } from "./core_scope.ts";
import { exploreStorage } from "./storage_scope.ts";

const none = { timeouts: 0, crashes: 0, proposals: 0, duplicates: 0 };

Deno.test("Three cores: all that can follow one proposal to a leader, to the end (paper, figure 3)", () => {
  const { states, byDepth } = explore("leader", {
    ...none,
    depth: 40,
    proposals: 1,
  });
  assert.equal(byDepth.length < 40, true, "nothing is left to happen");
  assert.ok(states > 300, `${states} states`);
});

Deno.test("Three cores: every beginning of two elections, and every crash beside a leader (paper, figure 3)", () => {
  const elections = explore("nothing", { ...none, depth: 8, timeouts: 2 });
  assert.ok(elections.states > 1_000, `${elections.states} states`);
  const bounds = { depth: 4, timeouts: 1, crashes: 1, proposals: 1 };
  const crashes = explore("leader", { ...bounds, duplicates: 1 });
  assert.ok(crashes.states > 400, `${crashes.states} states`);
});

Deno.test("Three cores: a disk that forgets what it acknowledged is found, with the steps that show it", () => {
  const bounds = { ...none, depth: 3, crashes: 1 };
  assert.throws(
    () =>
      explore("leader", bounds, (cluster) => {
        const { disk } = cluster.node(2);
        disk.batches = () => [];
        disk.lastIndex = () => 0;
        disk.termOf = () => 0;
      }),
    /Cannot go on from "leader" after \[{"kind":"crash","nodeId":2,"surviving":0}\]/,
  );
});

Deno.test("The log: every power cut in every sequence of one operation leaves a state that was (rules L1, L2, L6)", async () => {
  const { sequences, outcomes, drawn } = await exploreStorage(1);
  assert.equal(sequences, 8);
  assert.ok(outcomes > 500, `${outcomes} outcomes`);
  assert.equal(drawn, 0, "all subsets were tried");
});

Deno.test("The log: a disk whose syncs do nothing is found", async () => {
  const lying = (disk: FileSystem): FileSystem =>
    new Proxy(disk, {
      get(object, name) {
        if (name !== "open") return Reflect.get(object, name);
        return (...args: Parameters<FileSystem["open"]>) => {
          const file = object.open(...args);
          return {
            ...file,
            readAt: file.readAt,
            writeAt: file.writeAt,
            size: file.size,
            truncate: file.truncate,
            close: file.close,
            sync: () => Promise.resolve(),
          };
        };
      },
    });
  await assert.rejects(exploreStorage(1, lying), /append, touch \d+, outcome/);
});
