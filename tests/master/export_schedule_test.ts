import { assert } from "../deps.ts";
import { exportOnce, startExports } from "../../master/export_schedule.ts";
import { cluster, ManualClock, report, withStore } from "./fixtures.ts";
import { needsDisk, openEmptyKv, storeOver } from "./instances.ts";

async function until(isThere: () => boolean | Promise<boolean>): Promise<void> {
  while (!await isThere()) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test(
  "Copies are made on a schedule, the last of them are kept, and one fills an empty store (M11)",
  needsDisk,
  async () => {
    await withStore(async (store) => {
      const dir = await Deno.makeTempDir();
      const kv = await openEmptyKv();
      const clock = new ManualClock();
      const names = () => [...Deno.readDirSync(dir)].map(({ name }) => name);
      const failures: string[] = [];
      const onFailure = (why: string) => void failures.push(why);
      try {
        await store.report(report(1, [cluster(1, 1)]));
        const schedule = { store, to: dir, everyMs: 60_000, clock, onFailure };
        const exports = startExports(schedule);
        for (let made = 1; made <= 16; made++) {
          await until(() => clock.timerCount === 1);
          assert.equal(names().length, Math.min(made, 14));
          clock.advance(60_000);
        }
        await until(() => clock.timerCount === 1);
        exports.stop();
        assert.equal(clock.timerCount, 0);
        assert.deepEqual(failures, []);
        const last = `${dir}/${names().sort().at(-1)}`;
        assert.equal((await Deno.stat(last)).mode! & 0o777, 0o600);
        const lines = (await Deno.readTextFile(last)).split("\n");
        const copy = storeOver({ kv, clock });
        const { clusters, nodeHosts } = await copy.importLines(lines);
        assert.deepEqual([clusters, nodeHosts], [1, 1]);
        // A folder that is not there is told; nothing else happens.
        await exportOnce({ ...schedule, to: `${dir}/none` });
        assert.match(failures[0]!, /^Cannot export to .*none: /);
      } finally {
        kv.close();
        await Deno.remove(dir, { recursive: true });
      }
    });
  },
);

Deno.test("A copy is sent to an address with its token; a refusal is told without what the address hides (M11)", async () => {
  await withStore(async (store, _kv, clock) => {
    await store.report(report(1));
    const heard: [string, string | null, string][] = [];
    let status = 200;
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen() {} },
      async (request) => {
        const token = request.headers.get("authorization");
        heard.push([request.method, token, await request.text()]);
        return new Response(null, { status });
      },
    );
    const failures: string[] = [];
    const to = `http://127.0.0.1:${server.addr.port}/copy?key=hidden`;
    const onFailure = (why: string) => void failures.push(why);
    const once = { store, to, token: "t", clock, onFailure };
    try {
      await exportOnce(once);
      status = 403;
      await exportOnce(once);
    } finally {
      await server.shutdown();
    }
    const [[method, token, text]] = heard as [typeof heard[0]];
    assert.deepEqual([method, token], ["PUT", "Bearer t"]);
    assert.match(text, /^\{"format":"drakkar-master","version":1\}\n\[/);
    assert.equal(failures.length, 1);
    assert.match(failures[0]!, /the status is 403/);
    assert.ok(!failures.join().includes("hidden"));
  });
});
