/**
 * Changes of members. A node comes as an observer, starts, catches up and is promoted before another one goes, so that
 * what does not run never counts for a majority (M1):
 *
 *     add observer -> start it -> it has caught up -> promote it -> remove the one that goes
 *
 * Which of these is next follows from the members alone, so a plan survives anything that happens in between. A voter
 * is added or removed only while those that run are a majority both before and after.
 */
import { type ClusterImage, isVoter, votersOf } from "../cluster_image.ts";
import type { PlanRecord, SlotName } from "../schema.ts";
import { loadOf, misplaced, obstacle, place } from "./placement.ts";
import { change, memberStep, withStep } from "./step.ts";
import {
  avoiding,
  catchUpTicks,
  type Decision,
  failsToStart,
  freeSlot,
  isAlive,
  isDeadVoter,
  isRunning,
  keepsQuorum,
  nothing,
  type View,
} from "./view.ts";

/** After so many steps without effect a node that comes is given up. */
const failuresMax = 6;

/** Begins what is needed first; settles if nothing is. */
export function beginPlan(view: View, image: ClusterImage): Decision {
  const voters = votersOf(image);
  const size = image.def?.size ?? voters.length;
  const dead = voters.find((id) => isDeadVoter(view, image, id));
  if (dead !== undefined) {
    if (voters.length > size) return shrink(view, image, dead);
    return begin(view, image, {
      kind: "repair",
      out: dead,
      why: whyDead(view, image, dead),
    });
  }
  const stray = strayOf(image);
  if (stray !== undefined) return removeStray(view, image, stray);
  if (voters.length > size) return shrink(view, image);
  if (voters.length < size) {
    const why = `it has ${voters.length} voters of ${size}`;
    return begin(view, image, { kind: "grow", why });
  }
  return leave(view, image, voters);
}

function whyDead(view: View, image: ClusterImage, id: number): string {
  const member = image.members[id];
  const host = member?.host ?? "its NodeHost";
  if (!isAlive(view, host)) return `node ${id} is dead: ${host} is lost`;
  return member?.isLost === true
    ? `node ${id} is dead: ${host} has lost its data`
    : `node ${id} is as good as dead: ${host} lives, and cannot start it`;
}

function leave(
  view: View,
  image: ClusterImage,
  voters: readonly number[],
): Decision {
  if (voters.some((id) => !isRunning(view, image.members[id]))) {
    return nothing("a node does not run, and may come back");
  }
  const drained = voters.find((id) => isLeaving(view, image, id));
  if (drained !== undefined) {
    const why = `${image.members[drained]?.host} is being drained`;
    return begin(view, image, { kind: "drain", out: drained, why });
  }
  const away = misplaced(view, image);
  if (away !== undefined) {
    const why = `node ${away} is in another region than wished`;
    return begin(view, image, { kind: "move", out: away, why });
  }
  return { do: "settle" };
}

function isLeaving(view: View, image: ClusterImage, id: number): boolean {
  const host = view.hosts.get(image.members[id]?.host ?? "");
  return host?.drain === true || host?.revoked === true;
}

interface Wish {
  readonly kind: PlanRecord["kind"];
  readonly out?: number;
  readonly why: string;
  /** A NodeHost that was chosen for it. */
  readonly host?: string;
}

/** Begins a plan with its first step; a repair that has to wait for its turn is written down nevertheless. */
export function begin(
  view: View,
  image: ClusterImage,
  { host: chosen, ...wish }: Wish,
): Decision {
  const placement = chosen === undefined
    ? place(view, image, {
      count: 1,
      ...(wish.out === undefined ? {} : { without: wish.out }),
      isFull: (id) => targetSlot(view, wish, id) === undefined,
    })
    : { hosts: [chosen] };
  if ("waitsFor" in placement) {
    return makeRoom(view, image, wish) ??
      waiting(view, image, wish, `waits for ${placement.waitsFor}`);
  }
  const host = placement.hosts[0]!;
  const slots = slotsFor(view, image, wish, host);
  if (slots === undefined) {
    return waiting(view, image, wish, "waits for its turn: enough is moving");
  }
  const plan: PlanRecord = {
    ...wish,
    in: view.newIds[0]!,
    host,
    address: view.hosts.get(host)?.addr ?? "",
    at: view.tick,
    slots,
    failures: 0,
  };
  const dead = image.members[wish.out ?? 0]?.host;
  return memberStep(view, { ...image, plan }, {
    kind: "addObserver",
    node: plan.in!,
    hosts: [host, ...(dead === undefined ? [] : [dead])],
    what: wish.kind,
    why: `${wish.why}; node ${plan.in} comes to ${host}`,
  });
}

/**
 * Where no other NodeHost is left, the one that came to the address of a dead node can take its place, once that is no
 * member any more: two at one address would be one machine with two votes (M17). It counted as dead already, so those
 * that run are as good a majority without it.
 */
function makeRoom(
  view: View,
  image: ClusterImage,
  { kind, out, why }: Omit<Wish, "host">,
): Decision | undefined {
  if (kind !== "repair" || out === undefined) return undefined;
  const { host, address } = image.members[out]!;
  if (view.hosts.get(host ?? "")?.state !== "gone") return undefined;
  const app = image.def?.app ?? "";
  const replacement = [...view.hosts].find(([, one]) =>
    one.addr === address && obstacle(view, one, app) === undefined
  )?.[0];
  if (replacement === undefined) return undefined;
  const after = votersOf(image).filter((id) => id !== out);
  if (!keepsQuorum(view, image, after)) return undefined;
  const plan = image.plan ??
    { kind, out, why, at: view.tick, slots: [], failures: 0 };
  return memberStep(view, { ...image, plan }, {
    kind: "remove",
    node: out,
    hosts: [host!, replacement],
    what: "remove",
    why: `${why}; node ${out} goes, and makes room for ${replacement}`,
  });
}

function waiting(
  view: View,
  image: ClusterImage,
  wish: Omit<Wish, "host">,
  why: string,
): Decision {
  if (wish.kind !== "repair" || image.plan !== undefined) return nothing(why);
  const plan = { ...wish, at: view.tick, slots: [], failures: 0 };
  return change({ ...image, plan }, {
    hosts: [],
    what: "plan",
    why: `${wish.why}; ${why}`,
  });
}

/** The slot of the NodeHost that a node comes to. */
function targetSlot(
  view: View,
  wish: Omit<Wish, "host">,
  host: string,
): SlotName | undefined {
  const { limits } = view;
  return wish.kind === "repair"
    ? freeSlot(view, "repair", `to ${host}`, limits.repairsPerTarget)
    : freeSlot(view, "move", `to ${host}`, limits.movesPerHost);
}

function slotsFor(
  view: View,
  image: ClusterImage,
  wish: Omit<Wish, "host">,
  host: string,
): SlotName[] | undefined {
  const { limits } = view;
  const isRepair = wish.kind === "repair";
  const kind = isRepair ? "repair" : "move";
  const source = image.members[wish.out ?? 0]?.host;
  const slots = [
    freeSlot(view, kind, "all", isRepair ? limits.repairs : limits.moves),
    targetSlot(view, wish, host),
  ];
  if (!isRepair && source !== undefined) {
    slots.push(freeSlot(view, kind, `from ${source}`, limits.movesPerHost));
  }
  return slots.every((slot) => slot !== undefined) ? slots : undefined;
}

// ---- Shrinking ----

/** One voter too many goes, dead ones first, then from where the most nodes are. */
function shrink(view: View, image: ClusterImage, dead?: number): Decision {
  const out = dead ?? leastNeeded(view, image);
  if (out === undefined) return nothing("only witnesses are left");
  const after = votersOf(image).filter((id) => id !== out);
  if (!keepsQuorum(view, image, after)) {
    return nothing("too few voters run to remove one");
  }
  const plan: PlanRecord = {
    kind: "shrink",
    out,
    at: view.tick,
    slots: [],
    failures: 0,
    why: "it has more voters than it should",
  };
  return memberStep(view, { ...image, plan }, {
    kind: "remove",
    node: out,
    hosts: [],
    what: "shrink",
    why: `${plan.why}: node ${out} goes`,
  });
}

function leastNeeded(view: View, image: ClusterImage): number | undefined {
  const rank = (id: number): number => {
    const hostId = image.members[id]?.host ?? "";
    const host = view.hosts.get(hostId);
    if (!isRunning(view, image.members[id]) || host === undefined) return 1e15;
    if (isLeaving(view, image, id)) return 1e14;
    const wish = image.def?.regions.find(({ region }) =>
      region === host.region
    );
    const isWished = wish !== undefined &&
      countIn(view, image, host.region) <= wish.count;
    return (isWished ? 0 : 1e13) + loadOf(view, hostId, host);
  };
  const voters = votersOf(image).filter((id) =>
    image.members[id]?.role === "voter"
  );
  let worst = voters[0];
  for (const id of voters) {
    if (worst === undefined || rank(id) > rank(worst)) worst = id;
  }
  return worst;
}

function countIn(view: View, image: ClusterImage, region: string): number {
  return votersOf(image).filter((id) =>
    view.hosts.get(image.members[id]?.host ?? "")?.region === region
  ).length;
}

/** An observer that no plan knows: of a plan that was given up, or of a step that happened late. */
function strayOf({ members, plan }: ClusterImage): number | undefined {
  return Object.keys(members).map(Number)
    .find((id) => members[id]?.role === "observer" && plan?.in !== id);
}

function removeStray(view: View, image: ClusterImage, node: number): Decision {
  return memberStep(view, image, {
    kind: "remove",
    node,
    hosts: [],
    what: "remove",
    why: `observer ${node} belongs to no plan`,
  });
}

// ---- Going on ----

/** The next step of the plan that the record holds. */
export function continuePlan(view: View, image: ClusterImage): Decision {
  const plan = image.plan!;
  const { plan: _, ...without } = image;
  // Leaders tell when all observers have caught up: one that never does would hold up the one that is needed.
  const stray = strayOf(image);
  if (stray !== undefined) return removeStray(view, image, stray);
  if (plan.in === undefined) {
    if (plan.kind === "shrink") return removeOut(view, image);
    return stillNeeded(view, image, plan)
      ? begin(view, image, {
        kind: plan.kind,
        ...(plan.out === undefined ? {} : { out: plan.out }),
        why: plan.why,
      })
      : end(without, "it is not needed any more");
  }
  const member = image.members[plan.in];
  if (isVoter(member)) return removeOut(view, image);
  if (plan.isAbandoned === true) return abandon(view, image);
  const needless = needlessness(view, image, plan);
  const why = needless ?? futility(view, image, plan);
  if (why !== undefined) {
    // What is not needed says nothing about the NodeHost; everything else does, and the next node comes to another.
    const known = needless === undefined
      ? avoiding(view, image, plan.host!)
      : image;
    const given = { ...known, plan: { ...plan, isAbandoned: true } };
    return change(given, { hosts: [], what: "abandon", why });
  }
  if (!isAlive(view, plan.host)) return nothing(`${plan.host} is silent`);
  if (member === undefined) {
    return removeUnmet(view, image, plan) ?? memberStep(view, image, {
      kind: "addObserver",
      node: plan.in,
      hosts: [plan.host!],
      what: "",
      why: "the observer was not added yet",
    });
  }
  return bringUp(view, image, plan);
}

/**
 * A dead voter that the leader never met, or that spoke an older version, goes before another node comes: until then the
 * leader adds nobody, since not all members may be able to read what it would write (I6). It counted as dead already, so
 * those that run are as good a majority without it (M1); only voters that may come back make it wait.
 */
function removeUnmet(
  view: View,
  image: ClusterImage,
  { unmet, why }: PlanRecord,
): Decision | undefined {
  const member = image.members[unmet ?? 0];
  if (unmet === undefined || member === undefined) return undefined;
  if (!isVoter(member) || !isDeadVoter(view, image, unmet)) return undefined;
  const after = votersOf(image).filter((id) => id !== unmet);
  const areKnown = after.every((id) => {
    return isRunning(view, image.members[id]) || isDeadVoter(view, image, id);
  });
  if (!areKnown) return nothing(`a voter is silent: node ${unmet} stays`);
  if (!keepsQuorum(view, image, after)) return undefined;
  return memberStep(view, image, {
    kind: "remove",
    node: unmet,
    hosts: member.host === undefined ? [] : [member.host],
    what: "remove",
    why:
      `${why}; node ${unmet} goes first: the leader never met it, or in an older ` +
      "version, and adds nobody before it is out",
  });
}

/** Why a plan whose node has no vote yet is pointless, whatever its NodeHost does; `undefined` if it is not. */
function needlessness(
  view: View,
  image: ClusterImage,
  plan: PlanRecord,
): string | undefined {
  const host = view.hosts.get(plan.host ?? "");
  if (!stillNeeded(view, image, plan)) return "it is not needed any more";
  if (host === undefined || host.state === "failed" || host.state === "gone") {
    return `${plan.host} is lost, too`;
  }
  if (image.members[plan.in!] === undefined) {
    const reason = obstacle(view, host, image.def?.app ?? "");
    if (reason !== undefined && isAlive(view, plan.host)) {
      return `nothing can be placed on ${plan.host}: ${reason}`;
    }
  }
  return undefined;
}

/** Why nothing comes of a plan whose node has no vote yet; `undefined` if something may. */
function futility(
  view: View,
  image: ClusterImage,
  plan: PlanRecord,
): string | undefined {
  const member = image.members[plan.in!];
  if (
    member !== undefined &&
    (member.isLost === true || failsToStart(view, image, member))
  ) return `node ${plan.in} cannot start`;
  const age = view.tick - plan.at;
  if (member?.since === undefined && age > view.limits.startTicks) {
    return `node ${plan.in} did not start in ${age} ticks`;
  }
  const behind = view.tick - (member?.since ?? view.tick);
  if (member?.isReady !== true && behind > catchUpTicks(view, image)) {
    return `node ${plan.in} did not catch up in ${behind} ticks`;
  }
  return plan.failures >= failuresMax
    ? `${plan.failures} steps had no effect`
    : undefined;
}

/** Whether what a plan is for is still so. */
function stillNeeded(
  view: View,
  image: ClusterImage,
  plan: PlanRecord,
): boolean {
  const size = image.def?.size ?? 0;
  const voters = votersOf(image);
  if (plan.kind === "grow") return voters.length < size;
  const isOutFirst = plan.unmet !== undefined && plan.unmet === plan.out &&
    image.members[plan.unmet] === undefined;
  if (isOutFirst) return voters.length < size;
  if (plan.out === undefined || !voters.includes(plan.out)) return false;
  if (voters.length > size) return false; // Removing will do.
  if (plan.kind === "repair") {
    return !isRunning(view, image.members[plan.out]);
  }
  return plan.kind !== "drain" || isLeaving(view, image, plan.out);
}

function bringUp(
  view: View,
  image: ClusterImage,
  plan: PlanRecord,
): Decision {
  const node = plan.in!;
  const member = image.members[node]!;
  if (member.since === undefined) {
    const step = { kind: "join" as const, node, hosts: { [plan.host!]: node } };
    return change(withStep(view, image, step), {
      hosts: [plan.host!],
      what: "",
      why: `observer ${node} is to start`,
    });
  }
  const isLeaderToGo = plan.kind === "drain" && plan.isHandedOver !== true &&
    isRunning(view, image.members[plan.out!]);
  if (isLeaderToGo) return handOver(view, image, plan);
  if (!isRunning(view, member)) return nothing(`node ${node} does not run`);
  if (member.isReady !== true) return nothing(`node ${node} catches up`);
  if (!keepsQuorum(view, image, [...votersOf(image), node])) {
    return nothing("too few voters run to add one");
  }
  return memberStep(view, image, {
    kind: "promote",
    node,
    hosts: [plan.host!],
    what: "promote",
    why: `node ${node} has caught up`,
  });
}

/** Asks the node that goes to hand over leadership, if it leads. */
function handOver(
  view: View,
  image: ClusterImage,
  plan: PlanRecord,
): Decision {
  const next = { ...image, plan: { ...plan, isHandedOver: true } };
  const { host } = image.members[plan.out!] ?? {};
  const others = votersOf(image).filter((id) =>
    id !== plan.out && isRunning(view, image.members[id]) &&
    image.members[id]?.role === "voter"
  );
  const target = others[image.steps % Math.max(1, others.length)];
  if (host === undefined || target === undefined) {
    return nothing("no voter runs that could lead");
  }
  const hosts = { [host]: plan.out! };
  const step = { kind: "transfer" as const, node: target, hosts };
  return change(withStep(view, next, step), {
    hosts: [],
    what: "transfer",
    why: `node ${plan.out} should not lead any more: it goes`,
  });
}

function removeOut(view: View, image: ClusterImage): Decision {
  const plan = image.plan!;
  const { plan: _, ...without } = image;
  const { out } = plan;
  const size = image.def?.size ?? 0;
  const voters = votersOf(image);
  if (
    out === undefined || !voters.includes(out) ||
    (voters.length <= size && plan.kind === "shrink")
  ) return end(without, `the ${plan.kind} is done`);
  const member = image.members[out]!;
  if (
    plan.kind !== "shrink" && plan.isHandedOver !== true &&
    isRunning(view, member)
  ) return handOver(view, image, plan);
  if (!keepsQuorum(view, image, voters.filter((id) => id !== out))) {
    return nothing(`too few voters run to remove node ${out}`);
  }
  return memberStep(view, image, {
    kind: "remove",
    node: out,
    hosts: [],
    what: "remove",
    why: `${plan.why}; node ${out} goes`,
  });
}

/** What came goes again, without touching the voters. */
function abandon(view: View, image: ClusterImage): Decision {
  const plan = image.plan!;
  const { plan: _, ...without } = image;
  if (image.members[plan.in!] === undefined) {
    return end(without, `node ${plan.in} is given up`);
  }
  return memberStep(view, image, {
    kind: "remove",
    node: plan.in!,
    hosts: [],
    what: "",
    why: `node ${plan.in} is given up`,
  });
}

function end(without: ClusterImage, why: string): Decision {
  return change(without, { hosts: [], what: "done", why });
}
