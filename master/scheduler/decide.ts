/**
 * What to do next about one cluster: at most one step. A pure function of the cluster's record and of the NodeHosts
 * (`view.ts`); a round may stop after any decision, and what it read may be torn, without harm.
 *
 * Order: finish the open step; then launch, kill zombies, restart what can be restarted, and only then change members:
 * replace a dead voter, leave a NodeHost that is drained, grow, shrink, move to where the cluster is wished.
 */
import {
  type ClusterImage,
  deleted,
  isConfirmed,
  quorumOf,
  votersOf,
  withFailure,
  withMembers,
} from "../cluster_image.ts";
import type { MemberRecord, StepRecord } from "../schema.ts";
import { beginPlan, continuePlan } from "./plan.ts";
import { place } from "./placement.ts";
import { change, withStep } from "./step.ts";
import {
  type Decision,
  hasQuorum,
  isAlive,
  isDead,
  isRunning,
  nextStart,
  nothing,
  startedSince,
  type View,
} from "./view.ts";

/** Decides about one cluster. */
export function decide(view: View, image: ClusterImage): Decision {
  const closed = withoutLostZombies(view, closeStep(view, image));
  const next = nextDecision(view, closed);
  if (next.do === "change" || closed === image) return next;
  const why = image.step === undefined
    ? "what ran on a lost NodeHost does not run any more"
    : `step ${image.step.n} is over`;
  return { do: "change", next: closed, hosts: [], what: "", why };
}

/** What runs on a dead NodeHost cannot be stopped, and need not be: if that returns, it tells everything anew. */
function withoutLostZombies(view: View, image: ClusterImage): ClusterImage {
  const all = Object.entries(image.zombies);
  const kept = all.filter(([, host]) =>
    view.hosts.has(host) && !isDead(view, host)
  );
  if (kept.length === all.length) return image;
  return { ...image, zombies: Object.fromEntries(kept) };
}

/** Without the open step, if its effect was seen or it took too long; a closed one may still happen: the CCI lets one win. */
function closeStep(view: View, image: ClusterImage): ClusterImage {
  const { step } = image;
  if (step === undefined) return image;
  const open = Object.entries(step.hosts)
    .filter(([, node]) => !isDone(image, step, node));
  const { step: _, ...rest } = image;
  if (open.length === 0) return rest;
  if (view.tick - step.at < view.limits.stepTicks) {
    if (open.length === Object.keys(step.hosts).length) return image;
    return { ...image, step: { ...step, hosts: Object.fromEntries(open) } };
  }
  return withFailure(rest, step.kind, open.map(([, node]) => node));
}

/** Whether reports show the effect of a step. */
function isDone(image: ClusterImage, step: StepRecord, node: number): boolean {
  const member = image.members[node];
  switch (step.kind) {
    case "launch":
    case "join":
    case "restore":
      return member === undefined || member.isLost === true ||
        (member.since !== undefined && member.missingSince === undefined);
    case "addObserver":
      return member !== undefined;
    case "promote":
      return member !== undefined && member.role !== "observer";
    case "remove":
      return image.members[step.node] === undefined;
    case "kill":
      return image.zombies[node] === undefined &&
        (image.life !== "deleting" || member?.missingSince !== undefined ||
          member === undefined);
    case "transfer":
      return false; // Nothing in the record shows it: its acknowledgement ends it.
  }
}

function nextDecision(view: View, image: ClusterImage): Decision {
  const { step } = image;
  if (step !== undefined) {
    return nothing(`step ${step.n} (${step.kind}) is under way`);
  }
  if (image.isPaused === true) return nothing("an operator paused it");
  if (image.isImported === true) return trust(view, image);
  const { deleteAt } = image;
  if (deleteAt === undefined) return decideLife(view, image);
  return deleteLater(view, image, deleteAt);
}

/** Until then it is kept as it should be, since an operator may still keep it; it stays on the to-do list (M19). */
function deleteLater(
  view: View,
  image: ClusterImage,
  deleteAt: number,
): Decision {
  if (view.tick >= deleteAt) {
    return change(deleted(image), {
      hosts: [],
      what: "deleting",
      why: "nobody kept it while it could be",
    });
  }
  const decision = decideLife(view, image);
  return decision.do === "settle"
    ? nothing(`it is deleted in tick ${deleteAt}, unless it is kept`)
    : decision;
}

function decideLife(view: View, image: ClusterImage): Decision {
  switch (image.life) {
    case "unmanaged":
    case "quarantine":
      return nothing(`it is ${image.life}`);
    case "defined":
      return launch(view, image);
    case "launching":
      return finishLaunch(view, image);
    case "recovering":
      return finishRecovery(view, image);
    case "deleting":
      return killAll(view, image);
    case "ok":
      return maintain(view, image);
  }
}

/** What a copy says may be old: a majority of the members must have said what they are (M11). */
function trust(view: View, image: ClusterImage): Decision {
  const { isImported: _, ...rest } = image;
  if (image.life === "defined" || isConfirmed(image)) {
    return change(rest, {
      hosts: [],
      what: "trusted",
      why: "a majority of its members reported since the store was imported",
    });
  }
  const { claim } = image;
  if (claim?.members !== undefined) {
    const { members } = claim;
    const dropped = votersOf(image).filter((id) => members[id] === undefined);
    if (dropped.every((id) => isKnownToBeOff(view, image.members[id]))) {
      return change(withMembers(image, { ...claim, members }), {
        hosts: [],
        what: "",
        why: "nobody runs whom the membership drops that was reported",
      });
    }
  }
  return nothing("imported: waits for reports of a majority of its members");
}

/** Whether a member's NodeHost reported since the import without it, or is dead. */
function isKnownToBeOff(
  view: View,
  member: MemberRecord | undefined,
): boolean {
  if (member === undefined) return false;
  const { since, missingSince } = member;
  return (since === undefined || missingSince !== undefined) &&
    (isAlive(view, member.host) || isDead(view, member.host));
}

// ---- Launch ----

/** The initial members are decided here, once, for ever (M8). */
function launch(view: View, image: ClusterImage): Decision {
  if (view.isBraked) return nothing("the brake is on");
  const size = image.def?.size ?? 0;
  const placement = place(view, image, { count: size });
  if ("waitsFor" in placement) {
    return nothing(`waits for ${placement.waitsFor}`);
  }
  const members: Record<number, MemberRecord> = {};
  placement.hosts.forEach((host, i) => {
    const address = view.hosts.get(host)?.addr ?? "";
    members[view.newIds[i] ?? 0] = { role: "voter", address, host };
  });
  const next: ClusterImage = { ...image, life: "launching", members };
  const where = placement.hosts.join(", ");
  return change(startAll(view, next, "launch", stopped(view, next)), {
    hosts: placement.hosts,
    what: "launch",
    why: `its ${size} nodes start on ${where}`,
  });
}

/** A step that starts these nodes, which do not run and whose NodeHosts live. */
function startAll(
  view: View,
  image: ClusterImage,
  kind: "launch" | "restore",
  ids: readonly number[],
): ClusterImage {
  const hosts: Record<string, number> = {};
  const members = { ...image.members };
  for (const id of ids) {
    const member = members[id]!;
    hosts[member.host ?? ""] = id;
    const { starts } = member;
    const count = (starts?.count ?? 0) + 1;
    const since = startedSince(member) ?? view.tick;
    members[id] = { ...member, starts: { count, at: view.tick, since } };
  }
  return withStep(view, { ...image, members }, { kind, node: 0, hosts });
}

/** Nodes that do not run and could be started where they are. Two ticks are left for a NodeHost to do it by itself (I5). */
function stopped(view: View, image: ClusterImage): number[] {
  return Object.keys(image.members).map(Number).filter((id) => {
    const member = image.members[id]!;
    if (isRunning(view, member) || !isAlive(view, member.host)) return false;
    if (member.isLost === true || image.condemned?.includes(id) === true) {
      return false;
    }
    if (image.plan?.in === id && member.since === undefined) return false;
    return member.missingSince === undefined ||
      view.tick - member.missingSince >= 2;
  });
}

function finishLaunch(view: View, image: ClusterImage): Decision {
  const voters = votersOf(image);
  const started = voters.filter((id) => image.members[id]?.since !== undefined);
  if (started.length >= quorumOf(voters.length) && isConfirmed(image)) {
    return change({ ...image, life: "ok" }, {
      hosts: [],
      what: "launched",
      why: "a majority of its nodes runs",
    });
  }
  const ids = stopped(view, image);
  const waits = voters.filter((id) => image.members[id]?.since === undefined)
    .map((id) => unstarted(view, id, image.members[id]!)).join("; ");
  if (ids.length === 0) {
    return nothing(
      waits === ""
        ? "stuck: no majority of its nodes runs and tells the same members"
        : `stuck: ${waits}. Start these NodeHosts again, or delete the ` +
          "cluster: who its first members are is decided for ever",
    );
  }
  return change(startAll(view, image, "launch", ids), {
    hosts: [],
    what: "",
    why: waits === "" ? "some nodes do not run any more" : `again: ${waits}`,
  });
}

/** A first node that never ran, where it is expected, and for how long. */
function unstarted(view: View, id: number, member: MemberRecord): string {
  const host = member.host ?? "";
  const since = startedSince(member);
  const told = since === undefined ? "" : `, told since tick ${since}`;
  const how = isAlive(view, host)
    ? ""
    : isDead(view, host)
    ? ", which is dead"
    : ", which is silent";
  return `node ${id} never started on ${host}${how}${told}`;
}

// ---- Recovery and deletion ----

/** The operator does the rest by hand; what is condemned is stopped wherever it returns (M15). */
function finishRecovery(view: View, image: ClusterImage): Decision {
  const zombies = killZombie(view, image);
  if (zombies !== undefined) return zombies;
  const condemned = image.condemned ?? [];
  const isRid = condemned.every((id) => image.members[id] === undefined);
  if (!isRid || !hasQuorum(view, image)) {
    return nothing("waits for an operator to import a snapshot");
  }
  return change({ ...image, life: "ok" }, {
    hosts: [],
    what: "recovered",
    why: "a majority of its new members runs",
  });
}

function killZombie(view: View, image: ClusterImage): Decision | undefined {
  const found = Object.entries(image.zombies)
    .find(([, host]) => isAlive(view, host));
  if (found === undefined || view.isBraked) return undefined;
  const [id, host] = found;
  const hosts = { [host]: Number(id) };
  return change(
    withStep(view, image, { kind: "kill", node: Number(id), hosts }),
    {
      hosts: [],
      what: "kill",
      why: `node ${id} still runs on ${host} although it was removed`,
    },
  );
}

/**
 * Everything that may run goes. The record goes last, when no NodeHost that lives carries a node; one that is silent may
 * live.
 */
function killAll(view: View, image: ClusterImage): Decision {
  if (view.isBraked) return nothing("the brake is on");
  const hosts: Record<string, number> = {};
  let silent: string | undefined;
  const kill = (id: string, host: string) => {
    if (isAlive(view, host)) hosts[host] = Number(id);
    else if (view.hosts.has(host) && !isDead(view, host)) silent = host;
  };
  for (const [id, { host, missingSince }] of Object.entries(image.members)) {
    if (host !== undefined && missingSince === undefined) kill(id, host);
  }
  for (const [id, host] of Object.entries(image.zombies)) kill(id, host);
  if (Object.keys(hosts).length === 0) {
    return silent === undefined ? { do: "settle" } : nothing(
      `it is being deleted, and waits for ${silent}, which is silent`,
    );
  }
  return change(withStep(view, image, { kind: "kill", node: 0, hosts }), {
    hosts: [],
    what: "kill",
    why: "it is being deleted",
  });
}

// ---- Maintenance ----

/**
 * The nodes to start now. One that cannot start keeps nothing else from being done: it is tried again later each time,
 * unless the majority is lost, when there is nothing else to do.
 */
function startable(view: View, image: ClusterImage): number[] {
  const ids = stopped(view, image);
  if (!hasQuorum(view, image)) return ids;
  return ids.filter((id) =>
    view.tick >= (nextStart(view, image.members[id]!) ?? 0)
  );
}

function maintain(view: View, image: ClusterImage): Decision {
  const zombies = killZombie(view, image);
  if (zombies !== undefined) return zombies;
  const stoppedIds = startable(view, image);
  if (stoppedIds.length > 0) {
    // An initial member that never ran is told who the others are; later its log says so.
    const isNew = image.cci === 0 &&
      stoppedIds.some((id) => image.members[id]?.since === undefined);
    const kind = isNew ? "launch" : "restore";
    return change(startAll(view, image, kind, stoppedIds), {
      hosts: [],
      what: "restore",
      why: `node ${stoppedIds.join(", ")} does not run, but its NodeHost does`,
    });
  }
  if (!hasQuorum(view, image)) {
    return nothing("lost its majority: its nodes must return, or an operator");
  }
  if (view.isBraked) return nothing("the brake is on");
  if (image.plan !== undefined) return continuePlan(view, image);
  const decision = beginPlan(view, image);
  return decision.do === "settle" && Object.keys(image.zombies).length > 0
    ? nothing("a node that was removed still runs on a NodeHost that is silent")
    : decision;
}
