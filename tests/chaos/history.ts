/** What clients asked and were told, by a clock that they share. */
import { CallFailure } from "./protocol.ts";
import type { ListInput, ListOutput } from "../../testing/linearizability.ts";

/** How a call ended. `unknown` may still take effect at any later time. */
export type Status = "pending" | "done" | "notApplied" | "unknown";

/** One call of a client. */
export interface ClientCall {
  /** Another one for every call; what an addition adds. */
  readonly id: number;
  /** Who called. */
  readonly client: number;
  /** Of which cluster. */
  readonly clusterId: number;
  /** What was asked. */
  readonly input: ListInput;
  /** At which machine. */
  readonly machine: string;
  /** Whether it was proposed in a session. */
  readonly isInSession: boolean;
  /** Milliseconds since the run began. */
  readonly calledAt: number;
  /** When it ended; undefined while it has not. */
  endedAt: number | undefined;
  /** How. */
  status: Status;
  /** The answer, if it is done. */
  output: ListOutput | undefined;
  /** The code of the error, if there was one. */
  error: string | undefined;
}

/** All calls of a run. */
export class ChaosHistory {
  /** In the order in which they were made. */
  readonly calls: ClientCall[] = [];
  readonly #startedAt = performance.now();

  /** Milliseconds since the run began. */
  now(): number {
    return performance.now() - this.#startedAt;
  }

  /** The id that the next call will have. */
  get nextId(): number {
    return this.calls.length + 1;
  }

  /** Notes a call and, when it comes, its answer. Resolves with the call when it has ended; never rejects. */
  async record(
    about: Pick<
      ClientCall,
      "client" | "clusterId" | "input" | "machine" | "isInSession"
    >,
    make: () => Promise<ListOutput>,
  ): Promise<ClientCall> {
    const call: ClientCall = {
      ...about,
      id: this.nextId,
      calledAt: this.now(),
      endedAt: undefined,
      status: "pending",
      output: undefined,
      error: undefined,
    };
    this.calls.push(call);
    try {
      const output = await make();
      call.output = output;
      call.status = "done";
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      call.error = error.code;
      call.status = error.outcome;
    }
    call.endedAt = this.now();
    return call;
  }

  /** Notes reads of many lists that were one call. */
  addReads(
    about: Pick<ClientCall, "clusterId" | "machine" | "calledAt">,
    lists: ReadonlyMap<string, readonly number[]>,
  ): void {
    const endedAt = this.now();
    for (const [key, output] of lists) {
      this.calls.push({
        ...about,
        id: this.nextId,
        client: 0,
        input: { op: "read", key },
        isInSession: false,
        endedAt,
        status: "done",
        output,
        error: undefined,
      });
    }
  }

  /** Calls by how they ended. */
  counts(): Record<Status, number> {
    const counts = { pending: 0, done: 0, notApplied: 0, unknown: 0 };
    for (const { status } of this.calls) counts[status]++;
    return counts;
  }
}
