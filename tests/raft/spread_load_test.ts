/** Leaders spread while all clusters are under load: on real NodeHosts, counted in ticks. */
import { MemoryNetwork } from "../../raft/transport/memory.ts";
import { assert } from "../deps.ts";
import { Hosts } from "../support/hosts.ts";
import { ManualClock } from "./snapshot_world.ts";

const tickMs = 100;
const electionTimeoutTicks = 10;
const clusterIds = [1, 2, 3, 4, 5, 6];
/** What docs/IDLE.md states. */
const restTicks = 5_000 / tickMs;
const roundTicks = 1_200 / tickMs;
const steadyTicks = 3 * electionTimeoutTicks;
/** Proposals of a cluster that are on their way at any moment. */
const outstanding = 16;

/** Three NodeHosts with six clusters, whose messages take a few turns of the event loop, and who proposes to them. */
class LoadedHosts {
  readonly clock = new ManualClock();
  readonly hosts = new Hosts();
  /** Proposals that were done, by cluster. */
  readonly done = new Map<number, number>();
  readonly #clients: Promise<void>[] = [];
  #isOver = false;

  constructor() {
    const { clock } = this;
    this.hosts.clock = clock;
    this.hosts.network = new MemoryNetwork({
      defer: (callback) => {
        let turns = 8;
        const wait = () => turns-- > 0 ? clock.defer(wait) : callback();
        wait();
      },
    });
  }

  /** Lets a tick pass, in which a few messages go to and fro. */
  async tick(): Promise<void> {
    this.clock.advance(tickMs);
    await this.clock.settle(60);
  }

  /** Lets time pass until something is so; returns how many ticks that took. */
  async until(what: string, isSo: () => boolean): Promise<number> {
    for (let ticks = 0; ticks < 1_000; ticks++) {
      if (isSo()) return ticks;
      await this.tick();
    }
    throw new Error(`waited in vain for ${what}; led: ${this.led()}`);
  }

  /** Lets time pass until a call has ended. */
  async during<T>(call: Promise<T>): Promise<T> {
    let isOver = false;
    const ended = call.finally(() => isOver = true);
    while (!isOver) await this.tick();
    return await ended;
  }

  async open(n: number): Promise<void> {
    await this.during(this.hosts.open(n, { tickMs }));
    for (const clusterId of clusterIds) {
      const config = this.hosts.cluster(n, 3, {
        clusterId,
        electionTimeoutTicks,
      });
      await this.during(this.hosts.host(n).startCluster(config));
    }
  }

  /** How many clusters each NodeHost leads, as the first knows. */
  led(): number[] {
    const leaders = clusterIds.map((id) => this.hosts.leader(1, id));
    return [1, 2, 3].map((n) => leaders.filter((at) => at === n).length);
  }

  isEven(): boolean {
    return this.led().every((count) => count === 2);
  }

  /** All NodeHosts are open, and the first leads all clusters. */
  async ledByOne(): Promise<void> {
    for (const n of [1, 2, 3]) await this.open(n);
    const one = this.hosts.host(1);
    await this.until("leaders", () => this.led().join() !== "0,0,0");
    await this.until("one that leads all", () => {
      for (const clusterId of clusterIds) {
        if (this.hosts.leader(1, clusterId) === 1) continue;
        one.transferLeadership(clusterId, 1).catch(() => {});
      }
      return this.led()[0] === clusterIds.length;
    });
  }

  /** Every cluster is proposed to from here on, at the first NodeHost. */
  async load(): Promise<void> {
    for (const clusterId of clusterIds) {
      for (let i = 0; i < outstanding; i++) {
        this.#clients.push(this.#propose(clusterId));
      }
    }
    await this.proposalsOfAll();
  }

  /** Waits until each cluster has done more proposals. */
  async proposalsOfAll(): Promise<void> {
    const before = new Map(this.done);
    await this.until(
      "proposals",
      () =>
        clusterIds.every((id) =>
          (this.done.get(id) ?? 0) > (before.get(id) ?? 0) + outstanding
        ),
    );
  }

  async #propose(clusterId: number): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.hosts.host(1).propose(clusterId, Uint8Array.of(1));
        this.done.set(clusterId, (this.done.get(clusterId) ?? 0) + 1);
      } catch {
        await this.clock.settle(1); // No leader takes it now.
      }
    }
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.during(Promise.all(this.#clients));
    await this.during(Promise.all([1, 2, 3].map((n) => this.hosts.close(n))));
    this.clock.stop();
  }
}

Deno.test("A NodeHost that leads all clusters hands over to the others while these are under load", async () => {
  const world = new LoadedHosts();
  await world.ledByOne();
  await world.load();
  const ticks = await world.until("two led by each", () => world.isEven());
  // From 6, 0, 0 to 2, 2, 2 each round moves one, or two where two NodeHosts have too many.
  const most = Math.max(restTicks, steadyTicks) + 5 * roundTicks;
  assert.ok(ticks <= most, `${ticks} ticks, of ${most}`);
  await world.proposalsOfAll();
  for (let tick = 0; tick < 5 * roundTicks; tick++) await world.tick();
  assert.deepEqual(world.led(), [2, 2, 2], "then they stay");
  await world.end();
});

Deno.test("A NodeHost that starts again under load gets its share of leaders back", async () => {
  const world = new LoadedHosts();
  await world.ledByOne();
  await world.load();
  await world.until("two led by each", () => world.isEven());
  await world.during(world.hosts.close(3));
  await world.until("others that lead", () => {
    const [one, two] = world.led();
    return one! + two! === clusterIds.length;
  });
  await world.proposalsOfAll();
  await world.open(3);
  const ticks = await world.until("two led by each", () => world.isEven());
  const most = restTicks + steadyTicks + 5 * roundTicks;
  assert.ok(ticks <= most, `${ticks} ticks, of ${most}`);
  await world.proposalsOfAll();
  await world.end();
});

Deno.test("A NodeHost whose disk is a little slower, so that it is always behind under load, gets its share of leaders", async () => {
  const world = new LoadedHosts();
  await world.ledByOne();
  world.hosts.disk(3).faults = { beforeSync: () => world.clock.settle(20) };
  await world.load();
  const ticks = await world.until("two led by each", () => world.isEven());
  const most = Math.max(restTicks, steadyTicks) + 8 * roundTicks;
  assert.ok(ticks <= most, `${ticks} ticks, of ${most}`);
  world.hosts.disk(3).faults = {};
  await world.end();
});
