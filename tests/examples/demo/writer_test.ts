/** The demo's client and writer against servers that behave as badly as a crash makes them. */
import { assert } from "../../deps.ts";
import { KvClient } from "../../../examples/demo/client.ts";
import { listInput } from "../../../examples/demo/input.ts";
import { outstandingWanted, Writer } from "../../../examples/demo/writer.ts";

interface FakeHost extends AsyncDisposable {
  readonly url: string;
  readonly puts: Map<string, number>;
}

/** A NodeHost that answers as `answer` says, and counts the puts of each key. */
function fakeHost(
  answer: (key: string, count: number) => Response | Promise<Response>,
): FakeHost {
  const puts = new Map<string, number>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      await request.bytes();
      const { pathname } = new URL(request.url);
      const key = pathname.replace("/clusters/", "").replace("/keys/", ":");
      const count = (puts.get(key) ?? 0) + 1;
      puts.set(key, count);
      return await answer(key, count);
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    puts,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

const fine = () => Response.json({ effect: "created" });
const noSignal = new AbortController().signal;

async function emptyInput() {
  const dir = await Deno.makeTempDir();
  try {
    return await listInput(dir, dir);
  } finally {
    await Deno.remove(dir);
  }
}

Deno.test("KvClient.put() goes to another NodeHost when one does not answer or cannot", async () => {
  await using busy = fakeHost(() => new Response("busy", { status: 429 }));
  await using good = fakeHost(fine);
  const nobody = "http://127.0.0.1:1";
  const client = new KvClient([nobody, busy.url, good.url], noSignal);
  for (let i = 0; i < 6; i++) {
    await client.put(1, `a/${i}`, new Uint8Array(3));
  }
  assert.equal(good.puts.size, 6);
  assert.equal(good.puts.get("1:a%2F0"), 1);
});

Deno.test("KvClient.put() does not repeat what was refused as wrong", async () => {
  await using host = fakeHost(() => new Response("no", { status: 413 }));
  const client = new KvClient([host.url], noSignal);
  await assert.rejects(client.put(1, "a", new Uint8Array(0)), /answered 413/);
  assert.equal(host.puts.get("1:a"), 1);
});

Deno.test("KvClient.get() tells a missing key from an empty value, and asks again after a failure", async () => {
  await using host = fakeHost((key, count) => {
    if (count === 1) return new Response("not ready", { status: 503 });
    return new Response(null, { status: key === "1:empty" ? 200 : 404 });
  });
  const client = new KvClient([], noSignal);
  const empty = await client.get(host.url, 1, "empty");
  assert.deepEqual(empty, new Uint8Array(0));
  assert.equal(await client.get(host.url, 1, "missing"), undefined);
});

Deno.test("KvClient ends its attempts when it is told to", async () => {
  await using host = fakeHost(() => new Response("no", { status: 503 }));
  const stop = new AbortController();
  const client = new KvClient([host.url], stop.signal);
  const put = client.put(1, "a", new Uint8Array(0));
  stop.abort(new Error("enough"));
  await assert.rejects(put, /enough/);
});

Deno.test("Writer does not take puts that the dead leader had taken for a long failover", async () => {
  let isDown = false;
  const held = Promise.withResolvers<void>();
  await using host = fakeHost(async (key, count) => {
    if (!isDown || !key.startsWith("1:")) return fine();
    // Of what arrives while there is no leader, every second put is never answered.
    if (count === 1 && Number(key.split("%23")[1]) % 2 === 0) {
      await held.promise;
    }
    return new Response("no leader", { status: 503 });
  });
  const client = new KvClient([host.url], noSignal);
  const writer = new Writer(client, await emptyInput(), 4_096);
  const running = writer.run();
  const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));
  while (writer.outstanding < outstandingWanted / 2) await pause(1);
  isDown = true;
  writer.crashed([1]);
  await pause(50);
  isDown = false;
  await writer.back;
  const gap = writer.longestGapMs([1]);
  await pause(2 * gap + 50);
  held.resolve();
  await running;
  assert.equal(writer.longestGapMs([1]), gap);
});

Deno.test("Writer keeps puts on their way through the crash even without input", async () => {
  let isDown = false;
  await using host = fakeHost((key) =>
    isDown && key.startsWith("2:")
      ? new Response("no leader", { status: 503 })
      : fine()
  );
  const client = new KvClient([host.url], noSignal);
  const writer = new Writer(client, await emptyInput(), 4_096);
  const running = writer.run();
  await writer.half;
  while (writer.outstanding < outstandingWanted / 2) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  isDown = true;
  writer.crashed([2]);
  const startedAt = performance.now();
  let isBack = false;
  writer.back.then(() => isBack = true);
  while (host.puts.size < 300) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(isBack, false);
  isDown = false;
  await writer.back;
  const down = performance.now() - startedAt;
  await running;
  assert.ok(writer.longestGapMs([2]) > 0);
  assert.ok(writer.longestGapMs([2]) <= down + 1_000);
  assert.equal(writer.longestGapMs([]), 0);
  assert.equal(writer.doneBytes, 0);
  assert.equal(writer.outstanding, 0);
  for (const { clusterId, key, digest, file } of writer.acknowledged) {
    assert.ok(host.puts.has(`${clusterId}:${encodeURIComponent(key)}`));
    assert.equal(digest.length, 64);
    assert.equal(file, undefined);
  }
});
