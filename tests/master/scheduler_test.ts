import { assert } from "../deps.ts";
import { type ClusterImage, withNode } from "../../master/cluster_image.ts";
import { acknowledge } from "../../master/store_acknowledgements.ts";
import { olderText, unmetText } from "../../raft/errors.ts";
import type {
  HostRecord,
  MemberRecord,
  StepRecord,
} from "../../master/schema.ts";
import { decide } from "../../master/scheduler/decide.ts";
import type { Decision, View } from "../../master/scheduler/view.ts";
import { hasQuorum, slotText } from "../../master/scheduler/view.ts";
import {
  changeOf,
  deadHost,
  fourHosts,
  host,
  image,
  member,
  now,
  view,
  whyNot,
} from "./scheduler_fixtures.ts";

function stepOf(decision: Decision): StepRecord {
  const { step } = changeOf(decision).next;
  assert.ok(step !== undefined, JSON.stringify(decision));
  return step;
}

/** The step of a decision in short: kind, node, and who is asked for which node. */
function brief(decision: Decision): [string, number, Record<string, number>] {
  const { kind, node, hosts } = stepOf(decision);
  return [kind, node, hosts];
}

/** The record after the step was seen to be done. */
function without(next: ClusterImage): ClusterImage {
  const { step: _, ...rest } = next;
  return rest;
}

const oneDead = () => [host(1), host(2), deadHost(3), host(4)];

// ---- What Drummer's tests have (master-reference, section 12) ----

Deno.test("Scheduler launches a cluster in three regions, and leaves the fourth NodeHost alone (master-reference 12)", () => {
  const regions = [1, 2, 3].map((n) => ({ region: `region-${n}`, count: 1 }));
  const def = { gen: 1, app: "kv", size: 3, regions, config: {} };
  const defined = image({
    life: "defined",
    def,
    members: {},
    cci: 0,
    steps: 0,
  });
  const { next, hosts } = changeOf(decide(view(fourHosts()), defined));
  assert.equal(next.life, "launching");
  assert.deepEqual(hosts, ["h1", "h2", "h3"]);
  assert.deepEqual(
    Object.values(next.members).map((one) => one.address),
    ["a1", "a2", "a3"],
  );
  assert.equal(next.step!.kind, "launch");
  assert.deepEqual(next.step!.hosts, { h1: 1001, h2: 1002, h3: 1003 });
});

Deno.test("A new NodeHost at the address of a dead node takes its place where there is no other: that node goes first (M17)", () => {
  const gone = { ...deadHost(3), state: "gone" as const };
  const at3 = (...hosts: HostRecord[]) => {
    const seen = view([host(1), host(2), ...hosts]);
    const all = new Map([["h3", gone], ["h9", host(3)], ...seen.hosts]);
    return { ...seen, hosts: all };
  };
  const decision = decide(at3(), image());
  const [kind, node] = brief(decision);
  assert.deepEqual([kind, node], ["remove", 3]);
  assert.deepEqual(changeOf(decision).hosts, ["h3", "h9"]);
  // When it was done, the cluster grows onto it.
  const { members: { 3: _, ...members }, ...rest } = without(
    changeOf(decision).next,
  );
  const ended = changeOf(decide(at3(), { ...rest, members }));
  const grown = changeOf(decide(at3(), ended.next));
  assert.equal(grown.next.plan?.host, "h9");
  // With another one to go to, the new node comes first.
  assert.equal(brief(decide(at3(host(4)), image()))[0], "addObserver");
  // A dead one whose address nobody has may still return.
  const silent = view([host(1), host(2), deadHost(3)]);
  assert.match(whyOf(decide(silent, image())), /waits for another NodeHost/);
  // Without it those that run would be no majority.
  const two = { ...image(), members: { 1: member(1), 3: member(3) } };
  assert.match(whyNot(decide(at3(), two)), /lost its majority/);
});

function whyOf(decision: Decision): string {
  return "why" in decision ? decision.why : "";
}

Deno.test("Scheduler adds a node for a dead one on the spare NodeHost, as an observer, by a member that runs (master-reference 12)", () => {
  const decision = decide(view(oneDead()), image());
  const [kind, node, hosts] = brief(decision);
  assert.deepEqual([kind, node], ["addObserver", 1001]);
  assert.ok("h1" in hosts || "h2" in hosts);
  const { next } = changeOf(decision);
  assert.deepEqual([next.plan!.out, next.plan!.in, next.plan!.host], [
    3,
    1001,
    "h4",
  ]);
  assert.equal(next.step!.expectCci, 30);
  assert.deepEqual([...changeOf(decision).hosts].sort(), ["h3", "h4"]);
});

function repairing(
  rest: Partial<ClusterImage["members"][number]> | undefined,
): ClusterImage {
  const { next } = changeOf(decide(view(oneDead()), image()));
  if (rest === undefined) return without(next);
  const added = { address: "a4", host: "h4", role: "observer" as const };
  return {
    ...without(next),
    cci: 33,
    members: { ...next.members, 1001: { ...added, ...rest } },
  };
}

Deno.test("Scheduler starts an added node where it belongs (master-reference 12)", () => {
  const decision = decide(view(oneDead()), repairing({}));
  assert.deepEqual(brief(decision), ["join", 1001, { h4: 1001 }]);
});

Deno.test("Scheduler promotes an observer that runs and has caught up, not sooner (M1)", () => {
  assert.match(
    whyNot(decide(view(oneDead()), repairing({ since: now }))),
    /catches up/,
  );
  const ready = repairing({ since: now, isReady: true });
  const [kind, node, hosts] = brief(decide(view(oneDead()), ready));
  assert.deepEqual([kind, node], ["promote", 1001]);
  assert.ok(!("h4" in hosts), "a voter is asked");
});

Deno.test("Scheduler removes the dead node when its replacement votes (master-reference 12)", () => {
  const promoted = repairing({ since: now, role: "voter" });
  const [kind, node, hosts] = brief(decide(view(oneDead()), promoted));
  assert.deepEqual([kind, node], ["remove", 3]);
  assert.ok(!("h3" in hosts));
  const { 3: _, ...members } = promoted.members;
  const removed = { ...promoted, members, cci: 36 };
  const { next } = changeOf(decide(view(oneDead()), removed));
  assert.equal(next.plan, undefined);
  assert.equal(decide(view(oneDead()), next).do, "settle");
});

Deno.test("Scheduler restarts the nodes of NodeHosts that are back, all at once when the majority is lost (master-reference 12)", () => {
  const missing = { missingSince: now - 2 };
  const lost = image({
    members: { 1: member(1), 2: member(2, missing), 3: member(3, missing) },
  });
  assert.deepEqual(
    brief(decide(view(fourHosts()), lost)),
    ["restore", 0, { h2: 2, h3: 3 }],
  );
});

Deno.test("Scheduler restarts one node of a cluster that has its majority (master-reference 12)", () => {
  const members = {
    1: member(1),
    2: member(2),
    3: member(3, { missingSince: now - 2 }),
  };
  const decision = decide(view(fourHosts()), image({ members }));
  assert.deepEqual(brief(decision), ["restore", 0, { h3: 3 }]);
});

Deno.test("Scheduler leaves a NodeHost that was just opened two ticks to restart its nodes by itself (I5, M6)", () => {
  const members = {
    1: member(1),
    2: member(2),
    3: member(3, { missingSince: now - 1 }),
  };
  assert.equal(decide(view(fourHosts()), image({ members })).do, "nothing");
});

Deno.test("Scheduler kills a zombie where it runs (master-reference 12)", () => {
  const zombies = { 9: "h4" };
  const decision = decide(view(fourHosts()), image({ zombies }));
  assert.deepEqual(brief(decision), ["kill", 9, { h4: 9 }]);
});

Deno.test("Scheduler decides about 10,000 clusters on 100 NodeHosts in a second (master-reference 12)", () => {
  const hosts = Array.from({ length: 100 }, (_, i) => host(i + 1, { n: 300 }));
  hosts[0] = deadHost(1);
  const known = view(hosts);
  const images = Array.from({ length: 10_000 }, (_, i) => {
    const ids = [0, 1, 2].map((k) => (i + k * 33) % 100 + 1);
    const members = Object.fromEntries(ids.map((id) => [id, member(id)]));
    return image({ members });
  });
  let best = Infinity;
  for (let run = 0; run < 3; run++) {
    const counts = { change: 0, settle: 0, nothing: 0 };
    const before = performance.now();
    for (const one of images) counts[decide(known, one).do]++;
    best = Math.min(best, performance.now() - before);
    assert.deepEqual(counts, { change: 300, settle: 9_700, nothing: 0 });
  }
  // The best of three, since anything may hold a machine up once.
  assert.ok(best < 1_000, `${Math.round(best)} ms`);
});

Deno.test("Scheduler reports too few NodeHosts as what is waited for, and never places two nodes on one (master-reference 12)", () => {
  const defined = image({ life: "defined", members: {}, cci: 0 });
  assert.match(
    whyNot(decide(view([host(1), host(2)]), defined)),
    /another NodeHost/,
  );
  const other = [host(1), host(2), host(3, { apps: ["other"] })];
  assert.match(whyNot(decide(view(other), defined)), /app "kv"/);
});

Deno.test("Scheduler does not place on NodeHosts that are silent, cordoned, drained, revoked or full (M7, M16, M18)", () => {
  const defined = image({ life: "defined", members: {}, cci: 0 });
  const unfit = [
    { tick: now - 3 },
    { state: "failed" as const },
    { cordon: true },
    { drain: true },
    { revoked: true },
    { isDiskLow: true },
    { conflict: "h9" },
    { apps: [] },
  ];
  for (const rest of unfit) {
    const hosts = [host(1), host(2), host(3, rest)];
    assert.equal(
      decide(view(hosts), defined).do,
      "nothing",
      JSON.stringify(rest),
    );
  }
});

// ---- Beyond it ----

Deno.test("A dead NodeHost without a spare one is a plan that waits, and no vote is given away", () => {
  const hosts = [host(1), host(2), deadHost(3)];
  const { next, what } = changeOf(decide(view(hosts), image()));
  assert.deepEqual([what, next.step, next.plan!.slots], [
    "plan",
    undefined,
    [],
  ]);
  assert.match(whyNot(decide(view(hosts), next)), /another NodeHost/);
  // Then one comes.
  assert.equal(
    brief(decide(view([...hosts, host(4)]), next))[0],
    "addObserver",
  );
});

Deno.test("Repairs beyond the limits are plans that wait for their turn (M14)", () => {
  const slots = new Set(
    Array.from({ length: 16 }, (_, i) => slotText(["repair", "all", i])),
  );
  const { next } = changeOf(decide(view(oneDead(), { slots }), image()));
  assert.deepEqual([next.step, next.plan!.slots], [undefined, []]);
  const free = changeOf(decide(view(oneDead()), next)).next;
  assert.deepEqual(free.plan!.slots, [["repair", "all", 0], [
    "repair",
    "to h4",
    0,
  ]]);
});

Deno.test("A NodeHost whose slots are taken gives way to another that is as good but for its load, and to no worse one (M14, M18)", () => {
  const slots = new Set(
    Array.from({ length: 4 }, (_, i) => slotText(["repair", "to h4", i])),
  );
  const spare = (fifth: HostRecord) => [
    host(1),
    host(2),
    deadHost(3),
    host(4, { region: "r" }),
    fifth,
  ];
  const busier = spare(host(5, { region: "r", n: 100 }));
  const targetOf = (hosts: HostRecord[], taken: Set<string>, of = image()) =>
    changeOf(decide(view(hosts, { slots: taken }), of)).next.plan!.host;
  assert.equal(targetOf(busier, new Set()), "h4");
  assert.equal(targetOf(busier, slots), "h5");
  // Region r is wished: elsewhere the node would have to move again, so it waits for its turn.
  const wished = image({
    def: {
      gen: 1,
      app: "kv",
      size: 3,
      regions: [{ region: "r", count: 1 }],
      config: {},
    },
  });
  const elsewhere = spare(host(5));
  const waits = changeOf(decide(view(elsewhere, { slots }), wished));
  assert.equal(waits.next.plan!.host, undefined);
  assert.match(waits.why, /waits for its turn/);
});

Deno.test("Silence that the masters have not judged yet changes nothing", () => {
  const hosts = [host(1), host(2), host(3, { tick: now - 10 }), host(4)];
  assert.equal(decide(view(hosts), image()).do, "nothing");
});

Deno.test("A cluster that lost its majority is left to its nodes and to operators (M15)", () => {
  const hosts = [host(1), deadHost(2), deadHost(3), host(4)];
  assert.match(whyNot(decide(view(hosts), image())), /lost its majority/);
});

Deno.test("While the brake is on nothing is added, removed or killed, but nodes are restarted (M5)", () => {
  const braked = (hosts = oneDead()) => view(hosts, { isBraked: true });
  assert.match(whyNot(decide(braked(), image())), /brake/);
  assert.equal(
    decide(braked(fourHosts()), image({ zombies: { 9: "h4" } })).do,
    "nothing",
  );
  const missing = {
    1: member(1),
    2: member(2),
    3: member(3, { missingSince: 1 }),
  };
  assert.equal(
    brief(decide(braked(fourHosts()), image({ members: missing })))[0],
    "restore",
  );
});

Deno.test("A dead node that returns before its replacement votes ends the repair, and the observer goes (M1)", () => {
  const { next } = changeOf(
    decide(view(fourHosts()), repairing({ since: now })),
  );
  assert.equal(next.plan!.isAbandoned, true);
  assert.deepEqual(brief(decide(view(fourHosts()), next)).slice(0, 2), [
    "remove",
    1001,
  ]);
  const { 1001: _, ...members } = next.members;
  const gone = changeOf(decide(view(fourHosts()), { ...next, members }));
  assert.equal(gone.next.plan, undefined);
});

Deno.test("An observer that never starts is given up without touching the voters (M1)", () => {
  const late = view(oneDead(), { tick: now + 13 });
  for (const one of late.hosts.values()) {
    if (one.state === "ok") one.tick = now + 13;
  }
  const { next } = changeOf(decide(late, repairing({})));
  assert.equal(next.plan!.isAbandoned, true);
  const [kind, node] = brief(decide(late, next));
  assert.deepEqual([kind, node], ["remove", 1001]);
});

Deno.test("A node whose NodeHost has no data of it is replaced (I1)", () => {
  const members = {
    1: member(1),
    2: member(2),
    3: member(3, { isLost: true }),
  };
  const [kind] = brief(decide(view(fourHosts()), image({ members })));
  assert.equal(kind, "addObserver");
});

/** What a step does, in a cluster where `broken` never starts. */
function afterStep(next: ClusterImage, broken: number): ClusterImage {
  const { step, ...rest } = next;
  if (step === undefined) return next;
  const { kind, node } = step;
  if (kind === "restore") {
    const said = { clusterId: 1, n: step.n, isDone: false, code: "notReady" };
    return acknowledge(next, said, `h${broken}`);
  }
  const { [node]: target, ...others } = rest.members;
  const { plan } = rest;
  if (kind === "remove") return { ...rest, members: others };
  const { address = "", host: at = "" } = plan ?? {};
  const grown: MemberRecord = kind === "addObserver"
    ? { role: "observer", address, host: at }
    : kind === "promote"
    ? { ...target!, role: "voter" }
    : { ...target!, since: 1, isReady: true };
  return { ...rest, members: { ...others, [node]: grown } };
}

Deno.test("A node that cannot start keeps no other from being replaced, and is replaced in the end", () => {
  for (const apps of [["kv"], []]) {
    const { def, members } = image();
    let record = image({
      def: { ...def!, size: 5 },
      members: {
        ...members,
        4: member(4, { missingSince: now - 2 }),
        5: member(5),
      },
    });
    const events: string[] = [];
    const asked: number[] = [];
    let tick = now;
    for (; tick < now + 60; tick++) {
      const alive = [1, 2, 3, 6, 7].map((n) => host(n, { tick }));
      const hosts = [...alive, host(4, { apps, tick }), deadHost(5)];
      const known = view(hosts, { tick, newIds: [tick] });
      const decision = decide(known, record);
      if (decision.do === "settle") break;
      if (decision.do === "nothing") continue;
      if (decision.next.step?.kind === "restore") asked.push(tick - now);
      if (decision.what !== "restore") events.push(decision.what);
      record = afterStep(decision.next, 4);
    }
    const repair = ["repair", "", "promote", "remove", "done"];
    assert.deepEqual(events, [...repair, ...repair], `apps ${apps}`);
    assert.ok(asked.length <= 4 && asked[0] === 0, `${asked}`);
    assert.ok(tick < now + 20, `${tick - now} ticks`);
  }
});

Deno.test("Where the majority is lost its nodes are asked to start again and again, whatever became of it before", () => {
  const stuck = { missingSince: now - 50, starts: { count: 9, at: now - 1 } };
  const lost = image({
    members: { 1: member(1), 2: member(2, stuck), 3: member(3, stuck) },
  });
  const { next } = changeOf(decide(view(fourHosts()), lost));
  assert.deepEqual(next.step!.hosts, { h2: 2, h3: 3 });
  assert.deepEqual(next.members[2]!.starts, {
    count: 10,
    at: now,
    since: now - 1,
  });
  const seen = withNode(next, { nodeId: 2, areObserversReady: false }, {
    hostId: "h2",
    tick: now + 1,
  });
  assert.deepEqual(seen.members[2], member(2), "it runs: all is forgotten");
});

Deno.test("A restart that fails does not count against the plan for another node", () => {
  const { next } = changeOf(decide(view(oneDead()), image()));
  const { plan, ...rest } = without(next);
  const restart = {
    n: 20,
    kind: "restore" as const,
    node: 0,
    at: now,
    expectCci: 30,
    hosts: { h2: 2 },
  };
  const record = { ...rest, plan: plan!, step: restart };
  const said = { clusterId: 1, n: 20, isDone: false, code: "notReady" };
  assert.equal(acknowledge(record, said, "h2").plan!.failures, 0);
  const ofComing = { ...record, step: { ...restart, hosts: { h4: 1001 } } };
  assert.equal(acknowledge(ofComing, said, "h4").plan!.failures, 1);
});

Deno.test("A step is closed when its effect was seen, or after three ticks; its number never returns", () => {
  const open = changeOf(decide(view(oneDead()), image())).next;
  assert.match(whyNot(decide(view(oneDead()), open)), /under way/);
  const later = view(oneDead(), { tick: now + 3 });
  for (const one of later.hosts.values()) {
    if (one.state === "ok") one.tick = now + 3;
  }
  const again = changeOf(decide(later, open)).next;
  assert.equal(again.step!.n, open.step!.n + 1);
  assert.equal(
    again.step!.node,
    open.step!.node,
    "the same node, under the same index",
  );
  assert.equal(again.plan!.failures, 1);
});

Deno.test("A drained NodeHost hands over leadership first, and is left without ever having fewer voters (M16)", () => {
  const drained = [host(1), host(2), host(3, { drain: true }), host(4)];
  const begun = changeOf(decide(view(drained), image())).next;
  assert.deepEqual([begun.plan!.kind, begun.plan!.out], ["drain", 3]);
  const running = {
    ...without(begun),
    members: {
      ...begun.members,
      1001: {
        role: "observer" as const,
        address: "a4",
        host: "h4",
        since: now,
        isReady: true,
      },
    },
  };
  const handed = changeOf(decide(view(drained), running)).next;
  assert.equal(handed.step!.kind, "transfer");
  assert.deepEqual(handed.step!.hosts, { h3: 3 });
  const [kind, node] = brief(decide(view(drained), without(handed)));
  assert.deepEqual([kind, node], ["promote", 1001]);
  const back = decide(view(fourHosts()), without(handed)); // Uncordoned.
  assert.equal(changeOf(back).next.plan!.isAbandoned, true);
});

Deno.test("A cluster grows by way of observers and shrinks one voter at a time", () => {
  const sized = (size: number) => image({ def: { ...image().def!, size } });
  const grown = changeOf(decide(view(fourHosts()), sized(4))).next;
  assert.deepEqual([grown.plan!.kind, grown.step!.kind], [
    "grow",
    "addObserver",
  ]);
  const shrunk = changeOf(decide(view(fourHosts()), sized(1))).next;
  assert.deepEqual([shrunk.plan!.kind, shrunk.step!.kind], [
    "shrink",
    "remove",
  ]);
  const weak = [host(1), host(2, { tick: now - 10 }), host(3), host(4)];
  assert.equal(
    brief(decide(view(weak), sized(2)))[1],
    2,
    "the one that does not run",
  );
});

Deno.test("Regions that are required are waited for; preferred ones are moved to later (M18)", () => {
  const wish = (isRequired: boolean) => {
    const regions = ["region-1", "region-2", "region-9"]
      .map((region) => ({ region, count: 1, isRequired }));
    return { gen: 1, app: "kv", size: 3, regions, config: {} };
  };
  const defined = (isRequired: boolean) =>
    image({ life: "defined", def: wish(isRequired), members: {}, cci: 0 });
  assert.match(whyNot(decide(view(fourHosts()), defined(true))), /region-9/);
  assert.equal(brief(decide(view(fourHosts()), defined(false)))[0], "launch");
  const settled = image({ def: wish(false) });
  assert.equal(decide(view(fourHosts()), settled).do, "settle");
  const hosts = [...fourHosts(), host(9)];
  const moved = changeOf(decide(view(hosts), settled)).next;
  assert.deepEqual([moved.plan!.kind, moved.plan!.out, moved.plan!.host], [
    "move",
    3,
    "h9",
  ]);
});

Deno.test("Nodes of one cluster are spread over failure domains, then over load and capacity (M18)", () => {
  const at = (n: number, domain: string, rest = {}) =>
    host(n, { region: "one", domain, ...rest });
  const hosts = [at(1, "r1"), at(2, "r1"), at(3, "r2"), at(4, "r3")];
  const def = { gen: 1, app: "kv", size: 3, regions: [], config: {} };
  const defined = image({ life: "defined", def, members: {}, cci: 0 });
  const chosen = (known: View) =>
    [...changeOf(decide(known, defined)).hosts].sort();
  assert.deepEqual(chosen(view(hosts)), ["h1", "h3", "h4"]);
  const loaded = [at(1, "r1", { n: 5 }), at(2, "r1"), at(3, "r2"), at(4, "r3")];
  assert.deepEqual(chosen(view(loaded)), ["h2", "h3", "h4"]);
  const big = [
    at(1, "r1", { n: 5, capacity: 10 }),
    at(2, "r1", { n: 1 }),
    at(3, "r2"),
    at(4, "r3"),
  ];
  assert.deepEqual(chosen(view(big)), ["h1", "h3", "h4"]);
});

Deno.test("A cluster that is deleted is killed everywhere, and then is no more", () => {
  const deleting = image({ life: "deleting" });
  assert.deepEqual(
    brief(decide(view(oneDead()), deleting)),
    ["kill", 0, { h1: 1, h2: 2 }],
  );
  const members = { 3: member(3) };
  assert.equal(decide(view(oneDead()), { ...deleting, members }).do, "settle");
  // One that is silent is not dead: it may run its node, and nobody would stop it.
  const silent = view([host(1), host(2), host(3, { tick: now - 9 })]);
  const waits = decide(silent, { ...deleting, members });
  assert.match(whyNot(waits), /waits for h3, which is silent/);
});

Deno.test("A dead voter that the leader never met goes before its replacement comes, if nobody else may be missing (M1, rule I6)", () => {
  const plan = {
    kind: "repair" as const,
    out: 3,
    in: 9,
    host: "h4",
    address: "a4",
    at: now - 1,
    slots: [],
    failures: 0,
    why: "node 3 is dead",
  };
  const asked = image({
    plan,
    steps: 8,
    step: {
      n: 8,
      kind: "addObserver",
      node: 9,
      at: now,
      expectCci: 30,
      hosts: { h1: 9 },
    },
  });
  const answer = (detail: string, n = 8) =>
    acknowledge(asked, {
      clusterId: 1,
      n,
      isDone: false,
      code: "notReady",
      detail,
    }, "h1");
  const text = (nodeId: number) =>
    `Cannot change: ${unmetText({ nodeId, address: `a${nodeId}` }, 2)}`;
  // Another refusal says nothing about it.
  const other = answer("Cannot change: node 3 at a3 sleeps");
  assert.equal(stepOf(decide(view(oneDead()), other)).kind, "addObserver");
  const unmet = answer(text(3));
  assert.equal(unmet.plan?.unmet, 3);
  assert.equal(answer(text(3), 7).plan?.unmet, 3, "however late");
  const decision = changeOf(decide(view(oneDead()), unmet));
  assert.deepEqual(stepOf(decision).kind, "remove");
  assert.equal(stepOf(decision).node, 3);
  assert.deepEqual(decision.hosts, ["h3"]); // Its return cancels.
  assert.match(decision.why, /the leader never met it/);
  const older = answer(`Cannot change: ${olderText(3, "f".repeat(32), 1)}`);
  assert.equal(older.plan?.unmet, 3);
  // Then the node comes, and the plan ends when it votes.
  const { 3: _, ...rest } = unmet.members;
  const gone = without({ ...decision.next, members: rest });
  const next = changeOf(decide(view(oneDead()), gone));
  assert.deepEqual([stepOf(next).kind, stepOf(next).node], ["addObserver", 9]);
  const members = { ...rest, 9: member(9, { host: "h4" }) };
  const last = changeOf(decide(view(oneDead()), { ...gone, members }));
  assert.equal(last.next.plan, undefined);
  // One that lives stays, and so does a dead one while a voter is silent, or does not run.
  const alive = decide(view(oneDead()), answer(text(2)));
  assert.equal(stepOf(alive).kind, "addObserver");
  const five = {
    ...unmet,
    def: { ...unmet.def!, size: 5 },
    members: { ...unmet.members, 5: member(5), 6: member(6) },
  };
  const all = [...oneDead(), host(5)];
  const silent = host(6, { tick: now - 10 });
  assert.match(whyNot(decide(view([...all, silent]), five)), /silent/);
  const seen = decide(view([...all, host(6)]), five);
  assert.deepEqual(stepOf(seen).node, 3);
});

Deno.test("An observer of a step that happened late holds up no other one: it goes (M1)", () => {
  const plan = {
    kind: "repair" as const,
    out: 3,
    in: 4,
    host: "h4",
    address: "a4",
    at: now - 2,
    slots: [],
    failures: 0,
    why: "",
  };
  const observer = member(4, { role: "observer" });
  const late = member(5, { role: "observer", isLost: true });
  const members = { ...image().members, 4: observer, 5: late };
  const seen = view([...oneDead(), host(5)]);
  const decision = decide(seen, image({ plan, members }));
  assert.deepEqual(brief(decision).slice(0, 2), ["remove", 5]);
  assert.equal(changeOf(decision).next.plan, plan);
});

Deno.test("A cluster being recovered is touched by nobody, but condemned nodes are stopped (M15)", () => {
  const recovering = image({ life: "recovering", condemned: [2, 3] });
  assert.equal(decide(view(fourHosts()), recovering).do, "nothing");
  const back = { ...recovering, zombies: { 2: "h2" } };
  assert.deepEqual(brief(decide(view(fourHosts()), back)), ["kill", 2, {
    h2: 2,
  }]);
  const imported = { ...recovering, members: { 1: member(1) } };
  assert.equal(changeOf(decide(view(fourHosts()), imported)).next.life, "ok");
});

Deno.test("Paused, unmanaged and quarantined clusters, and copies that nobody confirmed, are left alone", () => {
  const quiet = [
    { isPaused: true },
    { life: "unmanaged" as const },
    { life: "quarantine" as const },
    { isImported: true, confirmedBy: ["h1"] },
  ];
  for (const rest of quiet) {
    assert.equal(
      decide(view(oneDead()), image(rest)).do,
      "nothing",
      JSON.stringify(rest),
    );
  }
  const trusted =
    changeOf(decide(view(oneDead()), image({ isImported: true }))).next;
  assert.equal(trusted.isImported, undefined);
});

Deno.test("Drummer's order kills a cluster whose new node never starts; ours keeps its majority at every step (M1)", () => {
  // Drummer adds the new node as a voter, before it runs: of four voters, two run, and nothing commits any more.
  const staked = image({
    members: {
      1: member(1),
      2: member(2),
      3: member(3),
      4: { role: "voter", address: "a4", host: "h4" },
    },
  });
  assert.equal(hasQuorum(view(oneDead()), image()), true);
  assert.equal(hasQuorum(view(oneDead()), staked), false);

  let known = view(oneDead());
  let record = image();
  const kinds: string[] = [];
  for (let tick = now; tick < now + 40; tick++) {
    known = view(oneDead(), { tick, newIds: [tick] });
    for (const one of known.hosts.values()) {
      if (one.state === "ok") one.tick = tick;
    }
    const decision = decide(known, record);
    if (decision.do !== "change") continue;
    record = decision.next;
    assert.equal(hasQuorum(known, record), true);
    const { step } = record;
    if (step === undefined) continue;
    kinds.push(step.kind);
    const { [step.node]: gone, ...others } = record.members;
    if (step.kind === "addObserver") {
      const added = { role: "observer" as const, address: "a4", host: "h4" };
      record = {
        ...record,
        cci: record.cci + 3,
        members: { ...record.members, [step.node]: added },
      };
    }
    if (step.kind === "remove") {
      assert.equal(gone?.role, "observer");
      record = { ...record, cci: record.cci + 3, members: others };
    }
  }
  assert.ok(kinds.includes("join") && kinds.includes("remove"));
  assert.ok(!kinds.includes("promote"));
  assert.ok(
    kinds.filter((kind) => kind === "addObserver").length >= 2,
    "it tries again",
  );
});

Deno.test("A zombie on a NodeHost that is lost is forgotten: who returns tells everything anew", () => {
  for (const lost of [deadHost(4), undefined]) {
    const hosts = [
      host(1),
      host(2),
      host(3),
      ...(lost === undefined ? [] : [lost]),
    ];
    const { next } = changeOf(
      decide(view(hosts), image({ zombies: { 9: "h4" } })),
    );
    assert.deepEqual([next.zombies, next.step], [{}, undefined]);
  }
  const silent = [host(1), host(2), host(3), host(4, { tick: now - 10 })];
  const known = image({ zombies: { 9: "h4" } });
  assert.match(whyNot(decide(view(silent), known)), /still runs/);
});
