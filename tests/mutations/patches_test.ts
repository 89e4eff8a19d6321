import { assert } from "../deps.ts";
import { fileURLToPath } from "./deps.ts";
import { applyPatch, patchNames } from "./patches.ts";
import { verdictOf } from "./verdict.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

Deno.test("every broken variant applies to the sources as they are (rule F1)", async () => {
  const names = patchNames();
  assert.ok(names.includes("neutral") && names.length > 7);
  for (const name of names) await applyPatch(name, root, { isCheck: true });
});

Deno.test("applyPatch() fails where there is nothing to patch", async () => {
  const empty = Deno.makeTempDirSync({ prefix: "drakkar-patch-" });
  try {
    await assert.rejects(
      applyPatch("neutral", empty, { isCheck: true }),
      /Cannot apply neutral\.patch: /,
    );
  } finally {
    Deno.removeSync(empty);
  }
});

Deno.test("verdictOf() counts only what a check has caught (rule F1)", () => {
  const notCounted = { seed: 3, check: "counts as a seed" };
  const caught = { seed: 9, check: "logs match" };
  const broken = (...failed: (typeof caught)[]) => verdictOf(failed, false);
  assert.deepEqual(broken(notCounted, caught), {
    ...caught,
    notCounted: 1,
    isAsItShould: true,
  });
  assert.equal(broken(notCounted).isAsItShould, false);
  assert.equal(broken().isAsItShould, false);
  assert.equal(verdictOf([], true).isAsItShould, true);
  assert.equal(verdictOf([caught], true).isAsItShould, false);
  assert.equal(verdictOf([notCounted], true).isAsItShould, false);
});
