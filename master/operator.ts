/** What operators tell a master (M15-M19). Every command is one commit, and is in the history. */
import {
  adoptedAs,
  type ClusterImage,
  deleted,
  isManaged,
} from "./cluster_image.ts";
import type { KvAtomic, KvEntry } from "./kv.ts";
import { type AddedEvent, addEvent, commitAndTell } from "./history.ts";
import {
  type AdoptionRule,
  attentionKey,
  clockKey,
  type ClockRecord,
  type ClusterDefinition,
  clusterKey,
  hostKey,
  type HostRecord,
  type MetaRecord,
  operationKey,
  type OperationRecord,
  operationTtlMs,
  readClock,
  readCluster,
  readHost,
  type RegionWish,
  schemaVersion,
  tombKey,
} from "./schema.ts";
import { hostAt } from "./store_address.ts";
import { importSteps, readRecovery } from "./recovery.ts";
import type { StoreContext } from "./store_context.ts";
import { addCluster } from "./store_index.ts";

/** The part of a cluster's definition that an operator gives. */
export interface ClusterWish {
  /** Name of the state machine in `stateMachines` of NodeHosts. */
  app: string;
  /** Voting members, 1 to 9. */
  size: number;
  /** Where they should be. */
  regions?: RegionWish[];
  /** Further fields of `ClusterConfig`. */
  config?: Record<string, number>;
}

/** A command about one cluster. */
export type ClusterCommand =
  | { type: "createCluster"; clusterId: number; wish: ClusterWish }
  | KnownClusterCommand & {
    /** Refused if the definition changed since it had this number; without a definition it is 0. */
    expectedGen?: number;
  };

/** A command about a cluster that is there. */
export type KnownClusterCommand =
  | {
    type: "adoptCluster";
    clusterId: number;
    /** Without `app` it is what NodeHosts report. */
    wish: Partial<Omit<ClusterWish, "size">>;
  }
  | {
    type: "changeCluster";
    clusterId: number;
    wish: Partial<Omit<ClusterWish, "app">>;
  }
  | {
    type: "deleteCluster";
    clusterId: number;
    /** Ticks in which it can still be kept; 0 by default. */
    waitTicks?: number;
  }
  | { type: "keepCluster"; clusterId: number }
  | { type: "pauseCluster"; clusterId: number }
  | { type: "resumeCluster"; clusterId: number }
  | { type: "cancelPlan"; clusterId: number }
  | {
    type: "recoverCluster";
    clusterId: number;
    /** Nodes that are given up. Their NodeHosts must be revoked or gone. */
    condemned: number[];
    /** Refused if the members changed since their index was this. */
    expectedConfigChangeIndex?: number;
  };

/** A command about one NodeHost. */
export interface HostCommand {
  /** What to do. */
  type:
    | "cordonHost"
    | "uncordonHost"
    | "drainHost"
    | "revokeHost"
    | "forgetHostSecret"
    | "declareHostDead";
  /** The NodeHost. */
  hostId: string;
  /** Refused if its record has another `gen` by now: it was ordered something, died, or returned since it was shown. */
  expectedGen?: number;
}

/** A command about everything. */
export type GlobalCommand =
  & (
    | {
      /** What to do. */
      type: "pause" | "resume" | "releaseBrake";
    }
    | {
      /** Which clusters are adopted without an operator, from now on (M7). */
      type: "setAdoption";
      /** All of the rules; none: operators adopt. */
      rules: AdoptionRule[];
    }
  )
  & GlobalBinding;

/** What a command about everything rests on. */
export interface GlobalBinding {
  /** Refused if the clock has another `gen` by now: an order about everything, or the brake, came between. */
  expectedGen?: number;
}

/** What an operator can tell a master. */
export type Command = ClusterCommand | HostCommand | GlobalCommand;

/** Who says it, and under which key its repetition does nothing. */
export interface CommandOptions {
  /** The operator, for the history. */
  who?: string;
  /** Names this command: with the same key it is done once. */
  key?: string;
  /** Only say what would be done. */
  isDryRun?: boolean;
}

/** What a command did. */
export type CommandResult = Record<string, unknown>;

/** Why a command is not carried out. */
export class CommandError extends Error {
  /** Tells it from other errors. */
  override readonly name = "CommandError";
  /** `not-found`, `conflict` or `invalid`. */
  readonly code: "not-found" | "conflict" | "invalid";

  /** With a reason for people. */
  constructor(code: CommandError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

const maxAttempts = 16;

/**
 * Carries out a command.
 *
 * @throws {CommandError} if it makes no sense as things are.
 * @throws {RaftError} if the store failed; the command may have been done, and a key makes it safe to repeat.
 */
export async function carryOutCommand(
  context: StoreContext,
  { epoch, deploymentId }: Pick<MetaRecord, "epoch" | "deploymentId">,
  command: Command,
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { access } = context;
  const text = JSON.stringify(command);
  for (let attempt = 0;; attempt++) {
    const done = await findDone(context, text, options.key);
    if (done !== undefined) return done;
    const clockEntry = await access.get(clockKey);
    const clock = readClock(clockEntry.value, access.now());
    const atomic = access.atomic();
    const w = access.randomHex(8);
    const parts = {
      context,
      epoch,
      deploymentId,
      atomic,
      clock,
      clockEntry,
      w,
    };
    const { result, shown } = await prepare(parts, command);
    if (options.isDryRun === true) return { ...result, ...shown };
    const event = record({ ...parts, command, text, result, options });
    const { ok, failure } = await commitAndTell(context, atomic, [event]);
    if (ok) return result;
    if (failure !== undefined) {
      // It may happen yet. With a key its repetition finds out; without one nobody can tell.
      if (options.key === undefined || attempt > 0) throw failure;
    }
    if (attempt >= maxAttempts) {
      throw new CommandError("conflict", "It changes too often: try again");
    }
  }
}

/** What a command would do. */
interface Prepared {
  readonly result: CommandResult;
  /** What a dry run says beside: with it the command is bound to what was shown (M19). */
  readonly shown: CommandResult;
}

interface Parts {
  readonly context: StoreContext;
  readonly epoch: string;
  readonly deploymentId: bigint;
  readonly atomic: KvAtomic;
  readonly clock: ClockRecord;
  readonly clockEntry: KvEntry;
  readonly w: string;
}

async function findDone(
  { access }: StoreContext,
  text: string,
  key: string | undefined,
): Promise<CommandResult | undefined> {
  if (key === undefined) return undefined;
  const { value } = await access.get(operationKey(key));
  if (value === null) return undefined;
  const { command, result } = value as OperationRecord;
  if (command === text) return result;
  throw new CommandError(
    "conflict",
    "The idempotency key was used for another command",
  );
}

function record(
  parts: Parts & {
    command: Command;
    text: string;
    result: CommandResult;
    options: CommandOptions;
  },
): AddedEvent {
  const { context, atomic, clock, w, command, text, result, options } = parts;
  const { key, who = "operator" } = options;
  const { access } = context;
  const event = addEvent({ access, tick: clock.tick }, atomic, {
    ...("clusterId" in command ? { cluster: command.clusterId } : {}),
    ...("hostId" in command ? { host: command.hostId } : {}),
    what: command.type,
    why: text.slice(0, 1_000),
    who,
  });
  if (key === undefined) return event;
  const value: OperationRecord = { v: schemaVersion, w, command: text, result };
  atomic.check({ key: operationKey(key), versionstamp: null })
    .set(operationKey(key), value, { expireIn: operationTtlMs });
  return event;
}

async function prepare(
  parts: Parts,
  command: Command,
): Promise<Prepared> {
  if ("clusterId" in command) return await prepareCluster(parts, command);
  if ("hostId" in command) return await prepareHost(parts, command);
  return prepareGlobal(parts, command);
}

// ---- Clusters ----

async function prepareCluster(
  parts: Parts,
  command: ClusterCommand,
): Promise<Prepared> {
  const { context: { access }, atomic, epoch, clock, w } = parts;
  const { clusterId } = command;
  const [entry, tomb] = await access.getMany([
    clusterKey(clusterId),
    tombKey(clusterId),
  ]) as [KvEntry, KvEntry];
  const before = readCluster(entry.value);
  if (before === undefined) {
    if (command.type !== "createCluster") {
      throw new CommandError("not-found", `There is no cluster ${clusterId}`);
    }
    if (tomb.value !== null) {
      throw new CommandError(
        "conflict",
        `Cluster ${clusterId} was deleted: an id is never used again`,
      );
    }
    atomic.check({ key: tomb.key, versionstamp: null });
  }
  const after = await nextImage(parts, before, command);
  const known = command.type === "recoverCluster"
    ? await recoveryParts(parts, before!, command)
    : undefined;
  const { tick } = clock;
  addCluster(atomic, { clusterId, entry, before, after, epoch, tick, w });
  // A change of the definition does not show in the record alone.
  atomic.set(attentionKey(clusterId), { v: schemaVersion, w, tick });
  const { life, deleteAt } = after;
  const more = deleteAt === undefined ? {} : { deleteAt };
  const expectedGen = before?.def?.gen ?? 0;
  return {
    result: {
      clusterId,
      life,
      gen: after.def?.gen ?? 0,
      ...more,
      ...known?.result,
    },
    shown: {
      isDryRun: true,
      ...(before === undefined ? {} : { expectedGen }),
      ...known?.shown,
    },
  };
}

async function nextImage(
  parts: Parts,
  before: ClusterImage | undefined,
  command: ClusterCommand,
): Promise<ClusterImage> {
  if (command.type === "createCluster") {
    if (before !== undefined) {
      throw new CommandError(
        "conflict",
        "There is a cluster of this id: choose another one",
      );
    }
    return {
      life: "defined",
      def: { gen: 1, regions: [], config: {}, ...command.wish },
      cci: 0,
      members: {},
      confirmedBy: [],
      gone: [],
      zombies: {},
      steps: 0,
    };
  }
  const image = before!;
  checkGen(image, command.expectedGen);
  if (command.type === "adoptCluster") return adopted(image, command);
  if (!isManaged(image)) {
    throw new CommandError("conflict", `It is ${image.life}: adopt it first`);
  }
  switch (command.type) {
    case "changeCluster":
      return changed(image, command);
    case "deleteCluster": {
      const { waitTicks = 0 } = command;
      if (image.life === "deleting") {
        throw new CommandError("conflict", "It is being deleted");
      }
      return waitTicks === 0
        ? deleted(image)
        : { ...image, deleteAt: parts.clock.tick + waitTicks };
    }
    case "keepCluster": {
      if (image.deleteAt === undefined) {
        throw new CommandError("conflict", "It does not wait to be deleted");
      }
      const { deleteAt: _, ...rest } = image;
      return rest;
    }
    case "pauseCluster":
      return { ...image, isPaused: true };
    case "resumeCluster": {
      const { isPaused: _, ...rest } = image;
      return rest;
    }
    case "cancelPlan": {
      if (image.plan === undefined) {
        throw new CommandError("conflict", "It has no plan");
      }
      return { ...image, plan: { ...image.plan, isAbandoned: true } };
    }
    case "recoverCluster":
      checkIndex(image, command.expectedConfigChangeIndex);
      return await recovering(parts, image, command.condemned);
  }
}

/** What an operator saw before the command must still be so (M19). */
function checkGen({ def }: ClusterImage, expected: number | undefined): void {
  const gen = def?.gen ?? 0;
  if (expected === undefined || expected === gen) return;
  throw new CommandError(
    "conflict",
    `Its definition is number ${gen}, not ${expected}`,
  );
}

/** Other members than those that were shown would be given up (M15). */
function checkIndex({ cci }: ClusterImage, expected: number | undefined): void {
  if (expected === undefined || expected === cci) return;
  throw new CommandError(
    "conflict",
    `Its members are those of index ${cci}, not ${expected}: look again`,
  );
}

/**
 * What is lost is said before, and what is left to be done by hand only afterwards (M15).
 *
 * @throws {CommandError} if a majority runs, or nobody would be left.
 */
async function recoveryParts(
  { context, clock, deploymentId }: Parts,
  image: ClusterImage,
  { clusterId, condemned }: { clusterId: number; condemned: number[] },
): Promise<Prepared> {
  const recovery = await readRecovery(context, { clusterId, image, clock });
  const { members, survivor, lost, voters, running } = recovery;
  if (recovery.hasMajority) {
    throw new CommandError(
      "conflict",
      `${running} of its ${voters} voters run, and are a majority: the masters replace the others`,
    );
  }
  const app = image.def?.app ?? "";
  const steps = importSteps(recovery, { condemned, app, deploymentId });
  if (steps.length === 0) {
    throw new CommandError("invalid", "No voter would be left to go on from");
  }
  return {
    result: { members, survivor, lost, steps },
    // Not before it is decided: a machine that returns meanwhile would go on with the old members.
    shown: { steps: [], expectedConfigChangeIndex: image.cci },
  };
}

function adopted(
  image: ClusterImage,
  { wish }: { wish: Partial<Omit<ClusterWish, "size">> },
): ClusterImage {
  // From quarantine as well: the operator has looked, and what is recorded is right.
  if (isManaged(image)) {
    throw new CommandError("conflict", `It is ${image.life}, not unmanaged`);
  }
  const { app: reported } = image;
  const app = wish.app ?? reported ?? image.def?.app;
  if (app === undefined) {
    throw new CommandError(
      "invalid",
      "No majority of its NodeHosts says what its state machine is called: give the app",
    );
  }
  if (reported !== undefined && app !== reported) {
    throw new CommandError(
      "conflict",
      `Its NodeHosts say that its state machine is "${reported}", not "${app}"`,
    );
  }
  return adoptedAs(image, { ...wish, app });
}

function changed(
  image: ClusterImage,
  { wish }: { wish: Partial<Omit<ClusterWish, "app">> },
): ClusterImage {
  const def = image.def!;
  if (image.life === "deleting") {
    throw new CommandError("conflict", "It is being deleted");
  }
  if (
    image.life === "launching" && wish.size !== undefined
  ) throw new CommandError("conflict", "It is being launched: wait");
  const next: ClusterDefinition = { ...def, ...wish, gen: def.gen + 1 };
  return { ...image, def: next };
}

/** The lost must be known never to come back: what they hold would otherwise be a second truth (M15). */
async function recovering(
  { context: { access } }: Parts,
  image: ClusterImage,
  condemned: number[],
): Promise<ClusterImage> {
  for (const node of condemned) {
    const member = image.members[node];
    if (member === undefined) {
      throw new CommandError("invalid", `Node ${node} is not a member`);
    }
    const hostId = member.host ?? await hostAt(access, member.address);
    if (hostId === undefined) continue; // Nobody ever reported from there.
    const host = readHost((await access.get(hostKey(hostId))).value);
    if (host !== undefined && host.state !== "gone" && host.revoked !== true) {
      throw new CommandError(
        "conflict",
        `NodeHost ${hostId} of node ${node} is neither revoked nor declared dead`,
      );
    }
  }
  const { plan: _, step: __, ...rest } = image;
  return { ...rest, life: "recovering", condemned };
}

// ---- NodeHosts ----

async function prepareHost(
  { context: { access }, atomic, w }: Parts,
  { type, hostId, expectedGen }: HostCommand,
): Promise<Prepared> {
  const entry = await access.get(hostKey(hostId));
  const host = readHost(entry.value);
  if (host === undefined) {
    throw new CommandError("not-found", `There is no NodeHost ${hostId}`);
  }
  const before = host.gen ?? 0;
  if (expectedGen !== undefined && expectedGen !== before) {
    throw new CommandError(
      "conflict",
      `NodeHost ${hostId} is number ${before} by now, not ${expectedGen}: look again`,
    );
  }
  const gen = before + 1;
  const next = { ...nextHost(host, type), gen };
  atomic.check({ key: entry.key, versionstamp: entry.versionstamp })
    .set(hostKey(hostId), { ...next, v: schemaVersion, w });
  const { state, cordon = false, drain = false, revoked = false } = next;
  return {
    result: { hostId, state, cordon, drain, revoked, gen },
    shown: { isDryRun: true, expectedGen: before },
  };
}

/** What concerns its clusters starts a walk over them: `cursor`. */
function nextHost(host: HostRecord, type: HostCommand["type"]): HostRecord {
  switch (type) {
    case "cordonHost":
      return { ...host, cordon: true };
    case "uncordonHost": {
      const { cordon: _, drain: __, ...rest } = host;
      return { ...rest, cursor: 0 };
    }
    case "drainHost":
      return { ...host, drain: true, cursor: 0 };
    case "revokeHost":
      return { ...host, revoked: true, cursor: 0 };
    case "forgetHostSecret": {
      const { secretHash: _, ...rest } = host;
      return rest;
    }
    case "declareHostDead":
      return { ...host, state: "gone", cursor: 0 };
  }
}

// ---- Everything ----

function prepareGlobal(
  { atomic, clock, clockEntry, w }: Parts,
  command: GlobalCommand,
): Prepared {
  const { type, expectedGen } = command;
  const before = clock.gen ?? 0;
  if (expectedGen !== undefined && expectedGen !== before) {
    throw new CommandError(
      "conflict",
      `The masters' state is number ${before} by now, not ${expectedGen}: look again`,
    );
  }
  const gen = before + 1;
  const next = { ...clock, gen };
  if (type === "releaseBrake") {
    if (clock.brake === undefined) {
      throw new CommandError("conflict", "The brake is not on");
    }
    next.brake = { ...clock.brake, isReleased: true };
  } else if (type === "setAdoption") {
    next.adopt = command.rules;
    next.adoptCursor = 0;
  } else next.paused = type === "pause";
  atomic.check({ key: clockKey, versionstamp: clockEntry.versionstamp })
    .set(clockKey, { ...next, v: schemaVersion, w });
  return {
    result: {
      paused: next.paused,
      brake: next.brake ?? null,
      adopt: next.adopt ?? [],
      gen,
    },
    shown: { isDryRun: true, expectedGen: before },
  };
}
