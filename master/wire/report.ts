/**
 * A report on its way to a master: {@link NodeHostInfo} with its own field names, in JSON or CBOR. Only
 * `deploymentId` differs: it is a decimal text, since neither format carries 64 bits to every reader.
 *
 * Reports come from strangers, so reading builds a new value from fields that were each checked. Fields that are not
 * known are passed over: a newer NodeHost may say more.
 */
import type {
  Acknowledgement,
  ClusterInfo,
  LogPosition,
  NodeHostInfo,
  NodeInfo,
} from "../protocol.ts";

/** Bytes of one report at most, as it travels. */
export const maxReportBytes = 4 * 1024 * 1024;

// What a store takes in one atomic commit: 800 KiB, of 25 and 16 bytes per node (rows.ts).
const maxClusters = 25_000;
const maxLogNodes = 40_000;
const maxMembers = 127;
const maxApps = 100;
/** NodeHosts send 16, since masters of older releases take no more. */
const maxHeard = 64;
const maxSought = 8;

/** How large the lists of a report may be. */
export const reportLimits = {
  clusters: maxClusters,
  logNodes: maxLogNodes,
  members: maxMembers,
  apps: maxApps,
  heard: maxHeard,
  sought: maxSought,
} as const;

/**
 * Text for people (flag `u`): nothing that controls a terminal, hides, or turns the direction of what stands beside it.
 * Halves of characters are refused as well, for which other languages' regular expressions have no word.
 */
export const textPattern =
  "^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]*$";

/** Text that becomes part of a key: printable ASCII, no spaces. */
export const namePattern = "^[\\x21-\\x7e]+$";

const isText = new RegExp(textPattern, "u");
/** So much of an error's text is read. */
const detailMax = 500;
const isName = new RegExp(namePattern, "u");

/** Each field is as it should be, and together they make no sense. */
export class ContradictoryReportError extends RangeError {
  /** Tells it from other errors. */
  override readonly name = "ContradictoryReportError";
}

type Fields = Record<string, unknown>;

function refuse(name: string, what: string): never {
  throw new RangeError(`Cannot read the report: ${name} ${what}`);
}

function contradict(name: string, what: string): never {
  throw new ContradictoryReportError(
    `Cannot read the report: ${name} ${what}`,
  );
}

function readFields(name: string, value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse(name, "is not an object");
  }
  return value as Fields;
}

function readList(name: string, value: unknown, max: number): unknown[] {
  if (!Array.isArray(value)) refuse(name, "is not an array");
  if (value.length > max) {
    refuse(name, `has ${value.length} items, ${max} at most`);
  }
  return value;
}

function readInteger(name: string, value: unknown, min: number): number {
  if (
    typeof value !== "number" || !Number.isSafeInteger(value) || value < min
  ) {
    refuse(name, `is not an integer from ${min} to 2^53 - 1`);
  }
  return value;
}

function readBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") refuse(name, "is not true or false");
  return value;
}

function readText(name: string, value: unknown): string {
  if (
    typeof value !== "string" || value.length > 510 || !isText.test(value) ||
    !value.isWellFormed() || [...value].length > 255
  ) {
    refuse(name, "is not a text of at most 255 characters");
  }
  return value;
}

function readName(name: string, value: unknown, maxLength: number): string {
  if (typeof value !== "string" || !isName.test(value)) {
    refuse(name, "is not a text of printable ASCII without spaces");
  }
  if (value.length > maxLength) {
    refuse(name, `has ${value.length} characters, ${maxLength} at most`);
  }
  return value;
}

function readMembers(name: string, value: unknown): Record<number, string> {
  const fields = readFields(name, value);
  const ids = Object.keys(fields);
  if (ids.length > maxMembers) {
    refuse(name, `has ${ids.length} members, ${maxMembers} at most`);
  }
  const members: Record<number, string> = {};
  for (const id of ids) {
    if (!/^[1-9][0-9]{0,15}$/.test(id)) {
      refuse(name, "has a key that is not a node id");
    }
    const nodeId = readInteger(`a node id of ${name}`, Number(id), 1);
    members[nodeId] = readName(`${name}[${id}]`, fields[id], 255);
  }
  return members;
}

function readCluster(name: string, value: unknown): ClusterInfo {
  const fields = readFields(name, value);
  const cluster: ClusterInfo = {
    clusterId: readInteger(`${name}.clusterId`, fields.clusterId, 1),
    nodeId: readInteger(`${name}.nodeId`, fields.nodeId, 1),
    isLeader: readBoolean(`${name}.isLeader`, fields.isLeader),
    nodes: readMembers(`${name}.nodes`, fields.nodes),
    configChangeIndex: readInteger(
      `${name}.configChangeIndex`,
      fields.configChangeIndex,
      0,
    ),
    pending: readBoolean(`${name}.pending`, fields.pending),
    incomplete: readBoolean(`${name}.incomplete`, fields.incomplete),
  };
  for (const flag of ["isLagging", "areObserversReady"] as const) {
    if (fields[flag] === undefined) continue;
    cluster[flag] = readBoolean(`${name}.${flag}`, fields[flag]);
  }
  if (fields.position !== undefined) {
    cluster.position = readPosition(`${name}.position`, fields.position);
  }
  if (fields.app !== undefined) {
    cluster.app = readText(`${name}.app`, fields.app);
  }
  if (cluster.pending || cluster.incomplete) {
    cluster.nodes = {}; // Whatever was sent has no meaning.
    return cluster;
  }
  for (const role of ["observers", "witnesses", "nodeHostIds"] as const) {
    const members = fields[role];
    if (members === undefined) continue;
    cluster[role] = readMembers(`${name}.${role}`, members);
  }
  if (Object.keys(cluster.nodes).length === 0) {
    contradict(`${name}.nodes`, "is empty, but neither pending nor incomplete");
  }
  return cluster;
}

function readPosition(name: string, value: unknown): LogPosition {
  const fields = readFields(name, value);
  const integer = (field: keyof LogPosition) =>
    readInteger(`${name}.${field}`, fields[field], 0);
  return {
    lastTerm: integer("lastTerm"),
    lastIndex: integer("lastIndex"),
    appliedIndex: integer("appliedIndex"),
  };
}

function readClusters(value: unknown): ClusterInfo[] {
  const clusters = readList("clusterInfoList", value, maxClusters)
    .map((item, i) => readCluster(`clusterInfoList[${i}]`, item));
  const seen = new Set<number>();
  for (const { clusterId } of clusters) {
    if (seen.has(clusterId)) {
      contradict("clusterInfoList", `names cluster ${clusterId} twice`);
    }
    seen.add(clusterId);
  }
  return clusters;
}

function readNodes(list: string, value: unknown): NodeInfo[] {
  return readList(list, value, maxLogNodes).map((item, i) => {
    const name = `${list}[${i}]`;
    const fields = readFields(name, item);
    return {
      clusterId: readInteger(`${name}.clusterId`, fields.clusterId, 1),
      nodeId: readInteger(`${name}.nodeId`, fields.nodeId, 1),
    };
  });
}

function readDeploymentId(value: unknown): bigint {
  if (typeof value !== "string" || !/^[1-9][0-9]{0,19}$/.test(value)) {
    refuse("deploymentId", "is not a decimal text");
  }
  const id = BigInt(value);
  if (id >= 1n << 64n) contradict("deploymentId", "is not below 2^64");
  return id;
}

/**
 * Reads a report.
 *
 * @throws {RangeError} if it is not one; the message names the field.
 */
export function readReport(value: unknown): NodeHostInfo {
  const fields = readFields("it", value);
  const info: NodeHostInfo = {
    nodeHostId: readName("nodeHostId", fields.nodeHostId, 128),
    nodeHostAddress: readName("nodeHostAddress", fields.nodeHostAddress, 255),
    nodeHostApiAddress: readText(
      "nodeHostApiAddress",
      fields.nodeHostApiAddress,
    ),
    region: readText("region", fields.region),
    clusterInfoList: readClusters(fields.clusterInfoList),
    clusterIdList: readList("clusterIdList", fields.clusterIdList, maxClusters)
      .map((id, i) => readInteger(`clusterIdList[${i}]`, id, 1)),
    logInfoIncluded: readBoolean("logInfoIncluded", fields.logInfoIncluded),
    logInfo: readNodes("logInfo", fields.logInfo),
  };
  if (info.logInfo.length > 0 && !info.logInfoIncluded) {
    contradict("logInfo", "is not empty although logInfoIncluded is false");
  }
  if (fields.boot !== undefined) {
    info.boot = readInteger("boot", fields.boot, 0);
  }
  if (fields.seq !== undefined) info.seq = readInteger("seq", fields.seq, 0);
  if (fields.deploymentId !== undefined) {
    info.deploymentId = readDeploymentId(fields.deploymentId);
  }
  return { ...info, ...readExtras(fields) };
}

/** What reports of the first version did not have. */
function readExtras(fields: Fields): Partial<NodeHostInfo> {
  const extras: Partial<NodeHostInfo> = {};
  const { apps, hears, seeks, acknowledgements, leftovers } = fields;
  if (leftovers !== undefined) {
    extras.leftovers = readNodes("leftovers", leftovers);
  }
  if (apps !== undefined) {
    extras.apps = readList("apps", apps, maxApps)
      .map((app, i) => readText(`apps[${i}]`, app));
  }
  if (fields.failureDomain !== undefined) {
    extras.failureDomain = readText("failureDomain", fields.failureDomain);
  }
  if (fields.capacity !== undefined) {
    extras.capacity = readInteger("capacity", fields.capacity, 1);
  }
  if (fields.isDiskLow !== undefined) {
    extras.isDiskLow = readBoolean("isDiskLow", fields.isDiskLow);
  }
  if (hears !== undefined) {
    extras.hears = readList("hears", hears, maxHeard)
      .map((id, i) => readName(`hears[${i}]`, id, 128));
  }
  if (seeks !== undefined) {
    extras.seeks = readList("seeks", seeks, maxSought)
      .map((id, i) => readName(`seeks[${i}]`, id, 128));
  }
  if (fields.epoch !== undefined) {
    extras.epoch = readName("epoch", fields.epoch, 64);
  }
  if (acknowledgements !== undefined) {
    extras.acknowledgements = readList(
      "acknowledgements",
      acknowledgements,
      maxClusters,
    ).map(readAcknowledgement);
  }
  return extras;
}

function readAcknowledgement(value: unknown, i: number): Acknowledgement {
  const name = `acknowledgements[${i}]`;
  const fields = readFields(name, value);
  const one: Acknowledgement = {
    clusterId: readInteger(`${name}.clusterId`, fields.clusterId, 1),
    n: readInteger(`${name}.n`, fields.n, 0),
    isDone: readBoolean(`${name}.isDone`, fields.isDone),
  };
  if (fields.code !== undefined) {
    one.code = readText(`${name}.code`, fields.code);
  }
  if (fields.detail !== undefined) {
    // An error's text, of any length: masters look for what they know in it, and keep none of it.
    if (typeof fields.detail !== "string") {
      refuse(`${name}.detail`, "is not a text");
    }
    one.detail = fields.detail.slice(0, detailMax);
  }
  return one;
}

/** The report as it travels, to be read by {@link readReport}. */
export function writeReport(info: NodeHostInfo): Record<string, unknown> {
  const { deploymentId, ...fields } = info;
  if (deploymentId === undefined) return fields;
  return { ...fields, deploymentId: deploymentId.toString() };
}
