/**
 * Clients that want to know when their command is committed (`onCommitted`): they are told at most once, before the call
 * ends, never of what ends as not applied, and of nothing that is not applied in the end.
 */
import { SimulationFailure } from "./failure.ts";
import type { Operation } from "./history.ts";

/** One call whose client wants to know. */
export interface WatchedCall {
  /** For the options of the call. */
  readonly onCommitted: () => void;
  /** The call has ended, as far as its client is told. */
  ended(status: Exclude<Operation["status"], "pending">): void;
}

/** All such calls of a world. */
export class CommitWatch {
  /** Commands of which a client was told that they are committed, for the report. */
  toldCount = 0;
  readonly #fail: (failure: SimulationFailure) => void;
  /** Of those that were told, the ones not looked for yet. */
  #told: Operation[] = [];

  /** Nothing proposed yet. */
  constructor(fail: (failure: SimulationFailure) => void) {
    this.#fail = fail;
  }

  /** A call begins; one in a session may repeat another call, of which its client is told nothing. */
  call(operation: Operation, isInSession: boolean): WatchedCall {
    let isTold = false;
    let endedAs = "";
    return {
      onCommitted: () => {
        if (isTold) this.#failed(operation, "is told twice");
        if (endedAs !== "") {
          this.#failed(operation, `is told after it ended as ${endedAs}`);
        }
        isTold = true;
        this.toldCount++;
        this.#told.push(operation);
      },
      ended: (status) => {
        endedAs = status;
        if (status === "done" && !isTold && !isInSession) {
          this.#failed(operation, "has its result, and was not told before");
        }
        // A session's command may be committed, and refused when its turn comes.
        if (status === "notApplied" && isTold && !isInSession) {
          this.#failed(operation, "is told, and ended as not applied");
        }
      },
    };
  }

  /** All nodes have applied all that is committed: what was told must be there. */
  check(): void {
    for (const operation of this.#told) {
      const { index, isLost, session } = operation;
      if (index === 0 && !isLost && session === 0) {
        this.#failed(operation, "is told, and no node has applied it");
      }
    }
    this.#told = [];
  }

  #failed({ id, clusterId }: Operation, what: string): void {
    this.#fail(
      new SimulationFailure(
        "told when committed",
        `the commit of operation ${id} of cluster ${clusterId} ${what}`,
      ),
    );
  }
}
