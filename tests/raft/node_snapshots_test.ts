/** Snapshots of one node, with the rest of the node around them: installed, overtaken, slow, failing. */
import { assert } from "../deps.ts";
import { Counter, Hosts } from "../support/hosts.ts";
import { RaftError } from "../../raft/errors.ts";

/** Turns of the event loop until something holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** A counter whose restoring waits for the test. */
class Gated extends Counter {
  static gate: Promise<void> = Promise.resolve();
  static restoring = 0;
  isRestoring = false;
  wasAsked = false;

  override async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
  ): Promise<void> {
    this.isRestoring = true;
    Gated.restoring++;
    await Gated.gate;
    await super.recoverFromSnapshot(reader);
    this.isRestoring = false;
  }

  override lookup(query: unknown): unknown {
    if (this.isRestoring) this.wasAsked = true;
    return super.lookup(query);
  }
}

/** Three hosts, one of which was away while the others went on beyond what their logs keep. */
async function withLaggard(
  factory: () => Counter,
): Promise<
  { hosts: Hosts; laggard: number; other: number; fill(): Promise<void> }
> {
  const config = {
    snapshotEntries: 0,
    compactionOverhead: 2,
    stateMachine: factory,
  };
  const hosts = await Hosts.started(3, config);
  const laggard = hosts.leader() === 1 ? 2 : 1;
  const other = [1, 2, 3].find((n) => n !== laggard)!;
  await hosts.close(laggard);
  const fill = async () => {
    await hosts.host(other).waitReady(1);
    for (let i = 0; i < 100; i++) {
      await hosts.host(other).propose(1, new Uint8Array(4_096));
    }
    for (const n of [1, 2, 3]) {
      if (n !== laggard) await hosts.host(n).takeSnapshot(1);
    }
  };
  await fill();
  await hosts.open(laggard);
  await hosts.host(laggard).startCluster(hosts.cluster(laggard, 3, config));
  return { hosts, laggard, other, fill };
}

Deno.test("While a state machine is replaced by a snapshot nobody asks it, and reads wait (rule C7)", async () => {
  const gate = Promise.withResolvers<void>();
  Gated.gate = gate.promise;
  Gated.restoring = 0;
  const machines: Gated[] = [];
  const { hosts, laggard, fill } = await withLaggard(() => {
    const machine = new Gated();
    machines.push(machine);
    return machine;
  });
  await using _ = hosts;
  await until(() => Gated.restoring > 0);
  const host = hosts.host(laggard);
  const read = host.read(1, "count", { timeoutMs: 60_000 });
  await assert.rejects(
    host.staleRead(1, "count"),
    (error) => error instanceof RaftError && error.code === "notReady",
  );
  await assert.rejects(
    host.takeSnapshot(1),
    (error) => error instanceof RaftError && error.code === "busy",
  );
  assert.equal(host.info().clusters[0]!.hash, undefined);
  await fill(); // The leader may offer a newer snapshot meanwhile.
  gate.resolve();
  const count = await read.catch((error: RaftError) => error.code);
  assert.ok(["notReady", 100, 200].includes(count as string | number));
  await host.waitReady(1);
  assert.equal(await host.read(1, "count"), 200);
  assert.ok(machines.every((machine) => !machine.wasAsked));
});

Deno.test("A node whose state machine cannot take a snapshot stops, and only that node; started again it is restored", async () => {
  let isBroken = true;
  class Picky extends Counter {
    override async recoverFromSnapshot(
      reader: ReadableStream<Uint8Array>,
    ): Promise<void> {
      if (isBroken) throw new Error("I do not like it");
      await super.recoverFromSnapshot(reader);
    }
  }
  const { hosts, laggard, other } = await withLaggard(() => new Picky());
  await using _ = hosts;
  const host = hosts.host(laggard);
  const failure = () => host.info().clusters[0]?.failure ?? "";
  await until(() => failure() !== "");
  assert.match(failure(), /I do not like it/);
  await hosts.host(other).propose(1, Uint8Array.of(1));
  await host.stopCluster(1);
  isBroken = false;
  await host.startCluster(
    hosts.cluster(laggard, 3, { stateMachine: () => new Picky() }),
  );
  await host.waitReady(1);
  assert.equal(await host.read(1, "count"), 101);
});

Deno.test("A node may be stopped and started again while it is being restored from a snapshot (rule L3)", async () => {
  const gate = Promise.withResolvers<void>();
  Gated.gate = gate.promise;
  Gated.restoring = 0;
  const { hosts, laggard } = await withLaggard(() => new Gated());
  await using _ = hosts;
  await until(() => Gated.restoring > 0);
  const host = hosts.host(laggard);
  const stopping = host.stopCluster(1);
  const starting = host.startCluster(
    hosts.cluster(laggard, 3, { stateMachine: () => new Counter() }),
  );
  gate.resolve();
  await Promise.all([stopping, starting]);
  await host.waitReady(1);
  assert.equal(await host.read(1, "count"), 100);
});

Deno.test("A snapshot that cannot be saved is not tried again at once, and harms nobody", async () => {
  let saves = 0;
  class Unsaved extends Counter {
    override saveSnapshot(): Promise<void> {
      saves++;
      throw new Error("at once, not by the promise");
    }
  }
  await using hosts = await Hosts.started(1, {
    snapshotEntries: 10,
    stateMachine: () => new Unsaved(),
  });
  const host = hosts.host(1);
  for (let i = 0; i < 100; i++) await host.propose(1, Uint8Array.of(1));
  assert.ok(saves >= 1 && saves <= 2, `${saves} attempts`);
  await assert.rejects(host.takeSnapshot(1), /at once/);
  assert.equal((await host.propose(1, Uint8Array.of(1))).value, 101);
});

Deno.test("takeSnapshot() gives two callers one snapshot, and nothing to save none", async () => {
  await using hosts = await Hosts.started(3, { snapshotEntries: 0 });
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  const [first, second] = await Promise.all([
    host.takeSnapshot(1),
    host.takeSnapshot(1),
  ]);
  assert.equal(first, second);
  assert.equal(await host.takeSnapshot(1), first);
  assert.deepEqual(hosts.disk(1).list("/data/snapshots/1-1"), [
    `${first}.snap`,
  ]);
});
