/** What the cores of a NodeHost count together, for whoever watches it. A driver gives all its nodes the same object. */

/** Whole numbers that only grow. */
export interface CoreCounters {
  /** Times a node asked whether it could win an election (pre-vote, thesis 9.6). */
  preCampaigns: number;
  /** Times a node began a new term to become its leader. */
  campaigns: number;
  /** Times a node that heard no leader had to let others try: not admitted, being restored, or with changes to apply. */
  campaignsSkipped: number;
  /** Elections won. */
  electionsWon: number;
  /** Times a leader stepped down because it heard from no quorum (rule C5). */
  quorumsLost: number;
  /** Appends that did not fit this node's log; their sender goes back, or sends a snapshot. */
  appendsRejected: number;
  /** Snapshots that brought this node nothing, or made no sense. */
  snapshotsRejected: number;
  /** Entries that the core did not take because this node does not lead, or hands leadership over. */
  proposalsDropped: number;
  /** Transfers of leadership that this node began as leader. */
  transfersStarted: number;
}

/** Counters that have counted nothing. */
export function newCoreCounters(): CoreCounters {
  return {
    preCampaigns: 0,
    campaigns: 0,
    campaignsSkipped: 0,
    electionsWon: 0,
    quorumsLost: 0,
    appendsRejected: 0,
    snapshotsRejected: 0,
    proposalsDropped: 0,
    transfersStarted: 0,
  };
}
