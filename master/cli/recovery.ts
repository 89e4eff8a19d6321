/** What the command line shows of a cluster that lost its majority. */
import type { Recovery, RecoveryMember } from "../recovery.ts";
import { clusterIdOf, type Given } from "./actions.ts";
import type { Fields, MasterCalls } from "./calls.ts";
import { facts, table } from "./table.ts";

/** The members, with how far their logs go. */
export function recoveryTable(members: readonly RecoveryMember[]): string {
  return table(
    ["node", "role", "address", "host", "state", "term", "index", "applied"],
    members.map((one) => [
      one.nodeId,
      one.role,
      one.address,
      one.nodeHostId,
      one.isGivenUp ? `${one.standing}, given up` : one.standing,
      one.lastTerm,
      one.lastIndex,
      one.appliedIndex,
    ]),
  );
}

/** `drakkar recover ID`: what is known before anything is given up. */
export async function showRecovery(
  calls: MasterCalls,
  given: Given,
): Promise<{ json: Fields; text: string }> {
  const id = clusterIdOf(given);
  const json = await calls.get(`/v1/clusters/${id}/recovery`);
  const recovery = json as unknown as Recovery;
  const { members, hasMajority, gen, configChangeIndex } = recovery;
  const lost = members.filter((one) => one.standing !== "runs");
  const command = [
    `deno task drakkar recover ${id}`,
    `--condemned ${lost.map(({ nodeId }) => nodeId).join()}`,
    `--expected-gen ${gen} --expected-cci ${configChangeIndex}`,
  ].join(" ");
  const open = lost.filter((one) => !one.isGivenUp)
    .map(({ nodeHostId }) => nodeHostId);
  const text = [
    facts([
      ["cluster", id],
      ["life", recovery.life],
      ["voters that run", `${recovery.running} of ${recovery.voters}`],
      ["furthest", recovery.survivor ?? "not known"],
    ]),
    recoveryTable(members),
    recovery.lost,
    ...(hasMajority || lost.length === 0 ? [] : [
      ...(open.length === 0
        ? []
        : [`First give up (dead or revoke): ${open.join(", ")}`]),
      `Then: ${command}`,
    ]),
  ].join("\n\n");
  return { json, text };
}
