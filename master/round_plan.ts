/** What the next round would do, without doing it. For people: it may be old when they read it. */
import type { KvEntry } from "./kv.ts";
import { decideAdoption } from "./round_adopt.ts";
import { refreshed } from "./round_decide.ts";
import { newRoundState, viewOf } from "./round_state.ts";
import { clockKey, clusterKey, readClock, readCluster } from "./schema.ts";
import { decide } from "./scheduler/decide.ts";
import type { StoreContext } from "./store_context.ts";
import { isManaged } from "./cluster_image.ts";

/** What would be done about one cluster. */
export interface PlannedDecision {
  /** The cluster. */
  clusterId: number;
  /** `change`, `settle` (as desired: off the list), or `nothing`. */
  do: "change" | "settle" | "nothing";
  /** One word; empty if it is a step on the way. */
  what: string;
  /** The step: what a NodeHost would be asked to do. */
  step?: string;
  /** Why, or why not. */
  why: string;
}

const clustersMax = 1_000;

/** Decides about every cluster on the to-do list, and writes nothing. */
export async function planRound(
  context: StoreContext,
  epoch: string,
): Promise<PlannedDecision[]> {
  const { access } = context;
  const attention = await access.listNow({ prefix: ["att"] }, clustersMax);
  const hosts = await access.listNow({ prefix: ["h"] });
  const slots = await access.listNow({ prefix: ["slot"] });
  const clockEntry = await access.get(clockKey);
  const clock = readClock(clockEntry.value, access.now());
  const state = newRoundState(context, { epoch, clock, hosts, slots });
  const ids = attention.map(({ key }: KvEntry) => Number(key[1]));
  const entries = await access.getMany(ids.map(clusterKey));
  const planned: PlannedDecision[] = [];
  for (const [i, { value }] of entries.entries()) {
    const clusterId = ids[i]!;
    const stored = readCluster(value);
    if (stored === undefined) continue;
    const image = isManaged(stored)
      ? await refreshed(state, clusterId, stored)
      : stored;
    const view = viewOf(state, (image.def?.size ?? 0) + 1);
    const decision = isManaged(stored)
      ? decide(view, image)
      : await decideAdoption(state, clusterId, image);
    if (decision === undefined) continue;
    const step = decision.do === "change" ? decision.next.step : undefined;
    planned.push({
      clusterId,
      do: decision.do,
      what: decision.do === "change" ? decision.what : "",
      ...(step === undefined || step.n === image.step?.n
        ? {}
        : { step: step.kind }),
      why: decision.do === "settle" ? "it is as desired" : decision.why,
    });
  }
  return planned;
}
