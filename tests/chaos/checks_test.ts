import { assert } from "../deps.ts";
import { judge } from "./checks.ts";
import type { CheckName } from "./checks.ts";
import type { ClientCall } from "./history.ts";
import type { Lists } from "./machine.ts";

const key = "1-1";

function added(id: number, changes: Partial<ClientCall> = {}): ClientCall {
  return {
    id,
    client: 1,
    clusterId: 1,
    input: { op: "append", key, value: id },
    machine: "machine1",
    isInSession: false,
    calledAt: id * 10,
    endedAt: id * 10 + 5,
    status: "done",
    output: id,
    error: undefined,
    ...changes,
  };
}

function readAs(id: number, output: number[]): ClientCall {
  return added(id, { input: { op: "read", key }, output });
}

function failedChecks(calls: ClientCall[], list: number[]): CheckName[] {
  const finals = new Map<number, Lists>([[1, { [key]: list }]]);
  return judge(calls, finals).violations.map(({ check }) => check);
}

Deno.test("judge() accepts what a right cluster answers", () => {
  assert.deepEqual(
    failedChecks([added(1), added(2), readAs(3, [1, 2])], [1, 2]),
    [],
  );
  const lost = added(2, {
    status: "unknown",
    output: undefined,
    endedAt: undefined,
  });
  assert.deepEqual(failedChecks([added(1), lost], [1]), []);
  assert.deepEqual(failedChecks([added(1), lost], [1, 2]), []);
  const refused = added(2, { status: "notApplied", output: undefined });
  assert.deepEqual(failedChecks([added(1), refused], [1]), []);
  const mismatched = added(2, {
    input: { op: "appendAt", key, value: 2, length: 9 },
    output: 0,
  });
  assert.deepEqual(failedChecks([added(1), mismatched], [1]), []);
});

Deno.test("judge() finds what was acknowledged and is lost", () => {
  assert.deepEqual(
    failedChecks([added(1), added(2)], [1]),
    ["acknowledged never lost"],
  );
});

Deno.test("judge() finds what was applied although it was not (rule R1)", () => {
  const refused = added(2, { status: "notApplied", output: undefined });
  assert.deepEqual(
    failedChecks([added(1), refused], [1, 2]),
    ["not applied means never"],
  );
  const mismatched = added(2, {
    input: { op: "appendAt", key, value: 2, length: 9 },
    output: 0,
  });
  assert.deepEqual(
    failedChecks([added(1), mismatched], [1, 2]),
    ["not applied means never"],
  );
});

Deno.test("judge() finds what was applied twice, in a session or not (rule R2)", () => {
  assert.deepEqual(
    failedChecks([added(1), added(2, { isInSession: true })], [1, 2, 2]),
    ["applied once"],
  );
});

Deno.test("judge() finds what nobody asked for", () => {
  assert.deepEqual(failedChecks([added(1)], [1, 7]), ["nothing from nowhere"]);
});

Deno.test("judge() finds a stale read, and a command that vanished in between", () => {
  assert.deepEqual(
    failedChecks([added(1), added(2), readAs(3, [1])], [1, 2]),
    ["linearizable"],
  );
  const unsure = added(2, {
    status: "unknown",
    output: undefined,
    endedAt: undefined,
  });
  assert.deepEqual(
    failedChecks(
      [added(1), unsure, readAs(3, [1, 2]), readAs(4, [1])],
      [1, 2],
    ),
    ["linearizable"],
  );
});
