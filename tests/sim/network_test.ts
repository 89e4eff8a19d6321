import type { Connection } from "../../raft/transport/transport.ts";
import { Timeline } from "../../testing/sim/clock.ts";
import type { Scope } from "../../testing/sim/clock.ts";
import { SimNetwork } from "../../testing/sim/network.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import { Trace } from "../../testing/sim/trace.ts";
import { assert } from "../deps.ts";

/** Two processes on machines 0 and 1, and what arrived at each. */
class Pair {
  readonly trace = new Trace();
  readonly timeline = new Timeline(this.trace);
  readonly scopes: Scope[] = [
    this.timeline.scope("m0"),
    this.timeline.scope("m1"),
  ];
  bearsDisorder = true;
  readonly network: SimNetwork = new SimNetwork({
    timeline: this.timeline,
    trace: this.trace,
    random: new SimRandom(1),
    traits: { latencyUs: [100, 200, 1_000], roundUs: 1, bytesPerUs: 100 },
    addresses: ["m0:1", "m1:1"],
    watcher: { onSend() {}, bearsDisorder: () => this.bearsDisorder },
  });
  readonly got: number[] = [];
  readonly ends: string[] = [];
  near!: Connection;
  far!: Connection;

  async connect(): Promise<void> {
    await this.network.host(1, this.scopes[1]!).listen("m1:1", (connection) => {
      this.far = connection;
      this.#start(connection, "far");
    });
    this.network.host(0, this.scopes[0]!).connect(
      "m1:1",
      new AbortController().signal,
    ).then((connection) => {
      this.near = connection;
      this.#start(connection, "near");
    });
    await this.run(50_000);
    assert.ok(this.near !== undefined, "connected");
  }

  run(us: number): Promise<void> {
    return this.timeline.run(this.timeline.nowUs + us);
  }

  send(from: number, to: number): void {
    for (let i = from; i < to; i++) {
      this.near.send([new Uint8Array([i]), new Uint8Array([0])]);
    }
  }

  #start(connection: Connection, name: string): void {
    connection.start({
      onFrame: (frame) => {
        assert.equal(frame.length, 2);
        this.got.push(frame[0]!);
      },
      onClose: (reason) => this.ends.push(`${name}: ${reason}`),
    });
  }
}

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => from + i);

Deno.test("SimNetwork delivers frames whole, once and in order", async () => {
  const pair = new Pair();
  await pair.connect();
  pair.send(0, 100);
  await pair.run(100_000);
  assert.deepEqual(pair.got, numbers(0, 100));
});

Deno.test("SimNetwork stalls frames of a cut direction and delivers them in order when it is mended", async () => {
  const pair = new Pair();
  await pair.connect();
  pair.send(0, 10);
  pair.network.cut(0, 1);
  await pair.run(100_000);
  assert.deepEqual(pair.got, []);
  pair.send(10, 20);
  pair.network.mend(0, 1);
  pair.send(20, 30);
  await pair.run(100_000);
  assert.deepEqual(pair.got, numbers(0, 30));
});

Deno.test("SimNetwork loses, doubles and reorders only frames that bear it", async () => {
  const pair = new Pair();
  await pair.connect();
  Object.assign(pair.network.faults, {
    loss: 0.2,
    duplicate: 0.2,
    reorder: 0.2,
  });
  pair.bearsDisorder = false;
  pair.send(0, 100);
  await pair.run(100_000);
  assert.deepEqual(pair.got, numbers(0, 100));
  pair.bearsDisorder = true;
  pair.send(100, 200);
  await pair.run(100_000);
  const { lost, duplicated, reordered } = pair.network.statistics;
  assert.ok(lost > 0 && duplicated > 0 && reordered > 0);
  assert.equal(pair.got.length, 200 - lost + duplicated);
  assert.notDeepEqual(pair.got, pair.got.toSorted((a, b) => a - b));
});

Deno.test("SimNetwork.breakConnections() tells both ends, and what is under way is lost", async () => {
  const pair = new Pair();
  await pair.connect();
  pair.send(0, 10);
  assert.equal(pair.network.breakConnections(0, 1), 1);
  await pair.run(100_000);
  assert.deepEqual(pair.got, []);
  assert.deepEqual(pair.ends.toSorted(), [
    "far: connection reset",
    "near: connection reset",
  ]);
});

Deno.test("SimNetwork.processDied() tells the other end of a kill, and is silent about a power cut", async () => {
  for (const withMachine of [false, true]) {
    const pair = new Pair();
    await pair.connect();
    pair.scopes[1]!.kill();
    pair.network.processDied(1, pair.scopes[1]!, withMachine);
    await pair.run(100_000);
    pair.send(0, 1);
    await pair.run(100_000);
    assert.deepEqual(
      pair.ends,
      withMachine ? [] : ["near: closed by the other end"],
    );
    pair.network.machineStarted(1);
    pair.send(1, 2);
    await pair.run(100_000);
    assert.equal(
      pair.ends.length,
      1,
      "a machine that is back answers with a reset",
    );
  }
});

Deno.test("SimNetwork refuses dials to nobody and gives up dials that nobody answers", async () => {
  const pair = new Pair();
  const outcome = async (address: string, before: () => void) => {
    let result: unknown;
    before();
    pair.network.host(0, pair.scopes[0]!).connect(
      address,
      new AbortController().signal,
    )
      .catch((error) => result = error.code);
    await pair.run(20_000_000);
    return result;
  };
  assert.equal(await outcome("m1:1", () => {}), "ECONNREFUSED");
  assert.equal(await outcome("nowhere:1", () => {}), "ENOTFOUND");
  assert.equal(
    await outcome("m1:1", () => pair.network.cut(1, 0)),
    "ETIMEDOUT",
  );
});

Deno.test("SimConnection.drained() waits for what has not left", async () => {
  const pair = new Pair();
  await pair.connect();
  pair.near.send([new Uint8Array(2)]);
  const big = new Uint8Array(2);
  for (let i = 0; i < 1_000; i++) pair.near.send([big]);
  assert.ok(pair.near.bufferedBytes > 0);
  let isDrained = false;
  pair.near.drained(0).then(() => isDrained = true);
  await pair.run(5);
  assert.equal(isDrained, false);
  await pair.run(1_000);
  assert.equal(isDrained, true);
  assert.equal(pair.near.bufferedBytes, 0);
});

Deno.test("SimConnection.close() calls onClose of both ends once, later", async () => {
  const pair = new Pair();
  await pair.connect();
  pair.near.close();
  pair.near.close();
  assert.deepEqual(pair.ends, []);
  await pair.run(100_000);
  assert.deepEqual(pair.ends, [
    "near: closed on this side",
    "far: closed by the other end",
  ]);
});
