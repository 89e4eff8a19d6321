/** What the parts of a store share. */
import type { EventListener } from "./history.ts";
import type { KvAccess } from "./kv_access.ts";
import type { Pace } from "./pace.ts";
import type { Limits } from "./scheduler/view.ts";
import type { TickWatch } from "./tick_watch.ts";

/** What the parts of a store work with. */
export interface StoreContext extends Pace {
  /** Reads and commits. */
  readonly access: KvAccess;
  /** How much may be done at once. */
  readonly limits: Limits;
  /** Decisions of one round that ask NodeHosts for something. */
  readonly decisionsPerRound: number;
  /** Milliseconds of one round. */
  readonly roundMs: number;
  /** What this instance has seen of time. */
  readonly ticks: TickWatch;
  /** Hears of every event that this instance stored. */
  readonly onEvent: EventListener | undefined;
}
