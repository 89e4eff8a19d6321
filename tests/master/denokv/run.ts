/**
 * Masters and NodeHosts as processes on a real denokv, killed at random while clients write: masters one after the other
 * until every cluster is repaired, which takes 40 periods at most. Then every cluster must take writes; at the end nothing
 * that was acknowledged is lost, and no zombie is left.
 */
import { Fleet, type HostMember, type Member } from "./fleet.ts";
import { ledgerName } from "./ledger.ts";
import { Operator } from "./operator.ts";
import { type Survey, survey } from "./survey.ts";
import { Writers } from "./writers.ts";

/** How much of it. */
export interface RunOptions {
  /** The denokv server's program. */
  readonly denokv: string;
  /** An empty folder. */
  readonly dir: string;
  /** Rounds of killing. */
  readonly rounds: number;
  /** Clusters of three. */
  readonly clusters: number;
  /** Masters. */
  readonly masters: number;
  /** NodeHosts. */
  readonly hosts: number;
  /** Between two reports, in milliseconds. */
  readonly periodMs: number;
  /** Which of the runs it is: what is killed when follows from it. */
  readonly seed: number;
  /** Told what happens. */
  readonly say: (text: string) => void;
}

/** What came of it. */
export interface RunSummary {
  /** Rounds. */
  readonly rounds: number;
  /** The longest that it took from the first kill of a round until every cluster was whole, in periods of the masters' time. */
  readonly periodsMax: number;
  /** The same from the NodeHost's death on, by the clock. */
  readonly periodsByClockMax: number;
  /** Masters that were killed. */
  readonly mastersKilled: number;
  /** Those of them that died while clusters were being repaired. */
  readonly mastersKilledInRepairs: number;
  /** Commands that were acknowledged. */
  readonly acknowledged: number;
  /** How long all of it took. */
  readonly seconds: number;
}

/** A round must be mended within so many periods of the masters' own time. By the clock it is for the caller to judge. */
export const periodsAllowed = 40;
/** On a machine that has much else to do the masters' time runs more slowly; this slow is stuck. */
const slownessMax = 4;
/** Once it is whole, a cluster must take a write within so long: its client waits for answers that never come, too. */
const writePatienceMs = 30_000;
/** Between two deaths of masters while clusters are repaired, in periods. */
const masterLifePeriods = [2, 6] as const;
const launchPatienceMs = 60_000;
const pollMs = 250;
const writePauseMs = 150;
/** What one run has in common. */
interface Stage {
  readonly options: RunOptions;
  readonly fleet: Fleet;
  readonly operator: Operator;
  readonly clusterIds: readonly number[];
  readonly random: () => number;
  /** For what is killed when time has come, so that what a round kills follows from the seed alone. */
  readonly randomMeanwhile: () => number;
  /** Masters that were killed so far: at all, and while clusters were being repaired. */
  readonly killed: { masters: number; inRepairs: number };
}

/**
 * Does all of it.
 *
 * @throws {Error} that says what was lost, not mended in time, or left over.
 */
export async function runOnDenokv(options: RunOptions): Promise<RunSummary> {
  const startedAt = performance.now();
  const died = Promise.withResolvers<never>();
  died.promise.catch(() => {});
  const fleet = new Fleet({
    ...options,
    onUnexpectedEnd: (why) => died.reject(new Error(`Died: ${why}`)),
  });
  try {
    const result = await Promise.race([tell(options, fleet), died.promise]);
    const seconds = Math.round((performance.now() - startedAt) / 1_000);
    return { ...result, seconds };
  } catch (error) {
    options.say(fleet.tails());
    throw error;
  } finally {
    await fleet.close();
  }
}

async function tell(
  options: RunOptions,
  fleet: Fleet,
): Promise<Omit<RunSummary, "seconds">> {
  const { say, clusters } = options;
  await fleet.start();
  const urls = fleet.masters.map(({ url }) => url);
  const operator = new Operator(urls, fleet.operatorToken);
  const clusterIds = Array.from({ length: clusters }, (_, i) => i + 1);
  const random = randomFrom(options.seed);
  const killed = { masters: 0, inRepairs: 0 };
  const stage: Stage = {
    options,
    fleet,
    operator,
    clusterIds,
    random,
    randomMeanwhile: randomFrom(options.seed + 1_000_000),
    killed,
  };
  await launch(stage);

  const deploymentId = await operator.deploymentId();
  const [clientAddress, ...peers] = [
    `127.0.0.1:${clientPort()}`,
    ...fleet.raftAddresses,
  ];
  const writers = await Writers.open({
    raftAddress: clientAddress,
    peers,
    deploymentId,
    clusterIds,
  });
  try {
    writers.start(writePauseMs);
    let periodsMax = 0;
    let periodsByClockMax = 0;
    for (let round = 1; round <= options.rounds; round++) {
      const before = writers.acknowledged;
      const { periods, periodsByClock } = await runRound(stage, round);
      periodsMax = Math.max(periodsMax, periods);
      periodsByClockMax = Math.max(periodsByClockMax, periodsByClock);
      if (writers.failure !== undefined) throw writers.failure;
      const written = writers.acknowledged - before;
      say(`   ${written} commands were acknowledged meanwhile`);
      await untilAllWrite(writers);
    }
    await writers.stop();
    const findings = await writers.findings();
    if (findings.length > 0) {
      const list = findings.map(({ clusterId, what }) =>
        `cluster ${clusterId}: ${what}`
      );
      throw new Error(`Lost: ${list.join("; ")}`);
    }
    await untilMended(stage, "the end", [], await operator.tick());
    const { acknowledged } = writers;
    const { rounds } = options;
    return {
      rounds,
      periodsMax,
      periodsByClockMax,
      mastersKilled: killed.masters,
      mastersKilledInRepairs: killed.inRepairs,
      acknowledged,
    };
  } finally {
    await writers.close();
  }
}

/** Everybody is known before the first cluster is placed, so that all take part. */
async function launch(stage: Stage): Promise<void> {
  const { fleet, operator, clusterIds, options: { say } } = stage;
  const startedAt = performance.now();
  const deadline = startedAt + launchPatienceMs;
  while ((await operator.hostStates()).size < fleet.hosts.length) {
    if (performance.now() > deadline) {
      throw new Error("NodeHosts do not report");
    }
    await pause(pollMs);
  }
  for (const id of clusterIds) {
    await operator.create(id, ledgerName, {
      snapshotEntries: 200,
      compactionOverhead: 50,
    });
  }
  for (;;) {
    const { lacks } = await survey(fleet, operator, clusterIds, []);
    if (lacks.length === 0) break;
    if (performance.now() > deadline) {
      throw new Error(`Not launched: ${lacks.slice(0, 5).join("; ")}`);
    }
    await pause(pollMs);
  }
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  say(`${clusterIds.length} clusters run after ${seconds} s`);
}

/** What a round kills. */
interface Victims {
  readonly masters: readonly Member[];
  readonly host: HostMember;
  /** Whether the NodeHost is only started again once every cluster is whole without it. */
  readonly staysDead: boolean;
  /** One that dies as well, and comes back: with two for good, clusters of three would lose their majority. */
  readonly second: HostMember | undefined;
}

function drawVictims({ fleet, random }: Stage): Victims {
  const draw = <T>(all: readonly T[]) =>
    all[Math.floor(random() * all.length)]!;
  const host = draw(fleet.hosts);
  const staysDead = random() < 0.6;
  const masters = fleet.masters.filter(() => random() < 0.6);
  if (masters.length === 0) masters.push(draw(fleet.masters));
  const others = fleet.hosts.filter((one) => one !== host);
  const second = random() < 0.4 ? draw(others) : undefined;
  return { masters, host, staysDead, second };
}

function describe({ masters, host, staysDead, second }: Victims): string {
  const names = masters.map(({ name }) => name).join(", ");
  const fate = staysDead ? "stays dead" : "comes back at once";
  const more = second === undefined
    ? ""
    : `, and ${second.name}, which comes back`;
  return `Killing ${names}, and ${host.name}, which ${fate}${more}`;
}

/** Kills some, and masters until every cluster is whole again; returns how many periods it took. */
async function runRound(
  stage: Stage,
  round: number,
): Promise<{ periods: number; periodsByClock: number }> {
  const { fleet, operator, random, killed, options: { say, periodMs } } = stage;
  const victims = drawVictims(stage);
  const { masters, host, staysDead, second } = victims;
  say(`${round}. ${describe(victims)}`);
  const killedAtTick = await operator.tick();
  for (const master of masters) {
    master.child.kill();
    killed.masters++;
    await pause(random() * 300);
  }
  host.child.kill();
  second?.child.kill();
  const killedAt = performance.now();
  await pause(random() * 1_000);
  for (const master of masters) await fleet.restartMaster(master);
  if (second !== undefined) await fleet.restartHost(second);
  if (!staysDead) await fleet.restartHost(host);
  const dead = staysDead ? [host] : [];
  const before = killed.inRepairs;
  await whileMastersDie(
    stage,
    untilMended(stage, `round ${round}`, dead, killedAtTick),
  );
  const seconds = (performance.now() - killedAt) / 1_000;
  const periods = await operator.tick() - killedAtTick;
  const periodsByClock = Math.round(seconds * 10_000 / periodMs) / 10;
  say(
    `   mended after ${periods} periods of the masters' time, ${
      seconds.toFixed(1)
    } s (${periodsByClock} periods by the clock), in which ${
      killed.inRepairs - before
    } more masters were killed`,
  );
  if (staysDead) {
    await fleet.restartHost(host);
    const back = await operator.tick();
    await untilMended(stage, `the return of ${host.name}`, [], back);
    say(`   ${host.name} is back, and what it ran is stopped`);
  }
  return { periods, periodsByClock };
}

/** One master after the other is killed and started again, until `work` is over. */
async function whileMastersDie(
  { fleet, randomMeanwhile: random, killed, options: { periodMs } }: Stage,
  work: Promise<void>,
): Promise<void> {
  const over = new AbortController();
  const [least, most] = masterLifePeriods;
  const kill = async () => {
    for (;;) {
      await pause((least + random() * (most - least)) * periodMs);
      if (over.signal.aborted) return;
      const master = fleet
        .masters[Math.floor(random() * fleet.masters.length)]!;
      master.child.kill();
      killed.masters++;
      killed.inRepairs++;
      await fleet.restartMaster(master);
    }
  };
  const killing = kill();
  killing.catch(() => {}); // Told below.
  try {
    await Promise.race([work, killing]);
  } finally {
    over.abort();
    await killing;
  }
}

/** Waits until every cluster took a write: that some did says nothing of the others. */
async function untilAllWrite(writers: Writers): Promise<void> {
  const before = writers.acknowledgedByCluster();
  const deadline = performance.now() + writePatienceMs;
  for (;;) {
    const after = writers.acknowledgedByCluster();
    const stuck = [...before].filter(([id, count]) => after.get(id) === count)
      .map(([id]) => id);
    if (stuck.length === 0) return;
    if (writers.failure !== undefined) throw writers.failure;
    if (performance.now() > deadline) {
      throw new Error(
        `Nobody could write to clusters ${stuck.join(", ")} for ${
          writePatienceMs / 1_000
        } s after all was mended`,
      );
    }
    await pause(pollMs);
  }
}

/** Waits until every cluster is whole and nothing else runs, `periodsAllowed` from a tick of the masters' time on. */
async function untilMended(
  stage: Stage,
  what: string,
  dead: readonly HostMember[],
  fromTick: number,
): Promise<void> {
  const { fleet, operator, clusterIds, options: { periodMs } } = stage;
  const tickAllowed = fromTick + periodsAllowed;
  const deadline = performance.now() + periodsAllowed * periodMs * slownessMax;
  for (;;) {
    const found = await survey(fleet, operator, clusterIds, dead);
    if (found.lacks.length === 0 && found.zombies.length === 0) {
      const states = await operator.hostStates();
      const isKnown = dead.every(({ nodeHostId }) =>
        states.get(nodeHostId) === "failed"
      );
      if (isKnown) return;
    }
    if (performance.now() > deadline || await operator.tick() > tickAllowed) {
      throw new Error(
        `Not mended ${periodsAllowed} periods after ${what}: ${
          textOf(found)
        }${await recordOfFirst(operator, found)}`,
      );
    }
    await pause(pollMs);
  }
}

/** What the masters know of the first cluster that is named. */
async function recordOfFirst(
  operator: Operator,
  { lacks, zombies }: Survey,
): Promise<string> {
  const found = /cluster (\d+)/.exec([...lacks, ...zombies].join());
  if (found === null) return "";
  const record = await operator.cluster(Number(found[1]));
  return `\nCluster ${found[1]}: ${JSON.stringify(record)}`;
}

function textOf({ lacks, zombies }: Survey): string {
  const all = [...lacks, ...zombies.map((one) => `${one} still runs`)];
  const more = all.length > 8 ? `, and ${all.length - 8} more` : "";
  return all.slice(0, 8).join("; ") + more;
}

/** A port for the clients; nobody is to come back to it. */
function clientPort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** The same numbers for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
