/** How a node comes to be: new, joining, or again after a restart; and what the log remembers of it. */
import { clusterDefaults } from "./config.ts";
import type { ResolvedClusterConfig } from "./config.ts";
import { sha256 } from "./deps.ts";
import { RaftError } from "./errors.ts";
import type { StateMachineKind } from "./state_machine.ts";
import { hasUniqueIds, membersInOrder } from "./validation.ts";
import type { Bootstrap } from "../storage/log_store.ts";

/** In the order in which they are recorded; new ones come last. One that is on or off is recorded as 1 or 0. */
const settingNames = [
  "electionTimeoutTicks",
  "heartbeatTicks",
  "snapshotEntries",
  "compactionOverhead",
  "maxInMemLogBytes",
  "maxSessions",
  "quiesce",
  "snapshotCompression",
  "leaseReads",
  "maxClockDriftPpm",
  "entryCompression",
] as const;

/**
 * Behind the settings: configuration change index, plus one, of the membership of which every member has announced the
 * newest wire version (rule I6). It stays where it is: a setting that comes later is recorded behind it and not in the
 * list above, with which this would not compile.
 */
const announcedSlot: (typeof settingNames)["length"] = 11;

/**
 * Behind that: how many members those were, and their node ids. No node id comes twice in a generation of the cluster, so
 * what a member has announced is true in every later membership that still has it.
 */
const announcedCountSlot = announcedSlot + 1;

/** The configuration change index at which all members had announced the newest wire version; -1 if none is known. */
export function announcedAt({ settings }: Bootstrap): number {
  return (settings[announcedSlot] ?? 0) - 1;
}

/** Members that had announced it; none if the record was written before that was recorded. */
export function announcedIds({ settings }: Bootstrap): readonly number[] {
  const first = announcedCountSlot + 1;
  return settings.slice(first, first + (settings[announcedCountSlot] ?? 0));
}

/** A bootstrap record that says both. */
export function withAnnounced(
  bootstrap: Bootstrap,
  configChangeIndex: number,
  nodeIds: readonly number[],
): Bootstrap {
  const settings = [...bootstrap.settings];
  while (settings.length < announcedSlot) {
    settings.push(Number(clusterDefaults[settingNames[settings.length]!]));
  }
  settings.length = Math.min(settings.length, announcedSlot);
  settings.push(configChangeIndex + 1, nodeIds.length, ...nodeIds);
  return { ...bootstrap, settings };
}

/** The settings without it: after an import other NodeHosts may carry the members, under the same node ids (rule I3). */
export function withoutAnnounced(settings: readonly number[]): number[] {
  return settings.slice(0, announcedSlot);
}

function settingsOf(config: ResolvedClusterConfig): number[] {
  return settingNames.map((name) => Number(config[name]));
}

/** A recorded setting, or the default if a version recorded it that had fewer. */
function settingFrom(
  name: (typeof settingNames)[number],
  recorded: number | undefined,
): number | boolean {
  const byDefault = clusterDefaults[name];
  if (recorded === undefined) return byDefault;
  return typeof byDefault === "boolean" ? recorded === 1 : recorded;
}

/**
 * The bootstrap record of a node that starts for the first time, or the one it has, checked against `config`. `isBlank`:
 * its log holds neither an entry nor a snapshot, so that one that was to join may still become a witness, or none: it
 * cannot know before what it is added as.
 */
export function bootstrapFor(
  config: ResolvedClusterConfig,
  existing: Bootstrap | undefined,
  isBlank = false,
): Bootstrap {
  const members = membersInOrder(config.initialMembers);
  const what =
    `Cannot start node ${config.nodeId} of cluster ${config.clusterId}`;
  if (existing?.isRemoved === true) {
    throw new RaftError(
      "nodeRemoved",
      `${what}: its data was removed here for good; add a node with a new id`,
    );
  }
  if (existing !== undefined) {
    requireUniqueIds(existing, config.clusterId, what);
    const { witness, ...rest } = existing;
    if (isBlank && existing.join && (witness === true) !== config.witness) {
      const changed = config.witness ? { ...rest, witness: true } : rest;
      return checkRestart(config, changed, members, what);
    }
    return checkRestart(config, existing, members, what);
  }
  if (members.length === 0 && !config.join) {
    throw new RaftError(
      "notBootstrapped",
      `${what}: it has no data here; a new cluster needs initialMembers, a node added by addNode needs join: true`,
    );
  }
  return {
    join: config.join,
    initialMembers: members,
    ...(config.witness ? { witness: true } : {}),
    stateMachineName: nameOf(config),
    fingerprint: config.join ? "" : fingerprintOf(config.clusterId, members),
    generation: 1,
    admitted: members.length === 1,
    settings: settingsOf(config),
  };
}

/**
 * The bootstrap record of a node whose state machine is of this kind.
 *
 * @throws {RaftError} `rejected` if the node began with another kind.
 */
export function withMachineKind(
  bootstrap: Bootstrap,
  kind: StateMachineKind,
  node: { clusterId: number; nodeId: number; isNew: boolean },
): Bootstrap {
  const { machineKind, ...rest } = bootstrap;
  const before = machineKind ?? "regular";
  if (!node.isNew && before !== kind) {
    throw new RaftError(
      "rejected",
      `Cannot start node ${node.nodeId} of cluster ${node.clusterId}: it began with a state machine of kind ` +
        `"${before}", and this one is "${kind}"`,
    );
  }
  return kind === "regular" ? rest : { ...rest, machineKind: kind };
}

/**
 * Checks that a new initial member is where the others will look for it.
 *
 * @throws {RangeError} if its own entry in `initialMembers` is not the NodeHost's address.
 */
export function requireOwnAddress(
  config: ResolvedClusterConfig,
  raftAddress: string,
): void {
  const address = config.initialMembers[config.nodeId];
  if (address === undefined || address === raftAddress) return;
  throw new RangeError(
    `Cannot use initialMembers: node ${config.nodeId} is at ${address} there, and this NodeHost's raftAddress is ` +
      raftAddress,
  );
}

/** The configuration with which a node that the log names is started again (rule I5). */
export function configOf(
  node: { clusterId: number; nodeId: number },
  bootstrap: Bootstrap,
): Omit<ResolvedClusterConfig, "initialMembers" | "join"> {
  const settings = Object.fromEntries(
    settingNames.map((
      name,
      i,
    ) => [name, settingFrom(name, bootstrap.settings[i])]),
  ) as Pick<ResolvedClusterConfig, (typeof settingNames)[number]>;
  return {
    ...node,
    witness: bootstrap.witness === true,
    stateMachine: bootstrap.stateMachineName,
    ...settings,
  };
}

/** First eight bytes, as hex, of the SHA-256 of a cluster's id and initial members. */
export function fingerprintOf(
  clusterId: number,
  members: Bootstrap["initialMembers"],
): string {
  const lines = members.map(([nodeId, address]) => `${nodeId} ${address}\n`);
  return sha256(`drakkar cluster ${clusterId}\n${lines.join("")}`).slice(0, 16);
}

function checkRestart(
  config: ResolvedClusterConfig,
  existing: Bootstrap,
  members: Bootstrap["initialMembers"],
  what: string,
): Bootstrap {
  if (config.witness !== (existing.witness === true)) {
    throw new RaftError(
      "rejected",
      existing.witness
        ? `${what}: it is a witness, start it with witness: true; or remove it, and add another id`
        : `${what}: it is no witness, and cannot become one; remove it, and add a witness of another id`,
    );
  }
  // Rebuilt from an image: its members are those of the import, whatever the program says of the first ones.
  if (existing.generation > 1 && existing.initialMembers.length === 0) {
    return restarted(config, existing);
  }
  if (config.join && !existing.join) {
    throw new RaftError(
      "rejected",
      `${what}: it is an initial member, not one that joined`,
    );
  }
  if (members.length > 0 && existing.join) {
    throw new RaftError(
      "rejected",
      `${what}: it joined a running cluster, so it has no initialMembers`,
    );
  }
  if (
    members.length > 0 &&
    fingerprintOf(config.clusterId, members) !== existing.fingerprint
  ) {
    throw new RaftError(
      "rejected",
      `${what}: it began with other initialMembers: ${
        differences(existing.initialMembers, members)
      }; give the same, or none` +
        (existing.admitted ? "" : neverBegan(config.clusterId)),
    );
  }
  return restarted(config, existing);
}

/** @throws {RaftError} `rejected` if the log has one node twice among the first members (rule I3). */
function requireUniqueIds(
  { initialMembers }: Bootstrap,
  clusterId: number,
  what: string,
): void {
  if (hasUniqueIds(initialMembers)) return;
  const ids = initialMembers.map(([nodeId]) => nodeId).join(", ");
  throw new RaftError(
    "rejected",
    `${what}: its log has one node twice among the initial members ${ids}, so that one disk counted as two of them; ` +
      `delete the data of cluster ${clusterId} on every NodeHost and start it anew`,
  );
}

function restarted(
  config: ResolvedClusterConfig,
  existing: Bootstrap,
): Bootstrap {
  const bootstrap = {
    ...existing,
    stateMachineName: nameOf(config),
    settings: settingsOf(config),
  };
  const announced = announcedAt(existing);
  return announced < 0
    ? bootstrap
    : withAnnounced(bootstrap, announced, announcedIds(existing));
}

/** What the lists have not in common, for people. */
function differences(
  began: Bootstrap["initialMembers"],
  given: Bootstrap["initialMembers"],
): string {
  const before = new Map(began);
  const now = new Map(given);
  const ids = [...new Set([...before.keys(), ...now.keys()])].sort((a, b) =>
    a - b
  );
  return ids
    .filter((id) => before.get(id) !== now.get(id))
    .map((id) =>
      `node ${id} ${place(before.get(id))}, and is ${place(now.get(id))} now`
    )
    .join("; ");
}

function place(address: string | undefined): string {
  return address === undefined ? "not among them" : `at ${address}`;
}

/** What to do about a first list that was wrong. Whoever has another one than the others was admitted by nobody. */
function neverBegan(clusterId: number): string {
  return `. The others have not admitted this node yet: if its first list was the wrong one, delete the data of ` +
    `cluster ${clusterId} (the NodeHost's folder, if it carries nothing else) and start it anew`;
}

function nameOf({ stateMachine }: ResolvedClusterConfig): string {
  return typeof stateMachine === "string" ? stateMachine : "";
}
