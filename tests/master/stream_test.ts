/** Server-sent events: what is sent, to how many, for how long, and what it costs. */
import { assert } from "../deps.ts";
import type { Master } from "../../master/server.ts";
import type { KvStore } from "../../master/kv_store.ts";
import {
  cluster,
  type FaultyKv,
  type ManualClock,
  report,
  withStore,
} from "./fixtures.ts";
import { alone, inThisProcess, masterOver, type Place } from "./instances.ts";

const token = "a-token-of-nodehosts-and-those-who-look";
const intervalMs = 1_000;

interface Frame {
  readonly event: string;
  // deno-lint-ignore no-explicit-any -- whatever was sent
  readonly data: any;
}

/** A browser that reads frame by frame. */
class Listener {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(response: Response) {
    assert.equal(
      response.headers.get("content-type"),
      "text/event-stream; charset=utf-8",
    );
    assert.match(response.headers.get("cache-control")!, /no-transform/);
    // Nothing between that would read ahead.
    this.#reader = response.body!.getReader();
  }

  /** The next frame; `undefined` at the end. */
  async next(): Promise<Frame | undefined> {
    while (!this.#text.includes("\n\n")) {
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      this.#text += this.#decoder.decode(value, { stream: true });
    }
    const end = this.#text.indexOf("\n\n");
    const lines = this.#text.slice(0, end).split("\n");
    this.#text = this.#text.slice(end + 2);
    if (lines[0]!.startsWith(":")) return { event: "", data: lines[0] };
    assert.equal(lines.length, 2);
    return {
      event: lines[0]!.replace("event: ", ""),
      data: JSON.parse(lines[1]!.replace("data: ", "")),
    };
  }

  async close(): Promise<void> {
    await this.#reader.cancel();
  }
}

async function listen(
  master: Master,
  headers: Record<string, string> = {},
): Promise<Listener> {
  return new Listener(await master.request("/v1/board/stream", { headers }));
}

/** Lets what is being read be read, and be sent. */
type Settle = () => Promise<void>;

async function settled(kv: FaultyKv): Promise<void> {
  for (let quiet = 0; quiet < 5; quiet = kv.isQuiet ? quiet + 1 : 0) {
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
  }
}

function withMaster(
  work: (
    master: Master,
    parts: {
      store: KvStore;
      clock: ManualClock;
      lists: () => number;
      settle: Settle;
    },
  ) => Promise<void>,
  options: { token?: string } = {},
  place: Place = inThisProcess("its timers are fired by hand"),
): Promise<void> {
  return withStore(async (store, kv, clock) => {
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const rest = { boardIntervalMs: intervalMs, silentAfterMs: 600_000 };
    const master = masterOver({ store, logger, ...rest, ...options });
    await store.report(report(1, [cluster(1, 1)]));
    const settle = () => settled(kv);
    const lists = () => kv.counts.list;
    await work(master, { store, clock, lists, settle });
    master.close();
    // A reading may still be under way.
    for (let i = 0; i < 100 && clock.timerCount > 0; i++) await settle();
    assert.equal(clock.timerCount, 0, "nothing is left behind");
  }, place);
}

Deno.test("A stream tells everything at first, and then what changed", async () => {
  await withMaster(async (master, { store, clock, settle }) => {
    const listener = await listen(master);
    const first = await listener.next();
    assert.equal(first!.event, "board");
    assert.deepEqual(Object.keys(first!.data).sort(), [
      "atMs",
      "events",
      "hosts",
      "status",
      "work",
    ]);
    const next = listener.next();
    await settle();
    clock.advance(intervalMs); // Nothing changed, so nothing is sent.
    await settle();
    await store.report(report(2, [cluster(1, 2)]));
    clock.advance(intervalMs);
    const { event, data } = (await next)!;
    assert.equal(event, "board");
    assert.equal(data.hosts.list.length, 2);
    assert.equal("events" in data, false);
    await listener.close();
  });
});

Deno.test(
  "Those who watch one instance share its readings, and nobody reads while nobody watches",
  async () => {
    await withMaster(
      async (master, { clock, lists, settle }) => {
        const listeners = await Promise.all(
          Array.from({ length: 20 }, () => listen(master)),
        );
        const firsts = await Promise.all(listeners.map((one) => one.next()));
        assert.ok(firsts.every((frame) => frame!.event === "board"));
        const pending = listeners.map((one) => one.next());
        await settle();
        const before = lists();
        clock.advance(intervalMs);
        await settle();
        assert.ok(lists() - before <= 5, `${lists() - before} lists for 20`);
        for (const one of listeners) await one.close();
        await Promise.all(pending);
        // A reading that had begun goes on to its end.
        let after = -1;
        while (after !== lists()) {
          after = lists();
          for (let i = 0; i < 10; i++) await settle();
        }
        clock.advance(intervalMs);
        await settle();
        assert.equal(lists(), after);
        // An answer to HEAD is never read.
        await master.request("/v1/board/stream", { method: "HEAD" });
        clock.advance(intervalMs);
        await settle();
        assert.equal(lists(), after);
      },
      {},
      alone,
    );
  },
);

Deno.test(
  "A quiet stream says that it is there, and a slow reader gets the latest, not all",
  async () => {
    await withMaster(async (master, { store, clock, settle }) => {
      const listener = await listen(master);
      await listener.next();
      for (let i = 1; i <= 5; i++) { // It does not read meanwhile.
        await store.report(report(1, [cluster(1, 1)], { region: `r${i}` }));
        clock.advance(intervalMs);
        await settle();
      }
      assert.equal((await listener.next())!.data.hosts.list[0].region, "r5");
      const next = listener.next();
      await settle();
      clock.advance(15_000);
      assert.equal((await next)!.data, ": still here");
      await listener.close();
    });
  },
);

Deno.test(
  "Trouble with the store is told once, and its end as well",
  async () => {
    await withMaster(async (master, { store, clock, settle }) => {
      const listener = await listen(master);
      await listener.next();
      let next = listener.next();
      await settle();
      const deploymentId = store.deploymentId;
      store.deploymentId = () => Promise.reject(new Error("secret"));
      clock.advance(intervalMs);
      const trouble = (await next)!;
      assert.equal(trouble.event, "trouble");
      assert.equal(trouble.data.code, "internal");
      assert.ok(!trouble.data.detail.includes("secret"));
      next = listener.next();
      await settle();
      clock.advance(intervalMs);
      await settle();
      store.deploymentId = deploymentId;
      clock.advance(intervalMs);
      assert.deepEqual(Object.keys((await next)!.data), ["atMs"]);
      await listener.close();
    });
  },
);

Deno.test("A stream ends when its session does, when it is old, and when the master closes (M13)", async () => {
  await withMaster(async (master, { clock, settle }) => {
    const signed = await master.request("/v1/session", {
      method: "POST",
      body: JSON.stringify({ token }),
      headers: { "content-type": "application/json" },
    });
    await signed.body?.cancel();
    const cookie = signed.headers.get("set-cookie")!.split(";")[0]!;
    const bearer = { authorization: `Bearer ${token}` };
    /** Why it ends; whatever comes before that does not count. */
    const farewell = async (listener: Listener, act: () => void) => {
      await listener.next();
      let next = listener.next();
      await settle();
      act();
      for (;;) {
        const frame = await next;
        if (frame!.event === "bye") {
          assert.equal(await listener.next(), undefined);
          return frame!.data.why;
        }
        next = listener.next();
      }
    };
    const old = await listen(master, bearer);
    assert.equal(
      await farewell(old, () => clock.advance(15 * 60_000)),
      "age",
    );
    clock.advance(12 * 3_600_000 - 16 * 60_000);
    const session = await listen(master, { cookie });
    assert.equal(
      await farewell(session, () => clock.advance(60_000)),
      "session",
    );
    const last = await listen(master, bearer);
    assert.equal(await farewell(last, () => master.close()), "closing");
  }, { token });
});

Deno.test(
  "So many watch and no more: others are told to ask now and then",
  async () => {
    await withMaster(
      async (master) => {
        const listeners = await Promise.all(
          Array.from({ length: 64 }, () => listen(master)),
        );
        await Promise.all(listeners.map((one) => one.next()));
        const refused = await master.request("/v1/board/stream");
        assert.equal(refused.headers.get("retry-after"), "60");
        const { status, code } = await refused.json();
        assert.deepEqual([status, code], [503, "too-many-streams"]);
        const board = await master.request("/v1/board");
        assert.equal(board.status, 200);
        await board.body?.cancel();
        for (const one of listeners) await one.close();
        const listener = await listen(master);
        assert.equal((await listener.next())!.event, "board");
        await listener.close();
      },
      {},
      alone,
    );
  },
);
