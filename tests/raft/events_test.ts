import { assert } from "../deps.ts";
import { EventHub } from "../../raft/events.ts";
import type { EventStream, HostEvent } from "../../raft/events.ts";
import { Hosts, until } from "../support/hosts.ts";

function failed(address: string): HostEvent {
  return { type: "connectionFailed", address, snapshot: false, reason: "?" };
}

/** Collects a stream until it ends. */
async function collect(stream: EventStream): Promise<HostEvent[]> {
  const events: HostEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** Collects in the background. */
function follow(stream: EventStream): HostEvent[] {
  const events: HostEvent[] = [];
  (async () => {
    for await (const event of stream) events.push(event);
  })();
  return events;
}

const typesOf = (events: readonly HostEvent[]) =>
  events.map((event) => event.type);

Deno.test("EventHub hands every event to every subscriber, in order, from its subscription on", async () => {
  const hub = new EventHub();
  assert.equal(hub.isHeard, false);
  hub.emit(failed("before"));
  const first = hub.subscribe();
  assert.equal(hub.isHeard, true);
  hub.emit(failed("a"));
  const second = hub.subscribe();
  hub.emit(failed("b"));
  hub.close();
  assert.deepEqual(await collect(first), [failed("a"), failed("b")]);
  assert.deepEqual(await collect(second), [failed("b")]);
  assert.equal(hub.isHeard, false);
  assert.deepEqual(await collect(hub.subscribe()), [], "it is closed");
});

Deno.test("A subscriber that is too slow loses the oldest events, is told how many, and costs the others nothing", async () => {
  const hub = new EventHub();
  const slow = hub.subscribe({ maxBuffered: 3 });
  const patient = hub.subscribe({ maxBuffered: 1_000 });
  for (let i = 0; i < 100; i++) hub.emit(failed(String(i)));
  assert.deepEqual(await slow.next(), {
    done: false,
    value: { type: "eventsDropped", count: 97 },
  });
  assert.deepEqual((await slow.next()).value, failed("97"));
  hub.emit(failed("100"));
  hub.emit(failed("101"));
  hub.close();
  assert.deepEqual(await collect(slow), [
    { type: "eventsDropped", count: 1 },
    failed("99"),
    failed("100"),
    failed("101"),
  ]);
  assert.equal((await collect(patient)).length, 102);
});

Deno.test("A stream of events ends with its signal, with its loop, and with the host; several may wait at once", async () => {
  const hub = new EventHub();
  const controller = new AbortController();
  const aborted = hub.subscribe({ signal: controller.signal });
  const waiting = [aborted.next(), aborted.next()];
  hub.emit(failed("a"));
  assert.deepEqual((await waiting[0])!.value, failed("a"));
  controller.abort();
  assert.equal((await waiting[1])!.done, true);
  assert.equal((await aborted.next()).done, true);
  assert.equal(hub.isHeard, false);
  const left = hub.subscribe();
  hub.emit(failed("a"));
  hub.emit(failed("b"));
  for await (const event of left) {
    assert.deepEqual(event, failed("a"));
    break;
  }
  assert.equal(hub.isHeard, false, "leaving the loop unsubscribes");
  assert.equal((await left.next()).done, true);
  {
    await using scoped = hub.subscribe();
    assert.ok(hub.isHeard && scoped !== undefined);
  }
  assert.equal(hub.isHeard, false);
  const over = hub.subscribe({ signal: AbortSignal.abort() });
  assert.equal((await over.next()).done, true);
});

Deno.test("EventHub.subscribe() filters by type, and refuses options that are none", async () => {
  const hub = new EventHub();
  const some = hub.subscribe({ types: ["hostClosing"] });
  hub.emit(failed("a"));
  hub.emit({ type: "hostClosing" });
  hub.close();
  assert.deepEqual(typesOf(await collect(some)), ["hostClosing"]);
  for (const maxBuffered of [0, -1, 1.5, 1_000_001, NaN]) {
    assert.throws(() => hub.subscribe({ maxBuffered }), RangeError);
  }
  assert.throws(() => hub.subscribe({ maxBuffered: "1" as never }), TypeError);
  assert.throws(() => hub.subscribe({ types: ["nope" as never] }), TypeError);
  assert.throws(() => hub.subscribe({ types: "hostClosing" as never }));
  assert.throws(() => hub.subscribe({ signal: 1 as never }), TypeError);
  const misspelt = { type: ["hostClosing"] } as object;
  assert.throws(() => hub.subscribe(misspelt), /there is no field type/);
});

Deno.test("A listener that throws or never comes back does not hold up the NodeHost", async () => {
  await using hosts = new Hosts();
  const host = await hosts.open(1);
  const thrown: unknown[] = [];
  (async () => {
    for await (const _ of host.events()) throw new Error("not today");
  })().catch((error) => thrown.push(error));
  const never = host.events({ maxBuffered: 1 });
  await host.startCluster(hosts.cluster(1, 1));
  await host.waitReady(1);
  await host.propose(1, new Uint8Array([1]));
  assert.equal(thrown.length, 1);
  await host.close();
  assert.deepEqual(typesOf(await collect(never)), [
    "eventsDropped",
    "nodeUnloaded",
  ]);
});

Deno.test("NodeHost.events() tells the life of a cluster: ready, leader, membership, removal, closing", async () => {
  await using hosts = await Hosts.started(2);
  const [one, two] = [hosts.host(1), hosts.host(2)];
  const first = follow(one.events());
  const second = follow(two.events());
  const third = await hosts.open(3);
  const joined = follow(third.events());
  await one.addNode(1, { nodeId: 3, address: hosts.address(3) });
  await third.startCluster(hosts.cluster(3, 3, { join: true }));
  await third.waitReady(1);
  await until(
    "the change on host 2",
    () =>
      second.some((event) =>
        event.type === "membershipChanged" &&
        event.membership.members.some((member) => member.nodeId === 3)
      ),
  );
  await until(
    "the connection",
    () => joined.some((event) => event.type === "connectionUp"),
  );
  assert.ok(typesOf(joined).includes("nodeReady"));
  const led = joined.find((event) => event.type === "leaderChanged");
  assert.equal(led?.leaderId, third.getLeader(1).leaderId);
  assert.equal(led?.term, third.getLeader(1).term);
  await one.removeNode(1, { nodeId: 3 });
  await until(
    "the end of node 3",
    () => joined.some((event) => event.type === "nodeUnloaded"),
  );
  const ends = joined.filter((event) =>
    event.type === "nodeRemoved" || event.type === "nodeUnloaded"
  );
  assert.deepEqual(typesOf(ends), ["nodeRemoved", "nodeUnloaded"]);
  assert.equal(
    ends[1]?.type === "nodeUnloaded" && ends[1].code,
    "nodeRemoved",
  );
  await hosts.close(1);
  assert.deepEqual(typesOf(first).at(-1), "nodeUnloaded");
  assert.ok(typesOf(first).includes("hostClosing"));
  await until(
    "the loss of the connection",
    () =>
      second.some((event) =>
        event.type === "connectionDown" && event.address === hosts.address(1)
      ),
  );
});

Deno.test("NodeHost.events() tells of snapshots and of the log on both sides", async () => {
  const settings = { snapshotEntries: 0, compactionOverhead: 0 };
  await using hosts = await Hosts.started(3, settings);
  const leader = hosts.leader();
  const behind = leader === 3 ? 2 : 3;
  const events = follow(hosts.host(leader).events());
  await hosts.close(behind);
  for (let i = 0; i < 20; i++) {
    await hosts.host(leader).propose(1, new Uint8Array(100_000).fill(1));
    if (i % 10 === 9) await hosts.host(leader).takeSnapshot(1);
  }
  await hosts.open(behind);
  const received = follow(hosts.host(behind).events());
  await hosts.host(behind).startCluster(hosts.cluster(behind, 3, settings));
  await hosts.host(behind).waitReady(1);
  await until(
    "the restored state machine",
    () => received.some((event) => event.type === "snapshotRecovered"),
  );
  await until(
    "the sender to know",
    () => events.some((event) => event.type === "snapshotSendCompleted"),
  );
  const about = (type: HostEvent["type"], from: HostEvent[]) =>
    from.filter((event) => event.type === type);
  assert.equal(about("snapshotCreated", events).length, 2);
  assert.equal(about("logCompacted", events).length, 2);
  assert.equal(about("snapshotCompacted", events).length, 1);
  const [started] = about("snapshotSendStarted", events);
  assert.ok(started?.type === "snapshotSendStarted");
  assert.equal(started.to, behind);
  const [arrived] = about("snapshotReceived", received);
  assert.ok(arrived?.type === "snapshotReceived");
  assert.deepEqual([arrived.from, arrived.index], [leader, started.index]);
  const { metrics } = hosts.host(leader);
  assert.equal(metrics.value("drakkar_snapshots_saved_total"), 2);
  assert.ok(metrics.value("drakkar_snapshots_sent_total") >= 1);
});
