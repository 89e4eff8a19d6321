/** Histories with tens of operations of unknown outcome on one key, such as faults leave behind: they must be decided. */
import {
  checkLinearizability,
  counterModel,
  listModel,
} from "../../testing/linearizability.ts";
import type {
  CounterInput,
  CounterOutput,
  ListInput,
  ListOutput,
  Operation,
} from "../../testing/linearizability.ts";
import { SimRandom } from "../../testing/mod.ts";
import { assert } from "../deps.ts";

type ListOperation = Operation<ListInput, ListOutput>;

interface Planned {
  readonly input: ListInput;
  readonly call: number;
  readonly effect: number;
  readonly returned: number;
  readonly isUnknown: boolean;
  output: ListOutput | undefined;
}

/**
 * What clients see of one list when now and then a machine dies: it takes with it what is under way, half of which has
 * taken effect or will do so much later.
 */
function listHistory(
  seed: number,
  { clients = 8, operations = 300, unknowns = 40 } = {},
): ListOperation[] {
  const random = new SimRandom(seed, "lists");
  const freeAt = new Array<number>(clients).fill(0);
  const planned: Planned[] = [];
  for (let i = 0; i < operations; i++) {
    const client = random.below(clients);
    const call = freeAt[client]! + random.between(1, 10);
    const returned = call + random.between(1, 40);
    freeAt[client] = returned + 1;
    const isUnknown = random.chance(unknowns / operations);
    const isRead = !isUnknown && random.chance(0.4);
    planned.push({
      input: isRead
        ? { op: "read", key: "k" }
        : { op: "append", key: "k", value: i + 1 },
      call,
      effect: isUnknown && random.chance(0.5)
        ? Infinity
        : call + random.below(isUnknown ? 500 : returned - call + 1),
      returned,
      isUnknown,
      output: undefined,
    });
  }
  const list: number[] = [];
  for (const one of [...planned].sort((a, b) => a.effect - b.effect)) {
    if (one.effect === Infinity) continue;
    if (one.input.op === "read") one.output = [...list];
    else if (one.input.op === "append") {
      one.output = list.push(one.input.value);
    }
  }
  return planned.map(({ input, call, isUnknown, output, returned }) =>
    isUnknown ? { input, call } : { input, call, output, return: returned }
  ) as ListOperation[];
}

const stepsMax = 100_000;

function verdictOf(history: readonly ListOperation[]): string {
  return checkLinearizability(listModel(), history, { stepsMax }).verdict;
}

Deno.test("checkLinearizability() accepts right histories with tens of unknown outcomes on one key", () => {
  let total = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const history = listHistory(seed);
    const unknowns = history.filter((one) => one.return === undefined);
    assert.ok(unknowns.length > 20, `${unknowns.length} unknown outcomes`);
    const { verdict, steps } = checkLinearizability(listModel(), history, {
      stepsMax,
    });
    assert.equal(verdict, "ok", `seed ${seed} after ${steps} steps`);
    total += steps;
  }
  assert.ok(total < 100_000, `${total} steps in all`);
});

/** Bends one answer: a read misses something that was there before, or has seen it in another order. */
function bend(
  history: readonly ListOperation[],
  seed: number,
  least = 10,
): ListOperation[] {
  const random = new SimRandom(seed, "bend");
  const bent = [...history];
  const reads = history.flatMap(({ output }, place) =>
    typeof output === "object" && output.length >= least ? [place] : []
  );
  if (reads.length === 0) return bent;
  const place = random.pick(reads);
  const list = history[place]!.output as readonly number[];
  const lost = [...list];
  if (random.chance(0.5)) lost.splice(random.below(least / 2), 1);
  else {
    const at = random.below(least / 2);
    [lost[at], lost[at + 1]] = [lost[at + 1]!, lost[at]!];
  }
  bent[place] = { ...history[place]!, output: lost };
  return bent;
}

Deno.test("checkLinearizability() refuses wrong histories with tens of unknown outcomes on one key", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const history = bend(listHistory(seed), seed);
    assert.equal(verdictOf(history), "illegal", `seed ${seed}`);
  }
});

Deno.test("checkLinearizability() finds an acknowledged command lost among tens of unknown outcomes", () => {
  const history = listHistory(7);
  const reads = history.filter(({ input }) => input.op === "read");
  const known = history.find(({ input, output }) =>
    input.op === "append" && output !== undefined
  )!;
  const { value } = known.input as { value: number };
  const after = history.map((one) =>
    one.output !== undefined && one.call > known.return! && reads.includes(one)
      ? {
        ...one,
        output: (one.output as readonly number[]).filter((each) =>
          each !== value
        ),
      }
      : one
  );
  assert.equal(verdictOf(after), "illegal");
});

Deno.test("checkLinearizability() comes to the same verdict with and without looking ahead", () => {
  const { canPrecede: _, ...blind } = listModel();
  const counts: Record<string, number> = {};
  for (let seed = 1; seed <= 300; seed++) {
    const size = { clients: 3, operations: 14, unknowns: 3 };
    const right = listHistory(seed, size);
    const history = seed % 2 === 0 ? right : bend(right, seed, 2);
    const { verdict } = checkLinearizability(blind, history);
    counts[verdict] = (counts[verdict] ?? 0) + 1;
    assert.equal(verdictOf(history), verdict, `seed ${seed}`);
  }
  assert.ok(counts.ok! > 100 && counts.illegal! > 50, JSON.stringify(counts));
});

Deno.test("checkLinearizability() takes equal operations of unknown outcome for what they are", () => {
  const history: Operation<CounterInput, CounterOutput>[] = [];
  for (let i = 0; i < 40; i++) {
    history.push({ input: { op: "add", value: 1 }, call: i });
  }
  for (let i = 0; i < 20; i++) {
    const call = 100 + i * 10;
    history.push({
      input: { op: "read" },
      output: i * 2,
      call,
      return: call + 5,
    });
  }
  const fine = checkLinearizability(counterModel(), history, { stepsMax });
  assert.equal(fine.verdict, "ok");
  history.push({ input: { op: "read" }, output: 41, call: 900, return: 901 });
  const bad = checkLinearizability(counterModel(), history, { stepsMax });
  assert.equal(bad.verdict, "illegal", `${bad.steps} steps`);
});
