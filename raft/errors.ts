/**
 * The errors that come from the world, not from the caller (those are `TypeError` and `RangeError`). Every
 * one says whether the request may have been applied (rule R1).
 */

/** What went wrong. */
export type RaftErrorCode =
  | "timeout"
  | "aborted"
  | "busy"
  | "dropped"
  | "notReady"
  | "rejected"
  | "clusterNotFound"
  | "clusterExists"
  | "clusterClosed"
  | "nodeRemoved"
  | "notBootstrapped"
  | "payloadTooBig"
  | "invalidSession"
  | "alreadyAcknowledged"
  | "invalidTarget"
  | "dirLocked"
  | "dirMismatch"
  | "diskFull"
  | "diskFailed"
  | "corruption"
  | "deploymentMismatch"
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

  /** Makes an error; `outcome` is `notApplied` unless said otherwise. */
  constructor(
    code: RaftErrorCode,
    message: string,
    options: { outcome?: Outcome; cause?: unknown } = {},
  ) {
    super(
      message,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.outcome = options.outcome ?? "notApplied";
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
 * Whether the same request may simply be made again: it was not applied, and its reason passes (rule R1). A request
 * whose outcome is unknown is not retryable, since it could be applied twice.
 */
export function isRetryable(error: unknown): boolean {
  return error instanceof RaftError && error.outcome === "notApplied" &&
    retryableCodes.has(error.code);
}
