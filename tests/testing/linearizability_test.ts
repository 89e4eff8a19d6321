import {
  checkLinearizability,
  counterModel,
  formatHistory,
  keyValueModel,
  parseHistory,
  registerModel,
} from "../../testing/linearizability.ts";
import type {
  KeyValueInput,
  KeyValueOutput,
  Model,
  Operation,
  RegisterInput,
  RegisterOutput,
} from "../../testing/linearizability.ts";
import { SimRandom } from "../../testing/mod.ts";
import { assert } from "../deps.ts";
import { generate, isLinearizableByTrying, plantFault } from "./histories.ts";

type RegisterOperation = Operation<
  RegisterInput<number>,
  RegisterOutput<number>
>;

function write(value: number, call: number, ret: number): RegisterOperation {
  return { input: { op: "write", value }, output: null, call, return: ret };
}

function read(output: number, call: number, ret: number): RegisterOperation {
  return { input: { op: "read" }, output, call, return: ret };
}

/** Nobody knows whether this took place. */
function lost(value: number, call: number): RegisterOperation {
  return { input: { op: "write", value }, call };
}

const register = registerModel<number>(0);
const verdictOf = (history: readonly RegisterOperation[]) =>
  checkLinearizability(register, history).verdict;

Deno.test("checkLinearizability() accepts what one order explains", () => {
  assert.equal(verdictOf([]), "ok");
  assert.equal(verdictOf([write(1, 0, 10), read(1, 5, 15)]), "ok");
  assert.equal(verdictOf([write(1, 0, 10), read(0, 5, 15)]), "ok");
  // Reads during a write may see it in turn, each after the other, but never go back.
  assert.equal(
    verdictOf([write(1, 0, 100), read(0, 1, 2), read(1, 3, 4)]),
    "ok",
  );
  // Herlihy and Wing, figure 1: the write that began first may take effect last.
  assert.equal(
    verdictOf([
      write(1, 0, 30),
      write(2, 5, 20),
      read(2, 21, 22),
      read(1, 40, 50),
    ]),
    "ok",
  );
});

Deno.test("checkLinearizability() refuses what no order explains", () => {
  assert.equal(verdictOf([read(1, 0, 1)]), "illegal");
  // A stale read.
  assert.equal(verdictOf([write(1, 0, 10), read(0, 11, 15)]), "illegal");
  // A write is seen, and then it is not.
  assert.equal(
    verdictOf([write(1, 0, 100), read(1, 1, 2), read(0, 3, 4)]),
    "illegal",
  );
  // Two readers see two writes in different orders.
  assert.equal(
    verdictOf([
      write(1, 0, 100),
      write(2, 0, 100),
      read(1, 10, 20),
      read(2, 30, 40),
      read(1, 50, 60),
    ]),
    "illegal",
  );
});

Deno.test("checkLinearizability() lets operations that touch in time be concurrent", () => {
  assert.equal(verdictOf([write(1, 0, 10), read(0, 10, 15)]), "ok");
  assert.equal(verdictOf([write(1, 0, 10), read(0, 11, 15)]), "illegal");
  assert.equal(verdictOf([write(1, 3, 3), read(1, 3, 3), read(0, 3, 3)]), "ok");
});

Deno.test("checkLinearizability() lets an operation of unknown outcome take effect later, or never", () => {
  assert.equal(verdictOf([lost(1, 0), read(0, 5, 6), read(0, 7, 8)]), "ok");
  assert.equal(verdictOf([lost(1, 0), read(0, 5, 6), read(1, 7, 8)]), "ok");
  assert.equal(
    verdictOf([lost(1, 0), read(1, 5, 6), read(0, 7, 8)]),
    "illegal",
    "it takes effect once",
  );
  assert.equal(
    verdictOf([read(1, 5, 6), lost(1, 7)]),
    "illegal",
    "not before its call",
  );
  const swap: RegisterOperation = {
    input: { op: "cas", expected: 0, value: 5 },
    call: 0,
  };
  assert.equal(verdictOf([swap, read(5, 3, 4)]), "ok");
  assert.equal(verdictOf([swap, write(1, 1, 2), read(5, 3, 4)]), "illegal");
});

Deno.test("checkLinearizability() tells a linearization, or the longest beginnings of one", () => {
  const fine = checkLinearizability(register, [
    write(1, 0, 10),
    read(0, 5, 15),
    lost(7, 2),
  ]);
  assert.deepEqual(fine.partitions[0]!.linearizations, [[1, 0]]);
  const bad = checkLinearizability(register, [
    write(1, 0, 1),
    write(2, 2, 3),
    read(1, 4, 5),
    read(9, 2, 9),
  ]);
  assert.equal(bad.verdict, "illegal");
  assert.deepEqual(bad.partitions[0]!.linearizations, [[0, 1]]);
});

Deno.test("checkLinearizability() looks at each key by itself, and says which is wrong", () => {
  const model = keyValueModel();
  const on = (
    input: KeyValueInput,
    output: KeyValueOutput,
    call: number,
  ): Operation<KeyValueInput, KeyValueOutput> => ({
    input,
    output,
    call,
    return: call + 1,
  });
  const history = [
    on({ op: "put", key: "x", value: "1" }, null, 0),
    on({ op: "append", key: "y", value: "a" }, null, 2),
    on({ op: "append", key: "y", value: "b" }, null, 4),
    on({ op: "get", key: "y" }, "ab", 6),
    on({ op: "cas", key: "x", expected: "1", value: "2" }, true, 8),
    on({ op: "get", key: "x" }, "2", 10),
  ];
  assert.equal(checkLinearizability(model, history).verdict, "ok");
  history.push(on({ op: "get", key: "y" }, "ba", 12));
  const result = checkLinearizability(model, history);
  assert.equal(result.verdict, "illegal");
  assert.deepEqual(
    result.partitions.map(({ key, verdict }) => [key, verdict]),
    [["x", "ok"], ["y", "illegal"]],
  );
  assert.deepEqual(result.partitions[1]!.linearizations, [[1, 2, 3]]);
});

Deno.test("counterModel() takes a total or only an acknowledgement for an addition", () => {
  const model = counterModel();
  const history = [
    { input: { op: "add", value: 2 }, output: null, call: 0, return: 5 },
    { input: { op: "add", value: 3 }, output: 3, call: 1, return: 5 },
    { input: { op: "read" }, output: 5, call: 6, return: 7 },
  ] as const;
  assert.equal(checkLinearizability(model, history).verdict, "ok");
  const [first, second] = history;
  const twice = { input: { op: "read" }, output: 8, call: 6, return: 7 };
  assert.equal(
    checkLinearizability(
      model as Model<unknown, unknown, unknown>,
      [first, second, twice],
    ).verdict,
    "illegal",
  );
});

Deno.test("checkLinearizability() agrees with a search that tries everything", () => {
  const counts = { ok: 0, illegal: 0, unknown: 0 };
  for (let seed = 1; seed <= 1_500; seed++) {
    const random = new SimRandom(seed, "small");
    const size = {
      clients: random.between(1, 4),
      operations: random.between(1, 7),
      keys: 2,
      unknownShare: random.pick([0, 0.2, 0.6]),
    };
    let sample = generate(random, size);
    const isBent = random.chance(0.6);
    if (isBent) sample = plantFault(random, sample);
    const { verdict } = checkLinearizability(sample.model, sample.history);
    counts[verdict]++;
    assert.equal(
      verdict,
      isLinearizableByTrying(sample) ? "ok" : "illegal",
      `seed ${seed}: ${formatHistory(sample.model.name, sample.history)}`,
    );
    if (!isBent) assert.equal(verdict, "ok", `seed ${seed} is right`);
  }
  assert.ok(counts.illegal > 300 && counts.ok > 300, JSON.stringify(counts));
});

Deno.test("checkLinearizability() gives linearizations that the model and the times allow", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SimRandom(seed, "orders");
    const { model, history } = generate(random, {
      clients: 4,
      operations: 60,
      keys: 3,
      unknownShare: 0.1,
    });
    for (const part of checkLinearizability(model, history).partitions) {
      let state = model.init();
      let latestCall = -Infinity;
      for (const place of part.linearizations[0]!) {
        const { input, output, call, return: returned } = history[place]!;
        const [isAllowed, after] = model.step(state, input, output);
        assert.ok(isAllowed, `seed ${seed}`);
        assert.ok((returned ?? Infinity) >= latestCall, `seed ${seed}`);
        latestCall = Math.max(latestCall, call);
        state = after;
      }
      const known = history.filter(({ input, return: returned }) =>
        returned !== undefined && model.partition?.(input) === part.key
      ).length;
      assert.ok(part.linearizations[0]!.length >= known, `seed ${seed}`);
    }
  }
});

Deno.test("checkLinearizability() takes many operations of unknown outcome", () => {
  const history: RegisterOperation[] = [];
  for (let i = 0; i < 40; i++) history.push(lost(i + 100, i));
  for (let i = 0; i < 200; i++) {
    history.push(write(i, 100 + i * 10, 105 + i * 10));
    history.push(read(i, 106 + i * 10, 109 + i * 10));
  }
  const fine = checkLinearizability(register, history);
  assert.equal(fine.verdict, "ok");
  assert.ok(fine.steps < 5_000, `${fine.steps} steps`);
  history.push(read(55, 5_000, 5_001)); // Overwritten long ago.
  const bad = checkLinearizability(register, history);
  assert.equal(bad.verdict, "illegal");
  assert.ok(bad.steps < 1_000_000, `${bad.steps} steps`);
});

Deno.test("checkLinearizability() gives up at its limits, and says so", () => {
  // Every order of 24 concurrent additions of different numbers leads to another set: a read that none explains.
  const history = Array.from({ length: 24 }, (_, i) => ({
    input: { op: "add", value: 2 ** i } as const,
    output: null,
    call: i,
    return: 100,
  }));
  const impossible = [
    ...history,
    { input: { op: "read" }, output: -1, call: 101, return: 102 } as const,
  ];
  const model = counterModel();
  const stopped = checkLinearizability(model, impossible, { stepsMax: 10_000 });
  assert.deepEqual(
    [stopped.verdict, stopped.steps, stopped.partitions[0]!.verdict],
    ["unknown", 10_000, "unknown"],
  );
  assert.ok(stopped.partitions[0]!.linearizations[0]!.length > 10);
  let time = 0;
  const late = checkLinearizability(model, impossible, {
    timeoutMs: 50,
    now: () => time++,
  });
  assert.equal(late.verdict, "unknown");
  assert.ok(late.steps < 100_000, `${late.steps} steps`);
  assert.equal(checkLinearizability(model, history).verdict, "ok");
});

Deno.test("checkLinearizability() refuses times that cannot be", () => {
  assert.throws(() => verdictOf([write(1, 5, 4)]), RangeError);
  assert.throws(() => verdictOf([write(1, NaN, 4)]), RangeError);
});

Deno.test("parseHistory() reads what formatHistory() wrote, and nothing else", () => {
  const history = [write(1, 0, 10), lost(2, 3), read(1, 5, 6)];
  const text = formatHistory("register", history);
  const read2 = parseHistory(text + text);
  assert.equal(read2.length, 2);
  for (const { model, operations } of read2) {
    assert.equal(model, "register");
    assert.equal(
      checkLinearizability(
        register as Model<unknown, unknown, unknown>,
        operations,
      ).verdict,
      "ok",
    );
    assert.equal(operations[1]!.return, undefined);
    assert.deepEqual(operations[2]!.input, { op: "read" });
  }
  assert.throws(() => parseHistory("{}\n"), SyntaxError);
  assert.throws(
    () => parseHistory('{"model":"register","operations":1}\n'),
    SyntaxError,
  );
});
