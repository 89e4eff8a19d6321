import { assert } from "../../deps.ts";
import { KvClient } from "../../../examples/demo/client.ts";
import type { Host } from "../../../examples/demo/fleet.ts";
import { digestOf } from "../../../examples/demo/input.ts";
import { equalHashes, readBack } from "../../../examples/demo/verifier.ts";
import type { Acknowledged } from "../../../examples/demo/writer.ts";

/** Answers `GET` of a path from a table; what is not in it is not there. */
async function withServer(
  answers: Record<string, () => BodyInit>,
  test: (client: KvClient, host: Host) => Promise<void>,
): Promise<void> {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => {
      const answer = answers[new URL(request.url).pathname];
      if (answer === undefined) return new Response("none", { status: 404 });
      return new Response(answer());
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  const client = new KvClient([url], new AbortController().signal);
  await test(client, { number: 1, url } as Host);
}

Deno.test("readBack() finds what is missing, different, and changed in the input since", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/a`, "abcdef");
    const file = { name: "a", path: `${dir}/a`, bytes: 6 };
    const put = (key: string, text: string, offset: number): Acknowledged => ({
      clusterId: 1,
      key,
      digest: digestOf(new TextEncoder().encode(text)),
      bytes: text.length,
      file,
      offset,
    });
    const acknowledged = [
      put("fine", "abc", 0),
      put("missing", "abc", 0),
      put("different", "def", 3),
      put("changed", "xyz", 3),
    ];
    await withServer({
      "/clusters/1/keys/fine": () => "abc",
      "/clusters/1/keys/different": () => "deF",
      "/clusters/1/keys/changed": () => "xyz",
    }, async (client, host) => {
      let read = 0;
      const findings = await readBack({
        client,
        acknowledged,
        through: new Map([[1, host]]),
        onRead: (bytes) => read += bytes,
      });
      assert.equal(read, 12);
      findings.sort((a, b) => a.where < b.where ? -1 : 1);
      assert.deepEqual(findings, [
        {
          where: "cluster 1, changed",
          what: "the file was changed meanwhile",
          kind: "inputChanged",
          path: `${dir}/a`,
        },
        {
          where: "cluster 1, different",
          what: "different: 3 bytes, 3 were put",
          kind: "lost",
        },
        { where: "cluster 1, missing", what: "missing", kind: "lost" },
      ]);
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("equalHashes() waits until all have applied the same", async () => {
  let applied = 5;
  const hash = () => JSON.stringify({ applied: applied++, hash: "00" });
  await withServer({ "/clusters/1/hash": hash }, async (client, host) => {
    await withServer({
      "/clusters/1/hash": () => JSON.stringify({ applied: 7, hash: "01" }),
    }, async (_client, other) => {
      const hashes = await equalHashes(client, [host, other], 1);
      assert.deepEqual(hashes, [
        { applied: 7, hash: "00" },
        { applied: 7, hash: "01" },
      ]);
    });
  });
});
