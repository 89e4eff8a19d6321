/**
 * Who is alive (M5). Pure. Time is logical: it grows by one at most once a period, and only because NodeHosts report,
 * so neither an outage of the masters nor a clock that jumps makes anybody die.
 */
import {
  type BrakeRecord,
  type ClockRecord,
  type HostRecord,
  ttlOf,
} from "./schema.ts";

/** Part of a period that must have passed before time grows. */
const periodShare = 0.8;

/** A NodeHost that others still hear is left alone for so many times the TTL. */
const unreportedFactor = 10;

/** At most so many silent NodeHosts are asked about at once; of more it is these and those in turn. */
const silentMax = 64;

/** An answer about one holds for so many ticks, in which others can be asked about. */
const hearsTicks = 3;

/** Whether nothing is to be removed or stopped: an operator said so, or too many are silent to believe it. */
export function isHeld({ paused, brake }: ClockRecord): boolean {
  return paused || (brake !== undefined && brake.isReleased !== true);
}

/**
 * Whether a report makes time grow: its NodeHost was heard in this tick already, and most of a period has passed by
 * this master's clock, in whatever direction.
 */
export function isTickDue(
  clock: Pick<ClockRecord, "tick" | "atMs">,
  hostTick: number | undefined,
  nowMs: number,
  periodMs: number,
): boolean {
  return hostTick === clock.tick &&
    Math.abs(nowMs - clock.atMs) >= periodShare * periodMs;
}

/**
 * The longest period that a NodeHost was told which is heard: masters of different periods may share a store, and one
 * may just have been replaced by another. `undefined` if no record says.
 */
export function longestPeriodMs(
  hosts: ReadonlyMap<string, HostRecord>,
  tick: number,
  ttl: number,
): number | undefined {
  let longest: number | undefined;
  for (const host of hosts.values()) {
    const { periodMs, state } = host;
    if (periodMs === undefined || state !== "ok") continue;
    if (tick - host.tick > ttlOf(host, ttl)) continue;
    longest = Math.max(longest ?? 0, periodMs);
  }
  return longest;
}

/** A tick lasts so long for a master with this period: nobody is to be missed who keeps what another one told it. */
export function tickPeriodMs(clock: ClockRecord, periodMs: number): number {
  return Math.max(periodMs, clock.periodMs ?? 0);
}

/** Whether the NodeHost is silent to masters, but another one that is not says that it hears it. */
export function isUnreported(
  hostId: string,
  hosts: ReadonlyMap<string, HostRecord>,
  tick: number,
  ttl: number,
): boolean {
  const host = hosts.get(hostId);
  if (
    host === undefined ||
    tick - host.tick > unreportedFactor * ttlOf(host, ttl)
  ) return false;
  return [...hosts.values()].some((other) => {
    const heardAt = other.hears?.[hostId];
    const longest = ttlOf(other, ttl);
    return heardAt !== undefined &&
      tick - heardAt <= Math.max(longest, hearsTicks) &&
      tick - other.tick <= longest;
  });
}

/** What a round finds about the NodeHosts. */
export interface Census {
  /** They were silent for too long, and are to be taken for dead. */
  readonly failing: readonly string[];
  /** Silent, but not for too long, or heard by others. */
  readonly silent: readonly string[];
  /** The brake as it should be; `undefined`: off. */
  readonly brake: BrakeRecord | undefined;
}

/** Looks at all NodeHosts. While the brake is on and not released, nobody is taken for dead. */
export function takeCensus(
  clock: ClockRecord,
  hosts: ReadonlyMap<string, HostRecord>,
  ttl: number,
): Census {
  const { tick } = clock;
  const silent: string[] = [];
  const late: string[] = [];
  /** They are late in the next tick, if they are not heard before. */
  const soon: string[] = [];
  for (const [id, host] of hosts) {
    if (host.state !== "ok" && host.state !== "failing") continue;
    const age = tick - host.tick;
    const longest = ttlOf(host, ttl);
    if (age > longest && !isUnreported(id, hosts, tick, ttl)) late.push(id);
    else if (age > 1) {
      silent.push(id);
      if (age === longest) soon.push(id);
    }
  }
  const brake = nextBrake(clock, hosts, late, ttl);
  // Who fell silent in one moment was last heard in one tick or the next: all of them are judged together.
  const isEarly = brake === undefined && late.length > 0 && soon.length > 0 &&
    nextBrake(clock, hosts, [...late, ...soon], ttl) !== undefined;
  const isHeld = isEarly || (brake !== undefined && brake.isReleased !== true);
  return {
    failing: isHeld ? [] : late.sort(),
    silent: inTurn((isHeld ? [...silent, ...late] : silent).sort(), tick),
    brake,
  };
}

/** As many as are asked about at once, others in each tick. */
function inTurn(ids: readonly string[], tick: number): string[] {
  if (ids.length <= silentMax) return [...ids];
  const begin = tick * silentMax % ids.length;
  return [...ids.slice(begin), ...ids.slice(0, begin)].slice(0, silentMax)
    .sort();
}

function nextBrake(
  clock: ClockRecord,
  hosts: ReadonlyMap<string, HostRecord>,
  late: readonly string[],
  ttl: number,
): BrakeRecord | undefined {
  const { brake, tick } = clock;
  const isSilent = (id: string) => {
    const host = hosts.get(id);
    return host !== undefined && host.state !== "gone" &&
      tick - host.tick > ttlOf(host, ttl);
  };
  const stillSilent = brake?.hosts.filter(isSilent) ?? [];
  const isNews = late.some((id) => !stillSilent.includes(id));
  if (brake !== undefined && stillSilent.length > 0) {
    if (brake.isReleased !== true) {
      const all = [...new Set([...stillSilent, ...late])].sort();
      return { ...brake, hosts: all };
    }
    if (!isNews) return brake;
  }
  // Those that failed just before belong to the same trouble.
  const together = [...hosts].filter(([id, host]) =>
    late.includes(id) ||
    (host.state === "failed" && tick - host.tick <= 2 * ttlOf(host, ttl) &&
      brake?.isReleased !== true)
  ).map(([id]) => id);
  if (late.length === 0) return undefined;
  const why = massSilence(hosts, together);
  if (why === undefined) return stillSilent.length > 0 ? brake : undefined;
  return { at: tick, why, hosts: together.sort() };
}

/** Why so much silence cannot be believed; `undefined` if it can. */
function massSilence(
  hosts: ReadonlyMap<string, HostRecord>,
  together: readonly string[],
): string | undefined {
  const present = [...hosts].filter(([id, host]) =>
    host.state === "ok" || host.state === "failing" || together.includes(id)
  );
  if (together.length * 2 > present.length && present.length > 1) {
    return `${together.length} of ${present.length} NodeHosts fell silent at once`;
  }
  const regions = new Set(
    together.map((id) => hosts.get(id)?.region ?? ""),
  );
  for (const region of [...regions].sort()) {
    const there = present.filter(([, host]) => host.region === region);
    if (there.length < 2) continue;
    if (there.every(([id]) => together.includes(id))) {
      return `all ${there.length} NodeHosts of region "${region}" fell silent at once`;
    }
  }
  return undefined;
}
