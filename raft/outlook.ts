/**
 * What becomes of a request that a leader was sent, or took, and that was not applied here: what follows from the entries
 * that were, without waiting for the request's deadline (rule R1).
 */

/** How things stand on a node while requests wait. */
export interface Outlook {
  /** Index of the last entry applied here. */
  readonly applied: number;
  /** Term of that entry. */
  readonly appliedTerm: number;
  /** The leader, if it is linked, else 0. */
  readonly leaderId: number;
  /** For how many ticks an answer, or the entry itself, may still be on its way. */
  readonly patience: number;
}

/** What is noted of a request that was sent to a leader. */
export interface SentRequest {
  /** The leader that it was sent to, and its term; 0 if it was not sent. */
  sentTo: number;
  /** See {@link sentTo}. */
  sentTerm: number;
  /** The link to that leader was lost since. */
  isCut: boolean;
  /** Ticks for which no answer is to be expected any more. */
  doubtTicks: number;
}

/**
 * Whether what a leader took at `index` in `term` never will be applied, since an entry of a later term was applied before
 * that index. Terms never fall along a log (Raft, section 5.3: a leader appends in its own term, behind what is older), so
 * no log that holds this entry has the other behind it; and every leader to come has the applied one.
 */
export function isPassedOver(
  index: number,
  term: number,
  outlook: Outlook,
): boolean {
  return term > 0 && term < outlook.appliedTerm && index > outlook.applied;
}

/**
 * Whether to give up a request that a leader was sent and never answered for. Called once a tick; it is when one of two
 * things is so:
 *
 * - An entry of a later term was applied. Had that leader taken the record in its term, it would have been applied before,
 *   or never will be. Only an answer can still come, unless the link was lost.
 * - The link was lost and is up again, and the same node leads: an entry would be applied soon.
 *
 * The outcome is unknown all the same: a record does not tell its term, and the same node may take it late, when it leads
 * again; or a snapshot has it.
 */
export function isGivenUp(sent: SentRequest, outlook: Outlook): boolean {
  if (sent.sentTo === 0) return false;
  const isOver = outlook.appliedTerm > sent.sentTerm;
  const isLeaderBack = sent.isCut && outlook.leaderId === sent.sentTo;
  if (!isOver && !isLeaderBack) return false;
  return (isOver && sent.isCut) || ++sent.doubtTicks >= outlook.patience;
}
