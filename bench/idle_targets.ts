/** What mode `idle` is measured against: how soon every cluster must have a leader again, and the targets. Pure. */

/** Of clusters that lost their leader in quiet, so many begin an election in one tick on average. */
const wokenPerTick = 256;

/** What decides how long clusters may be without a leader after a kill. */
export interface RecoverSettings {
  /** The NodeHosts' tick. */
  readonly tickMs: number;
  /** The clusters' election timeout. */
  readonly electionTimeoutTicks: number;
  /** Whether the clusters were quiet. */
  readonly isQuiet: boolean;
  /** How many clusters the killed NodeHost led. */
  readonly lost: number;
}

/**
 * Within how many milliseconds of the kill of a NodeHost's process each cluster that it led has a leader again. A
 * follower that hears nothing campaigns within two election timeouts. One that was quiet does within one, counted from
 * the end of the connection, or within a tick for each 256 clusters that wake, if that is more. A tick may just have
 * passed when the process is killed; and the election itself is given an election timeout, in which the slowest settles
 * it: what takes longer than that has too short an election timeout.
 */
export function recoverBoundMs(settings: RecoverSettings): number {
  const { tickMs, electionTimeoutTicks, isQuiet, lost } = settings;
  const campaignTicks = isQuiet
    ? Math.max(electionTimeoutTicks, Math.ceil(lost / wokenPerTick))
    : 2 * electionTimeoutTicks;
  return (campaignTicks + 1 + electionTimeoutTicks) * tickMs;
}

/** One target, and whether it was met. */
export interface Target {
  /** What was to be less than `under`, with its unit; the worst of three processes counts. */
  readonly name: string;
  readonly under: number;
  readonly found: number;
  readonly met: boolean;
}

/** What the targets look at, of one kind of clusters. */
export interface IdleFound {
  readonly "start_s": number;
  readonly "cpu_percent": readonly number[];
  readonly "rss_mb": readonly number[];
}

/** What was asked for on the machine that docs/IDLE.md names, up to 1,000 and up to 10,000 clusters; nothing for more. */
export function targetsFor(
  clusters: number,
  found: { readonly plain: IdleFound; readonly quiet: IdleFound },
): Target[] {
  const { plain, quiet } = found;
  const target = (name: string, values: readonly number[], under: number) => {
    const worst = Math.max(...values);
    return { name, under, found: worst, met: worst < under };
  };
  if (clusters <= 1_000) {
    return [
      target("plain cpu_percent", plain.cpu_percent, 4),
      target("plain rss_mb", plain.rss_mb, 150),
      target("quiet cpu_percent", quiet.cpu_percent, 0.5),
      target("quiet rss_mb", quiet.rss_mb, 150),
    ];
  }
  if (clusters > 10_000) return [];
  return [
    target("plain start_s", [plain.start_s], 10),
    target("plain rss_mb", plain.rss_mb, 1_024),
    target("quiet start_s", [quiet.start_s], 10),
    target("quiet cpu_percent", quiet.cpu_percent, 5),
    target("quiet rss_mb", quiet.rss_mb, 1_024),
  ];
}
