/** What runs under the faults: a state machine, and what clients ask of it. */
import type { StateMachine } from "../../raft/state_machine.ts";
import type { Operation } from "./history.ts";
import type { SimRandom } from "./random.ts";

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
  /** Looks at all that clients saw of one cluster; returns what is wrong with it, or undefined. */
  check?(clusterId: number, history: readonly Operation[]): string | undefined;
}
