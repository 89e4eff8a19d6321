/**
 * Rebuilds a cluster that lost its quorum from an exported snapshot. On each NodeHost that is to carry a member, closed,
 * the image takes the place of whatever that member had: state, log, membership. What the cluster had decided after the
 * image is lost. The generation rises (rule I3), so nobody who was not rebuilt can take part, and nobody who was can
 * mistake a message of before for one of now.
 *
 * The file lies durable in its place before the log names it, so a crash leaves the node as it was, or rebuilt.
 */
import { withoutAnnounced } from "./bootstrap.ts";
import type { FileSystem } from "../storage/file_system.ts";
import type { Bootstrap, NodeLog } from "../storage/log_store.ts";
import type { SnapshotFile } from "../storage/snapshot_reader.ts";
import { SnapshotStore } from "../storage/snapshots.ts";
import { peekLog } from "../storage/wal/peek.ts";
import { Wal } from "../storage/wal/wal.ts";
import { zlibCompression } from "./compression.ts";
import { allMembers, memberKindOf } from "./core/members.ts";
import type { Membership, SnapshotMeta } from "./core/types.ts";
import { denoPorts } from "./deno_ports.ts";
import { crc32 } from "./deps.ts";
import { RaftError } from "./errors.ts";
import { checkDirectory, openIdentity } from "./identity.ts";
import type { Ports } from "./ports.ts";
import {
  isObject,
  membersInOrder,
  requireEntries,
  requireKnownFields,
  requireType,
  validateAddress,
  validateId,
  validateMembers,
} from "./validation.ts";

/** What to import, and where. */
export interface ImportOptions {
  /** The exported snapshot. */
  path: string;
  /** The NodeHost's folder. The NodeHost must be closed. */
  dir: string;
  /** Where other NodeHosts reach this one, as in its configuration. */
  raftAddress: string;
  /** The member that this NodeHost is to carry. */
  nodeId: number;
  /** All members from now on, as voters: the same on every NodeHost. One that the image has keeps its address. */
  members: Record<number, string>;
  /** The deployment, 1n by default. */
  deploymentId?: bigint;
  /** The new generation, the same on every NodeHost; the image's and one more by default. */
  generation?: number;
  /** Name of the state machine with which the NodeHost starts the node again by itself. */
  stateMachine?: string;
  /** `segmentBytes` of the NodeHost, 64 MiB by default. */
  segmentBytes?: number;
  /** Checks everything and says what would be lost, and changes nothing. */
  dryRun?: boolean;
}

/** What a node of the cluster has on this NodeHost. */
export interface ImportedOver {
  /** The node. */
  readonly nodeId: number;
  /** Its generation. */
  readonly generation: number;
  /** Last entry of its log, committed or not. */
  readonly lastIndex: number;
  /** Term of that entry. */
  readonly lastTerm: number;
  /** What it knew to be committed. */
  readonly commit: number;
  /** Entries behind the image: lost, if this is the member that is imported, or if no other NodeHost has them. */
  readonly entriesBehindImage: number;
  /** Those among them that this node knew to be committed; there may be more, of which it had not heard yet. */
  readonly committedBehindImage: number;
}

/** What an import did, or would do. */
export interface ImportReport {
  /** The cluster. */
  readonly clusterId: number;
  /** The member. */
  readonly nodeId: number;
  /** Last entry in the image. */
  readonly index: number;
  /** Term of that entry. */
  readonly term: number;
  /** Generation of the cluster from now on. */
  readonly generation: number;
  /** Members from now on. */
  readonly membership: Membership;
  /** What lay on this NodeHost. */
  readonly found: readonly ImportedOver[];
  /** Whether anything was changed. */
  readonly isDone: boolean;
}

/** What an import needs of the world. */
export type ImportPorts = Pick<Ports, "fileSystem" | "random" | "compression">;

/**
 * Imports an exported snapshot into the folder of a closed NodeHost.
 *
 * @throws {TypeError} @throws {RangeError} for options that cannot be.
 * @throws {RaftError} `corruption` if the image is damaged; `rejected` if it holds no state, or the members or the
 * generation do not fit; `nodeRemoved`; what opening a folder throws: `dirLocked`, `dirMismatch`, `deploymentMismatch`,
 * `diskFull`, `diskFailed`.
 */
export async function importSnapshot(
  options: ImportOptions,
  ports?: ImportPorts,
): Promise<ImportReport> {
  validate(options);
  const { fileSystem, random, compression } = ports ?? denoPorts();
  const store = new SnapshotStore({
    fileSystem,
    dir: options.dir,
    crc32,
    compression: compression ?? zlibCompression,
  });
  const image = store.openAt(options.path);
  try {
    const target = await targetOf(image, options);
    const identity = { ...identityOf(options), fileSystem, random };
    if (options.dryRun === true) {
      return await lookOnly(fileSystem, identity, options, target);
    }
    const opened = await openIdentity(identity);
    try {
      return await replace({ fileSystem, random }, store, image, {
        options,
        target,
      });
    } finally {
      opened.release();
    }
  } finally {
    image.close();
  }
}

/** What the node is to be. */
interface Target {
  readonly clusterId: number;
  readonly meta: SnapshotMeta;
  readonly generation: number;
}

function identityOf(options: ImportOptions) {
  return {
    dir: options.dir,
    raftAddress: options.raftAddress,
    raftAddressChanged: false,
    adoptCopiedDir: false,
    deploymentId: options.deploymentId ?? 1n,
  };
}

async function lookOnly(
  fileSystem: FileSystem,
  identity: Parameters<typeof openIdentity>[0],
  options: ImportOptions,
  target: Target,
): Promise<ImportReport> {
  checkDirectory(identity);
  const lockPath = `${options.dir}/lock`;
  const lock = fileSystem.stat(lockPath) === undefined
    ? undefined
    : fileSystem.tryLock(lockPath);
  if (lock === undefined && fileSystem.stat(lockPath) !== undefined) {
    throw new RaftError(
      "dirLocked",
      `Cannot look at directory ${options.dir}: a NodeHost has it open; close it first`,
    );
  }
  try {
    const dir = `${options.dir}/log`;
    const log = await peekLog({ fileSystem, dir, crc32 });
    try {
      const nodes = log.nodes.filter(isOf(target));
      checkNodes(nodes, options, target);
      return reportOf(nodes, options, target, false);
    } finally {
      log.close();
    }
  } finally {
    lock?.release();
  }
}

async function replace(
  ports: Pick<Ports, "fileSystem" | "random">,
  store: SnapshotStore,
  image: SnapshotFile,
  { options, target }: { options: ImportOptions; target: Target },
): Promise<ImportReport> {
  const wal = await Wal.open({
    ...ports,
    dir: `${options.dir}/log`,
    segmentBytes: options.segmentBytes ?? 64 * 1024 * 1024,
    crc32,
  });
  try {
    const nodes = wal.nodes().filter(isOf(target)).map((one) =>
      wal.node(one.clusterId, one.nodeId)
    );
    checkNodes(nodes, options, target);
    const report = reportOf(nodes, options, target, true);
    await copyImage(store, image, options.nodeId, target);
    await record(wal, nodes, image, { options, target });
    store.retain(target.clusterId, options.nodeId, target.meta.index);
    return report;
  } finally {
    await wal.close();
  }
}

/** Writes the image as a snapshot of the node. */
async function copyImage(
  store: SnapshotStore,
  image: SnapshotFile,
  nodeId: number,
  { clusterId, meta, generation }: Target,
): Promise<void> {
  const traits = { ...image.traits, isImported: true, generation };
  const writer = store.create(clusterId, nodeId, meta, { traits });
  try {
    for await (const block of image.blocks()) await writer.copyBlock(block);
    await writer.finish();
  } catch (error) {
    writer.abort();
    throw writer.failure ?? error;
  }
}

/** Has the log forget the node, and know it as the image has it. */
async function record(
  wal: Wal,
  nodes: readonly NodeLog[],
  image: SnapshotFile,
  { options, target }: { options: ImportOptions; target: Target },
): Promise<void> {
  const { clusterId, meta, generation } = target;
  const { nodeId } = options;
  const before = nodes.find((node) => node.nodeId === nodeId);
  const { kind, fingerprint } = image.traits;
  const bootstrap: Bootstrap = {
    join: true,
    initialMembers: [],
    stateMachineName: options.stateMachine ??
      before?.bootstrap()?.stateMachineName ?? "",
    fingerprint: fingerprint !== ""
      ? fingerprint
      : before?.bootstrap()?.fingerprint ?? "",
    generation,
    admitted: true,
    settings: withoutAnnounced(before?.bootstrap()?.settings ?? []),
    ...(kind === "regular" ? {} : { machineKind: kind }),
  };
  const node = { clusterId, nodeId };
  await wal.commitGroup([
    ...(before === undefined ? [] : [{ ...node, remove: true }]),
    {
      ...node,
      bootstrap,
      snapshot: meta,
      hardState: { term: meta.term, votedFor: 0, commit: meta.index },
    },
    // Of several nodes of a cluster, one is started by itself (rule I5).
    ...nodes.filter((other) => other.nodeId !== nodeId).flatMap((other) => {
      const own = other.bootstrap();
      if (own === undefined || own.stateMachineName === "") return [];
      const unnamed = { ...own, stateMachineName: "" };
      return [{ clusterId, nodeId: other.nodeId, bootstrap: unnamed }];
    }),
  ], { sync: true });
}

/** Reads the whole image, and works out what the node is to be. @throws {RaftError} `corruption`, `rejected`. */
async function targetOf(
  image: SnapshotFile,
  options: ImportOptions,
): Promise<Target> {
  for await (const block of image.blocks()) image.unpack(block);
  const { clusterId, meta, traits } = image;
  const what = `Cannot import snapshot ${image.path}`;
  if (traits.isDummy) {
    throw new RaftError(
      "rejected",
      `${what}: it holds no state; export one with exportSnapshot`,
    );
  }
  if (traits.generation === 0 && options.generation === undefined) {
    throw new RaftError(
      "rejected",
      `${what}: it does not say of which generation it is; give the new one, the same on every NodeHost`,
    );
  }
  const generation = options.generation ?? traits.generation + 1;
  if (generation <= traits.generation) {
    throw new RaftError(
      "rejected",
      `${what}: it is of generation ${traits.generation}, so the new one must be higher than ${generation}`,
    );
  }
  const membership = newMembership(meta, options, what);
  const { index, term } = meta;
  return { clusterId, meta: { index, term, membership }, generation };
}

/** The members from now on; those of the image who are not among them are removed. */
function newMembership(
  { index, membership: before }: SnapshotMeta,
  options: ImportOptions,
  what: string,
): Membership {
  const refuse = (why: string) => new RaftError("rejected", `${what}: ${why}`);
  const old = allMembers(before);
  const members = membersInOrder(options.members).map(([nodeId, address]) => ({
    nodeId,
    address,
    nodeHostId: "", // Told anew: the disk of a member may be another one now.
  }));
  for (const { nodeId, address } of members) {
    if (before.removed.includes(nodeId)) {
      throw refuse(`node ${nodeId} was removed and cannot come back`);
    }
    const known = old.find((member) => member.nodeId === nodeId);
    if (known === undefined) continue;
    if (memberKindOf(before, nodeId) !== "voter") {
      throw refuse(`node ${nodeId} had no full vote; give it a new id`);
    }
    if (known.address !== address) {
      throw refuse(
        `node ${nodeId} is at ${known.address} in it, and not at ${address}; give the other place a new id`,
      );
    }
  }
  const gone = old.filter((member) =>
    !Object.hasOwn(options.members, member.nodeId)
  ).map((member) => member.nodeId);
  return {
    configChangeIndex: index,
    members,
    observers: [],
    witnesses: [],
    removed: [...before.removed, ...gone].sort((a, b) => a - b),
  };
}

function isOf(target: Target): (node: { clusterId: number }) => boolean {
  return ({ clusterId }) => clusterId === target.clusterId;
}

/** @throws {RaftError} `nodeRemoved`, `rejected`. */
function checkNodes(
  nodes: readonly NodeLog[],
  options: ImportOptions,
  target: Target,
): void {
  for (const node of nodes) {
    const bootstrap = node.bootstrap();
    if (bootstrap === undefined) continue;
    const what =
      `Cannot import node ${options.nodeId} of cluster ${target.clusterId}`;
    if (node.nodeId === options.nodeId && bootstrap.isRemoved === true) {
      throw new RaftError(
        "nodeRemoved",
        `${what}: its data was removed here for good; give it a new id`,
      );
    }
    if (
      bootstrap.isRemoved !== true && bootstrap.generation >= target.generation
    ) {
      throw new RaftError(
        "rejected",
        `${what}: this NodeHost has node ${node.nodeId} of generation ${bootstrap.generation}, and the import would make ` +
          `${target.generation}; if that one is to be given up, give a higher generation, the same on every NodeHost`,
      );
    }
  }
}

function reportOf(
  nodes: readonly NodeLog[],
  options: ImportOptions,
  { clusterId, meta, generation }: Target,
  isDone: boolean,
): ImportReport {
  const { index, term, membership } = meta;
  const found = nodes.filter((node) => node.bootstrap()?.isRemoved !== true)
    .map((node) => {
      const lastIndex = node.lastIndex();
      const commit = node.hardState()?.commit ?? 0;
      return {
        nodeId: node.nodeId,
        generation: node.bootstrap()?.generation ?? 0,
        lastIndex,
        lastTerm: node.termOf(lastIndex) ?? 0,
        commit,
        entriesBehindImage: Math.max(0, lastIndex - index),
        committedBehindImage: Math.max(0, Math.min(commit, lastIndex) - index),
      };
    });
  const { nodeId } = options;
  return {
    clusterId,
    nodeId,
    index,
    term,
    generation,
    membership,
    found,
    isDone,
  };
}

/** All fields of {@link ImportOptions}: a misspelt `dryRun` must not import in earnest. */
const optionNames: ReadonlySet<string> = new Set<keyof ImportOptions>([
  "path",
  "dir",
  "raftAddress",
  "nodeId",
  "members",
  "deploymentId",
  "generation",
  "stateMachine",
  "segmentBytes",
  "dryRun",
]);

function validate(options: ImportOptions): void {
  if (!isObject(options)) {
    throw new TypeError(
      "Cannot import a snapshot: the options must be an object",
    );
  }
  requireKnownFields("the options of an import", options, optionNames);
  if (options.dryRun !== undefined) {
    requireType("dryRun", options.dryRun, "boolean");
  }
  if (options.deploymentId !== undefined) {
    requireType("deploymentId", options.deploymentId, "bigint");
  }
  for (const name of ["path", "dir"] as const) {
    if (typeof options[name] !== "string" || options[name] === "") {
      throw new TypeError(`Cannot import a snapshot: give ${name} as a text`);
    }
  }
  validateAddress("raftAddress", options.raftAddress);
  validateId("nodeId", options.nodeId);
  if (options.generation !== undefined) {
    validateId("generation", options.generation);
  }
  requireEntries("members", options.members);
  validateMembers("members", options.members);
  const own = options.members[options.nodeId];
  if (own === undefined) {
    throw new RangeError(
      `Cannot use members: node ${options.nodeId}, which this NodeHost is to carry, is not among them`,
    );
  }
  if (own !== options.raftAddress) {
    throw new RangeError(
      `Cannot use members: node ${options.nodeId} is at ${own} there, and this NodeHost's raftAddress is ` +
        options.raftAddress,
    );
  }
}
