/** A cluster as the page shows it. Pure. */
import { type ClusterImage, isManaged, votersOf } from "../cluster_image.ts";
import { decide } from "../scheduler/decide.ts";
import { startedSince, type View } from "../scheduler/view.ts";
import {
  groupOf,
  hostOfMember,
  isUp,
  standingOfMember,
  type Surroundings,
} from "./health.ts";
import type {
  BoardCluster,
  BoardMember,
  BoardPlan,
  ClusterState,
} from "./types.ts";

/** What a cluster is shown with. */
export interface RowParts {
  readonly id: number;
  readonly image: ClusterImage;
  readonly state: ClusterState;
  readonly around: Surroundings;
  /** What a decision would rest on. */
  readonly view: View;
  /** Milliseconds of a tick. */
  readonly periodMs: number;
}

/** The row. */
export function rowOfCluster(parts: RowParts): BoardCluster {
  const { id, image, state } = parts;
  const members = Object.keys(image.members).map(Number)
    .sort((a, b) => a - b)
    .map((node) => memberOf(node, parts));
  const plan = planOf(parts);
  return {
    id,
    state,
    group: groupOf(state),
    why: whyOf(parts, members),
    app: image.def?.app ?? "",
    size: image.def?.size ?? 0,
    regions: image.def?.regions ?? [],
    cci: image.cci,
    gen: image.def?.gen ?? 0,
    isPaused: image.isPaused === true,
    members,
    ...deletionOf(parts),
    ...(plan === undefined ? {} : { plan }),
  };
}

/** While it can still be kept. */
function deletionOf(
  { image, view, periodMs }: RowParts,
): { deletesInMs?: number } {
  const { deleteAt, life } = image;
  if (deleteAt === undefined || life === "deleting") return {};
  return { deletesInMs: Math.max(0, deleteAt - view.tick) * periodMs };
}

function memberOf(
  node: number,
  { id, image, around, view, periodMs }: RowParts,
): BoardMember {
  const member = image.members[node]!;
  const host = hostOfMember(member, around) ?? "";
  const since = startedSince(member);
  return {
    node,
    role: member.role,
    host,
    address: member.address,
    region: view.hosts.get(host)?.region ?? "",
    standing: standingOfMember(id, node, member, around),
    ...(since === undefined ? {} : {
      asked: member.starts!.count,
      askedForMs: Math.max(0, view.tick - since) * periodMs,
    }),
  };
}

// ---- Why ----

function whyOf(parts: RowParts, members: readonly BoardMember[]): string {
  const { image, state } = parts;
  const down = members.filter(({ role, standing }) =>
    role !== "observer" && !isUp(standing)
  );
  switch (state) {
    case "quarantine":
      return "two memberships were reported under one index";
    case "recovering":
      return "waits for an operator to import a snapshot";
    case "lost":
      return `${down.length} of ${votersOf(image).length} voters do not run`;
    case "leaderless":
      return "no node says that it leads";
    case "degraded":
      return [down.map(downText).join(", "), whatNext(parts)]
        .filter((part) => part !== "").join("; ");
    case "lagging":
      return members.filter(({ standing }) => standing === "lagging")
        .map(({ address }) => `${address} is far behind`).join(", ");
    case "launching":
    case "unstarted":
      return down.length === 0
        ? whatNext(parts)
        : down.every(({ asked = 0, standing }) =>
            asked < 2 && standing === "starting"
          )
        ? "its nodes are told to start"
        : unstartedText(parts, down);
    case "deleting":
      return image.step !== undefined
        ? "its nodes are told to stop"
        : whatNext(parts) || "its nodes are about to be stopped";
    case "waiting":
      return [image.plan?.why ?? "", whatNext(parts)]
        .filter((part) => part !== "").join("; ");
    case "paused":
      return "an operator paused it";
    case "unmanaged":
    case "ok":
      return "";
    default:
      return image.plan?.why ?? "";
  }
}

function downText({ standing, address }: BoardMember): string {
  return standing === "dead" || standing === "silent"
    ? `${address} is ${standing}`
    : `the node on ${address} is ${standing}`;
}

/** Why first nodes do not run of which nobody knows whether they ever will, those with the same reason together. */
function unstartedText(
  parts: RowParts,
  down: readonly BoardMember[],
): string {
  const groups = new Map<string, { many: string; addresses: string[] }>();
  for (const member of down) {
    const [one, many] = reasonOf(parts, member);
    const group = groups.get(one) ?? { many, addresses: [] };
    group.addresses.push(member.address);
    groups.set(one, group);
  }
  return [...groups].map(([one, { many, addresses }]) =>
    `${listed(addresses)} ${addresses.length === 1 ? one : many}`
  ).join("; ");
}

/** `a, b and c` */
function listed(names: readonly string[]): string {
  return [names.slice(0, -1).join(", "), ...names.slice(-1)]
    .filter((part) => part !== "").join(" and ");
}

/** The same of one NodeHost, and of several. */
function reasonOf(
  { image: { def }, view }: RowParts,
  { host, standing }: BoardMember,
): readonly [one: string, many: string] {
  const known = view.hosts.get(host);
  const word = known?.revoked === true ? "revoked" : standing;
  if (word !== "starting") return [`is ${word}`, `are ${word}`];
  if (def !== undefined && known?.apps?.includes(def.app) === false) {
    const what = `the state machine ${def.app}`;
    return [`lacks ${what}`, `lack ${what}`];
  }
  return ["has not started its node", "have not started their nodes"];
}

/** What a round would say that it waits for; nothing is written. */
function whatNext({ image, view }: RowParts): string {
  if (!isManaged(image)) return "";
  const decision = decide(view, image);
  return decision.do === "nothing" ? decision.why : "";
}

// ---- Plans ----

function planOf({ image, view, periodMs }: RowParts): BoardPlan | undefined {
  const { plan } = image;
  if (plan === undefined) return undefined;
  const { kind, why, host } = plan;
  const [stage, doing] = stageOf(image, plan, view);
  return {
    kind,
    why,
    stage,
    doing,
    forMs: Math.max(0, view.tick - plan.at) * periodMs,
    ...(host === undefined ? {} : { to: host }),
  };
}

/** The first stage that is not behind it: nothing, added, started and caught up, promoted, the old one removed. */
function stageOf(
  image: ClusterImage,
  plan: NonNullable<ClusterImage["plan"]>,
  { hosts }: View,
): [number, string] {
  const { kind, in: comes, out, isAbandoned } = plan;
  const left = out === undefined ? undefined : image.members[out]?.address;
  const leaves = left === undefined
    ? `removing node ${out}`
    : `removing the node on ${left}`;
  if (isAbandoned === true) return [0, `given up: removing node ${comes}`];
  if (kind === "shrink") return [4, leaves];
  if (comes === undefined) return [0, "waits for its turn"];
  const member = image.members[comes];
  const where = hosts.get(plan.host ?? "")?.addr ?? plan.host;
  if (member === undefined) return [1, `adding a node on ${where}`];
  if (member.role !== "observer") {
    return out === undefined ? [4, "finishing"] : [4, leaves];
  }
  if (member.since === undefined) return [2, `starting node on ${where}`];
  if (member.isReady !== true) return [2, `catching up on ${where}`];
  return [3, `giving node on ${where} its vote`];
}
