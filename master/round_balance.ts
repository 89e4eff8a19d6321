/** Spreads nodes and leaders while nothing else is to be done (M14): one cluster at a time. */
import { readCluster } from "./schema.ts";
import { clusterKey } from "./schema.ts";
import { carryOut } from "./round_decide.ts";
import { type RoundState, rowsOfHost, viewOf } from "./round_state.ts";
import {
  type Imbalance,
  isCalm,
  leaderImbalance,
  moveLeader,
  moveNode,
  nodeImbalance,
} from "./scheduler/balance.ts";
import type { Decision, View } from "./scheduler/view.ts";
import type { ClusterImage } from "./cluster_image.ts";

/** Ticks between two moves: what the last one did must have been reported. */
const pauseTicks = 3;

/** Ticks until it is tried again when nothing could be moved: looking costs reads. */
const vainTicks = 30;

/** So many clusters are looked at for one that can be moved. */
const triesMax = 20;

/** Moves one node or one leader, if that makes things more even. */
export async function balance(state: RoundState): Promise<void> {
  const { tick, balanceAt = 0 } = state.clock;
  const view = viewOf(state, 1);
  if (tick < balanceAt || !isCalm(view)) return;
  const nodes = nodeImbalance(view);
  const leaders = leaderImbalance(view);
  if (nodes === undefined && leaders === undefined) return;
  const isMoved = (nodes !== undefined && await balanceNodes(state, nodes)) ||
    (leaders !== undefined && await balanceLeaders(state, leaders));
  const next = tick + (isMoved ? pauseTicks : vainTicks);
  state.clock = { ...state.clock, balanceAt: next };
}

async function balanceNodes(
  state: RoundState,
  from: Imbalance,
): Promise<boolean> {
  const ids = await clustersOn(state, from.from);
  return await moveOne(state, { ids, from, move: moveNode });
}

async function balanceLeaders(
  state: RoundState,
  from: Imbalance,
): Promise<boolean> {
  const rows = await rowsOfHost(state, from.from);
  const ids = [...rows.values()].filter((row) => row.isLeader)
    .map((row) => row.clusterId);
  return await moveOne(state, { ids, from, move: moveLeader });
}

async function clustersOn(
  { context: { access }, clock: { tick } }: RoundState,
  hostId: string,
): Promise<number[]> {
  const entries = await access.listNow({ prefix: ["m", hostId] }, 1_000);
  const ids = entries.map(({ key }) => Number(key[2]));
  const begin = ids.length === 0 ? 0 : tick * 31 % ids.length;
  return [...ids.slice(begin), ...ids.slice(0, begin)];
}

async function moveOne(
  state: RoundState,
  parts: {
    ids: readonly number[];
    from: Imbalance;
    move: (view: View, image: ClusterImage, from: Imbalance) => Decision;
  },
): Promise<boolean> {
  const { ids, from, move } = parts;
  const tried = ids.slice(0, triesMax);
  const entries = await state.context.access.getMany(tried.map(clusterKey));
  for (const [i, entry] of entries.entries()) {
    const image = readCluster(entry.value);
    if (image === undefined) continue;
    // A new id for each: the last commit may have happened although it was said to have failed.
    const decision = move(viewOf(state, 1), image, from);
    if (decision.do !== "change") continue;
    const clusterId = tried[i]!;
    const one = { clusterId, entry, attention: undefined, image, decision };
    if (await carryOut(state, one)) return true;
  }
  return false;
}
