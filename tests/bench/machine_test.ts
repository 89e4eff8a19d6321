import {
  BenchMachine,
  type MachineState,
  mix,
  putValue,
  valueOf,
} from "../../bench/machine.ts";
import { verifyCluster } from "../../bench/trio.ts";
import { assert } from "../deps.ts";

function machineWith(values: readonly number[]): BenchMachine {
  const machine = new BenchMachine();
  values.forEach((value, i) => {
    const command = new Uint8Array(16);
    putValue(command, value);
    const result = machine.update({ index: i + 1, term: 1, command });
    assert.equal(result.value, value);
  });
  return machine;
}

function stateWith(values: readonly number[]): MachineState {
  return machineWith(values).lookup("state") as MachineState;
}

function acknowledge(values: readonly number[]) {
  return {
    count: values.length,
    sum: values.reduce((sum, value) => (sum + mix(value)) | 0, 0),
  };
}

Deno.test("putValue() and valueOf() agree, whatever the command's length", () => {
  for (const value of [0, 1, 255, 256, 0x1234_5678, -1]) {
    for (const length of [1, 2, 3, 4, 16]) {
      const command = new Uint8Array(length);
      assert.equal(putValue(command, value), valueOf(command));
    }
  }
  assert.equal(putValue(new Uint8Array(16), -1), -1);
  assert.equal(putValue(new Uint8Array(2), 0x12_3456), 0x3456);
});

Deno.test("BenchMachine's sum does not depend on the order, its hash does", () => {
  const [one, other] = [stateWith([1, 2, 3]), stateWith([3, 1, 2])];
  assert.equal(one.sum, other.sum);
  assert.notEqual(one.order, other.order);
  assert.notEqual(machineWith([1, 2]).hash(), machineWith([2, 1]).hash());
  assert.equal(machineWith([1, 2]).hash(), machineWith([1, 2]).hash());
});

Deno.test("BenchMachine restores what it saved", async () => {
  const machine = machineWith([5, 6, 7]);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  await machine.saveSnapshot({
    write(bytes) {
      parts.push(bytes.slice());
      return Promise.resolve();
    },
    addFile: () => Promise.reject(new Error("there are no files")),
  });
  const restored = new BenchMachine();
  await restored.recoverFromSnapshot(new Blob(parts).stream());
  assert.deepEqual(restored.lookup("state"), machine.lookup("state"));
  assert.equal(restored.hash(), machine.hash());
});

Deno.test("verifyCluster() accepts exactly the acknowledged commands (rule F2)", () => {
  const values = [1, 2, 3];
  const states = [stateWith(values), stateWith(values), stateWith(values)];
  verifyCluster(1, states, acknowledge(values), 0);
  // One more was applied, and one had an unknown outcome.
  verifyCluster(1, states, acknowledge([1, 2]), 1);
});

Deno.test("verifyCluster() names what was lost, doubled or different (rule F2)", () => {
  const same = [stateWith([1, 2]), stateWith([1, 2]), stateWith([1, 2])];
  const verify = (
    states: MachineState[],
    acknowledged: number[],
    unknown = 0,
  ) =>
  () => verifyCluster(7, states, acknowledge(acknowledged), unknown);
  assert.throws(verify(same, [1, 2, 3]), /cluster 7 do not hold the 3/);
  assert.throws(verify(same, [1, 2, 3], 5), /cluster 7 do not hold/);
  assert.throws(verify(same, [1]), /cluster 7 do not hold the 1/);
  assert.throws(verify(same, [1, 9]), /cluster 7 do not hold/);
  const differing = [stateWith([1, 2]), stateWith([2, 1]), stateWith([1, 2])];
  assert.throws(verify(differing, [1, 2]), /cluster 7 differ/);
});
