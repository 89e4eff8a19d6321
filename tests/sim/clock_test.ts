import { eventKind, HostClock, Timeline } from "../../testing/sim/clock.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import { Trace } from "../../testing/sim/trace.ts";
import { assert } from "../deps.ts";

const { timer, world } = eventKind;

Deno.test("Timeline.run() runs events in order of time, then of scheduling", async () => {
  const timeline = new Timeline(new Trace());
  const seen: string[] = [];
  const at = (delayUs: number, name: string) =>
    timeline.schedule(
      timeline.world,
      delayUs,
      world,
      () => seen.push(`${name}@${timeline.nowUs}`),
    );
  at(20, "c");
  at(10, "a");
  at(10, "b");
  at(1_000, "late");
  await timeline.run(100);
  assert.deepEqual(seen, ["a@10", "b@10", "c@20"]);
  assert.equal(timeline.nowUs, 100);
});

Deno.test("Timeline.run() lets every promise job run before the next event", async () => {
  const timeline = new Timeline(new Trace());
  const seen: string[] = [];
  timeline.schedule(timeline.world, 1, world, async () => {
    for (let i = 0; i < 50; i++) await Promise.resolve();
    seen.push("jobs");
  });
  timeline.schedule(timeline.world, 1, world, () => seen.push("next"));
  await timeline.run(1);
  assert.deepEqual(seen, ["jobs", "next"]);
});

Deno.test("Timeline.run() rejects with what an event throws", async () => {
  const timeline = new Timeline(new Trace());
  timeline.schedule(timeline.world, 1, world, () => {
    throw new Error("from an event");
  });
  await assert.rejects(timeline.run(10), /from an event/);
});

Deno.test("Scope.kill() ends its timers and waits for good", async () => {
  const timeline = new Timeline(new Trace());
  const scope = timeline.scope("m0");
  const seen: string[] = [];
  timeline.schedule(scope, 10, timer, () => seen.push("timer"));
  timeline.wait(scope, 10, timer).then(() => seen.push("wait"));
  timeline.schedule(timeline.world, 5, world, () => scope.kill());
  await timeline.run(100);
  timeline.schedule(scope, 1, timer, () => seen.push("after"));
  await timeline.run(200);
  assert.deepEqual(seen, []);
});

Deno.test("Scope.pause() holds events until resume(), in order or timers first", async () => {
  for (const timersFirst of [false, true]) {
    const timeline = new Timeline(new Trace());
    const scope = timeline.scope("m0");
    const seen: string[] = [];
    timeline.schedule(
      scope,
      10,
      eventKind.network,
      () => seen.push(`frame@${timeline.nowUs}`),
    );
    timeline.schedule(
      scope,
      20,
      timer,
      () => seen.push(`timer@${timeline.nowUs}`),
    );
    scope.pause();
    timeline.schedule(
      timeline.world,
      50,
      world,
      () => scope.resume(timersFirst),
    );
    await timeline.run(100);
    assert.deepEqual(
      seen,
      timersFirst ? ["timer@50", "frame@50"] : ["frame@50", "timer@50"],
    );
  }
});

Deno.test("HostClock keeps its own pace, and a cancelled timer does not fire", async () => {
  const timeline = new Timeline(new Trace());
  const scope = timeline.scope("m0");
  const clock = new HostClock(timeline, scope, new SimRandom(1), {
    driftPpm: 100_000,
    timerSlackUs: 0,
    turnUs: 5,
  });
  const startedAt = clock.now();
  const seen: string[] = [];
  clock.setTimer(11, () => seen.push(`timer@${timeline.nowUs}`));
  clock.setTimer(1, () => seen.push("cancelled")).cancel();
  clock.defer(() => seen.push(`turn@${timeline.nowUs}`));
  assert.equal(scope.pendingTimers, 1);
  await timeline.run(20_000);
  assert.deepEqual(seen, ["turn@5", "timer@10000"]);
  assert.equal(Math.round(clock.now() - startedAt), 22);
  assert.equal(scope.pendingTimers, 0);
});

Deno.test("SimRandom gives the same draws for the same seed and label, others otherwise (rule C11)", () => {
  const draws = (seed: number, label: string) => {
    const random = new SimRandom(seed, label);
    return Array.from({ length: 5 }, () => random.next());
  };
  assert.deepEqual(draws(7, "a"), draws(7, "a"));
  assert.notDeepEqual(draws(7, "a"), draws(8, "a"));
  assert.notDeepEqual(draws(7, "a"), draws(7, "b"));
  assert.notDeepEqual(draws(2 ** 40, "a"), draws(2 ** 41, "a"));
  const random = new SimRandom(3);
  for (let i = 0; i < 1_000; i++) {
    const drawn = random.between(3, 5);
    assert.ok(drawn >= 3 && drawn <= 5);
  }
  assert.deepEqual([...random.shuffle([1, 2, 3, 4])].sort(), [1, 2, 3, 4]);
});
