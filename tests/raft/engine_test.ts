import { assert } from "../deps.ts";
import { Engine, type EngineNode } from "../../raft/engine.ts";
import { RaftError } from "../../raft/errors.ts";
import type { Clock } from "../../raft/ports.ts";
import type { LinkPool } from "../../raft/transport/link_pool.ts";
import type {
  Bootstrap,
  LogStore,
  NodeWrite,
} from "../../storage/log_store.ts";
import { KeptLog } from "../support/hosts.ts";

/** Runs deferred work and timers when told. */
class StepClock implements Clock {
  ms = 0;
  #deferred: (() => void)[] = [];
  #timers: { at: number; callback: () => void }[] = [];
  now(): number {
    return this.ms;
  }
  wallTime(): number {
    return this.ms;
  }
  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }
  setTimer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { at: this.ms + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }
  /** Runs what was deferred; what that defers runs next time. */
  turn(): void {
    for (const callback of this.#deferred.splice(0)) callback();
  }
  advance(ms: number): void {
    this.ms += ms;
    const due = this.#timers.filter((timer) => timer.at <= this.ms);
    this.#timers = this.#timers.filter((timer) => timer.at > this.ms);
    for (const { callback } of due) callback();
    this.turn();
  }
}

/** One group that the engine gave to the log. */
interface Group {
  readonly writes: readonly NodeWrite[];
  readonly sync: boolean;
  end(error?: unknown): Promise<void>;
}

class World {
  readonly clock = new StepClock();
  readonly groups: Group[] = [];
  readonly events: string[] = [];
  readonly failures: unknown[] = [];
  idleCalls = 0;
  isDiskFull = false;
  readonly engine: Engine;

  constructor() {
    const log = {
      commitGroup: (
        writes: readonly NodeWrite[],
        { sync }: { sync: boolean },
      ) => {
        this.events.push(`write ${writes.map((write) => write.clusterId)}`);
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        this.groups.push({
          writes,
          sync,
          end: async (error) => {
            if (error === undefined) resolve();
            else reject(error);
            for (let i = 0; i < 10; i++) await Promise.resolve();
          },
        });
        return promise;
      },
      isDiskFull: () => this.isDiskFull,
      idle: () => {
        this.idleCalls++;
        return Promise.resolve();
      },
    };
    Object.defineProperty(log, "isDiskFull", { get: log.isDiskFull });
    const links = { flush: () => this.events.push("flush") };
    this.engine = new Engine({
      clock: this.clock,
      log: log as unknown as LogStore,
      links: links as unknown as LinkPool,
      logger: new KeptLog(),
      tickMs: 10,
      onDiskFailure: (error) => this.failures.push(error),
    });
  }
}

class StubNode implements EngineNode {
  isDirty = false;
  isTicking = false;
  isQuiet = false;
  hasToApply = false;
  ticks = 0;
  readonly clusterId: number;
  readonly writes: number[] = [];
  readonly #world: World;
  onTurn: () => void = () => {};
  onApply: () => void = () => {};
  onTick: () => void = () => {};
  failure: unknown;

  constructor(world: World, clusterId: number) {
    this.#world = world;
    this.clusterId = clusterId;
  }
  tick(): void {
    this.ticks++;
    this.onTick();
  }
  turn(): void {
    this.#world.events.push(`turn ${this.clusterId}`);
    this.onTurn();
  }
  apply(): void {
    this.#world.events.push(`apply ${this.clusterId}`);
    this.hasToApply = false;
    this.onApply();
  }
  written(writeId: number): void {
    this.#world.events.push(`written ${this.clusterId}/${writeId}`);
    this.writes.push(writeId);
  }
  fail(error: unknown): void {
    this.failure = error;
    this.#world.engine.remove(this);
  }
  stage(writeId: number, mustSync: boolean): void {
    this.#world.engine.stage(this, { clusterId: this.clusterId, nodeId: 1 }, {
      writeId,
      mustSync,
    });
  }
}

function worldOf(count: number): { world: World; nodes: StubNode[] } {
  const world = new World();
  const nodes = Array.from(
    { length: count },
    (_, i) => new StubNode(world, i + 1),
  );
  for (const node of nodes) world.engine.add(node);
  world.clock.turn();
  world.events.length = 0;
  return { world, nodes };
}

Deno.test("Engine sends appends before it writes, and applies after it began to (rules C1, C2)", async () => {
  const { world, nodes } = worldOf(2);
  for (const node of nodes) {
    node.onTurn = () => node.stage(1, true);
    node.hasToApply = true;
    world.engine.schedule(node);
  }
  world.clock.turn();
  assert.deepEqual(world.events, [
    "turn 1",
    "turn 2",
    "flush",
    "write 1,2",
    "apply 1",
    "apply 2",
  ]);
  assert.equal(world.groups.length, 1, "one write and one sync for all (B3)");
  assert.ok(world.groups[0]!.sync);
  for (const node of nodes) node.onTurn = () => {};
  await world.groups[0]!.end();
  assert.deepEqual(world.events.slice(6, 8), ["written 1/1", "written 2/1"]);
});

Deno.test("Engine has one sync in flight; what comes meanwhile is the next group, in order (rule C1)", async () => {
  const { world, nodes: [node] } = worldOf(1);
  for (const id of [1, 2, 3]) {
    node!.onTurn = () => node!.stage(id, true);
    world.engine.schedule(node!);
    world.clock.turn();
  }
  node!.onTurn = () => {};
  assert.equal(world.groups.length, 1);
  await world.groups[0]!.end();
  assert.deepEqual(node!.writes, [1]);
  assert.equal(world.groups.length, 2);
  assert.equal(world.groups[1]!.writes.length, 2);
  await world.groups[1]!.end();
  assert.deepEqual(node!.writes, [1, 2, 3]);
});

Deno.test("Engine lets a commit-only record wait for company, in its order, and writes it without a sync at the next tick (rule L3)", async () => {
  const { world, nodes: [node] } = worldOf(1);
  world.engine.start();
  node!.stage(1, false);
  world.engine.schedule(node!);
  world.clock.turn();
  assert.equal(world.groups.length, 0);
  world.clock.advance(10);
  assert.equal(world.groups.length, 1);
  assert.equal(world.groups[0]!.sync, false);
  await world.groups[0]!.end();

  node!.stage(2, false);
  node!.stage(3, true);
  world.engine.schedule(node!);
  world.clock.turn();
  assert.equal(world.groups[1]!.writes.length, 2);
  assert.ok(world.groups[1]!.sync);
  await world.groups[1]!.end();
  assert.deepEqual(node!.writes, [1, 2, 3]);
});

Deno.test("Engine counts ticks missed in a pause as one, while deadlines follow the clock (rule C6)", () => {
  const { world, nodes: [node] } = worldOf(1);
  world.engine.start();
  world.clock.advance(10);
  assert.equal(node!.ticks, 1);
  world.clock.advance(1_000);
  assert.equal(node!.ticks, 2);
  assert.equal(world.engine.tickNow, 101);
  world.clock.advance(10);
  assert.equal(node!.ticks, 3);
});

Deno.test("Engine stops the node that throws, wherever it does, and goes on with the others", async () => {
  const { world, nodes } = worldOf(4);
  const [turner, applier, ticker, good] = nodes as [
    StubNode,
    StubNode,
    StubNode,
    StubNode,
  ];
  world.engine.start();
  const fault = () => {
    throw new Error("a bug");
  };
  turner.onTurn = fault;
  applier.onApply = fault;
  applier.hasToApply = true;
  good.hasToApply = true;
  good.onTurn = () => good.stage(1, true);
  for (const node of nodes) world.engine.schedule(node);
  world.clock.turn();
  ticker.onTick = fault;
  world.clock.advance(10);
  for (const node of [turner, applier, ticker]) {
    assert.match(String(node.failure), /a bug/);
  }
  await world.groups[0]!.end();
  assert.equal(good.failure, undefined);
  assert.ok(good.ticks > 0);
  assert.ok(world.events.includes("apply 4"));
  assert.deepEqual(good.writes.slice(0, 1), [1]);
});

Deno.test("Engine gives who had no turn to apply the first one next time (rule C6)", () => {
  const { world, nodes } = worldOf(3);
  for (const node of nodes) {
    node.hasToApply = true;
    node.onApply = () => {
      node.hasToApply = node.clusterId === 1;
      world.clock.ms += 6;
    };
    world.engine.schedule(node);
  }
  const applied = () =>
    world.events.filter((event) => event.startsWith("apply"));
  world.clock.turn();
  assert.deepEqual(applied(), ["apply 1"], "its time was up");
  world.clock.turn();
  assert.deepEqual(applied(), ["apply 1", "apply 2"]);
  world.clock.turn();
  assert.deepEqual(applied().slice(2, 3), ["apply 3"]);
});

Deno.test("Engine sends what there is after a few milliseconds of turns; who had none is first next time (rule C6)", () => {
  const { world, nodes } = worldOf(4);
  for (const node of nodes) {
    node.onTurn = () => {
      world.clock.ms += 3;
      if (node.clusterId === 1 && world.events.length < 5) {
        world.engine.schedule(node);
      }
    };
    world.engine.schedule(node);
  }
  world.clock.turn();
  assert.deepEqual(world.events, ["turn 1", "turn 2", "flush"]);
  world.clock.turn();
  assert.deepEqual(world.events.slice(3), ["turn 3", "turn 4", "flush"]);
  world.clock.turn();
  assert.deepEqual(world.events.slice(6), ["turn 1", "flush"]);
});

Deno.test("Engine tries again what a full disk had no room for, each cluster for itself and in order (rule L5)", async () => {
  const { world, nodes: [big, small] } = worldOf(2);
  world.engine.start();
  big!.stage(1, true);
  small!.stage(1, true);
  world.engine.schedule(big!);
  world.clock.turn();
  const full = () => new RaftError("diskFull", "Cannot write: no space");
  await world.groups[0]!.end(full());
  big!.stage(2, true);
  world.engine.schedule(big!);
  world.clock.turn();
  assert.equal(world.groups.length, 1, "not before the next tick");
  world.clock.advance(10);
  assert.deepEqual(world.groups[1]!.writes.map((w) => w.clusterId), [1, 1]);
  await world.groups[1]!.end(full());
  assert.deepEqual(world.groups[2]!.writes.map((w) => w.clusterId), [2]);
  await world.groups[2]!.end();
  assert.deepEqual(small!.writes, [1]);
  assert.deepEqual(big!.writes, []);
  world.clock.advance(10);
  await world.groups[3]!.end();
  assert.deepEqual(big!.writes, [1, 2]);
  assert.deepEqual(world.failures, []);
});

Deno.test("Engine writes what changes seldom of a node once in a group, and never overtakes what came after it", async () => {
  const { world } = worldOf(0);
  const { engine } = world;
  const told: string[] = [];
  const bootstrapOf = (fingerprint: string) =>
    ({ fingerprint }) as unknown as Bootstrap;
  const peers = [{ nodeId: 2, nodeHostId: "H2", incarnation: 1 }];
  const tell = (what: string) => () => {
    told.push(what);
    if (what === "a") throw new Error("the next is told all the same");
  };
  const one = { clusterId: 1, nodeId: 1 };
  engine.stageProfile(
    { ...one, bootstrap: bootstrapOf("a") },
    false,
    tell("a"),
  );
  engine.stageProfile({ ...one, peers }, true, tell("peers"));
  engine.stageProfile({ clusterId: 2, nodeId: 1, peers }, false, tell("other"));
  engine.stageProfile(
    { ...one, bootstrap: bootstrapOf("b") },
    false,
    tell("b"),
  );
  // Of another node of the cluster, and from somewhere else: each is a write of its own, and later ones come behind it.
  const name = { ...one, bootstrap: bootstrapOf("from outside") };
  engine.stageOther(name, false, tell("outside"));
  engine.stageProfile(
    { ...one, bootstrap: bootstrapOf("c") },
    false,
    tell("c"),
  );
  const sibling = { clusterId: 1, nodeId: 7, bootstrap: bootstrapOf("d") };
  engine.stageProfile(sibling, false, tell("d"));
  world.clock.turn();
  const [group] = world.groups;
  assert.ok(group!.sync);
  assert.deepEqual(group!.writes, [
    { ...one, bootstrap: bootstrapOf("b"), peers },
    { clusterId: 2, nodeId: 1, peers },
    name,
    { ...one, bootstrap: bootstrapOf("c") },
    sibling,
  ]);
  // What is being written stays as it is.
  engine.stageProfile(
    { ...one, bootstrap: bootstrapOf("e") },
    false,
    tell("e"),
  );
  assert.equal(group!.writes.length, 5);
  await group!.end();
  assert.deepEqual(told, ["a", "peers", "b", "other", "outside", "c", "d"]);
  await world.groups[1]!.end();
  assert.equal(told.at(-1), "e");
});

Deno.test("Engine closes for good when a write fails: no retry, no turn, and whoever waits is told (rule L2)", async () => {
  const { world, nodes: [node] } = worldOf(1);
  world.engine.start();
  const told: string[] = [];
  const write = { clusterId: 1, nodeId: 1 };
  const stage = (name: string) =>
    world.engine.stageOther(
      write,
      true,
      () => told.push(`${name} done`),
      () => told.push(`${name} abandoned`),
    );
  stage("in flight");
  world.clock.turn();
  stage("waiting");
  const idle = world.engine.idle().then(() => told.push("idle"));
  await world.groups[0]!.end(new Error("EIO"));
  await idle;
  assert.equal(world.failures.length, 1);
  stage("late");
  assert.deepEqual(told.sort(), [
    "idle",
    "in flight abandoned",
    "late abandoned",
    "waiting abandoned",
  ]);
  const { ticks } = node!;
  world.engine.schedule(node!);
  world.clock.advance(100);
  assert.equal(world.groups.length, 1);
  assert.equal(node!.ticks, ticks);
  assert.deepEqual(node!.writes, []);
});

Deno.test("Engine writes what is left when it closes, and gives up what has no room (rule L5)", async () => {
  const { world } = worldOf(1);
  const told: string[] = [];
  world.engine.stageOther(
    { clusterId: 1, nodeId: 1 },
    true,
    () => told.push("done"),
    () => told.push("abandoned"),
  );
  world.engine.close();
  const idle = world.engine.idle();
  assert.equal(world.groups.length, 1);
  await world.groups[0]!.end(new RaftError("diskFull", "Cannot write"));
  await idle;
  assert.deepEqual(told, []);
  world.engine.abandon();
  world.engine.abandon();
  assert.deepEqual(told, ["abandoned"]);
});

Deno.test("Engine survives what follows a write", async () => {
  const { world, nodes: [node] } = worldOf(1);
  world.engine.stageOther({ clusterId: 1, nodeId: 1 }, true, () => {
    throw new Error("a file could not be removed");
  });
  node!.stage(1, true);
  world.clock.turn();
  await world.groups[0]!.end();
  assert.deepEqual(node!.writes, [1]);
});

Deno.test("Engine has the log look for space every five seconds while the disk is full and nothing is written (rule L5)", async () => {
  const { world } = worldOf(1);
  world.engine.start();
  const pass = async (seconds: number) => {
    for (let tick = 0; tick < seconds * 100; tick++) {
      world.clock.advance(10);
      await Promise.resolve();
    }
  };
  world.isDiskFull = true;
  await pass(2);
  assert.equal(world.idleCalls, 1);
  await pass(15);
  assert.equal(world.idleCalls, 4);
  world.isDiskFull = false;
  await pass(20);
  assert.equal(world.idleCalls, 4);
});

Deno.test("Engine proves the last sync once a quiet second has passed (rule L1)", async () => {
  const { world, nodes: [node] } = worldOf(1);
  world.engine.start();
  node!.stage(1, true);
  world.engine.schedule(node!);
  world.clock.turn();
  await world.groups[0]!.end();
  for (let i = 0; i < 98; i++) world.clock.advance(10);
  assert.equal(world.idleCalls, 0);
  for (let i = 0; i < 400; i++) {
    world.clock.advance(10);
    await Promise.resolve();
  }
  assert.equal(world.idleCalls, 1);
});

Deno.test("Engine gives no counter twice (rules R1, C7)", () => {
  const { world } = worldOf(0);
  const first = world.engine.takeCounters(10);
  assert.equal(world.engine.takeCounters(1), first + 10);
  assert.equal(world.engine.takeCounters(5), first + 11);
});
