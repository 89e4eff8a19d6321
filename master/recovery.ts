/**
 * What is known of a cluster that lost its majority (M15): how far each survivor's log goes, and what would be lost if the
 * others were given up. Survivors tell it themselves, because they know no leader.
 */
import {
  type ClusterImage,
  isVoter,
  quorumOf,
  votersOf,
} from "./cluster_image.ts";
import type { KvAccess } from "./kv_access.ts";
import type { LogPosition } from "./protocol.ts";
import {
  type ClockRecord,
  type ClusterLife,
  hostKey,
  type HostRecord,
  type MemberRecord,
  positionsKey,
  readHost,
  type SliceRecord,
} from "./schema.ts";
import { hostAt } from "./store_address.ts";
import { isAlive, isDead, isRunning, type View } from "./scheduler/view.ts";
import type { StoreContext } from "./store_context.ts";
import { unpackPositions } from "./wire/mod.ts";

/** A member, as far as it matters for a recovery. */
export interface RecoveryMember extends Partial<LogPosition> {
  /** The node. */
  nodeId: number;
  /** What it is. */
  role: MemberRecord["role"];
  /** Its Raft address. */
  address: string;
  /** The NodeHost that carries it, or `""` if it is not known. */
  nodeHostId: string;
  /** `dead`: the masters believe so, or an operator said so. `stopped`: its NodeHost lives, and does not run it. */
  standing: "runs" | "stopped" | "silent" | "dead";
  /** Its NodeHost was revoked or declared dead, or never reported: it may be condemned. */
  isGivenUp: boolean;
}

/** What a recovery would rest on, and cost. */
export interface Recovery {
  /** The cluster. */
  clusterId: number;
  /** Where it stands. */
  life: ClusterLife;
  /** Number of its definition: `expectedGen` of a command that rests on this. */
  gen: number;
  /** Index of its last known membership change: `expectedConfigChangeIndex` of a command that rests on this. */
  configChangeIndex: number;
  /** Voters. */
  voters: number;
  /** Those of them that run. */
  running: number;
  /** Whether they are a majority: then there is nothing to recover. */
  hasMajority: boolean;
  /** The members by id. */
  members: RecoveryMember[];
  /** The survivor whose log goes furthest; `null` if none tells how far. */
  survivor: number | null;
  /** What would be lost, in sentences. */
  lost: string;
}

/** Reads what is known of the members of a cluster. */
export async function readRecovery(
  { access, limits }: StoreContext,
  { clusterId, image, clock }: {
    clusterId: number;
    image: ClusterImage;
    clock: ClockRecord;
  },
): Promise<Recovery> {
  const hosts = new Map<string, HostRecord>();
  const positions = new Map<number, LogPosition>();
  const hostOf = new Map<number, string>();
  for (const [key, member] of Object.entries(image.members)) {
    const node = Number(key);
    const id = member.host ?? await hostAt(access, member.address);
    if (id === undefined) continue;
    hostOf.set(node, id);
    const host = readHost((await access.get(hostKey(id))).value);
    if (host === undefined) continue;
    hosts.set(id, host);
    const position = await positionOf(access, { id, host, clusterId, node });
    if (position !== undefined) positions.set(node, position);
  }
  const view: View = {
    tick: clock.tick,
    limits,
    hosts,
    load: new Map(),
    isBraked: false,
    slots: new Set(),
    newIds: [],
  };
  return judge(view, { clusterId, image, positions, hostOf });
}

async function positionOf(
  access: KvAccess,
  { id, host, clusterId, node }: {
    id: string;
    host: HostRecord;
    clusterId: number;
    node: number;
  },
): Promise<LogPosition | undefined> {
  const keys = Array.from(
    { length: host.posSlices ?? 0 },
    (_, i) => positionsKey(id, i),
  );
  for (const { value } of await access.getMany(keys)) {
    if (value === null) continue;
    const found = unpackPositions((value as SliceRecord).rows)
      .find((row) => row.clusterId === clusterId && row.nodeId === node);
    if (found === undefined) continue;
    const { lastTerm, lastIndex, appliedIndex } = found;
    return { lastTerm, lastIndex, appliedIndex };
  }
  return undefined;
}

/** What is concluded from what is known. Pure. */
export function judge(
  view: View,
  { clusterId, image, positions, hostOf }: {
    clusterId: number;
    image: ClusterImage;
    positions: ReadonlyMap<number, LogPosition>;
    hostOf: ReadonlyMap<number, string>;
  },
): Recovery {
  const ids = Object.keys(image.members).map(Number).sort((a, b) => a - b);
  const members = ids.map((nodeId): RecoveryMember => {
    const member = image.members[nodeId]!;
    const nodeHostId = hostOf.get(nodeId) ?? "";
    const host = view.hosts.get(nodeHostId);
    return {
      nodeId,
      role: member.role,
      address: member.address,
      nodeHostId,
      standing: standingOf(view, { ...member, host: nodeHostId }),
      isGivenUp: host === undefined || host.state === "gone" ||
        host.revoked === true,
      ...positions.get(nodeId),
    };
  });
  const voters = votersOf(image);
  const running =
    members.filter((one) =>
      isVoter(image.members[one.nodeId]) && one.standing === "runs"
    ).length;
  const hasMajority = voters.length > 0 && running >= quorumOf(voters.length);
  const survivor = furthest(members.filter(isSurvivor));
  return {
    clusterId,
    life: image.life,
    gen: image.def?.gen ?? 0,
    configChangeIndex: image.cci,
    voters: voters.length,
    running,
    hasMajority,
    members,
    survivor: survivor?.nodeId ?? null,
    lost: lossOf(members, { survivor, hasMajority }),
  };
}

function standingOf(
  view: View,
  member: MemberRecord,
): RecoveryMember["standing"] {
  const host = view.hosts.get(member.host ?? "");
  if (host?.revoked === true || isDead(view, member.host)) return "dead";
  if (isRunning(view, member)) return "runs";
  return isAlive(view, member.host) ? "stopped" : "silent";
}

/** Whoever has state, and may go on: witnesses have none. */
export function isSurvivor({ role, isGivenUp }: RecoveryMember): boolean {
  return role !== "witness" && !isGivenUp;
}

/** As Raft compares logs (paper 5.4.1): the later term, then the longer log. */
function furthest(
  members: readonly RecoveryMember[],
): RecoveryMember | undefined {
  let best: RecoveryMember | undefined;
  for (const one of members) {
    if (one.lastIndex === undefined) continue;
    if (best === undefined || isFurther(one, best)) best = one;
  }
  return best;
}

function isFurther(a: RecoveryMember, b: RecoveryMember): boolean {
  const [termA, termB] = [a.lastTerm ?? 0, b.lastTerm ?? 0];
  if (termA !== termB) return termA > termB;
  return (a.lastIndex ?? 0) > (b.lastIndex ?? 0);
}

function lossOf(
  members: readonly RecoveryMember[],
  { survivor, hasMajority }: {
    survivor: RecoveryMember | undefined;
    hasMajority: boolean;
  },
): string {
  if (hasMajority) {
    return "Nothing is to be recovered: a majority of its voters runs.";
  }
  if (survivor === undefined) {
    return "What would be lost is not known: no survivor tells how far its log goes. Wait for its next report; `deno task inspect` tells it for a NodeHost that is closed, or of an older release.";
  }
  const { nodeId, lastTerm, lastIndex = 0, appliedIndex = 0 } = survivor;
  const sentences = [
    `Node ${nodeId} is furthest: its log goes to index ${lastIndex} (term ${lastTerm}), and its state to ${appliedIndex}.`,
    "An image of its state holds everything up to there; whatever came later is lost.",
  ];
  if (lastIndex > appliedIndex) {
    const count = lastIndex - appliedIndex;
    sentences.push(
      `Of that its log still holds ${count} ${
        count === 1 ? "entry" : "entries"
      } of which it does not know whether they were committed.`,
    );
  }
  const further = furthest(members.filter((one) => one.isGivenUp));
  if (further !== undefined && isFurther(further, survivor)) {
    sentences.push(
      `Node ${further.nodeId}, which is given up, last told index ${further.lastIndex} (term ${further.lastTerm}).`,
    );
  }
  const silent = members.filter((one) =>
    isSurvivor(one) && one.lastIndex === undefined
  ).map((one) => one.nodeId);
  if (silent.length > 0) {
    sentences.push(
      `How far node ${
        silent.join(", ")
      } goes is not known: look before you choose.`,
    );
  }
  return sentences.join(" ");
}

/** What is to be done by hand, once the others are given up: lines of a terminal, and what to do before. */
export function importSteps(
  recovery: Recovery,
  { condemned, app, deploymentId }: {
    condemned: readonly number[];
    app: string;
    deploymentId: bigint;
  },
): string[] {
  const stay = recovery.members.filter((one) =>
    one.role === "voter" && !condemned.includes(one.nodeId)
  );
  const from = stay.find(({ nodeId }) => nodeId === recovery.survivor) ??
    stay[0];
  if (from === undefined) return [];
  const list = stay.map(({ nodeId, address }) =>
    `--member ${nodeId}=${address}`
  );
  return [
    `# At ${from.address}: await host.exportSnapshot(${recovery.clusterId}, DIR); then close the NodeHosts of all that stay, and copy the image to each`,
    ...stay.map(({ nodeId, address }) =>
      [
        "deno task import-snapshot --image FILE --dir DIR",
        `--address ${address} --node ${nodeId}`,
        ...list,
        `--deployment ${deploymentId} --state-machine ${app}`,
      ].join(" ")
    ),
    "# Open the NodeHosts again: the masters take over when a majority of these runs",
  ];
}
