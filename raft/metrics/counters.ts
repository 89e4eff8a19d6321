/** What the driver of a NodeHost counts: one object that all its parts share, so that counting is one addition. */
import { type CoreCounters, newCoreCounters } from "../core/counters.ts";
import type { RaftErrorCode } from "../errors.ts";
import {
  newTransportCounters,
  type TransportCounters,
} from "../transport/counters.ts";
import { Histogram } from "./histogram.ts";

/** Why a proposal was refused before it entered a log. */
export type RefusalReason =
  | "busy"
  | "notReady"
  | "diskFull"
  | "payloadTooBig"
  | "closed";

/** Whole numbers that only grow, and latencies. */
export class Counters {
  /** What the cores count. */
  readonly core: CoreCounters = newCoreCounters();
  /** What the connections count. */
  readonly transport: TransportCounters = newTransportCounters();
  /** From the oldest proposal of a batch being made to the batch being applied here, for each proposal of it. */
  readonly propose: Histogram = new Histogram();
  /** From a group of log records being handed to the disk to its being durable. */
  readonly sync: Histogram = new Histogram();
  /** From entries being known to be committed and durable here to their being applied, for each range of them. */
  readonly apply: Histogram = new Histogram();
  /** Entries proposed here as leader. */
  proposals = 0;
  /** Entries that this NodeHost sent to a leader elsewhere. */
  proposalsForwarded = 0;
  /** Proposals refused before they entered a log, by reason. */
  readonly proposalsRefused: Record<RefusalReason, number> = {
    busy: 0,
    notReady: 0,
    diskFull: 0,
    payloadTooBig: 0,
    closed: 0,
  };
  /** Proposals whose deadline passed before they were applied here. */
  proposalsTimedOut = 0;
  /** Linearizable reads asked for. */
  reads = 0;
  /** Rounds by which they were confirmed, by heartbeats or a lease. */
  readRounds = 0;
  /** Rounds that were given up because the leader changed or did not answer. */
  readRoundsDropped = 0;
  /** Entries that were applied. */
  entriesApplied = 0;
  /** Groups of records written to the log. */
  logGroups = 0;
  /** Records in them. */
  logRecords = 0;
  /** Times a node saw another leader or term. */
  leaderChanges = 0;
  /** Membership changes that took effect. */
  membershipChanges = 0;
  /** Nodes that were started. */
  nodesStarted = 0;
  /** Nodes that stopped because something went wrong with them. */
  nodesFailed = 0;
  /** Snapshots saved. */
  snapshotsSaved = 0;
  /** Attempts to save one that failed. */
  snapshotSaveFailures = 0;
  /** Snapshots that another member has now. */
  snapshotsSent = 0;
  /** Attempts to send one that failed. */
  snapshotSendFailures = 0;
  /** Snapshots received. */
  snapshotsReceived = 0;
  /** Times a state machine was restored from one while its node ran. */
  snapshotsRecovered = 0;
  /** Times a write to the log took longer than an election timeout. */
  diskStalls = 0;
  /** Times the event loop was held for longer than half an election timeout. */
  loopHolds = 0;

  /** A proposal was refused with an error of this code. */
  refused(code: RaftErrorCode): void {
    const reasons = this.proposalsRefused;
    switch (code) {
      case "busy":
      case "notReady":
      case "diskFull":
      case "payloadTooBig":
        reasons[code]++;
        return;
      default:
        reasons.closed++;
    }
  }
}
