/** The life of nodes on a NodeHost: stopped, started again, closed, while something is under way or user code misbehaves. */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type { RaftErrorCode } from "../../raft/errors.ts";
import type {
  Entry,
  Result,
  SnapshotWriter,
} from "../../raft/state_machine.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";

function isRaftError(code: RaftErrorCode, text?: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RaftError, `not a RaftError: ${error}`);
    assert.equal(error.code, code, error.message);
    if (text !== undefined) assert.match(error.message, text);
    return true;
  };
}

/** A door that a test opens. */
class Door {
  readonly #opened = Promise.withResolvers<void>();
  readonly #reached = Promise.withResolvers<void>();
  /** Resolves when somebody stands before it. */
  readonly reached = this.#reached.promise;
  open(): void {
    this.#opened.resolve();
  }
  pass(): Promise<void> {
    this.#reached.resolve();
    return this.#opened.promise;
  }
}

/** A counter whose snapshots wait at doors. */
class DoorCounter extends Counter {
  saveDoor: Door | undefined;
  recoverDoor: Door | undefined;
  isSaving = false;
  isClosedWhileSaving = false;

  override async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    this.isSaving = true;
    try {
      await this.saveDoor?.pass();
      await super.saveSnapshot(writer);
    } finally {
      this.isSaving = false;
    }
  }

  override async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
  ): Promise<void> {
    await this.recoverDoor?.pass();
    await super.recoverFromSnapshot(reader);
  }

  override close(): void {
    this.isClosedWhileSaving = this.isSaving;
    super.close();
  }
}

function fillDisk(hosts: Hosts, n: number): { space(): void } {
  let isFull = true;
  hosts.disk(n).faults = {
    beforeCreate: (path) => {
      if (isFull && path.includes("/log/")) {
        throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
      }
    },
  };
  return { space: () => isFull = false };
}

/** Rejects after so many turns of the event loop, as a test's substitute for waiting for ever. */
async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let isOver = false;
  const watched = promise.finally(() => isOver = true);
  watched.catch(() => {});
  for (let turn = 0; turn < 1_000 && !isOver; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.ok(isOver, `${what} did not end`);
  return await watched;
}

Deno.test("A node stopped and started again takes no entry of its life before for a new proposal's (rule R1)", async () => {
  class SlowCounter extends Counter {
    override update(entry: Entry): Result {
      const until = performance.now() + 2;
      while (performance.now() < until);
      return super.update(entry);
    }
  }
  await using hosts = await Hosts.started(3);
  const leader = hosts.leader();
  const follower = leader === 1 ? 2 : 1;
  for (let i = 0; i < 150; i++) {
    await hosts.host(leader).propose(1, Uint8Array.of(1));
  }
  const host = hosts.host(follower);
  // The first request of the follower's life, which the next life finds in its log.
  await host.propose(1, Uint8Array.of(100));
  await host.stopCluster(1);
  await host.startCluster(
    hosts.cluster(follower, 3, { stateMachine: () => new SlowCounter() }),
  );
  while (true) {
    const outcome = await host.propose(1, Uint8Array.of(1)).then(
      (result) => result.value,
      (error) => error.code,
    );
    if (outcome === "notReady") {
      await new Promise((resolve) => setTimeout(resolve, 0));
      continue;
    }
    assert.equal(outcome, 251, "the result is that of the new proposal");
    break;
  }
});

Deno.test("close() ends while the record of a snapshot waits to be written", async () => {
  await using hosts = await Hosts.started(1, { snapshotEntries: 0 });
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  const full = fillDisk(hosts, 1);
  const taken = host.takeSnapshot(1).then(() => "taken", (error) => error.code);
  await within("close()", host.close());
  assert.ok(["taken", "closed", "clusterClosed"].includes(await taken));
  full.space();
});

Deno.test("stopCluster() and close() end while the disk is full and a snapshot could not be recorded (rule L5)", async () => {
  const door = new Door();
  const machine = new DoorCounter();
  await using hosts = await Hosts.started(1, {
    snapshotEntries: 0,
    stateMachine: () => machine,
  });
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  machine.saveDoor = door;
  const taken = host.takeSnapshot(1).then(() => "taken", (error) => error.code);
  await door.reached;
  const full = fillDisk(hosts, 1);
  // The state machine is held up by its snapshot, so what is proposed stays in the log.
  const pending: Promise<string>[] = [];
  for (let i = 0; i < 60; i++) {
    pending.push(
      host.propose(1, new Uint8Array(60_000)).then(
        () => "applied",
        (error) => error.outcome,
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  door.open();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await within("stopCluster()", host.stopCluster(1));
  assert.ok(["taken", "clusterClosed", "diskFull"].includes(await taken));
  await within("close()", host.close());
  for (const outcome of await Promise.all(pending)) {
    assert.ok(["applied", "notApplied", "unknown"].includes(outcome));
  }
  full.space();
});

Deno.test("startCluster() rejects when the log fails before the node is recorded, and close() ends (rule L2)", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  hosts.disk(1).faults = {
    beforeSync: () => {
      throw Object.assign(new Error("the disk is gone"), { code: "EIO" });
    },
  };
  await assert.rejects(
    within(
      "startCluster()",
      host.startCluster(hosts.cluster(1, 1, { clusterId: 2 })),
    ),
    isRaftError("diskFailed"),
  );
  await within("close()", host.close());
});

Deno.test("takeSnapshot() ends when the log fails before the snapshot is recorded, and so does close() (rule L2)", async () => {
  const machine = new DoorCounter();
  await using hosts = await Hosts.started(1, { stateMachine: () => machine });
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  hosts.disk(1).faults = {
    beforeSync: (path) => {
      if (!path.includes("/log/")) return;
      throw Object.assign(new Error("the disk is gone"), { code: "EIO" });
    },
  };
  await assert.rejects(
    within("takeSnapshot()", host.takeSnapshot(1)),
    isRaftError("diskFailed"),
  );
  await within("close()", host.close());
});

Deno.test("A snapshot that fails after its caller has gone ends no process (rule R1)", async () => {
  class Failing extends Counter {
    override saveSnapshot(): Promise<void> {
      return Promise.reject(new Error("the state cannot be saved"));
    }
  }
  await using hosts = await Hosts.started(1, {
    stateMachine: () => new Failing(),
  });
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  const reason = new Error("not wanted any more");
  await assert.rejects(
    host.takeSnapshot(1, { signal: AbortSignal.abort(reason) }),
    reason,
  );
  await assert.rejects(host.takeSnapshot(1), /cannot be saved/);
  assert.equal((await host.propose(1, Uint8Array.of(1))).value, 2);
});

Deno.test("A snapshot that fails after its deadline, or its signal, ends its call once (rule R1)", async () => {
  class Failing extends DoorCounter {
    override async saveSnapshot(): Promise<void> {
      await this.saveDoor!.pass();
      throw new Error("the state cannot be saved");
    }
  }
  const machine = new Failing();
  machine.saveDoor = new Door();
  await using hosts = await Hosts.started(1, { stateMachine: () => machine });
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  const controller = new AbortController();
  const reason = new Error("not wanted any more");
  const aborted = host.takeSnapshot(1, { signal: controller.signal });
  await assert.rejects(
    host.takeSnapshot(1, { timeoutMs: 10 }),
    isRaftError("timeout"),
  );
  controller.abort(reason);
  await assert.rejects(aborted, reason);
  machine.saveDoor.open();
  assert.equal((await host.propose(1, Uint8Array.of(1))).value, 2);
});

Deno.test("A lookup that stops its own cluster ends every read once (rule R1)", async () => {
  let stopped: Promise<void> | undefined;
  await using hosts = new Hosts();
  const host = await hosts.open(1);
  class Stopper extends Counter {
    override lookup(query: unknown): unknown {
      if (query === "stop") stopped = host.stopCluster(1);
      return super.lookup(query);
    }
  }
  await host.startCluster(
    hosts.cluster(1, 1, { stateMachine: () => new Stopper() }),
  );
  await host.waitReady(1);
  const ends = await Promise.all(
    ["total", "stop", "total"].map((query) =>
      host.read(1, query).then(() => "answered", (error) => error.code)
    ),
  );
  assert.deepEqual(ends, ["answered", "answered", "clusterClosed"]);
  await stopped;
});

Deno.test("An update that proposes, reads, stops its cluster or closes its NodeHost harms nobody (rule R1)", async () => {
  await using hosts = new Hosts();
  const host = await hosts.open(1);
  const inner: Promise<unknown>[] = [];
  const endOf = (promise: Promise<unknown>) =>
    promise.then(() => "done", (error) => error.code);
  class Caller extends Counter {
    override update(entry: Entry): Result {
      const signal = AbortSignal.timeout(60_000);
      if (entry.command[0] === 1) {
        inner.push(endOf(host.propose(1, Uint8Array.of(5))));
        inner.push(endOf(host.read(1, "total", { signal })));
        inner.push(endOf(host.takeSnapshot(1)));
      }
      if (entry.command[0] === 2) inner.push(endOf(host.stopCluster(1)));
      if (entry.command[0] === 3) inner.push(endOf(host.close()));
      return super.update(entry);
    }
  }
  const config = hosts.cluster(1, 1, { stateMachine: () => new Caller() });
  await host.startCluster(config);
  await host.waitReady(1);
  assert.equal((await host.propose(1, Uint8Array.of(1))).value, 1);
  assert.deepEqual(await Promise.all(inner), ["done", "done", "done"]);
  inner.length = 0;
  await assert.rejects(
    host.propose(1, Uint8Array.of(2)),
    (error) =>
      isRaftError("clusterClosed")(error) &&
      (error as RaftError).outcome === "unknown",
  );
  assert.deepEqual(await Promise.all(inner), ["done"]);
  await hosts.close(1);
});

Deno.test("A state machine is closed once, also if its start fails, and never while it saves", async () => {
  const made: DoorCounter[] = [];
  await using hosts = await Hosts.started(1, {
    stateMachine: () => {
      const machine = new DoorCounter();
      made.push(machine);
      return machine;
    },
  });
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(1));
  const door = new Door();
  made[0]!.saveDoor = door;
  const taken = host.takeSnapshot(1).catch((error) => error.code);
  await door.reached;
  const stopping = host.stopCluster(1);
  assert.equal(made[0]!.isClosed, false);
  door.open();
  await stopping;
  await taken;
  assert.ok(made[0]!.isClosed);
  assert.equal(made[0]!.isClosedWhileSaving, false);

  await host.startCluster(hosts.cluster(1, 1));
  await host.waitReady(1);
  await host.takeSnapshot(1);
  await host.stopCluster(1);
  class Broken extends Counter {
    override recoverFromSnapshot(): Promise<void> {
      return Promise.reject(new Error("not my format"));
    }
  }
  const broken = new Broken();
  await assert.rejects(
    host.startCluster(hosts.cluster(1, 1, { stateMachine: () => broken })),
    /not my format/,
  );
  assert.ok(broken.isClosed);
  await host.startCluster(hosts.cluster(1, 1));
  await host.waitReady(1);
  assert.equal(await host.read(1, "total"), 1);
});

Deno.test("close() goes on without a state machine that never ends its snapshot", async () => {
  const machine = new DoorCounter();
  const door = new Door();
  await using hosts = new Hosts();
  const { clock } = hosts;
  hosts.clock = {
    now: () => clock.now(),
    wallTime: () => clock.wallTime(),
    defer: (callback) => clock.defer(callback),
    // The patience of a test is shorter.
    setTimer: (ms, callback) =>
      clock.setTimer(ms === 5_000 ? 30 : ms, callback),
  };
  const host = await hosts.open(1);
  await host.startCluster(hosts.cluster(1, 1, { stateMachine: () => machine }));
  await host.waitReady(1);
  await host.propose(1, Uint8Array.of(1));
  machine.saveDoor = door;
  const taken = host.takeSnapshot(1, { timeoutMs: 60_000 }).then(
    () => "taken",
    (error) => error.code,
  );
  await door.reached;
  await within("close()", host.close());
  assert.equal(machine.isClosed, false, "its own code still runs");
  door.open();
  assert.ok(["clusterClosed", "closed"].includes(await taken));
});

Deno.test("A cluster started while it is being stopped waits for the end of its life before", async () => {
  const first = new DoorCounter();
  const door = new Door();
  await using hosts = await Hosts.started(1, { stateMachine: () => first });
  const host = hosts.host(1);
  await host.propose(1, Uint8Array.of(4));
  first.saveDoor = door;
  const taken = host.takeSnapshot(1).catch((error) => error.code);
  await door.reached;
  const stopping = host.stopCluster(1);
  let isStarted = false;
  const starting = host.startCluster(hosts.cluster(1, 1)).then(() => {
    isStarted = true;
    assert.ok(first.isClosed);
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(isStarted, false);
  door.open();
  await Promise.all([stopping, starting, taken]);
  await host.waitReady(1);
  assert.equal(await host.read(1, "total"), 4);
});

Deno.test("startCluster() that close() overtakes rejects with closed, and its state machine is closed", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const machine = new Counter();
  const starting = host.startCluster(
    hosts.cluster(1, 1, { clusterId: 2, stateMachine: () => machine }),
  ).then(() => "started", (error) => error.code);
  await within("close()", host.close());
  assert.equal(await within("startCluster()", starting), "closed");
});

Deno.test("After a restart the node started last is started by itself, not a removed one of the same cluster (rule I5)", async () => {
  const stateMachines = { counter: () => new Counter() };
  const config = { stateMachine: "counter" };
  await using hosts = await Hosts.started(3, config, { stateMachines });
  await hosts.host(1).removeNode(1, { nodeId: 3 });
  while (hosts.host(3).info().clusters[0]?.failure === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await hosts.host(1).addNode(1, { nodeId: 4, address: hosts.address(3) }, {
    timeoutMs: 60_000, // However busy the machine is.
  });
  await hosts.host(3).startCluster(
    hosts.cluster(4, 0, { ...config, join: true }),
  );
  await hosts.host(3).waitReady(1);
  await hosts.close(3);
  await hosts.open(3, { stateMachines });
  assert.equal(hosts.host(3).info().clusters[0]?.nodeId, 4);
  await hosts.host(3).waitReady(1);
});

Deno.test("What a stopped node refuses was never applied; what it had taken may have been (rule R1)", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const outcomes = await Promise.all(
    [255, 1].map((byte) =>
      host.propose(1, Uint8Array.of(byte)).catch((error) => error.outcome)
    ),
  );
  assert.deepEqual(outcomes, ["unknown", "unknown"]);
  for (
    const call of [
      () => host.propose(1, Uint8Array.of(1)),
      () => host.read(1, "total"),
      () => host.addNode(1, { nodeId: 2, address: hosts.address(1) }),
    ]
  ) {
    await assert.rejects(
      call,
      (error) =>
        isRaftError("clusterClosed", /told to fail/)(error) &&
        (error as RaftError).outcome === "notApplied",
    );
  }
});

Deno.test("waitReady() ends at its deadline and with its signal, however long a tick is (rule R1)", async () => {
  await using hosts = new Hosts();
  const host = await hosts.open(1, { tickMs: 60_000 });
  await host.startCluster(hosts.cluster(1, 3));
  await within(
    "waitReady()",
    assert.rejects(
      host.waitReady(1, { timeoutMs: 20 }),
      isRaftError("timeout", /none came from node 2/),
    ),
  );
  const controller = new AbortController();
  const waiting = host.waitReady(1, { signal: controller.signal });
  const reason = new Error("enough");
  controller.abort(reason);
  await within("waitReady()", assert.rejects(waiting, reason));
});

Deno.test("close() hands leadership over: the others lead soon, however long their elections take (thesis 3.10)", async () => {
  await using hosts = new Hosts();
  for (const n of [1, 2, 3]) {
    const host = await hosts.open(n);
    // The first leads soon. To the others a leader that is silent would be missing after 50 seconds at the earliest.
    const electionTimeoutTicks = n === 1 ? 100 : 10_000;
    await host.startCluster(hosts.cluster(n, 3, { electionTimeoutTicks }));
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  const { leaderId, term } = hosts.host(2).getLeader(1);
  assert.equal(leaderId, 1);
  await hosts.close(1);
  for (const n of [2, 3]) await hosts.host(n).waitReady(1);
  const next = hosts.host(2).getLeader(1);
  assert.notEqual(next.leaderId, 1);
  assert.equal(next.term, term + 1, "by one election");
  await hosts.host(3).propose(1, Uint8Array.of(1));
  // The last one would wait just as long for the other to take over from it.
  for (const n of [2, 3]) await hosts.host(n).stopCluster(1);
});

Deno.test("close() hands leadership over also if it was taken over just now, and nobody was heard yet (thesis 3.10)", async () => {
  await using hosts = new Hosts();
  const electionTimeoutTicks = 200; // Without a word of it the others would wait for a second at least.
  for (const n of [1, 2, 3]) {
    await (await hosts.open(n)).startCluster(
      hosts.cluster(n, 3, { electionTimeoutTicks }),
    );
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  const before = hosts.host(1).getLeader(1);
  const next = before.leaderId % 3 + 1;
  const rest = [1, 2, 3].filter((n) => n !== next);
  const asking = () =>
    rest.map((n) => hosts.host(n).metrics.value("drakkar_pre_campaigns_total"));
  const asked = asking();
  // Asked for at the target itself, it resolves in the very turn in which that begins to lead.
  await hosts.host(next).transferLeadership(1, next);
  await hosts.close(next);
  await until("another leader", () => {
    const { leaderId, term } = hosts.host(rest[0]!).getLeader(1);
    return leaderId !== 0 && term === before.term + 2;
  });
  // It was told to begin; who finds out by the silence asks the others first.
  assert.deepEqual(asking(), asked);
});

Deno.test("startCluster() refuses a new member whose own address is another one, and what is no state machine", async () => {
  await using hosts = new Hosts();
  const host = await hosts.open(1);
  await assert.rejects(
    host.startCluster({
      ...hosts.cluster(1, 1),
      initialMembers: { 1: "elsewhere:7000" },
    }),
    (error) =>
      error instanceof RangeError &&
      /node 1 is at elsewhere:7000 there.*host-1:7000/.test(error.message),
  );
  const wrong: [unknown, RegExp][] = [
    [() => undefined, /returned undefined/],
    [() => Promise.reject(new Error("late")), /Promise/],
    [
      () => ({ update() {}, lookup() {}, saveSnapshot() {} }),
      /no method recoverFromSnapshot/,
    ],
    [Counter, /a class/],
  ];
  for (const [stateMachine, text] of wrong) {
    await assert.rejects(
      host.startCluster(
        hosts.cluster(1, 1, { stateMachine: stateMachine as () => Counter }),
      ),
      (error) => error instanceof TypeError && text.test(error.message),
    );
  }
  await host.startCluster(hosts.cluster(1, 1));
  await host.waitReady(1);
});
