/** Spreads nodes and leaders while nothing else is to be done (M14): one cluster at a time. */
import { readCluster } from "./schema.ts";
import { clusterKey } from "./schema.ts";
import {
  carryOut,
  type RoundState,
  rowsOfHost,
  viewOf,
} from "./round_decide.ts";
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

/** So many clusters are looked at for one that can be moved. */
const triesMax = 20;

/** Moves one node or one leader, if that makes things more even. */
export async function balance(state: RoundState): Promise<void> {
  const { tick, movedAt } = state.clock;
  if (movedAt !== undefined && tick - movedAt < pauseTicks) return;
  const view = viewOf(state, 1);
  if (!isCalm(view)) return;
  const nodes = nodeImbalance(view);
  if (nodes !== undefined) {
    const ids = await clustersOn(state, nodes.from);
    if (await moveOne(state, { view, ids, from: nodes, move: moveNode })) {
      return;
    }
  }
  const leaders = leaderImbalance(view);
  if (leaders === undefined) return;
  const rows = await rowsOfHost(state, leaders.from);
  const led = [...rows.values()].filter((row) => row.isLeader)
    .map((row) => row.clusterId);
  await moveOne(state, { view, ids: led, from: leaders, move: moveLeader });
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
    view: View;
    ids: readonly number[];
    from: Imbalance;
    move: (view: View, image: ClusterImage, from: Imbalance) => Decision;
  },
): Promise<boolean> {
  const { view, ids, from, move } = parts;
  const tried = ids.slice(0, triesMax);
  const entries = await state.context.access.getMany(tried.map(clusterKey));
  for (const [i, entry] of entries.entries()) {
    const image = readCluster(entry.value);
    if (image === undefined) continue;
    const decision = move(view, image, from);
    if (decision.do !== "change") continue;
    const clusterId = tried[i]!;
    const one = { clusterId, entry, attention: undefined, image };
    if (await carryOut(state, one, decision)) {
      state.clock = { ...state.clock, movedAt: state.clock.tick };
      return true;
    }
  }
  return false;
}
