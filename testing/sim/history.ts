/** What clients asked, and what they were told: enough for any checker of linearizability. */

/** How an operation ended. `unknown` may still be applied at any later time. */
export type OperationStatus = "pending" | "done" | "notApplied" | "unknown";

/** One call of one client. */
export interface Operation {
  /** From 1, in the order of invocation. */
  readonly id: number;
  /** A client does one operation at a time. */
  readonly client: number;
  /** The machine it was asked at. */
  readonly machine: number;
  /** The cluster. */
  readonly clusterId: number;
  /** What was asked. */
  readonly kind: "write" | "read";
  /** The command without the simulator's header, or the query. */
  readonly input: unknown;
  /** When the call was made. */
  readonly invokedUs: number;
  /** When it ended; 0 while pending. */
  endedUs: number;
  /** How it ended. */
  status: OperationStatus;
  /** The result: of a write its {@link Result}, of a read the answer. */
  output: unknown;
  /** The code of the error it ended with. */
  errorCode: string;
  /** Log index of the write; of a read, that of the last command which its answer reflects. 0 while not known. */
  index: number;
  /** The session in which it was proposed, or 0. */
  session: number;
  /** When the first node applied it; 0 while none has. */
  appliedUs: number;
  /** All processes have ended since, and all logs agree: what no node has applied by now, none ever will. */
  isSettled: boolean;
  /** Its cluster was rebuilt from an image of before it took effect: it must never have any again. */
  isLost: boolean;
  /** No operation that ended before this one began has an index above this. */
  readonly floorIndex: number;
}

/** All operations of one run. */
export class History {
  readonly #operations: Operation[] = [];
  #completedCount = 0;
  #failedCount = 0;
  #unknownCount = 0;
  #settledCount = 0;

  /** Starts an operation. */
  begin(
    start: Pick<
      Operation,
      | "client"
      | "machine"
      | "clusterId"
      | "kind"
      | "input"
      | "invokedUs"
      | "floorIndex"
    >,
  ): Operation {
    const operation: Operation = {
      ...start,
      id: this.#operations.length + 1,
      endedUs: 0,
      status: "pending",
      output: undefined,
      errorCode: "",
      index: 0,
      session: 0,
      appliedUs: 0,
      isSettled: false,
      isLost: false,
    };
    this.#operations.push(operation);
    return operation;
  }

  /** Everything has ended, and all logs agree: of each operation so far it is known whether it was applied. */
  settle(): void {
    for (; this.#settledCount < this.#operations.length; this.#settledCount++) {
      this.#operations[this.#settledCount]!.isSettled = true;
    }
  }

  /**
   * A cluster was rebuilt from an image that ends with `index`: what took effect behind that is lost, and so is what might
   * have done so; answers that told of it are about another past.
   */
  lose(clusterId: number, index: number): void {
    for (const operation of this.#operations) {
      if (operation.clusterId !== clusterId) continue;
      const mayHaveBegun = operation.kind === "write" && operation.index === 0;
      if (operation.index > index || mayHaveBegun) operation.isLost = true;
    }
  }

  /** Ends an operation. */
  end(
    operation: Operation,
    status: Exclude<OperationStatus, "pending">,
    nowUs: number,
  ): void {
    operation.status = status;
    operation.endedUs = nowUs;
    if (status === "done") this.#completedCount++;
    else if (status === "notApplied") this.#failedCount++;
    else this.#unknownCount++;
  }

  /** The id that the next operation will have. */
  get nextId(): number {
    return this.#operations.length + 1;
  }

  /** The operation with this id. */
  operation(id: number): Operation | undefined {
    return this.#operations[id - 1];
  }

  /** Those of one cluster that are not lost, in the order of invocation. */
  ofCluster(clusterId: number): Operation[] {
    return this.#operations.filter((operation) =>
      operation.clusterId === clusterId && !operation.isLost
    );
  }

  /** How many ended with a result, without effect, and with neither known. */
  counts(): { completed: number; failed: number; unknown: number } {
    return {
      completed: this.#completedCount,
      failed: this.#failedCount,
      unknown: this.#unknownCount,
    };
  }

  /** How many ended with a result. */
  get completedCount(): number {
    return this.#completedCount;
  }
}
