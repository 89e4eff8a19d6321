/** Whom the reports of a NodeHost ask masters for, and what is believed of the answer (M17). */
import { readAddresses, Seeking } from "../../raft/seeking.ts";
import { assert } from "../deps.ts";

/** The reports, from 1 on, that ask for `id`, of `count` that masters take; `missing` says who is missing when. */
function asking(
  id: string,
  count: number,
  missing: (report: number) => string[],
): number[] {
  const seeking = new Seeking();
  const found: number[] = [];
  for (let report = 1; report <= count; report++) {
    const sought = seeking.next(missing(report));
    seeking.asked(sought);
    if (sought.includes(id)) found.push(report);
  }
  return found;
}

Deno.test("A NodeHost that is missing is asked for at once, and then less and less often (M17)", () => {
  assert.deepEqual(
    asking("a", 70, () => ["a"]),
    [1, 2, 4, 8, 16, 32, 48, 64],
  );
  const away = (report: number) => report < 20 || report > 29 ? ["a"] : [];
  assert.deepEqual(asking("a", 32, away), [1, 2, 4, 8, 16, 30, 31]);
});

Deno.test("A report that no master took asks again (M17)", () => {
  const seeking = new Seeking();
  assert.deepEqual(seeking.next(["a"]), ["a"]);
  assert.deepEqual(seeking.next(["a"]), ["a"]);
  seeking.asked(["a"]);
  assert.deepEqual(seeking.next(["a"]), ["a"]);
});

Deno.test("Reports ask for eight at most, and none is left out for ever (M17)", () => {
  const all = Array.from({ length: 30 }, (_, i) => `host-${100 + i}`);
  const seeking = new Seeking();
  const sought: string[] = [];
  for (let report = 1; report <= 5; report++) {
    const ids = seeking.next(all);
    assert.equal(ids.length, 8);
    seeking.asked(ids);
    sought.push(...ids);
  }
  assert.deepEqual([...new Set(sought)].sort(), all);
});

Deno.test("Of an answer only what was asked for is taken, and only what is an address (M17)", () => {
  const good = { nodeHostId: "a", nodeHostAddress: "new:1", boot: 3 };
  const other = { nodeHostId: "b", nodeHostAddress: "b:1", boot: 1 };
  assert.deepEqual(
    readAddresses([good, { ...other, unknown: 1 }], ["a", "b"]),
    [good, other],
  );
  const bad = [
    { ...good, nodeHostId: "c" },
    { ...good, nodeHostId: 1 },
    { ...good, nodeHostAddress: "x".repeat(256) },
    { ...good, nodeHostAddress: undefined },
    { ...good, boot: 0 },
    { ...good, boot: 1.5 },
    { ...good, boot: "3" },
    null,
    undefined,
    7,
  ];
  for (const one of bad) assert.deepEqual(readAddresses([one], ["a"]), []);
  for (const value of [undefined, null, "a", {}, 1]) {
    assert.deepEqual(readAddresses(value, ["a"]), []);
  }
  const many = Array.from({ length: 9 }, () => good);
  assert.equal(readAddresses(many, ["a"]).length, 8);
});
