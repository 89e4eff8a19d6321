/**
 * Looks at a few clusters now and then, whatever the to-do list says: it finds those that should be on it. Since the
 * list is written together with the records that is a safety net; and it finds what only a comparison shows, such as a
 * cluster that could now be where it is wished.
 */
import { isManaged } from "./cluster_image.ts";
import type { KvEntry } from "./kv.ts";
import { type RoundState, viewOf } from "./round_state.ts";
import { attentionKey, readCluster, schemaVersion } from "./schema.ts";
import { decide } from "./scheduler/decide.ts";

const everyTicks = 4;
const page = 8;

/** Looks at the next few clusters. */
export async function sweep(
  state: RoundState,
  attention: readonly KvEntry[],
): Promise<void> {
  const { access } = state.context;
  const { tick, sweep: after } = state.clock;
  if (tick % everyTicks !== 0) return;
  const entries = await access.listNow({
    prefix: ["c"],
    start: ["c", after + 1],
  }, page);
  const listed = new Set(attention.map(({ key }) => Number(key[1])));
  for (const entry of entries) {
    const clusterId = Number(entry.key[1]);
    const image = readCluster(entry.value);
    if (image === undefined || !isManaged(image)) continue;
    if (listed.has(clusterId)) continue;
    const view = viewOf(state, (image.def?.size ?? 0) + 1);
    if (decide(view, image).do === "settle") continue;
    const value = { v: schemaVersion, w: access.randomHex(8), tick };
    const atomic = access.atomic()
      .check({ key: entry.key, versionstamp: entry.versionstamp })
      .set(attentionKey(clusterId), value);
    await access.tryCommit(atomic);
  }
  const last = entries.length < page ? 0 : Number(entries.at(-1)!.key[1]);
  state.clock = { ...state.clock, sweep: last };
}
