/** Histories for tests of the checker: generated with and without a fault in them, and judged by trying everything. */
import type { Model, Operation } from "../../testing/linearizability.ts";
import {
  counterModel,
  keyValueModel,
  registerModel,
} from "../../testing/linearizability.ts";
import type { SimRandom } from "../../testing/mod.ts";

/** A history of any object, and its model. */
export interface Sample {
  readonly model: Model<unknown, unknown, unknown>;
  readonly history: Operation<unknown, unknown>[];
}

/** How large a generated history is. */
export interface SampleSize {
  readonly clients: number;
  readonly operations: number;
  readonly keys: number;
  /** Share of operations whose outcome nobody knows. */
  readonly unknownShare: number;
}

interface Subject {
  readonly model: Model<unknown, unknown, unknown>;
  input(random: SimRandom, keys: number): unknown;
  /** What the object answers in this state. */
  answer(state: unknown, input: unknown): unknown;
}

const letters = ["a", "b", "c", "d", "e"];

/** An answer that the model allows: these models allow exactly one, if acknowledgements are left aside. */
function answerOf(state: unknown, input: unknown): unknown {
  const { op, expected, value } = input as Record<string, unknown>;
  if (op === "read" || op === "get") return state;
  if (op === "cas") return Object.is(state, expected);
  if (op === "add") return (state as number) + (value as number);
  return null;
}

const subjects: readonly Subject[] = [
  {
    model: registerModel<number>(0) as Model<unknown, unknown, unknown>,
    input: (random) =>
      random.pick([
        { op: "read" },
        { op: "write", value: random.below(4) },
        { op: "cas", expected: random.below(4), value: random.below(4) },
      ]),
    answer: answerOf,
  },
  {
    model: keyValueModel() as Model<unknown, unknown, unknown>,
    input: (random, keys) => {
      const key = `k${random.below(keys)}`;
      const value = random.pick(letters);
      return random.pick([
        { op: "get", key },
        { op: "get", key },
        { op: "put", key, value },
        { op: "append", key, value },
        { op: "cas", key, expected: random.pick(letters), value },
      ]);
    },
    answer: answerOf,
  },
  {
    model: counterModel() as Model<unknown, unknown, unknown>,
    input: (random) =>
      random.pick([{ op: "read" }, { op: "add", value: random.between(1, 3) }]),
    answer: answerOf,
  },
];

/**
 * What clients of a right object see: each operation takes effect at a moment between its call and its return. Times
 * are small whole numbers, so that some are equal.
 */
export function generate(random: SimRandom, size: SampleSize): Sample {
  const subject = random.pick(subjects);
  const { model } = subject;
  interface Planned {
    input: unknown;
    client: number;
    call: number;
    effect: number;
    returned: number;
    isUnknown: boolean;
    hasEffect: boolean;
    output: unknown;
  }
  const planned: Planned[] = [];
  const freeAt = new Array<number>(size.clients).fill(0);
  for (let i = 0; i < size.operations; i++) {
    const client = random.below(size.clients);
    const call = freeAt[client]! + random.below(3);
    const returned = call + random.between(1, 8);
    freeAt[client] = returned + 1;
    const isUnknown = random.chance(size.unknownShare);
    planned.push({
      input: subject.input(random, size.keys),
      client,
      call,
      effect: call + random.below(isUnknown ? 20 : returned - call + 1),
      returned,
      isUnknown,
      hasEffect: !isUnknown || random.chance(0.5),
      output: undefined,
    });
  }
  const states = new Map<string | number | undefined, unknown>();
  for (const one of [...planned].sort((a, b) => a.effect - b.effect)) {
    if (!one.hasEffect) continue;
    const part = model.partition?.(one.input);
    const state = states.has(part) ? states.get(part) : model.init();
    one.output = subject.answer(state, one.input);
    states.set(part, model.step(state, one.input, one.output)[1]);
  }
  const history = planned.map((one): Operation<unknown, unknown> => {
    const { client, input, call } = one;
    return one.isUnknown
      ? { client, input, call }
      : { client, input, call, output: one.output, return: one.returned };
  });
  return { model, history };
}

/** Plants one fault: an answer of another operation of the same kind, or one that is nobody's. */
export function plantFault(random: SimRandom, sample: Sample): Sample {
  const history = [...sample.history];
  const known = history.flatMap(({ output }, place) =>
    output === undefined || output === null ? [] : [place]
  );
  if (known.length === 0) return sample;
  const place = random.pick(known);
  const { output } = history[place]!;
  const others = known.map((other) => history[other]!.output)
    .filter((other) => typeof other === typeof output && other !== output);
  history[place] = {
    ...history[place]!,
    output: typeof output === "boolean"
      ? !output
      : others.length > 0 && random.chance(0.8)
      ? random.pick(others)
      : typeof output === "number"
      ? output + 1
      : `${output}z`,
  };
  return { model: sample.model, history };
}

/** Tries every order of every choice of the unknown operations: slow, and so simple that it is surely right. */
export function isLinearizableByTrying({ model, history }: Sample): boolean {
  const tryFrom = (
    left: readonly Operation<unknown, unknown>[],
    states: ReadonlyMap<string | number | undefined, unknown>,
  ): boolean => {
    if (left.every((one) => one.return === undefined)) return true;
    return left.some((one) => {
      const isTooEarly = left.some((other) =>
        other.return !== undefined && other.return < one.call
      );
      if (isTooEarly) return false;
      const part = model.partition?.(one.input);
      const before = states.has(part) ? states.get(part) : model.init();
      const [isAllowed, after] = model.step(before, one.input, one.output);
      return isAllowed && tryFrom(
        left.filter((other) => other !== one),
        new Map([...states, [part, after]]),
      );
    });
  };
  return tryFrom(history, new Map());
}
