/** What a master answers. The types are those of the code that answers, so that the document cannot lag behind. */
import type { HistoryEvent } from "../history.ts";
import type { ClusterDetails, StoreStatus } from "../kv_store.ts";
import type { CommandResult } from "../operator.ts";
import type {
  ClusterSummary,
  NodeHostSummary,
  NodeSummary,
} from "../overview.ts";
import type { MasterRequest, NodeInfo, ReportReply } from "../protocol.ts";
import type { Recovery, RecoveryMember } from "../recovery.ts";
import type { PlannedDecision } from "../round_plan.ts";
import type {
  AdoptionRule,
  BrakeRecord,
  ClusterDefinition,
  ClusterRecord,
  MemberRecord,
  PlanRecord,
  SlotName,
  StepRecord,
} from "../schema.ts";
import { clusterLives } from "../schema.ts";
import {
  boolean,
  described,
  integer,
  type JsonSchema,
  list,
  mapOf,
  nullable,
  type ObjectOf,
  oneOf,
  optional,
  type Shape,
  written,
} from "./shape.ts";

type Fields = Readonly<Record<string, Shape<unknown>>>;

/** An object that may gain fields. */
export function answerOf<const F extends Fields>(
  fields: F,
): Shape<ObjectOf<F>> {
  const names = Object.keys(fields);
  return written({
    type: "object",
    properties: Object.fromEntries(
      names.map((name) => [name, fields[name]!.schema]),
    ),
    required: names.filter((name) => !("isOptional" in fields[name]!)),
  });
}

const anyText: Shape<string> = written({ type: "string" });
const id = integer(0);
const count = integer(0);
const milliseconds: Shape<number> = written({ type: "number", minimum: 0 });
const tick: Shape<number> = written({ type: "integer" });
const yes: Shape<true> = written({ const: true });
const nodeKey = "^[0-9]+$";

/** A map from node ids. */
function byNode<T>(item: Shape<T>): Shape<Record<number, T>> {
  return mapOf(nodeKey, item);
}

function reference<T>(name: string): Shape<T> {
  return written({ $ref: `#/components/schemas/${name}` });
}

const life = oneOf(...clusterLives);
const stepKind = oneOf(
  "launch",
  "join",
  "restore",
  "addObserver",
  "promote",
  "remove",
  "kill",
  "transfer",
);

const nodeHost: Shape<NodeHostSummary> = answerOf({
  nodeHostId: anyText,
  nodeHostAddress: anyText,
  nodeHostApiAddress: anyText,
  region: anyText,
  ageMs: described(milliseconds, "Since its last report."),
  lastHeardMs: described(
    written<number>({ type: "number" }),
    "Milliseconds since 1970.",
  ),
  boot: count,
  gen: described(count, "`expectedGen` of a command that rests on this."),
  clusters: list(id),
  leaders: list(id),
  replacedBy: optional(anyText),
  state: optional(oneOf("failing", "failed", "gone")),
  cordon: optional(yes),
  drain: optional(yes),
  drained: optional(yes),
  revoked: optional(yes),
  rivalBoot: optional(count),
});

const node: Shape<NodeSummary> = answerOf({
  nodeHostId: anyText,
  nodeId: id,
  isLeader: boolean,
  pending: boolean,
  isLagging: boolean,
  configChangeIndex: count,
  ageMs: milliseconds,
});

const clusterSummary: Shape<ClusterSummary> = answerOf({
  clusterId: id,
  life,
  configChangeIndex: count,
  members: byNode(anyText),
  leader: nullable(answerOf({ nodeId: id, nodeHostId: anyText })),
  nodes: list(node),
});

const definition: Shape<ClusterDefinition> = answerOf({
  gen: count,
  app: anyText,
  size: count,
  regions: list(
    answerOf({ region: anyText, count, isRequired: optional(boolean) }),
  ),
  config: mapOf(".*", count),
});

const adoptionRule: Shape<AdoptionRule> = answerOf({
  app: anyText,
  regions: optional(
    list(answerOf({ region: anyText, count, isRequired: optional(boolean) })),
  ),
  config: optional(mapOf(".*", count)),
});

const member: Shape<MemberRecord> = answerOf({
  role: oneOf("voter", "observer", "witness"),
  address: anyText,
  host: optional(anyText),
  since: optional(tick),
  missingSince: optional(tick),
  isReady: optional(boolean),
  isLost: optional(boolean),
  starts: optional(answerOf({ count, at: tick, since: optional(tick) })),
});

const slot: Shape<SlotName> = written({
  type: "array",
  items: { anyOf: [{ type: "string" }, { type: "integer" }] },
  minItems: 3,
  maxItems: 3,
});

const plan: Shape<PlanRecord> = answerOf({
  kind: oneOf("repair", "drain", "move", "grow", "shrink"),
  out: optional(id),
  in: optional(id),
  host: optional(anyText),
  address: optional(anyText),
  at: tick,
  slots: list(slot),
  failures: count,
  why: anyText,
  isAbandoned: optional(boolean),
  unmet: optional(id),
  isHandedOver: optional(boolean),
});

const step: Shape<StepRecord> = answerOf({
  n: count,
  kind: stepKind,
  node: id,
  at: tick,
  expectCci: count,
  hosts: mapOf(".*", id),
});

const claim: Shape<NonNullable<ClusterRecord["claim"]>> = answerOf({
  cci: count,
  nodes: list(id),
  by: anyText,
  members: optional(byNode(member)),
});

const cluster: Shape<ClusterDetails> = answerOf({
  clusterId: id,
  life,
  def: optional(definition),
  app: optional(
    described(anyText, "As a majority reports it, while it is unmanaged."),
  ),
  apps: optional(byNode(anyText)),
  isPaused: optional(boolean),
  isImported: optional(boolean),
  deleteAt: optional(
    described(tick, "Tick at which it is deleted, unless it is kept."),
  ),
  cci: count,
  members: byNode(member),
  confirmedBy: list(anyText),
  gone: list(id),
  zombies: byNode(anyText),
  condemned: optional(list(id)),
  claim: optional(claim),
  avoid: optional(described(
    mapOf(".*", tick),
    "NodeHosts where a node of it did not start or not catch up, with the tick until which others come first.",
  )),
  plan: optional(plan),
  step: optional(step),
  steps: count,
});

const brake: Shape<BrakeRecord> = answerOf({
  at: tick,
  why: anyText,
  hosts: list(anyText),
  isReleased: optional(boolean),
});

const planned: Shape<PlannedDecision> = answerOf({
  clusterId: id,
  do: oneOf("change", "settle", "nothing"),
  what: anyText,
  step: optional(anyText),
  why: anyText,
});

const event: Shape<HistoryEvent> = answerOf({
  tick,
  atMs: milliseconds,
  cluster: optional(id),
  host: optional(anyText),
  what: anyText,
  why: anyText,
  who: optional(anyText),
});

const request: Shape<MasterRequest> = answerOf({
  epoch: anyText,
  clusterId: id,
  n: count,
  kind: stepKind,
  nodeId: id,
  expectedConfigChangeIndex: count,
  members: optional(byNode(anyText)),
  address: optional(anyText),
  nodeHostId: optional(anyText),
  app: optional(anyText),
  config: optional(mapOf(".*", count)),
  target: optional(id),
});

/** The shapes that have names in the document. */
export const definitions: Readonly<Record<string, Shape<unknown>>> = {
  NodeHost: nodeHost,
  Node: node,
  ClusterSummary: clusterSummary,
  Cluster: cluster,
  Decision: planned,
  Event: event,
  Request: request,
};

/** `GET /v1/deployment` */
export const deploymentAnswer = answerOf({
  deploymentId: described(anyText, "A decimal number below 2^64."),
});

/** `GET /v1/nodehosts` */
export const nodeHostsAnswer: Shape<{ nodeHosts: NodeHostSummary[] }> =
  answerOf({
    nodeHosts: list(reference<NodeHostSummary>("NodeHost")),
  });

const nodeInfo: Shape<NodeInfo> = answerOf({ clusterId: id, nodeId: id });

/** `GET /v1/nodehosts/{nodeHostId}/log` */
export const logAnswer: Shape<{ logInfo: NodeInfo[] }> = answerOf({
  logInfo: list(nodeInfo),
});

/** `GET /v1/clusters` */
export const clustersAnswer: Shape<{ clusters: ClusterSummary[] }> = answerOf({
  clusters: list(reference<ClusterSummary>("ClusterSummary")),
});

/** `GET /v1/clusters/{clusterId}` */
export const clusterAnswer: Shape<ClusterDetails> = reference("Cluster");

/** `GET /v1/cci` */
export const indexesAnswer = answerOf({ cci: mapOf(nodeKey, count) });

/** `POST /v1/report` */
export const reportAnswer: Shape<ReportReply> = answerOf({
  accepted: boolean,
  want: list(id),
  epoch: optional(anyText),
  tick: optional(tick),
  requests: optional(list(reference<MasterRequest>("Request"))),
  silent: optional(list(anyText)),
  addresses: optional(
    list(
      answerOf({ nodeHostId: anyText, nodeHostAddress: anyText, boot: count }),
    ),
  ),
  forget: optional(list(nodeInfo)),
  nextReportMs: optional(milliseconds),
  ticket: optional(anyText),
});

/** `GET /v1/plan` */
export const planAnswer: Shape<{ decisions: PlannedDecision[] }> = answerOf({
  decisions: list(reference<PlannedDecision>("Decision")),
});

/** `GET /v1/events` */
export const eventsAnswer: Shape<{ events: HistoryEvent[] }> = answerOf({
  events: list(reference<HistoryEvent>("Event")),
});

/** `GET /v1/status` */
export const statusAnswer: Shape<StoreStatus> = answerOf({
  tick,
  busy: boolean,
  paused: boolean,
  gen: described(count, "`expectedGen` of a command that rests on this."),
  silent: list(anyText),
  brake: nullable(brake),
  adopt: list(adoptionRule),
});

/** `POST /v1/init` */
export const initAnswer = answerOf({
  deploymentId: described(
    nullable(anyText),
    "`null` in a dry run of an empty store: its id will be random.",
  ),
  isDryRun: optional(boolean),
});

/** What an import brought, or would bring. */
export const importAnswer = answerOf({
  deploymentId: described(anyText, "That of the export."),
  clusters: count,
  nodeHosts: count,
  epoch: optional(described(anyText, "The store's new one.")),
  isDryRun: optional(boolean),
});

/** Anything: the document is described by OpenAPI itself. */
export const documentAnswer: Shape<Record<string, unknown>> = written({
  type: "object",
});

/** A stream of events, which OpenAPI 3.1 has no words for: readers differ in whether they mean one or all of them. */
export const eventStream: Shape<never> = written({
  description: "Server-sent events.",
});

/** Text. */
export const textAnswer: Shape<never> = written({ type: "string" });

/** What commands about a cluster answer. */
export const clusterResult: Shape<CommandResult> = resultOf({
  clusterId: id,
  life,
  gen: count,
  deleteAt: optional(tick),
});

const recoveryMember: Shape<RecoveryMember> = answerOf({
  nodeId: id,
  role: oneOf("voter", "observer", "witness"),
  address: anyText,
  nodeHostId: anyText,
  standing: oneOf("runs", "stopped", "silent", "dead"),
  isGivenUp: described(boolean, "It may be condemned."),
  lastTerm: optional(count),
  lastIndex: optional(count),
  appliedIndex: optional(count),
});

/** `GET /v1/clusters/{clusterId}/recovery` */
export const recoveryAnswer: Shape<Recovery> = answerOf({
  clusterId: id,
  life,
  gen: described(count, "`expectedGen` of a command that rests on this."),
  configChangeIndex: described(
    count,
    "`expectedConfigChangeIndex` of a command that rests on this.",
  ),
  voters: count,
  running: count,
  hasMajority: boolean,
  members: list(recoveryMember),
  survivor: described(nullable(id), "The node whose log goes furthest."),
  lost: anyText,
});

/** What `recover` answers. */
export const recoverResult: Shape<CommandResult> = resultOf({
  clusterId: id,
  life,
  gen: count,
  members: list(recoveryMember),
  survivor: nullable(id),
  lost: anyText,
  steps: list(anyText),
  expectedConfigChangeIndex: optional(count),
});

/** What commands about a NodeHost answer. */
export const hostResult: Shape<CommandResult> = resultOf({
  hostId: anyText,
  state: oneOf("ok", "failing", "failed", "gone"),
  cordon: boolean,
  drain: boolean,
  revoked: boolean,
  gen: count,
});

/** What commands about everything answer. */
export const globalResult: Shape<CommandResult> = resultOf({
  paused: boolean,
  brake: nullable(brake),
  adopt: list(adoptionRule),
  gen: count,
});

function resultOf(fields: Fields): Shape<CommandResult> {
  const all = {
    ...fields,
    isDryRun: optional(boolean),
    expectedGen: optional(
      described(count, "Of a dry run: binds the command to what it showed."),
    ),
  };
  return written(answerOf(all).schema as JsonSchema);
}
