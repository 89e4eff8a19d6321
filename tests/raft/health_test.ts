import { assert } from "../deps.ts";
import { EventHub } from "../../raft/events.ts";
import type { EventStream, HostEvent } from "../../raft/events.ts";
import { HealthWatch } from "../../raft/health.ts";
import { Counters } from "../../raft/metrics/counters.ts";
import type { StateMachine } from "../../raft/state_machine.ts";
import { Hosts, KeptLog, until } from "../support/hosts.ts";

class World {
  now = 0;
  readonly log = new KeptLog();
  readonly events = new EventHub();
  readonly counters = new Counters();
  readonly health: HealthWatch;
  readonly #stream: EventStream = this.events.subscribe();

  constructor() {
    const clock = {
      now: () => this.now,
      wallTime: () => this.now,
      setTimer: () => ({ cancel: () => {} }),
      defer: () => {},
    };
    this.health = new HealthWatch({
      clock,
      logger: this.log,
      events: this.events,
      counters: this.counters,
      tickMs: 10,
    });
  }

  /** So many ticks pass. */
  ticks(count: number): void {
    for (let i = 0; i < count; i++) {
      this.now += 10;
      this.health.tick(0, false);
    }
  }

  async heard(): Promise<HostEvent[]> {
    this.events.close();
    const events: HostEvent[] = [];
    for await (const event of this.#stream) events.push(event);
    return events;
  }
}

Deno.test("A write that takes an election timeout is told while it lasts, and when it ends", async () => {
  const world = new World();
  const { health, counters } = world;
  health.nodeAdded(20);
  health.nodeAdded(10);
  health.writeBegan();
  world.ticks(9);
  assert.equal(health.isDiskStalled, false);
  world.ticks(1);
  assert.equal(health.isDiskStalled, true);
  assert.equal(health.writingMs, 100);
  world.ticks(5);
  health.writeEnded(3, true);
  assert.equal(health.isDiskStalled, false);
  assert.equal(health.writingMs, 0);
  assert.deepEqual(await world.heard(), [
    { type: "diskSlow", stalledMs: 100, isOver: false },
    { type: "diskSlow", stalledMs: 150, isOver: true },
  ]);
  assert.equal(counters.diskStalls, 1);
  assert.equal(counters.sync.snapshot().max, 0.15);
  assert.match(world.log.lines[0]!, /^warn the disk is slow: .* stalledMs=100/);
});

Deno.test("A pause of the whole process is not taken for a slow disk", async () => {
  const world = new World();
  world.health.nodeAdded(10);
  world.health.writeBegan();
  world.now += 60_000;
  world.health.tick(0, false);
  world.health.writeEnded(1, true);
  assert.deepEqual(await world.heard(), []);
});

Deno.test("The shortest election timeout of the nodes here counts, and none without nodes", async () => {
  const world = new World();
  const { health } = world;
  health.nodeAdded(10);
  health.nodeAdded(30);
  health.nodeAdded(30);
  health.nodeRemoved(10);
  health.nodeRemoved(30);
  health.writeBegan();
  world.ticks(29);
  assert.equal(health.isDiskStalled, false);
  world.ticks(1);
  assert.equal(health.isDiskStalled, true);
  health.writeEnded(1, true);
  health.nodeRemoved(30);
  health.writeBegan();
  world.ticks(1_000);
  health.tick(1_000_000, false);
  health.applied(1, 1_000_000);
  assert.equal(health.isDiskStalled, false);
  assert.equal((await world.heard()).length, 2);
});

Deno.test("Whatever holds the loop for half an election timeout is told once, by name if it is known (rule C6)", async () => {
  const world = new World();
  const { health } = world;
  health.nodeAdded(10);
  health.tick(50, false);
  health.tick(51, false);
  health.applied(7, 50);
  health.applied(7, 60);
  health.tick(60, false);
  health.tick(0, true);
  health.tick(0, true);
  health.tick(0, false);
  assert.deepEqual(await world.heard(), [
    { type: "loopHeld", heldMs: 51, clusterId: undefined },
    { type: "loopHeld", heldMs: 60, clusterId: 7 },
    { type: "diskFull", isOver: false },
    { type: "diskFull", isOver: true },
  ]);
  assert.equal(world.counters.loopHolds, 2);
  assert.match(world.log.lines[1]!, /a state machine held .* clusterId=7/);
});

Deno.test("A state machine that holds the loop is named by an event of its NodeHost (rule C6)", async () => {
  await using hosts = new Hosts();
  const host = await hosts.open(1);
  const machine: StateMachine = {
    update: (entry) => {
      const until = performance.now() + (entry.command[0] ?? 0);
      while (performance.now() < until);
      return { value: 0 };
    },
    lookup: () => 0,
    saveSnapshot: async () => {},
    recoverFromSnapshot: async () => {},
  };
  await host.startCluster(hosts.cluster(1, 1, { stateMachine: () => machine }));
  await host.waitReady(1);
  const stream = host.events({ types: ["loopHeld"] });
  await host.propose(1, new Uint8Array([60]));
  let event: HostEvent | undefined;
  for await (const heard of stream) {
    if (heard.type !== "loopHeld" || heard.clusterId !== 1) continue;
    event = heard;
    break;
  }
  assert.ok(event?.type === "loopHeld" && event.heldMs >= 59);
  await until(
    "its count",
    () => host.metrics.value("drakkar_loop_holds_total") >= 1,
  );
});
