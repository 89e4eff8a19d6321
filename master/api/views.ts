/** What is asked of a master by those who look. */
import { problem } from "../http.ts";
import type { KvStore } from "../kv_store.ts";
import {
  clusterAnswer,
  clustersAnswer,
  deploymentAnswer,
  eventsAnswer,
  indexesAnswer,
  logAnswer,
  nodeHostsAnswer,
  planAnswer,
  recoveryAnswer,
  statusAnswer,
  textAnswer,
} from "./answers.ts";
import { hostIdText, id } from "./bodies.ts";
import { type Route, route } from "./route.ts";
import { described, integer, optional } from "./shape.ts";

const eventsMax = 1_000;

/** The routes of those who look. `enrols`: NodeHosts may begin to belong to the deployment. */
export function viewRoutes(store: KvStore, enrols: boolean): Route[] {
  const views = [
    deploymentView(store, enrols),
    ...nodeHostViews(store),
    ...clusterViews(store),
    ...generalViews(store),
    metricsView(store),
  ];
  return [...views.map((view) => ofDeployment(store, view)), exportView(store)];
}

/** A store that may have been lost is not one in which all is well (M11). */
function ofDeployment(store: KvStore, view: Route): Route {
  return {
    ...view,
    handle: async (input) => {
      await store.requireDeployment();
      return await view.handle(input);
    },
  };
}

function nodeHostViews(store: KvStore): Route[] {
  const tag = "nodehosts";
  return [
    route({
      method: "GET",
      path: "/v1/nodehosts",
      operationId: "listNodeHosts",
      summary: "All NodeHosts that ever reported.",
      tag,
      access: "reader",
      answer: nodeHostsAnswer,
      handle: async () => ({ nodeHosts: await store.nodeHosts() }),
    }),
    route({
      method: "GET",
      path: "/v1/nodehosts/{nodeHostId}/log",
      operationId: "getNodeHostLog",
      summary: "The nodes that a NodeHost's log holds data of.",
      tag,
      access: "reader",
      params: { nodeHostId: described(hostIdText, "The NodeHost.") },
      problems: { 404: "No NodeHost of this id has reported." },
      answer: logAnswer,
      handle: async ({ params }) => {
        const logInfo = await store.logInfo(params.nodeHostId);
        return logInfo === undefined
          ? problem(404, "not-found", "No NodeHost of this id has reported")
          : { logInfo };
      },
    }),
  ];
}

function clusterViews(store: KvStore): Route[] {
  const tag = "clusters";
  return [
    route({
      method: "GET",
      path: "/v1/clusters",
      operationId: "listClusters",
      summary: "All clusters that are known.",
      tag,
      access: "reader",
      answer: clustersAnswer,
      handle: async () => ({ clusters: await store.clusters() }),
    }),
    route({
      method: "GET",
      path: "/v1/clusters/{clusterId}",
      operationId: "getCluster",
      summary: "A cluster's record.",
      tag,
      access: "reader",
      params: { clusterId: described(id, "The cluster.") },
      problems: { 404: "There is no such cluster." },
      answer: clusterAnswer,
      handle: async ({ params }) =>
        await store.cluster(params.clusterId) ??
          problem(404, "not-found", "There is no such cluster"),
    }),
    route({
      method: "GET",
      path: "/v1/clusters/{clusterId}/recovery",
      operationId: "getRecovery",
      summary: "How far the members' logs go, and what a recovery would lose.",
      tag,
      access: "reader",
      params: { clusterId: described(id, "The cluster.") },
      problems: { 404: "There is no such cluster." },
      answer: recoveryAnswer,
      handle: async ({ params }) =>
        await store.recovery(params.clusterId) ??
          problem(404, "not-found", "There is no such cluster"),
    }),
    route({
      method: "GET",
      path: "/v1/cci",
      operationId: "listConfigChangeIndexes",
      summary: "Index of the last known membership change, by cluster.",
      tag,
      access: "nodehost",
      answer: indexesAnswer,
      handle: async () => ({
        cci: Object.fromEntries(await store.configChangeIndexes()),
      }),
    }),
  ];
}

/** Where no reports are taken no NodeHost is to begin either: it keeps what it is told for ever (M20). */
function deploymentView(store: KvStore, enrols: boolean): Route {
  const view = route({
    method: "GET",
    path: "/v1/deployment",
    operationId: "getDeployment",
    summary: "The deployment's id, which never changes.",
    tag: "everything",
    access: "nodehost",
    answer: deploymentAnswer,
    handle: async () => ({
      deploymentId: (await store.deploymentId()).toString(),
    }),
  });
  if (enrols) return view;
  const what = "This is not production: it takes no NodeHosts";
  const handle = () => Promise.resolve(problem(503, "not-production", what));
  return { ...view, handle };
}

function generalViews(store: KvStore): Route[] {
  const tag = "everything";
  return [
    route({
      method: "GET",
      path: "/v1/plan",
      operationId: "getPlan",
      summary: "What the next round would do, and why not.",
      tag,
      access: "reader",
      answer: planAnswer,
      handle: async () => ({ decisions: await store.plan() }),
    }),
    route({
      method: "GET",
      path: "/v1/events",
      operationId: "listEvents",
      summary: "The history, newest first.",
      tag,
      access: "reader",
      query: {
        limit: optional(
          described(integer(1, eventsMax), "So many; 100 if it is not said."),
        ),
      },
      answer: eventsAnswer,
      handle: async ({ query }) => ({
        events: await store.events(query.limit ?? 100),
      }),
    }),
    route({
      method: "GET",
      path: "/v1/status",
      operationId: "getStatus",
      summary: "What concerns everything.",
      tag,
      access: "reader",
      answer: statusAnswer,
      handle: async () => await store.status(),
    }),
  ];
}

function exportView(store: KvStore): Route {
  return route({
    method: "GET",
    path: "/v1/export",
    operationId: "exportStore",
    summary: "Everything, as lines of JSON, to be imported elsewhere.",
    description: "It includes what NodeHosts identify themselves by.",
    tag: "everything",
    access: "operator",
    answer: textAnswer,
    contentType: "application/x-ndjson",
    handle: () =>
      Promise.resolve(textResponse(linesOf(store), "application/x-ndjson")),
  });
}

function metricsView(store: KvStore): Route {
  return route({
    method: "GET",
    path: "/v1/metrics",
    operationId: "getMetrics",
    summary: "Counts, as Prometheus reads them.",
    tag: "everything",
    access: "reader",
    answer: textAnswer,
    contentType: "text/plain",
    handle: async () =>
      textResponse(
        metricsText(await store.counts()),
        "text/plain; version=0.0.4; charset=utf-8",
      ),
  });
}

function textResponse(
  body: BodyInit,
  contentType: string,
): Response {
  return new Response(body, {
    headers: { "content-type": contentType, "cache-control": "no-store" },
  });
}

/** As Prometheus reads it. */
function metricsText(counts: Readonly<Record<string, number>>): string {
  const lines: string[] = [];
  let last = "";
  for (const [name, value] of Object.entries(counts)) {
    const family = `drakkar_master_${name.replace(/\{.*/, "")}`;
    if (family !== last) lines.push(`# TYPE ${family} gauge`);
    lines.push(`drakkar_master_${name} ${value}`);
    last = family;
  }
  return lines.join("\n") + "\n";
}

/** A line is made when somebody reads it. */
function linesOf(store: KvStore): ReadableStream<Uint8Array<ArrayBuffer>> {
  const lines = store.exportLines();
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await lines.next();
      if (done === true) controller.close();
      else controller.enqueue(encoder.encode(`${value}\n`));
    },
    async cancel() {
      await lines.return(undefined);
    },
  });
}
