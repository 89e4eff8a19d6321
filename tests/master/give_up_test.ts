/** A new node that does not come up is given up, and another NodeHost is tried. */
import { assert } from "../deps.ts";
import type { ClusterImage } from "../../master/cluster_image.ts";
import type { MemberRecord } from "../../master/schema.ts";
import { moveNode } from "../../master/scheduler/balance.ts";
import { decide } from "../../master/scheduler/decide.ts";
import { defaultLimits, type View } from "../../master/scheduler/view.ts";
import {
  changeOf,
  deadHost,
  host,
  image,
  member,
  now,
  view,
} from "./scheduler_fixtures.ts";

const { catchUpTicks, startTicks } = defaultLimits;

/** Node 1001 comes to h4 in place of node 3, and runs since now. */
function repairing(rest: Partial<MemberRecord> = {}): ClusterImage {
  const one = image();
  const observer = { role: "observer" as const, address: "a4", host: "h4" };
  return {
    ...one,
    members: { ...one.members, 1001: { ...observer, since: now, ...rest } },
    plan: {
      kind: "repair",
      out: 3,
      in: 1001,
      host: "h4",
      address: "a4",
      at: now - 2,
      slots: [],
      failures: 0,
      why: "",
    },
  };
}

/** What is known so many ticks later: node 3 is dead, h4 and h5 could take another one. */
function later(ticks: number, rest: Partial<View> = {}): View {
  const tick = now + ticks;
  const alive = [1, 2, 4, 5].map((n) => host(n, { tick, region: "a", n: n }));
  return view([...alive, deadHost(3)], { tick, ...rest });
}

/** The record after the observer was given up and removed. */
function withoutObserver(given: ClusterImage): ClusterImage {
  const { 1001: _, ...members } = given.members;
  const { step: __, ...rest } = given;
  return { ...rest, members };
}

Deno.test("An observer that never catches up is given up after a stated time, and another NodeHost is tried (M1)", () => {
  const early = decide(later(catchUpTicks), repairing());
  assert.deepEqual(early, { do: "nothing", why: "node 1001 catches up" });
  const known = later(catchUpTicks + 1);
  const given = changeOf(decide(known, repairing()));
  assert.equal(given.why, "node 1001 did not catch up in 301 ticks");
  assert.equal(given.next.plan!.isAbandoned, true);
  const remove = changeOf(decide(known, given.next)).next;
  assert.deepEqual([remove.step!.kind, remove.step!.node], ["remove", 1001]);
  const ended = changeOf(decide(known, withoutObserver(remove))).next;
  assert.equal(ended.plan, undefined);
  // h4 has fewer nodes, and is not chosen again.
  const next = changeOf(decide(known, ended)).next;
  assert.equal(next.plan!.host, "h5");
  assert.equal(next.step!.kind, "addObserver");
});

Deno.test("An observer that has caught up is not given up, however long it took", () => {
  const late = repairing({ isReady: true });
  const { next } = changeOf(decide(later(10 * catchUpTicks), late));
  assert.equal(next.step!.kind, "promote");
});

Deno.test("Each node that is given up leaves the next one twice the time: it may be the state that is large", () => {
  const given = changeOf(decide(later(catchUpTicks + 1), repairing())).next;
  const { avoid } = given;
  const again = { ...repairing(), avoid: avoid! };
  const one = catchUpTicks + 1;
  const second = { ...again, plan: { ...again.plan!, at: now + one } };
  second.members = {
    ...second.members,
    1001: { ...second.members[1001]!, since: now + one },
  };
  const at = (ticks: number) => decide(later(one + ticks), second);
  assert.equal(at(catchUpTicks + 1).do, "nothing");
  assert.equal(at(2 * catchUpTicks).do, "nothing");
  assert.equal(at(2 * catchUpTicks + 1).do, "change");
});

Deno.test("A NodeHost where a node did not start is the last choice for a while, and no goal of a move", () => {
  const known = later(startTicks + 1);
  const { since: _, ...never } = repairing().members[1001]!;
  const silent = {
    ...repairing(),
    members: { ...repairing().members, 1001: never },
  };
  const given = changeOf(decide(known, silent)).next;
  assert.equal(given.plan!.isAbandoned, true);
  const { plan: _1, ...ended } = withoutObserver(given);
  assert.equal(changeOf(decide(known, ended)).next.plan!.host, "h5");
  // Rather there than nowhere.
  const hosts = new Map(known.hosts);
  hosts.delete("h5");
  const rest = { ...known, hosts };
  assert.equal(changeOf(decide(rest, ended)).next.plan!.host, "h4");
  // After a while it is as good as others.
  const until = ended.avoid!.h4!;
  const then = changeOf(decide(later(until - now), ended)).next;
  assert.equal(then.plan!.host, "h4");
  const whole = { ...image(), avoid: ended.avoid! };
  const balanced = later(startTicks + 1);
  const all = new Map(balanced.hosts);
  all.set("h3", host(3, { tick: balanced.tick, region: "a", n: 9 }));
  const move = (one: ClusterImage) =>
    moveNode({ ...balanced, hosts: all }, one, { from: "h3", to: "h4" });
  assert.deepEqual(move(whole), {
    do: "nothing",
    why: "a node of it was given up on h4",
  });
  assert.equal(move(image()).do, "change");
});

Deno.test("What is not needed any more says nothing about its NodeHost", () => {
  const known = later(1);
  const all = new Map(known.hosts);
  all.set("h3", host(3, { tick: known.tick, region: "a" }));
  const back = { ...known, hosts: all };
  const given = changeOf(decide(back, repairing())).next;
  assert.equal(given.plan!.isAbandoned, true);
  assert.equal(given.avoid, undefined);
});

Deno.test("A cluster is not moved to a region where a node of it was given up", () => {
  const regions = [{ region: "b", count: 1 }];
  const def = { gen: 1, app: "kv", size: 3, regions, config: {} };
  const hosts = [1, 2, 3].map((n) => host(n, { region: "a" }));
  const known = view([...hosts, host(4, { region: "b" })]);
  const wished = image({ def });
  assert.equal(changeOf(decide(known, wished)).next.plan!.kind, "move");
  const avoid = { h4: now + 10 };
  assert.equal(decide(known, { ...wished, avoid }).do, "settle");
  const members = { 1: member(1), 2: member(2), 3: member(3) };
  assert.deepEqual(wished.members, members);
});
