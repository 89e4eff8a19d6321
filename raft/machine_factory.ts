/** Which state machine a cluster's configuration means. */
import type { ResolvedClusterConfig } from "./config.ts";
import { RaftError } from "./errors.ts";
import type { StateMachineFactory } from "./state_machine.ts";
import { noStateMachine } from "./witness.ts";

/** The factory that a configuration gives, or names. @throws {RaftError} `notReady` if there is none of that name. */
export function findFactory(
  config: ResolvedClusterConfig,
  named: Readonly<Record<string, StateMachineFactory>>,
): StateMachineFactory {
  const { clusterId, stateMachine, witness } = config;
  if (witness) return () => noStateMachine;
  if (typeof stateMachine !== "string") return stateMachine;
  if (Object.hasOwn(named, stateMachine)) return named[stateMachine]!;
  throw new RaftError(
    "notReady",
    `Cannot start cluster ${clusterId}: this NodeHost has no state machine "${stateMachine}"; name it in stateMachines ` +
      "when the NodeHost is opened, or give its factory",
  );
}
