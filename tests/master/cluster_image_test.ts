import { assert } from "../deps.ts";
import { isWanted, reconcile } from "../../master/cluster_image.ts";
import { cluster } from "./fixtures.ts";

const known = reconcile(undefined, cluster(1, 1), "a")!;

Deno.test("reconcile() makes a record from the first full report", () => {
  assert.deepEqual(known, {
    life: "unmanaged",
    cci: 3,
    voters: { 1: "h1:7001", 2: "h2:7001", 3: "h3:7001" },
    confirmedBy: ["a"],
  });
});

Deno.test("reconcile() takes a newer membership whole, and ignores an older one", () => {
  const nodes = { 2: "h2:7001", 4: "h4:7001" };
  const newer = cluster(1, 2, { configChangeIndex: 9, nodes });
  assert.deepEqual(reconcile(known, newer, "b"), {
    life: "unmanaged",
    cci: 9,
    voters: nodes,
    confirmedBy: ["b"],
  });
  const older = cluster(1, 2, { configChangeIndex: 2, nodes });
  assert.equal(reconcile(known, older, "b"), undefined);
});

Deno.test("reconcile() changes nothing for pending, incomplete and equal reports", () => {
  for (const rest of [{ pending: true }, { incomplete: true }, {}]) {
    assert.equal(reconcile(known, cluster(1, 1, rest), "a"), undefined);
  }
  assert.equal(
    reconcile(undefined, cluster(1, 1, { pending: true }), "a"),
    undefined,
  );
});

Deno.test("reconcile() does not believe a node that is no member of what it tells", () => {
  const outsider = cluster(1, 4, { configChangeIndex: 9 });
  assert.equal(reconcile(known, outsider, "d"), undefined);
  assert.equal(reconcile(undefined, outsider, "d"), undefined);
});

Deno.test("reconcile() puts two memberships under one index into quarantine, once (M8)", () => {
  const other = cluster(1, 2, { nodes: { 2: "h2:7001" } });
  const quarantined = reconcile(known, other, "b")!;
  assert.deepEqual(quarantined, { ...known, life: "quarantine" });
  assert.equal(reconcile(quarantined, other, "b"), undefined);
});

Deno.test("isWanted() is true only for what was left out and is not known", () => {
  const left = { incomplete: true, nodes: {} };
  assert.equal(isWanted(undefined, cluster(1, 1, left)), true);
  assert.equal(isWanted(known, cluster(1, 1, left)), false);
  assert.equal(
    isWanted(known, cluster(1, 1, { ...left, configChangeIndex: 4 })),
    true,
  );
  assert.equal(isWanted(undefined, cluster(1, 1)), false);
  assert.equal(
    isWanted(undefined, cluster(1, 1, { ...left, pending: true })),
    false,
  );
});
