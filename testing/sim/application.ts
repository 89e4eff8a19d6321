/** What runs under the faults: a state machine, and what clients ask of it. */
import type { StateMachine } from "../../raft/state_machine.ts";
import type { Model } from "../linearizability/model.ts";
import type { Operation } from "./history.ts";
import type { SimRandom } from "./random.ts";

/** What a client asked, for a {@link SimApplication}'s model. */
export interface SimInput {
  /** Whether it is a command or a query. */
  readonly kind: Operation["kind"];
  /** The command or the query. */
  readonly input: unknown;
}

/** A user's program as the simulator needs it. The simulator wraps its state machine, and adds to every command who sent it. */
export interface SimApplication {
  /** For the report. */
  readonly name: string;
  /** Makes the state machine of one node. It must reach nothing but what it is given: no time, no chance, no files. */
  stateMachine(node: { clusterId: number; nodeId: number }): StateMachine;
  /** The next command of a client, of about `bytes` bytes. `unique` is another number for every command of the run. */
  command(chance: SimRandom, unique: number, bytes: number): Uint8Array;
  /** The next query of a client. */
  query(chance: SimRandom): unknown;
  /**
   * What the state machine answers, as if one client used it alone: with it each cluster's history is checked for
   * linearizability. Outputs are the `Result` of a command and the answer of a query.
   */
  readonly model?: Model<unknown, SimInput, unknown>;
  /** Looks at all that clients saw of one cluster; returns what is wrong with it, or undefined. */
  check?(clusterId: number, history: readonly Operation[]): string | undefined;
}
