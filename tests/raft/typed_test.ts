import { assert } from "../deps.ts";
import type { Result, SnapshotWriter } from "../../raft/state_machine.ts";
import { jsonCodec, typed } from "../../raft/typed.ts";
import type { Codec, TypedEntry } from "../../raft/typed.ts";
import { Hosts } from "../support/hosts.ts";

type Command = { add: number };

/** Counts what it is asked. */
function countingCodec(): Codec<Command> & { decoded: number } {
  const json = jsonCodec<Command>();
  const codec = {
    decoded: 0,
    encodeCommand: json.encodeCommand,
    decodeCommand: (bytes: Uint8Array) => {
      codec.decoded++;
      return json.decodeCommand(bytes);
    },
  };
  return codec;
}

class Total {
  #total = 0;
  isClosed = false;
  update(entry: TypedEntry<Command>): Result {
    assert.equal(entry.command, entry.command);
    assert.ok(entry.index > 0 && entry.term > 0);
    return { value: this.#total += entry.command.add };
  }
  lookup(query: "total" | "twice"): number {
    return query === "twice" ? 2 * this.#total : this.#total;
  }
  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    await writer.write(Uint8Array.of(this.#total));
  }
  async recoverFromSnapshot(from: ReadableStream<Uint8Array>): Promise<void> {
    this.#total = (await new Response(
      from as ReadableStream<Uint8Array<ArrayBuffer>>,
    ).bytes())[0]!;
  }
  hash(): bigint {
    return BigInt(this.#total);
  }
  close(): void {
    this.isClosed = true;
  }
}

Deno.test("typed(): commands, queries and answers have the application's types, and a command is decoded once", async () => {
  const codec = countingCodec();
  const machine = new Total();
  const factory = typed(codec, () => machine);
  await using hosts = await Hosts.started(1, { stateMachine: factory });
  const host = hosts.host(1);
  const cluster = host.cluster(1, factory);
  assert.equal(cluster.clusterId, 1);
  assert.deepEqual(await cluster.propose({ add: 5 }), { value: 5 });
  assert.equal(codec.decoded, 1);
  const total: number = await cluster.read("total");
  assert.equal(total, 5);
  assert.equal(await cluster.staleRead("twice"), 10);
  const session = await host.openSession(1);
  const { value } = await cluster.propose({ add: 1 }, { session });
  assert.equal(value, 6);
  assert.equal(session.respondedTo, 1);
  assert.equal(typeof host.info().clusters[0]!.hash, "bigint");
  assert.ok(await host.takeSnapshot(1) > 0);
  await host.stopCluster(1);
  assert.ok(machine.isClosed, "all of its methods are there");
});

Deno.test("typed(): a command that is not looked at is not decoded, and batches are decoded too", async () => {
  const codec = countingCodec();
  let total = 0;
  const factory = typed(codec, () => ({
    kind: "concurrent",
    update: (entries: readonly TypedEntry<Command>[]) =>
      entries.map((entry) => ({
        value: total === 0 ? total = 1 : total += entry.command.add,
      })),
    lookup: (_query: "total") => total,
    prepareSnapshot: () => total,
    saveSnapshot: (context: unknown, writer: SnapshotWriter) =>
      writer.write(Uint8Array.of(Number(context))),
    recoverFromSnapshot: () => Promise.resolve(),
  }));
  await using hosts = await Hosts.started(1, { stateMachine: factory });
  const cluster = hosts.host(1).cluster(1, factory);
  assert.deepEqual(await cluster.propose({ add: 5 }), { value: 1 });
  assert.equal(codec.decoded, 0);
  assert.deepEqual(await cluster.propose({ add: 5 }), { value: 6 });
  assert.equal(codec.decoded, 1);
  assert.ok(await hosts.host(1).takeSnapshot(1) > 0);
});

Deno.test("typed() tells mistakes: a codec that is none, a machine that is none, a session of another cluster", async () => {
  assert.throws(
    () => typed({} as Codec<Command>, () => new Total()),
    /codec: it has no method encodeCommand/,
  );
  assert.throws(
    () => jsonCodec<unknown>().encodeCommand(undefined),
    /no JSON for undefined/,
  );
  assert.throws(
    () => jsonCodec<unknown>().encodeCommand({ add: 1n }),
    /Cannot encode the command: .*BigInt.*another codec/,
  );
  const nothing = typed(jsonCodec<Command>(), () => ({}) as Total);
  await using hosts = new Hosts();
  const host = await hosts.open(1);
  await assert.rejects(
    host.startCluster(hosts.cluster(1, 1, { stateMachine: nothing })),
    /what it returned has no method update/,
  );
  const factory = typed(jsonCodec<Command>(), () => Object.freeze(new Total()));
  for (const clusterId of [2, 3]) {
    await host.startCluster(
      hosts.cluster(1, 1, { clusterId, stateMachine: factory }),
    );
    await host.waitReady(clusterId);
  }
  assert.throws(
    () => host.cluster(2, (() => new Total()) as unknown as typeof factory),
    /it has no codec; give what typed\(\) returned/,
  );
  const session = await host.openSession(2);
  assert.throws(
    () => host.cluster(3, factory).propose({ add: 1 }, { session }),
    /session is one of cluster 2/,
  );
  await assert.rejects(
    host.propose(3, Uint8Array.of(1)), // No JSON.
    /Cannot decode the command of entry \d+: .*JSON/,
  );
});
