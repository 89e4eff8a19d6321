import type { HostEvent } from "../../raft/events.ts";
import { EventWatch } from "../../testing/sim/event_watch.ts";
import { assert } from "../deps.ts";

const node = { clusterId: 1, nodeId: 2 };
const ready: HostEvent = { type: "nodeReady", ...node, applied: 0 };
const unloaded: HostEvent = {
  type: "nodeUnloaded",
  ...node,
  reason: "?",
  code: "closed",
};
const leads = (term: number, leaderId?: number): HostEvent => ({
  type: "leaderChanged",
  ...node,
  term,
  leaderId,
});

function watch(events: readonly HostEvent[]): string[] {
  const told: string[] = [];
  const watching = new EventWatch("m0.1", {
    fail: (failure) => told.push(failure.message),
    leaderTold: (...leader) => told.push(leader.join()),
    diskTold: () => {},
  });
  for (const event of events) watching.saw(event);
  return told;
}

Deno.test("EventWatch takes events in their order, and tells leaders", () => {
  assert.deepEqual(
    watch([
      ready,
      leads(3, 1),
      leads(3),
      leads(4, 2),
      { type: "connectionUp", address: "a:1", snapshot: false },
      { type: "connectionDown", address: "a:1", reason: "" },
      unloaded,
      ready,
      leads(4, 2),
      { type: "hostClosing" },
      unloaded,
    ]),
    ["1,3,1", "1,4,2", "1,4,2"],
  );
});

Deno.test("EventWatch finds what cannot be", () => {
  const cases: [HostEvent[], RegExp][] = [
    [[ready, leads(3), leads(2)], /from term 3 to term 2/],
    [[leads(3)], /runs not/],
    [[ready, unloaded, leads(3)], /runs not/],
    [[ready, ready], /was already/],
    [[{ type: "connectionDown", address: "a:1", reason: "" }], /was not up/],
    [[{ type: "eventsDropped", count: 2 }], /2 events are missing/],
    [[{ type: "hostClosing" }, { type: "hostClosing" }], /was already/],
    [[{ type: "logCompacted", ...node, index: 1 }], /runs not/],
  ];
  for (const [events, message] of cases) {
    const told = watch(events);
    assert.equal(told.length, 1);
    assert.match(told[0]!, message);
    assert.match(told[0]!, /^events in order: m0\.1: /);
  }
});
