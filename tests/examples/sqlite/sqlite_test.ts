/** The SQLite example: as a library, and as a process that is killed. */
import { assert } from "../../deps.ts";
import { NodeHost } from "../../../mod.ts";
import {
  put,
  remove,
  SqliteMachine,
} from "../../../examples/sqlite/state_machine.ts";
import { DatabaseSync } from "../../../examples/sqlite/deps.ts";
import { freePort } from "../../support/hosts.ts";

const program = new URL("../../../examples/sqlite/main.ts", import.meta.url);

/** A folder that goes with the test. */
async function inFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Three ports in a row on which nobody listens. */
function freePorts(): number {
  for (;;) {
    const first = freePort();
    try {
      for (const port of [first + 1, first + 2]) {
        using _ = Deno.listen({ hostname: "127.0.0.1", port });
      }
      return first;
    } catch {
      // One of them is in use.
    }
  }
}

function run(dir: string, port: number, ...args: string[]) {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      `--allow-read`,
      `--allow-write=${dir}`,
      "--allow-net=127.0.0.1",
      program.href,
      ...["--dir", dir, "--port", String(port)],
      ...args,
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function output(command: Deno.Command): Promise<string> {
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  assert.equal(code, 0, decoder.decode(stderr));
  return decoder.decode(stdout);
}

Deno.test("The SQLite example keeps what was acknowledged when its process is killed", async () => {
  await inFolder(async (dir) => {
    const port = freePorts();
    const child = run(dir, port, "--put", "a=1", "--put", "b=2=3", "--stay")
      .spawn();
    try {
      let text = "";
      const reader = child.stdout.pipeThrough(new TextDecoderStream());
      for await (const part of reader) {
        text += part;
        if (text.includes("2 rows")) break;
      }
      assert.match(text, /\{"key":"a","value":"1"\}/);
    } finally {
      child.kill("SIGKILL");
      await child.status;
      await child.stderr.cancel();
    }
    assert.equal(
      await output(run(dir, port, "--delete", "a", "--put", "c=4")),
      '{"key":"b","value":"2=3"}\n{"key":"c","value":"4"}\n2 rows\n',
    );
  });
});

Deno.test("The SQLite example says in a line what is wrong with a query", async () => {
  await inFolder(async (dir) => {
    const command = run(dir, freePorts(), "--query", "SELEC 1");
    const { code, stderr } = await command.output();
    assert.equal(code, 1);
    assert.match(new TextDecoder().decode(stderr), /^.*syntax error.*\n$/);
  });
});

Deno.test("A SQLite database is there until that of a snapshot takes its place", async () => {
  await inFolder(async (dir) => {
    const machine = new SqliteMachine(`${dir}/items.db`);
    await machine.open();
    const entry = { index: 1, term: 1, command: put("a", "1") };
    machine.update([entry]);
    const copy = machine.prepareSnapshot();
    machine.update([{ ...entry, index: 2, command: put("a", "2") }]);
    const recover = () =>
      machine.recoverFromSnapshot(new ReadableStream(), {
        index: 1,
        term: 1,
        files: [{ id: 1, path: copy.path, metadata: new Uint8Array() }],
      });
    const rename = Object.getOwnPropertyDescriptor(Deno, "rename")!;
    Object.defineProperty(Deno, "rename", {
      ...rename,
      value: () => Promise.reject(new Error("the power is gone")),
    });
    try {
      await assert.rejects(recover(), /the power is gone/);
    } finally {
      Object.defineProperty(Deno, "rename", rename);
    }
    const query = "SELECT value FROM items";
    assert.equal(await machine.open(), 2);
    assert.deepEqual({ ...(machine.lookup(query) as object[])[0] }, {
      value: "2",
    });
    await recover();
    assert.deepEqual({ ...(machine.lookup(query) as object[])[0] }, {
      value: "1",
    });
    machine.close();
    assert.equal(await machine.open(), 1);
    machine.close();
  });
});

Deno.test("A SQLite database that somebody else reads is not taken for synced", async () => {
  await inFolder(async (dir) => {
    const machine = new SqliteMachine(`${dir}/items.db`);
    await machine.open();
    machine.sync();
    const other = new DatabaseSync(`${dir}/items.db`, { readOnly: true });
    other.exec("BEGIN");
    other.prepare("SELECT * FROM items").all();
    machine.update([{ index: 1, term: 1, command: put("a", "1") }]);
    assert.throws(() => machine.sync(), /another program reads it/);
    other.close();
    machine.sync();
    machine.close();
  });
});

Deno.test("A SQLite database comes to a new member whole, and is its own from then on", async () => {
  await inFolder(async (dir) => {
    const addresses = [freePort(), freePort()].map((port) =>
      `127.0.0.1:${port}`
    );
    const open = async (n: number) => {
      await Deno.mkdir(`${dir}/${n}`, { recursive: true });
      return await NodeHost.open({
        dir: `${dir}/${n}/raft`,
        raftAddress: addresses[n]!,
        tickMs: 10,
        segmentBytes: 1024 * 1024,
      });
    };
    const machine = (n: number) => () =>
      new SqliteMachine(`${dir}/${n}/items.db`);
    await using first = await open(0);
    await first.startCluster({
      clusterId: 1,
      nodeId: 1,
      initialMembers: { 1: addresses[0]! },
      stateMachine: machine(0),
    });
    await first.waitReady(1);
    for (let i = 0; i < 200; i++) {
      await first.propose(1, put(`key ${i}`, "x".repeat(4_000)));
    }
    await first.propose(1, remove("key 7"));
    await first.propose(1, new TextEncoder().encode("no command"));
    await first.takeSnapshot(1, { compactionOverhead: 0 });
    await using second = await open(1);
    await first.addNode(1, { nodeId: 2, address: addresses[1]! });
    await second.startCluster({
      clusterId: 1,
      nodeId: 2,
      join: true,
      stateMachine: machine(1),
    });
    await second.waitReady(1);
    const count = "SELECT count(*) AS n FROM items";
    assert.deepEqual(
      await second.read(1, count).then((rows) => ({
        ...(rows as object[])[0],
      })),
      { n: 199 },
    );
    const left = [...Deno.readDirSync(`${dir}/1`)].map(({ name }) => name);
    assert.deepEqual(
      left.filter((name) => /copy|next/.test(name)),
      [],
      "copies are removed",
    );
    await assert.rejects(second.read(1, "DELETE FROM items"), /readonly/);
  });
});
