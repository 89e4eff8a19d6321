/**
 * Clusters that nobody gave to the master, and that its operators want it to take (M7): once the NodeHosts of a majority
 * of their voters list them under the membership that is known, and say that the state machine is the one that a rule
 * names. One NodeHost that says so is not believed.
 */
import {
  type ClusterImage,
  quorumOf,
  ruleFor,
  votersOf,
} from "./cluster_image.ts";
import { adoptedAs, isManaged } from "./cluster_image.ts";
import type { KvEntry } from "./kv.ts";
import { type RoundState, rowsOfHost, viewOf } from "./round_state.ts";
import { hostAt } from "./store_address.ts";
import { attentionKey, readCluster, schemaVersion } from "./schema.ts";
import { change } from "./scheduler/step.ts";
import { type Decision, isAlive, nothing } from "./scheduler/view.ts";

const walkPage = 200;

/** Decides about one that is not managed; `undefined` if no rule is about it. */
export async function decideAdoption(
  state: RoundState,
  clusterId: number,
  image: ClusterImage,
): Promise<Decision | undefined> {
  const rule = ruleFor(state.clock.adopt, image);
  if (rule === undefined) return undefined;
  const view = viewOf(state, 0);
  if (view.isBraked) return nothing("the brake is on");
  const voters = votersOf(image);
  const members = { ...image.members };
  let count = 0;
  for (const id of voters) {
    const member = members[id]!;
    const host = member.host ??
      await hostAt(state.context.access, member.address);
    if (host === undefined || !isAlive(view, host)) continue;
    const row = (await rowsOfHost(state, host)).get(clusterId);
    if (row?.nodeId !== id || row.pending) continue;
    if (row.configChangeIndex !== image.cci) continue;
    if (image.apps?.[id] !== rule.app) continue;
    members[id] = { ...member, host };
    count++;
  }
  if (count < quorumOf(voters.length)) {
    return nothing(
      `to be adopted: ${count} of its ${voters.length} voters report it as "${rule.app}"`,
    );
  }
  return change(adoptedAs({ ...image, members }, rule), {
    hosts: [],
    what: "adopted",
    why: `its state machine is "${rule.app}", and a majority reports it`,
  });
}

/** Puts clusters on the to-do list that were known before a rule was: a page in each round, until all were looked at. */
export async function walkForAdoption(state: RoundState): Promise<void> {
  const { adoptCursor: after, adopt, tick } = state.clock;
  if (after === undefined) return;
  const { access } = state.context;
  const page = await access.listNow({
    prefix: ["c"],
    start: ["c", after + 1],
  }, walkPage);
  const found = page.filter(({ value }: KvEntry) => {
    const image = readCluster(value);
    return image !== undefined && !isManaged(image) &&
      ruleFor(adopt, image) !== undefined;
  });
  if (found.length > 0) {
    const w = access.randomHex(8);
    const atomic = access.atomic();
    for (const { key } of found) {
      atomic.set(attentionKey(Number(key[1])), { v: schemaVersion, w, tick });
    }
    const { ok } = await access.tryCommit(atomic);
    if (!ok) return; // The next round looks again.
    state.isBusy = true;
  }
  const { adoptCursor: _, ...clock } = state.clock;
  state.clock = page.length < walkPage
    ? clock
    : { ...clock, adoptCursor: Number(page.at(-1)!.key[1]) };
}
