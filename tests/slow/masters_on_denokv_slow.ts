/** Masters and NodeHosts as processes on a real denokv server, two rounds of `deno task chaos:masters`. */
// deno-lint-ignore-file no-console -- whoever runs the tests must know what happened, or that nothing did
import { assert } from "../deps.ts";
import { runOnDenokv } from "../master/denokv/run.ts";
import { findCargo, findDenokv } from "../master/denokv/server.ts";

Deno.test("Masters and NodeHosts on a real denokv are killed at random: clusters are repaired within 40 periods, nothing is lost, and no zombie is left", async () => {
  const denokv = findDenokv();
  if (denokv === undefined) {
    const why = findCargo() === undefined
      ? "there is no denokv, and no cargo to build it with"
      : "there is no denokv: it is not built yet (deno task chaos:masters builds it)";
    console.log(`skipped: ${why}`);
    return;
  }
  const dir = Deno.makeTempDirSync({ prefix: "drakkar-masters-" });
  try {
    const { rounds, acknowledged, mastersKilled } = await runOnDenokv({
      denokv,
      dir,
      rounds: 2,
      clusters: 64,
      masters: 3,
      hosts: 5,
      periodMs: 500,
      seed: 2,
      say: (text) => console.log(text),
    });
    assert.equal(rounds, 2);
    assert.ok(acknowledged > 0);
    assert.ok(mastersKilled > 2, `${mastersKilled} masters were killed`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
