/** What a quiet month costs on Deno KV: computed, compared with what is counted, and with what docs/BUDGET.md says. */
import { assert } from "../deps.ts";
import { KvStore } from "../../master/kv_store.ts";
import { MemoryKv } from "../../testing/master/memory_kv.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import { cluster, ManualClock, report } from "./fixtures.ts";
import { fixedCells } from "./scale/table.ts";

const monthSeconds = 30 * 24 * 3_600;

interface Cost {
  requests: number;
  readUnits: number;
  writeUnits: number;
}

/**
 * Of one tick in which nothing happens. Each report reads the clock and its NodeHost, two units, and writes the NodeHost,
 * one. One of them makes time grow, writes the clock and lists what is to be done (one unit, even if it is empty) and
 * the NodeHosts (4 KiB per unit, four of them). Every fourth tick a page of clusters is looked at as well.
 */
function tickCost(hosts: number): Cost {
  const sweep = 1 / 4;
  return {
    requests: hosts,
    readUnits: 2 * hosts + 1 + Math.ceil(hosts / 8) + sweep,
    writeUnits: hosts + 1,
  };
}

/** Of a month, with the platform's timer each five minutes: it reads the deployment and the clock. */
function monthCost(hosts: number, periodSeconds: number): Cost {
  const ticks = monthSeconds / periodSeconds;
  const cron = monthSeconds / 300;
  const { requests, readUnits, writeUnits } = tickCost(hosts);
  return {
    requests: Math.round(ticks * requests + cron),
    readUnits: Math.round(ticks * readUnits + 2 * cron),
    writeUnits: Math.round(ticks * writeUnits),
  };
}

Deno.test("A quiet tick costs what docs/BUDGET.md computes with", async () => {
  for (const hosts of [1, 3, 8, 20]) {
    const kv = new MemoryKv();
    const clock = new ManualClock();
    const store = new KvStore({ kv, clock, random: new SimRandom(1) });
    const reports = Array.from(
      { length: hosts },
      (_, i) =>
        report(i + 1, [cluster(1, i + 1, { incomplete: true, nodes: {} })], {
          apps: ["kv"],
          region: "europe-west",
        }),
    );
    await store.report(report(1, [cluster(1, 1)]));
    const tick = async () => {
      for (const one of reports) await store.report(one);
      clock.advance(20_000);
    };
    for (let i = 0; i < 5; i++) await tick();
    const before = { ...kv.usage };
    const ticks = 8;
    for (let i = 0; i < ticks; i++) await tick();
    const counted = {
      requests: hosts,
      readUnits: (kv.usage.readUnits - before.readUnits) / ticks,
      writeUnits: (kv.usage.writeUnits - before.writeUnits) / ticks,
    };
    const computed = tickCost(hosts);
    assert.equal(counted.writeUnits, computed.writeUnits, `${hosts} NodeHosts`);
    assert.ok(
      Math.abs(counted.readUnits - computed.readUnits) <= 1,
      `${hosts} NodeHosts: ${counted.readUnits} counted, ${computed.readUnits} computed`,
    );
    assert.ok(counted.readUnits - 2 * hosts <= 5 + hosts / 4);
  }
});

Deno.test("A NodeHost that seeks others costs a read unit for each in a report, and else nothing (M17)", async () => {
  const kv = new MemoryKv();
  const clock = new ManualClock();
  const store = new KvStore({ kv, clock, random: new SimRandom(1) });
  for (const n of [1, 2, 3]) await store.report(report(n));
  const costOf = async (seeks: string[]) => {
    const before = { ...kv.usage };
    await store.report(report(1, [], seeks.length === 0 ? {} : { seeks }));
    return {
      readUnits: kv.usage.readUnits - before.readUnits,
      writeUnits: kv.usage.writeUnits - before.writeUnits,
    };
  };
  assert.deepEqual(await costOf([]), { readUnits: 2, writeUnits: 1 });
  const two = await costOf(["host-2", "host-3"]);
  assert.deepEqual(two, { readUnits: 4, writeUnits: 1 });
});

Deno.test("docs/BUDGET.md says what is computed", async () => {
  const text = await Deno.readTextFile(
    new URL("../../docs/BUDGET.md", import.meta.url),
  );
  const rows = [
    ...text.matchAll(
      /^\| +(\d+) +\| +(\d+) s +\| +([\d,]+) +\| +([\d,]+) +\| +([\d,]+) +\|/gm,
    ),
  ];
  assert.ok(rows.length >= 6);
  for (const [, hosts, period, ...told] of rows) {
    const { requests, readUnits, writeUnits } = monthCost(
      Number(hosts),
      Number(period),
    );
    assert.deepEqual(
      told.map((one) => Number(one.replaceAll(",", ""))),
      [requests, readUnits, writeUnits],
      `${hosts} NodeHosts, ${period} s`,
    );
  }
});

Deno.test("docs/BUDGET.md shows the table that deno task bench:master prints", async () => {
  const text = await Deno.readTextFile(
    new URL("../../docs/BUDGET.md", import.meta.url),
  );
  const lines = text.slice(text.indexOf("## With many")).split("\n")
    .filter((line) => line.startsWith("|"));
  const rows = lines.slice(2).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  assert.deepEqual(
    rows.map(([what, atMost, _, test]) => ({ what, atMost, test })),
    fixedCells(),
  );
  for (const [what, , measured] of rows) {
    assert.match(
      measured!,
      /^[\d.]+( \([\d.]+ to [\d.]+\))?( ms| KiB)?$/,
      `what was measured of "${what}"`,
    );
  }
});
