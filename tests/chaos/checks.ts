/** What must hold of the answers that clients got and of the lists that are there at the end. */
import {
  checkLinearizability,
  listModel,
} from "../../testing/linearizability.ts";
import type {
  ListInput,
  ListOutput,
  Operation,
} from "../../testing/linearizability.ts";
import type { ClientCall } from "./history.ts";
import type { Lists } from "./machine.ts";

/** The checks, by the names under which they fail. */
export type CheckName =
  | "linearizable"
  | "acknowledged never lost"
  | "not applied means never"
  | "applied once"
  | "nothing from nowhere"
  | "states equal"
  | "progress resumes"
  | "stops only when told"
  | "comes back"
  | "a wiped folder is refused"
  | "a strange folder is refused"
  | "a lost machine is replaced";

/** Something that does not hold. */
export interface Violation {
  /** Which check. */
  readonly check: CheckName;
  /** What was seen. */
  readonly message: string;
}

/** What was found of all histories. */
export interface Judgement {
  /** What does not hold. */
  readonly violations: readonly Violation[];
  /** Keys whose history was searched to its end. */
  readonly keysDecided: number;
  /** Keys for which the time did not do. */
  readonly keysUndecided: number;
  /** The most calls of unknown outcome on one key. */
  readonly unknownsMax: number;
}

/** For each key; a right history takes a few milliseconds. */
const searchTimeoutMs = 20_000;
const toldMax = 5;

/** Judges everything; `finals` are the lists by cluster, as read when all was over. */
export function judge(
  calls: readonly ClientCall[],
  finals: ReadonlyMap<number, Lists>,
): Judgement {
  const violations: Violation[] = [];
  for (const [clusterId, lists] of finals) {
    const ours = calls.filter((call) => call.clusterId === clusterId);
    violations.push(...judgeLists(clusterId, ours, lists));
  }
  let keysDecided = 0;
  let keysUndecided = 0;
  let unknownsMax = 0;
  for (const [key, ofKey] of byKey(calls)) {
    const operations = ofKey.flatMap(observed);
    const unknowns = operations.filter((one) => one.return === undefined);
    unknownsMax = Math.max(unknownsMax, unknowns.length);
    const { verdict, partitions } = checkLinearizability(
      listModel(),
      operations,
      { timeoutMs: searchTimeoutMs },
    );
    if (verdict === "unknown") keysUndecided++;
    else keysDecided++;
    if (verdict !== "illegal") continue;
    const longest = partitions[0]?.linearizations[0]?.length ?? 0;
    violations.push({
      check: "linearizable",
      message: `no order explains what clients saw of key ${key}: of ` +
        `${operations.length} calls ${longest} have one`,
    });
  }
  return { violations, keysDecided, keysUndecided, unknownsMax };
}

function byKey(calls: readonly ClientCall[]): Map<string, ClientCall[]> {
  const keys = new Map<string, ClientCall[]>();
  for (const call of calls) {
    const ofKey = keys.get(call.input.key);
    if (ofKey === undefined) keys.set(call.input.key, [call]);
    else ofKey.push(call);
  }
  return keys;
}

/** What counts for linearizability: all that had, or may have had, an effect or an answer. */
function observed(call: ClientCall): Operation<ListInput, ListOutput>[] {
  const { client, input, calledAt, endedAt, status, output } = call;
  const made = { client, input, call: calledAt };
  if (status === "done") {
    return [{ ...made, output: output!, return: endedAt! }];
  }
  return input.op === "read" || status === "notApplied" ? [] : [made];
}

/** Compares the lists of one cluster with what its clients were told, call by call. */
function judgeLists(
  clusterId: number,
  calls: readonly ClientCall[],
  lists: Lists,
): Violation[] {
  const counts = new Map<number, number>();
  for (const value of Object.values(lists).flat()) {
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const found = new Map<CheckName, string[]>();
  const add = (check: CheckName, what: string) =>
    found.set(check, [...found.get(check) ?? [], what]);
  for (const call of calls) {
    const { id, input, status, output, isInSession } = call;
    if (input.op === "read") continue;
    const count = counts.get(id) ?? 0;
    counts.delete(id);
    const who = `${isInSession ? "session" : "call"} ${id} on ${input.key}`;
    if (count > 1) add("applied once", `${who}: ${count} times`);
    const isNothing = status === "notApplied" ||
      status === "done" && output === 0;
    if (isNothing && count > 0) add("not applied means never", who);
    if (status === "done" && output !== 0 && count === 0) {
      add("acknowledged never lost", who);
    }
  }
  for (const value of counts.keys()) {
    add("nothing from nowhere", `value ${value}`);
  }
  return [...found].map(([check, what]) => ({
    check,
    message: `cluster ${clusterId}: ${what.length}, such as ${
      what.slice(0, toldMax).join("; ")
    }`,
  }));
}
