/** How soon many clusters have leaders again when the NodeHost is gone that led most of them, counted in ticks. */
import { assert } from "../deps.ts";
import { recoverBoundMs } from "../../bench/idle_targets.ts";
import { MemoryNetwork } from "../../raft/transport/memory.ts";
import { Hosts } from "../support/hosts.ts";
import { ManualClock } from "./snapshot_world.ts";

const tickMs = 200;
const electionTimeoutTicks = 10;
const clusterIds = Array.from({ length: 40 }, (_, i) => i + 1);

/** What is sent arrives when all NodeHosts have had the tick, so that two may campaign without knowing of each other. */
function slowNetwork(clock: ManualClock): MemoryNetwork {
  return new MemoryNetwork({
    defer: (callback) => {
      let turns = 8;
      const wait = () => turns-- > 0 ? clock.defer(wait) : callback();
      wait();
    },
  });
}

/** Lets a tick pass on all NodeHosts at once, and everything happen that follows from it. */
async function tick(clock: ManualClock): Promise<void> {
  clock.advance(tickMs);
  await clock.settle(200);
}

async function untilSo(
  clock: ManualClock,
  what: string,
  isSo: () => boolean,
): Promise<number> {
  for (let ticks = 0; ticks < 50 * electionTimeoutTicks; ticks++) {
    if (isSo()) return ticks;
    await tick(clock);
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Three NodeHosts whose clusters all have a leader, and are quiet if they may be. */
async function ready(clock: ManualClock, quiesce: boolean): Promise<Hosts> {
  const hosts = new Hosts();
  hosts.clock = clock;
  hosts.network = slowNetwork(clock);
  for (const n of [1, 2, 3]) {
    await hosts.open(n, { tickMs, spreadLeaders: false });
    for (const clusterId of clusterIds) {
      await hosts.host(n).startCluster(
        hosts.cluster(n, 3, { clusterId, quiesce, electionTimeoutTicks }),
      );
    }
  }
  const isLed = (id: number) => hosts.leader(hosts.leader(1, id) || 1, id) > 0;
  await untilSo(clock, "leaders", () => clusterIds.every(isLed));
  if (quiesce) {
    await untilSo(
      clock,
      "quiet",
      () =>
        [1, 2, 3].every((n) =>
          hosts.host(n).info().clusters.every(({ isQuiet }) => isQuiet)
        ),
    );
  }
  for (let i = 0; i < 3; i++) await tick(clock);
  return hosts;
}

/** Its log fails at a proposal to a cluster: it drops its connections, and hands nothing over. */
async function kill(
  clock: ManualClock,
  hosts: Hosts,
  n: number,
  clusterId: number,
) {
  hosts.disk(n).faults = {
    beforeSync: () => {
      throw new Error("the disk is gone");
    },
  };
  hosts.host(n).propose(clusterId, Uint8Array.of(1)).catch(() => {});
  await clock.settle(200);
}

/** Closes all; what is handed over at that needs time. */
async function end(clock: ManualClock, hosts: Hosts): Promise<void> {
  let isClosed = false;
  const closing = Promise.all([1, 2, 3].map((n) => hosts.close(n)))
    .finally(() => isClosed = true);
  while (!isClosed) await tick(clock);
  await closing;
  clock.stop();
}

for (const isQuiet of [false, true]) {
  Deno.test(`All ${isQuiet ? "quiet " : ""}clusters of a NodeHost that is gone have a leader within the bound that docs/IDLE.md states (rule C10)`, async () => {
    const clock = new ManualClock();
    const hosts = await ready(clock, isQuiet);
    const victim = 1;
    const led = clusterIds.filter((id) => hosts.leader(1, id) === victim);
    const [woken, ...lost] = led; // What kills the NodeHost wakes one cluster.
    assert.ok(lost.length > 5);
    await kill(clock, hosts, victim, woken!);
    const ticks = await untilSo(clock, "new leaders", () =>
      lost.every((id) => {
        const leader = hosts.leader(2, id);
        return leader > 1 && hosts.leader(leader, id) === leader;
      }));
    const boundMs = recoverBoundMs({
      tickMs,
      electionTimeoutTicks,
      isQuiet,
      lost: lost.length,
    });
    // Messages and disks take no time here, so that the elections need none of theirs.
    const most = boundMs / tickMs - electionTimeoutTicks;
    assert.ok(ticks <= most, `${ticks} ticks, of ${most}`);
    await end(clock, hosts);
  });
}
