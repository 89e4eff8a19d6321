/** What the command line shows. */
import type { HistoryEvent } from "../history.ts";
import type { ClusterDetails, StoreStatus } from "../kv_store.ts";
import type { ClusterSummary, NodeHostSummary } from "../overview.ts";
import type { PlannedDecision } from "../round_plan.ts";
import { clusterIdOf, type Given, wholeNumber } from "./actions.ts";
import { type Fields, type MasterCalls, RefusedError } from "./calls.ts";
import { showRecovery } from "./recovery.ts";
import { ageText, facts, table } from "./table.ts";

/** Something to show. */
export interface Shown {
  /** For programs. */
  json: Fields;
  /** For people. */
  text: string;
  /** Something is wrong: the exit code is 1. */
  isBad?: boolean;
}

/** A view. */
export interface View {
  /** What follows its name in the usage. */
  readonly usage: string;
  /** One line. */
  readonly what: string;
  /** Whether an id is wanted. */
  readonly hasId: boolean;
  /** Flags of its own. */
  readonly flags: readonly string[];
  /** More of the help. */
  readonly help?: string;
  /** Asks, and shows. */
  readonly show: (calls: MasterCalls, given: Given) => Promise<Shown>;
}

/** The views by name. */
export const views: Readonly<Record<string, View>> = {
  status: {
    usage: "",
    what: "the masters' state, and which clusters are not well; 1 if any",
    hasId: false,
    flags: [],
    show: showStatus,
  },
  hosts: {
    usage: "[--region NAME]",
    what: "the NodeHosts, with last contact and what they carry",
    hasId: false,
    flags: ["region"],
    help: "\n  --region NAME                 only those of this region",
    show: showHosts,
  },
  host: {
    usage: "HOST",
    what: "one NodeHost, and its nodes",
    hasId: true,
    flags: [],
    show: showHost,
  },
  clusters: {
    usage: "",
    what: "the clusters, with members, leader and health",
    hasId: false,
    flags: [],
    show: showClusters,
  },
  cluster: {
    usage: "ID",
    what: "one cluster: what it should be, is, and what is done about it",
    hasId: true,
    flags: [],
    show: showCluster,
  },
  recovery: {
    usage: "ID",
    what:
      "how far the logs of a cluster's members go, and what a recovery loses",
    hasId: true,
    flags: [],
    show: showRecovery,
  },
  events: {
    usage: "[--limit N]",
    what: "what was decided and commanded, newest first",
    hasId: false,
    flags: ["limit"],
    help:
      "\n  --limit N                     so many, 100 by default, 1000 at most",
    show: showEvents,
  },
  plan: {
    usage: "",
    what: "what the next round would do, and why not",
    hasId: false,
    flags: [],
    show: showPlan,
  },
};

interface World {
  readonly status: StoreStatus;
  readonly hosts: readonly NodeHostSummary[];
  readonly clusters: readonly ClusterSummary[];
}

async function readWorld(calls: MasterCalls): Promise<World> {
  const [status, { nodeHosts }, { clusters }] = await Promise.all([
    calls.get("/v1/status"),
    calls.get("/v1/nodehosts"),
    calls.get("/v1/clusters"),
  ]);
  return {
    status: status as unknown as StoreStatus,
    hosts: nodeHosts as NodeHostSummary[],
    clusters: clusters as ClusterSummary[],
  };
}

// ---- NodeHosts ----

function hostMarks(host: NodeHostSummary, silent: readonly string[]): string {
  const { state, cordon, drain, revoked, replacedBy, nodeHostId } = host;
  const marks = [
    state === "gone" ? "gone" : state !== undefined ? "dead" : "",
    state === undefined && silent.includes(nodeHostId) ? "silent" : "",
    revoked === true ? "revoked" : "",
    drain === true ? "drain" : cordon === true ? "cordon" : "",
    replacedBy === undefined ? "" : `replaced by ${replacedBy}`,
  ].filter((mark) => mark !== "");
  return marks.length === 0 ? "ok" : marks.join(", ");
}

function hostTable(
  hosts: readonly NodeHostSummary[],
  { silent }: StoreStatus,
): string {
  if (hosts.length === 0) return "no NodeHost has reported yet";
  const rows = [...hosts]
    .sort((a, b) => a.region < b.region ? -1 : a.region > b.region ? 1 : 0)
    .map((host) => [
      host.region,
      host.nodeHostId,
      host.nodeHostAddress,
      ageText(host.ageMs),
      host.clusters.length,
      host.leaders.length,
      hostMarks(host, silent),
    ]);
  return table(
    ["region", "host", "address", "heard", "nodes", "leads", "state"],
    rows,
  );
}

async function showHosts(calls: MasterCalls, given: Given): Promise<Shown> {
  const { region } = given.texts;
  const [status, answer] = await Promise.all([
    calls.get("/v1/status"),
    calls.get("/v1/nodehosts"),
  ]);
  const nodeHosts = (answer.nodeHosts as NodeHostSummary[])
    .filter((host) => region === undefined || host.region === region);
  return {
    json: { nodeHosts },
    text: hostTable(nodeHosts, status as unknown as StoreStatus),
  };
}

async function showHost(calls: MasterCalls, { id }: Given): Promise<Shown> {
  const { status, hosts, clusters } = await readWorld(calls);
  const host = hosts.find(({ nodeHostId }) => nodeHostId === id);
  if (host === undefined) {
    throw new RefusedError(404, `There is no NodeHost ${id}`);
  }
  const nodes = clusters.flatMap(({ clusterId, life, nodes }) =>
    nodes.filter(({ nodeHostId }) => nodeHostId === id)
      .map((node) => ({ clusterId, life, ...node }))
  );
  const rows = nodes.map((node) => [
    node.clusterId,
    node.nodeId,
    node.life,
    node.isLeader ? "leads" : node.isLagging ? "lags" : "follows",
  ]);
  const text = [
    hostTable([host], status),
    rows.length === 0
      ? "it carries no node"
      : table(["cluster", "node", "life", "role"], rows),
  ].join("\n\n");
  return { json: { nodeHost: host, nodes }, text };
}

// ---- Clusters ----

/** What is wrong with a cluster; empty if nothing is. */
function troublesOf(cluster: ClusterSummary, world: World): string[] {
  const { life, members, nodes, leader } = cluster;
  if (life === "quarantine" || life === "recovering") return [life];
  // These are on their way: their nodes do not run yet, or no more.
  if (life === "defined" || life === "launching" || life === "deleting") {
    return [];
  }
  const lost = new Set(world.status.silent);
  for (const { nodeHostId, state } of world.hosts) {
    if (state !== undefined) lost.add(nodeHostId);
  }
  const running = nodes.filter(({ nodeHostId }) => !lost.has(nodeHostId));
  const down = Object.keys(members).filter((id) =>
    !running.some(({ nodeId }) => nodeId === Number(id))
  );
  const lagging = running.filter(({ isLagging }) => isLagging);
  const hasLeader = running.some(({ nodeId, isLeader }) =>
    isLeader && nodeId === leader?.nodeId
  );
  return [
    ...(hasLeader ? [] : ["no leader"]),
    ...down.map((id) => `node ${id} down`),
    ...lagging.map(({ nodeId }) => `node ${nodeId} lags`),
  ];
}

function clusterTable(
  clusters: readonly ClusterSummary[],
  world: World,
): string {
  const rows = clusters.map((cluster) => [
    cluster.clusterId,
    cluster.life,
    cluster.leader === null ? "" : `node ${cluster.leader.nodeId}`,
    Object.entries(cluster.members)
      .map(([id, address]) => `${id}=${address}`).join(" "),
    troublesOf(cluster, world).join(", ") || "ok",
  ]);
  return table(["cluster", "life", "leader", "members", "health"], rows);
}

async function showClusters(calls: MasterCalls): Promise<Shown> {
  const world = await readWorld(calls);
  const clusters = world.clusters
    .map((cluster) => ({ ...cluster, troubles: troublesOf(cluster, world) }));
  const text = clusters.length === 0
    ? "there is no cluster yet"
    : clusterTable(clusters, world);
  return { json: { clusters }, text };
}

async function showCluster(calls: MasterCalls, given: Given): Promise<Shown> {
  const id = clusterIdOf(given);
  const cluster = await calls.get(`/v1/clusters/${id}`);
  const { life, def, isPaused, cci, plan, step, members, zombies } =
    cluster as unknown as ClusterDetails;
  const regions = def?.regions
    .map(({ region, count, isRequired }) =>
      `${region}=${count}${isRequired === true ? " (required)" : ""}`
    ).join(", ");
  const rows = Object.entries(members).map(([nodeId, member]) => [
    nodeId,
    member.role,
    member.address,
    member.host,
    member.isLost === true
      ? "lost"
      : member.since === undefined
      ? "never ran"
      : member.missingSince !== undefined
      ? `missing since tick ${member.missingSince}`
      : "runs",
  ]);
  const text = [
    facts([
      ["cluster", id],
      ["life", isPaused === true ? `${life}, paused` : life],
      ["app", def?.app],
      ["size", def?.size],
      ["regions", regions || undefined],
      ["definition", def?.gen],
      ["membership", cci],
      ["plan", plan && `${plan.kind}, since tick ${plan.at}: ${plan.why}`],
      ["step", step && `${step.kind}, since tick ${step.at}`],
      [
        "zombies",
        Object.entries(zombies).map(([node, host]) => `${node} on ${host}`)
          .join(", ") || undefined,
      ],
    ]),
    rows.length === 0
      ? "it has no members yet"
      : table(["node", "role", "address", "host", "state"], rows),
  ].join("\n\n");
  return { json: cluster, text };
}

// ---- Everything ----

async function showStatus(calls: MasterCalls): Promise<Shown> {
  const world = await readWorld(calls);
  const { status, hosts, clusters } = world;
  const { brake } = status;
  const isBraked = brake !== null && brake.isReleased !== true;
  const bad = clusters
    .map((cluster) => ({
      clusterId: cluster.clusterId,
      troubles: troublesOf(cluster, world),
    }))
    .filter(({ troubles }) => troubles.length > 0);
  const worrying = hosts.filter((host) =>
    hostMarks(host, status.silent) !== "ok"
  );
  const isHealthy = !isBraked && bad.length === 0;
  const text = [
    facts([
      ["health", isHealthy ? "ok" : "not ok"],
      ["tick", status.tick],
      ["decisions", status.paused ? "paused" : status.busy ? "busy" : "idle"],
      [
        "brake",
        brake === null
          ? "off"
          : `${isBraked ? "on" : "released"}: ${brake.why}`,
      ],
      [
        "adoption",
        (status.adopt ?? []).map(({ app }) => app).join(", ") || undefined,
      ],
      ["NodeHosts", hosts.length],
      ["clusters", clusters.length],
    ]),
    ...(worrying.length === 0 ? [] : [hostTable(worrying, status)]),
    ...(bad.length === 0 ? [] : [
      table(
        ["cluster", "trouble"],
        bad.map(({ clusterId, troubles }) => [clusterId, troubles.join(", ")]),
      ),
    ]),
  ].join("\n\n");
  const json = {
    ...status,
    isHealthy,
    nodeHosts: hosts.length,
    clusters: clusters.length,
    troubles: bad,
  };
  return { json, text, isBad: !isHealthy };
}

async function showEvents(calls: MasterCalls, given: Given): Promise<Shown> {
  const limit = wholeNumber("limit", given.texts.limit ?? "100");
  const answer = await calls.get(`/v1/events?limit=${limit}`);
  const events = answer.events as HistoryEvent[];
  const rows = events.map((event) => [
    new Date(event.atMs).toISOString().slice(0, 19) + "Z",
    event.tick,
    event.cluster === undefined ? event.host : `cluster ${event.cluster}`,
    event.what,
    event.who ?? "master",
    event.why,
  ]);
  const text = rows.length === 0
    ? "nothing was decided yet"
    : table(["time", "tick", "about", "what", "who", "why"], rows);
  return { json: answer, text };
}

async function showPlan(calls: MasterCalls): Promise<Shown> {
  const answer = await calls.get("/v1/plan");
  const decisions = answer.decisions as PlannedDecision[];
  const rows = decisions.map((one) => [
    one.clusterId,
    one.do,
    one.what,
    one.step,
    one.why,
  ]);
  const text = rows.length === 0
    ? "nothing is to be done"
    : table(["cluster", "do", "what", "step", "why"], rows);
  return { json: answer, text };
}
