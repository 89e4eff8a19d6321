/**
 * The errors that come from the world, not from the caller (those are `TypeError` and `RangeError`). Every
 * one says whether the request may have been applied (rule R1).
 */

/** What went wrong. */
export type RaftErrorCode =
  /** No answer within `timeoutMs`; `outcome` says whether it may still come to pass. */
  | "timeout"
  /**
   * The state machine gave a snapshot up with `SnapshotAborted`; or a replacement of a node was aborted between its
   * steps: the message tells which were done, `cause` is the signal's reason. Every other aborted call rejects with that
   * reason itself.
   */
  | "aborted"
  /** Too much is under way already, here or on the leader; try again a little later. */
  | "busy"
  /** Leadership changed or is being handed over, so that the request was not taken, or another took its place. */
  | "dropped"
  /** No leader is in reach now, the node here is being restored, or no master can answer. */
  | "notReady"
  /** Refused for a reason that does not pass by itself; the message says which. */
  | "rejected"
  /** This NodeHost has no node of the cluster, and knows no other that has one. */
  | "clusterNotFound"
  /** This NodeHost already runs a node of the cluster. */
  | "clusterExists"
  /** The cluster's node on this NodeHost was stopped, by `stopCluster` or by a failure of its state machine. */
  | "clusterClosed"
  /** The node was removed from its cluster; its id never comes back. */
  | "nodeRemoved"
  /** A cluster without data here was started with neither `initialMembers` nor `join`. */
  | "notBootstrapped"
  /**
   * The command is longer than `maxPayloadBytes`; or a query or answer that would travel is; or the result of a session's
   * proposal is longer than 64 KiB.
   */
  | "payloadTooBig"
  /** The session is not known to the cluster (any more), or has another request under way or unfinished. */
  | "invalidSession"
  /** The session has gone on to a later proposal: somebody else uses it too. */
  | "alreadyAcknowledged"
  /** Leadership cannot go there: the target is not another voting member. */
  | "invalidTarget"
  /** Another NodeHost, of this process or another, has the folder open. */
  | "dirLocked"
  /** The folder was used under another address, or is a copy. */
  | "dirMismatch"
  /** There is no room for more; service resumes by itself when there is. */
  | "diskFull"
  /** A write or a sync failed; the NodeHost is of no more use and must be opened again. */
  | "diskFailed"
  /** What is on disk is damaged, or of an unknown version; the message says where. */
  | "corruption"
  /** The folder, or a master, belongs to another deployment. */
  | "deploymentMismatch"
  /** The NodeHost, or the client of a master, was closed. */
  | "closed";

/**
 * Whether the request was applied. `notApplied`: it never was and never will be. `unknown`: it may have been, or
 * may still be.
 */
export type Outcome = "notApplied" | "unknown";

/** A failure of a request, a directory, a disk or a cluster. */
export class RaftError extends Error {
  /** Always `"RaftError"`. */
  override readonly name = "RaftError";
  /** What went wrong. */
  readonly code: RaftErrorCode;
  /** Whether the request may have been applied (rule R1). */
  readonly outcome: Outcome;
  /** Whether it is a session's proposal, which may be sent again whatever its outcome: see `NodeHost.retry` (rule R2). */
  readonly isInSession: boolean;

  /** Makes an error; `outcome` is `notApplied` unless said otherwise. */
  constructor(
    code: RaftErrorCode,
    message: string,
    options: { outcome?: Outcome; cause?: unknown; isInSession?: boolean } = {},
  ) {
    super(
      message,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.outcome = options.outcome ?? "notApplied";
    this.isInSession = options.isInSession ?? false;
  }
}

const retryableCodes: ReadonlySet<RaftErrorCode> = new Set<RaftErrorCode>([
  "timeout",
  "busy",
  "dropped",
  "notReady",
  "diskFull",
]);

/**
 * Whether the same request may be made again: its reason passes, and it was not applied (rule R1). A request whose outcome
 * is unknown is retryable only if it is a proposal in a session, and then by `NodeHost.retry`: made again otherwise it
 * could be applied twice.
 */
export function isRetryable(error: unknown): boolean {
  return error instanceof RaftError &&
    (error.outcome === "notApplied" || error.isInSession) &&
    retryableCodes.has(error.code);
}

/**
 * Says which node has not been in touch: a leader's refusal to add a member while it does not know all versions (I6).
 * Masters read it with {@link blockingNodeOf}, so both stand here.
 */
export function unmetText(
  { nodeId, address }: { nodeId: number; address: string },
  version: number,
): string {
  return `node ${nodeId} at ${address} has not been in touch, so it is not known whether it ` +
    `speaks wire version ${version}: start it, or remove it`;
}

/** Says which node's NodeHost spoke an older version when it was last met: such a refusal too (I6). */
export function olderText(
  nodeId: number,
  nodeHostId: string,
  version: number,
): string {
  return `NodeHost ${nodeHostId}, which carries node ${nodeId}, still speaks wire version ${version}; ` +
    "upgrade it first, or remove the node if it is gone";
}

const blockingForms = [
  /\bnode ([1-9]\d{0,15}) at \S{1,300} has not been in touch, so it is not known whether /,
  /\bNodeHost \S{0,300}, which carries node ([1-9]\d{0,15}), still speaks wire version /,
];

/** The node that such a refusal names, because of which nobody is added; `undefined` if it is another error's text. */
export function blockingNodeOf(text: string): number | undefined {
  for (const form of blockingForms) {
    const id = Number(form.exec(text)?.[1]);
    if (Number.isSafeInteger(id)) return id;
  }
  return undefined;
}
