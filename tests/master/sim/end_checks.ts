/** What must be so in the end, beside what `RaftWorld.verify()` says of what clusters hold. */
import type { RaftWorld } from "../../../testing/master/raft_world.ts";
import { type Fleet, hostOf, recordOf } from "./fleet.ts";

/** What is not as it is ordered; nothing in the end. */
export function disorder(fleet: Fleet): string[] {
  const { world, alive, deleted } = fleet;
  const troubles = [
    ...world.unsettled([...alive]),
    ...[...deleted].flatMap((id) => deletedTroubles(world, id)),
    ...strangers(fleet),
  ];
  // Where they are is only looked at when there are as many as ordered.
  return troubles.length > 0
    ? troubles
    : [...alive].flatMap((id) => regionTroubles(world, id));
}

/** Voters are where they are wished, as far as there are machines. */
function regionTroubles(world: RaftWorld, clusterId: number): string[] {
  const record = recordOf(world, clusterId)!;
  const regions = Object.values(record.members)
    .map(({ host }) => hostOf(world, host)?.region);
  return (record.def?.regions ?? []).flatMap(({ region, count }) => {
    const machines = world.machines.filter((one) => one.region === region);
    const possible = Math.min(count, machines.length, record.def!.size);
    const there = regions.filter((one) => one === region).length;
    return there >= possible ? [] : [
      `cluster ${clusterId} has ${there} voters in ${region} instead of ${possible}`,
    ];
  });
}

/** Nothing is left in the store of a cluster that was deleted but that its id is used up. */
function deletedTroubles(world: RaftWorld, clusterId: number): string[] {
  const { kv } = world;
  const troubles: string[] = [];
  if (recordOf(world, clusterId) !== undefined) {
    return [`cluster ${clusterId} was deleted, and is still known`];
  }
  if (kv.peek(["tomb", clusterId]).value === null) {
    troubles.push(`the id of cluster ${clusterId} may be used again`);
  }
  for (const prefix of ["m", "q"]) {
    const left = kv.peekAll([prefix]).filter(({ key }) => key[2] === clusterId);
    for (const { key } of left) troubles.push(`${key.join(" ")} is left`);
  }
  return troubles;
}

/** Masters know of no cluster that nobody ordered. */
function strangers({ world, alive, deleted }: Fleet): string[] {
  return world.kv.peekAll(["c"]).map(({ key }) => Number(key[1]))
    .filter((id) => !alive.has(id) && !deleted.has(id))
    .map((id) => `cluster ${id} is known, and nobody ordered it`);
}
