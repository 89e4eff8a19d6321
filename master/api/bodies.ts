/** What is sent to a master. */
import { clusterConfigFields } from "../cluster_config.ts";
import type { ClusterWish } from "../operator.ts";
import type { NodeHostInfo } from "../protocol.ts";
import {
  ContradictoryReportError,
  maxReportBytes,
  namePattern,
  readReport,
  reportLimits,
  textPattern,
} from "../wire/mod.ts";
import type { BodyParts } from "./route.ts";
import {
  boolean,
  ContradictionError,
  described,
  InputError,
  integer,
  type JsonSchema,
  list,
  object,
  optional,
  type Shape,
  text,
} from "./shape.ts";

/** Bytes of a command at most. */
export const maxCommandBytes = 64 * 1024;

const sizeMax = 9;
const regionsMax = 16;
const condemnedMax = 16;
const rulesMax = 16;

/** A name of an app or a region. */
export const nameText: Shape<string> = text({
  minLength: 1,
  maxLength: 255,
  pattern: textPattern,
  words: "a text of 1 to 255 characters",
});

/** A NodeHost's id. */
export const hostIdText: Shape<string> = text({
  minLength: 1,
  maxLength: 128,
  pattern: namePattern,
  words: "a NodeHost's id: 1 to 128 printable ASCII characters without spaces",
});

/** An id of a cluster or a node. */
export const id: Shape<number> = integer(1);

/** Where nodes should be. */
const regionWish = object({
  region: nameText,
  count: integer(1, sizeMax),
  isRequired: optional(
    described(boolean, "Rather nowhere than elsewhere."),
  ),
});

const regions = optional(
  described(
    list(regionWish, { maxItems: regionsMax }),
    "How many voters where, each region once; the rest of `size` is anywhere.",
  ),
);

const config = optional(
  described(
    object(Object.fromEntries(
      [...clusterConfigFields].sort().map((
        name,
      ) => [name, optional(integer(0))]),
    )) as Shape<Record<string, number>>,
    "Further fields of ClusterConfig.",
  ),
);

/** How the name is said again. */
const confirm = described(
  text({ minLength: 1, maxLength: 128, words: "a text" }),
  "The id once more: it cannot be undone.",
);

/** What was shown before. */
const expectedGen = optional(
  described(
    integer(0),
    "Refused with 409 if the definition has another number by now.",
  ),
);

/** The same of a NodeHost, or of everything. */
const expectedStateGen = optional(
  described(
    integer(0),
    "Refused with 409 if `gen` is another one by now: something happened since it was shown.",
  ),
);

/** Makes a cluster. */
export const createBody = object({
  clusterId: id,
  app: nameText,
  size: optional(integer(1, sizeMax)),
  regions,
  config,
});

/** Changes a cluster's definition. */
export const changeBody = object({
  size: optional(integer(1, sizeMax)),
  regions,
  config,
  expectedGen,
}, {
  anyOf: ["size", "regions", "config"].map((name) => ({ required: [name] })),
});

/** Says which clusters are adopted without an operator. */
export const adoptionBody = object({
  rules: described(
    list(object({ app: nameText, regions, config }), { maxItems: rulesMax }),
    "All of them; each app once. With none, operators adopt.",
  ),
  expectedGen: expectedStateGen,
});

/** Adopts a cluster. */
export const adoptBody = object({
  app: optional(
    described(nameText, "What NodeHosts report, if it is not said."),
  ),
  regions,
  config,
  expectedGen,
});

/** Deletes a cluster. */
export const deleteBody = object({
  confirm,
  waitTicks: optional(
    described(
      integer(0, 1_000_000),
      "Ticks in which it can still be kept; 30 if it is not said.",
    ),
  ),
  expectedGen,
});

/** Gives up nodes of a cluster. */
export const recoverBody = object({
  condemned: list(id, { minItems: 1, maxItems: condemnedMax }),
  confirm,
  expectedGen,
  expectedConfigChangeIndex: optional(
    described(
      integer(0),
      "Refused with 409 if its members are those of another index by now.",
    ),
  ),
});

/** What cannot be undone. */
export const finalBody = object({ confirm, expectedGen: expectedStateGen });

/** Concerns a NodeHost, or everything, as it was shown. */
export const stateBody = object({ expectedGen: expectedStateGen });

/** Concerns a cluster as it was shown. */
export const clusterBody = object({ expectedGen });

/** Nothing more needs to be said. */
export const emptyBody = object({});

/** A command's body. */
export function command<B>(shape: Shape<B>): BodyParts<B> {
  return { shape, maxBytes: maxCommandBytes };
}

// ---- What no schema says ----

type Regions = NonNullable<ClusterWish["regions"]>;

/** Each region once, and not more voters than there are. */
export function checkRegions(
  wished: Regions | undefined,
  size: number = sizeMax,
): void {
  if (wished === undefined) return;
  if (new Set(wished.map(({ region }) => region)).size < wished.length) {
    contradict("regions names a region twice");
  }
  const total = wished.reduce((sum, { count }) => sum + count, 0);
  if (total > size) contradict(`regions wants ${total} voters of ${size}`);
}

/** Each app once. */
export function checkRules(
  rules: readonly { app: string; regions?: Regions }[],
): void {
  for (const { regions } of rules) checkRegions(regions);
  if (new Set(rules.map(({ app }) => app)).size < rules.length) {
    contradict("rules names an app twice");
  }
}

/** A destructive command says once more what it is about (M19). */
export function checkConfirmed(
  { confirm }: { confirm: string },
  name: string,
): void {
  if (confirm === name) return;
  contradict(`confirm must repeat "${name}": this cannot be undone`);
}

/** A change that changes nothing is a mistake. */
export function checkChange(wish: Record<string, unknown>): void {
  if (Object.keys(wish).length > 0) return;
  throw new InputError("Cannot read the body: it changes nothing");
}

function contradict(what: string): never {
  throw new ContradictionError(`Cannot read the body: ${what}`);
}

// ---- Reports ----

const integerSchema = (minimum: number): JsonSchema => ({
  type: "integer",
  minimum,
  maximum: Number.MAX_SAFE_INTEGER,
});
const textSchema = { type: "string", maxLength: 255, pattern: textPattern };
const name = (maxLength: number): JsonSchema => ({
  type: "string",
  minLength: 1,
  maxLength,
  pattern: namePattern,
});
const listOf = (items: JsonSchema, maxItems: number): JsonSchema => ({
  type: "array",
  items,
  maxItems,
});
// Fifteen digits: a few ids of sixteen are right as well, and never occur.
const membersSchema: JsonSchema = {
  type: "object",
  patternProperties: { "^[1-9][0-9]{0,14}$": name(255) },
  additionalProperties: false,
  maxProperties: reportLimits.members,
};
const flag: JsonSchema = { type: "boolean" };

/** One cluster of a report. */
export const clusterInfoSchema: JsonSchema = {
  type: "object",
  properties: {
    clusterId: integerSchema(1),
    nodeId: integerSchema(1),
    isLeader: flag,
    nodes: membersSchema,
    configChangeIndex: integerSchema(0),
    pending: flag,
    incomplete: flag,
    observers: membersSchema,
    witnesses: membersSchema,
    nodeHostIds: membersSchema,
    isLagging: flag,
    areObserversReady: flag,
    position: {
      type: "object",
      properties: {
        lastTerm: integerSchema(0),
        lastIndex: integerSchema(0),
        appliedIndex: integerSchema(0),
      },
      required: ["lastTerm", "lastIndex", "appliedIndex"],
    },
    app: textSchema,
  },
  required: [
    "clusterId",
    "nodeId",
    "isLeader",
    "nodes",
    "configChangeIndex",
    "pending",
    "incomplete",
  ],
};

const nodeInfoSchema: JsonSchema = {
  type: "object",
  properties: { clusterId: integerSchema(1), nodeId: integerSchema(1) },
  required: ["clusterId", "nodeId"],
};

const acknowledgementSchema: JsonSchema = {
  type: "object",
  properties: {
    clusterId: integerSchema(1),
    n: integerSchema(0),
    isDone: flag,
    code: textSchema,
    detail: { type: "string" },
  },
  required: ["clusterId", "n", "isDone"],
};

/** A report. Fields that are not known are passed over: a newer NodeHost may say more. */
export const reportSchema: JsonSchema = {
  type: "object",
  properties: {
    nodeHostId: name(128),
    nodeHostAddress: name(255),
    nodeHostApiAddress: textSchema,
    region: textSchema,
    clusterInfoList: listOf(clusterInfoSchema, reportLimits.clusters),
    clusterIdList: listOf(integerSchema(1), reportLimits.clusters),
    logInfoIncluded: flag,
    logInfo: listOf(nodeInfoSchema, reportLimits.logNodes),
    leftovers: listOf(nodeInfoSchema, reportLimits.logNodes),
    boot: integerSchema(0),
    seq: integerSchema(0),
    deploymentId: { type: "string", pattern: "^[1-9][0-9]{0,19}$" },
    apps: listOf(textSchema, reportLimits.apps),
    failureDomain: textSchema,
    capacity: integerSchema(1),
    isDiskLow: flag,
    hears: listOf(name(128), reportLimits.heard),
    seeks: listOf(name(128), reportLimits.sought),
    epoch: name(64),
    acknowledgements: listOf(acknowledgementSchema, reportLimits.clusters),
  },
  required: [
    "nodeHostId",
    "nodeHostAddress",
    "nodeHostApiAddress",
    "region",
    "clusterInfoList",
    "clusterIdList",
    "logInfoIncluded",
    "logInfo",
  ],
};

/** A report's body. */
export const reportBody: BodyParts<NodeHostInfo> = {
  shape: {
    schema: reportSchema,
    read: (value) => {
      try {
        return readReport(value);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw error instanceof ContradictoryReportError
          ? new ContradictionError(error.message)
          : new InputError(error.message);
      }
    },
  },
  maxBytes: maxReportBytes,
  code: "bad-report",
};
