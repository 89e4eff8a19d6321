import {
  faultNames,
  keyValueApplication,
  simulate,
} from "../../testing/mod.ts";
import type {
  Entry,
  Result,
  SimApplication,
  StateMachine,
} from "../../testing/mod.ts";
import { planOf } from "../../testing/sim/plan.ts";
import { Trace } from "../../testing/sim/trace.ts";
import { World } from "../../testing/sim/world.ts";
import { assert } from "../deps.ts";

/** Short runs: what they must show shows early. */
const short = { harmSeconds: 5, operationCount: 50 };

/** The default application with a fault in its state machine. */
function broken(
  change: (machine: StateMachine, nodeId: number) => StateMachine,
): SimApplication {
  const base = keyValueApplication(3);
  return {
    ...base,
    name: "broken",
    stateMachine: (node) => change(base.stateMachine(node), node.nodeId),
  };
}

Deno.test("simulate() gives the same trace for the same seed, and another for another (rule C11)", async () => {
  const first = await simulate({ seed: 5, ...short });
  const again = await simulate({ seed: 5, ...short });
  const other = await simulate({ seed: 6, ...short });
  assert.equal(first.failure, undefined, first.failure?.message);
  assert.equal(first.traceHash, again.traceHash);
  assert.deepEqual({ ...first }, { ...again });
  assert.notEqual(first.traceHash, other.traceHash);
});

Deno.test("simulate() passes a seed that counts: 60 seconds of harm, 500 operations (rule F1)", async () => {
  const report = await simulate({ seed: 1 });
  assert.equal(report.failure, undefined, report.failure?.message);
  assert.ok(report.harmSeconds >= 60);
  assert.ok(report.simulatedSeconds > report.harmSeconds);
  assert.ok(report.completedOperations >= 500);
  assert.ok(report.elections > 3);
  assert.ok(Object.keys(report.faults).length > 3);
});

Deno.test("simulate() harms and heals again and again in a long run, and is the same each time (rules F1, C11)", async () => {
  let healed = 0;
  const options = { seed: 3, longSeconds: 60, harmSeconds: 20 };
  const report = await simulate({
    ...options,
    onTrace: (line) => {
      if (line.includes("harm is over")) healed++;
    },
  });
  assert.equal(report.failure, undefined, report.failure?.message);
  assert.equal(healed, 3);
  assert.ok(report.harmSeconds >= 60 && report.simulatedSeconds > 60);
  assert.ok(report.completedOperations >= 20 * report.simulatedSeconds);
  assert.ok(report.historiesJudged > 0);
  const again = await simulate(options);
  assert.equal(again.traceHash, report.traceHash);
});

/** When something happened, from its line in the trace. */
function secondsOf(line: string): number {
  return Number(line.trim().split(" ")[0]);
}

Deno.test("simulate() does not count the time in which harm rests as harm (rule F1)", async () => {
  let rests = 0;
  let healedAt = 0;
  const options = { harmSeconds: 20, operationCount: 50 };
  for (let seed = 1; rests === 0 && seed < 30; seed++) {
    const report = await simulate({
      seed,
      ...options,
      onTrace: (line) => {
        if (line.includes("harm rests")) rests++;
        if (line.includes("harm is over")) healedAt = secondsOf(line);
      },
    });
    assert.equal(report.failure, undefined, report.failure?.message);
    assert.ok(report.harmSeconds >= 20);
    if (rests > 0) {
      // A rest takes three seconds; the last one may have been cut short.
      assert.ok(healedAt - report.harmSeconds <= 3 * rests + 1e-6);
      assert.ok(healedAt - report.harmSeconds > 3 * (rests - 1));
    }
  }
  assert.ok(rests > 0, "a seed with a rest");
});

Deno.test("simulate() finds a state machine that is not deterministic", async () => {
  const application = broken((machine, nodeId) => ({
    update(entry: Entry): Result {
      const result = machine.update(entry);
      return {
        ...result,
        value: result.value + (entry.index % 20 === 0 ? nodeId : 0),
      };
    },
    lookup: (query) => machine.lookup(query),
    saveSnapshot: (writer) => machine.saveSnapshot(writer),
    recoverFromSnapshot: (reader, snapshot) =>
      machine.recoverFromSnapshot(reader, snapshot),
  }));
  const report = await simulate({ seed: 5, application, ...short });
  assert.equal(report.failure?.check, "states equal");
  assert.ok(report.recentTrace.length > 0);
  // Whoever throws it must see what replays it, in the message and in what is printed of an uncaught error.
  assert.equal(report.failure?.seed, 5);
  assert.match(report.failure.message, /^seed 5: states equal: /);
  assert.match(report.failure.stack!, /^SimulationFailure: seed 5: states/);
  assert.match(report.failure.stack!, /\n {4}at .*testing\/sim\/checks\.ts/);
});

Deno.test("simulate() finds a state machine whose snapshot leaves something out", async () => {
  let applied = 0;
  const application = broken((machine) => ({
    update(entry: Entry): Result {
      applied++;
      return machine.update(entry);
    },
    lookup: (query) => machine.lookup(query),
    saveSnapshot: () => Promise.resolve(),
    recoverFromSnapshot: (reader, snapshot) =>
      machine.recoverFromSnapshot(reader, snapshot),
    hash: () => machine.hash!(),
  }));
  const failures = [];
  for (const seed of [1, 2, 3, 4]) {
    failures.push((await simulate({ seed, application })).failure?.check);
  }
  assert.ok(failures.includes("states equal"), `found: ${failures}`);
  assert.ok(applied > 0);
});

Deno.test("simulate() finds answers that no order of the clients' calls explains", async () => {
  const lies = (machine: StateMachine): StateMachine => ({
    update: (entry) => machine.update(entry),
    // It has applied everything, and answers what was true before.
    lookup(query) {
      const answer = machine.lookup(query) as { version: number };
      return answer.version < 5
        ? answer
        : { ...answer, version: answer.version - 1 };
    },
    saveSnapshot: (writer) => machine.saveSnapshot(writer),
    recoverFromSnapshot: (reader, snapshot) =>
      machine.recoverFromSnapshot(reader, snapshot),
  });
  const report = await simulate({
    seed: 5,
    application: broken(lies),
    ...short,
  });
  assert.equal(report.failure?.check, "linearizable");
  assert.match(report.failure.message, /no order explains .* of key \d/);
  const right = await simulate({ seed: 5, ...short });
  assert.ok(right.historiesJudged > 0);
});

Deno.test("simulate() damages the log of one machine, and demands that it is mended or that the loss is told (rule L7)", async () => {
  const told = new Set<string>();
  let rots = 0;
  for (const seed of [4, 5, 12]) {
    const report = await simulate({
      seed,
      faults: ["bitRot", "kill", "powerLoss", "cleanRestart"],
      harmSeconds: 10,
      operationCount: 100,
      onTrace: (line) => {
        for (const what of ["was mended", "is lost", "log is damaged"]) {
          if (line.includes(what)) told.add(what);
        }
      },
    });
    assert.equal(report.failure, undefined, report.failure?.message);
    rots += report.faults.bitRot ?? 0;
  }
  assert.ok(rots > 0);
  assert.ok(told.has("log is damaged"), [...told].join());
});

Deno.test("simulate() loses, restores and copies folders, and demands that strangers are silent and copies refused (rules I2, I4)", async () => {
  const told = new Map<string, number>();
  const faults = { wipedFolder: 0, restoredFolder: 0, copiedFolder: 0 };
  const names = Object.keys(faults) as (keyof typeof faults)[];
  for (const seed of [1, 7]) {
    const report = await simulate({
      seed,
      faults: [...names, "kill", "split"],
      harmSeconds: 20,
      operationCount: 100,
      onTrace: (line) => {
        for (
          const what of ["old copy is refused", "refused by another member"]
        ) {
          if (line.includes(what)) told.set(what, (told.get(what) ?? 0) + 1);
        }
      },
    });
    assert.equal(report.failure, undefined, report.failure?.message);
    for (const name of names) faults[name] += report.faults[name] ?? 0;
  }
  for (const name of names) assert.ok(faults[name] > 0, name);
  assert.equal(told.size, 2, [...told.keys()].join());
});

Deno.test("simulate() removes the data of removed nodes, and looks whether anything is left", async () => {
  let count = 0;
  for (const seed of [4, 12]) {
    const report = await simulate({
      seed,
      faults: ["changeMember", "kill", "powerLoss", "split", "snapshot"],
      harmSeconds: 20,
      operationCount: 100,
    });
    assert.equal(report.failure, undefined, report.failure?.message);
    count += report.dataRemovals;
  }
  assert.ok(count > 0);
});

Deno.test("simulate() takes a cluster's quorum for good, and demands that it goes on from an exported snapshot, with nothing from behind it (rule I3)", async () => {
  // One cluster whose machines lose their folders, and one of several, whose data is removed.
  for (const seed of [24, 5]) {
    const options = {
      seed,
      rebuilds: true,
      faults: ["kill", "powerLoss", "snapshot"] as const,
      harmSeconds: 5,
      operationCount: 50,
    };
    const report = await simulate(options);
    assert.equal(report.failure, undefined, report.failure?.message);
    assert.equal(report.rebuilds, 1);
    const again = await simulate(options);
    assert.equal(again.traceHash, report.traceHash);
  }
});

Deno.test("A machine whose NodeHost tells nothing any more is described all the same, so that a failed run can be reported", () => {
  const world = new World(planOf(5), keyValueApplication(3), new Trace());
  const [machine] = world.machines;
  machine!.state = "up";
  machine!.host = {
    info() {
      throw new Error("the log has failed");
    },
  } as unknown as NonNullable<typeof machine>["host"];
  assert.match(
    machine!.describe()[0]!,
    /up, to run .*, tells nothing: Error: the log has failed$/,
  );
});

Deno.test("simulate() asks the application what it thinks of the history", async () => {
  const application: SimApplication = {
    ...keyValueApplication(3),
    check: (clusterId, history) => {
      assert.ok(history.length > 0);
      assert.ok(
        history.every((operation) =>
          operation.clusterId === clusterId && operation.status !== "pending"
        ),
      );
      return "it does not like it";
    },
  };
  const report = await simulate({ seed: 5, application, ...short });
  assert.equal(report.failure?.check, "application");
});

Deno.test("planOf() has every kind of fault in any hundred seeds (rule F1)", () => {
  for (const first of [1, 1_000, 123_456_789]) {
    const seen = new Set<string>();
    for (let seed = first; seed < first + 100; seed++) {
      for (const kind of planOf(seed).faults.kinds) seen.add(kind);
    }
    assert.deepEqual([...seen].sort(), [...faultNames].sort());
  }
});
