/**
 * The search for a linearization of one part of a history: Wing and Gong's, with Lowe's memory of where it has been.
 *
 * The next operation of a linearization is one whose call comes before the first return of all that are left: what
 * returned before another was called stands before it. A _configuration_ is the set of operations taken so far and the
 * state they led to; one that was met before is not entered again, whatever the order in which it was reached. The
 * search goes on from the configuration that has taken most, so it runs straight through a history that is right.
 *
 * An operation of unknown outcome never returns, so it may be taken at any time or be left over. To have taken fewer
 * of them leaves more to choose from: a configuration is not entered if one is known with the same state, the same
 * completed operations, and only some of its unknown ones. That is why of configurations with equally many completed
 * operations the one with the fewest unknown ones comes first.
 *
 * Two things more keep unknown operations from being as many ways to go as they have subsets. Of those with equal inputs
 * only the one that was called first may be taken next: the others can do no more than it can. And a state is left at
 * once from which an answer that is still to come cannot come, if the model can tell ({@link Model.canPrecede}).
 */
import type { Model, Operation } from "./model.ts";

/** When to give up. */
export interface SearchLimits {
  /** Steps of the model. */
  readonly stepsMax: number;
  /** When `now` says this. */
  readonly endsAt: number;
  /** Milliseconds. */
  readonly now: () => number;
}

/** Looking at the clock takes longer than a step. */
const stepsPerLook = 1_024;
/** Of the answers that are still to come, so many of those that came first are compared with a state. */
const aheadMax = 8;

/** A configuration, and how the search came to it. */
interface Configuration<State> {
  readonly state: State;
  /** Sets of operations, by their places in {@link Search}'s lists, one bit each. */
  readonly known: Uint32Array;
  readonly unknown: Uint32Array;
  readonly knownCount: number;
  readonly unknownCount: number;
  /** Of the set of known ones. */
  readonly hash: number;
  readonly parent: Configuration<State> | undefined;
  /** The place in the history of the operation that was taken last. */
  readonly lastPlace: number;
  /** All known operations before this one, in the order of returns, are taken. */
  readonly returned: number;
  /** Known operations before this one, in the order of calls, are taken or were tried. */
  cursor: number;
  /** For the report: a longer linearization goes through it. */
  isCovered: boolean;
}

/** One search. */
export class Search<State, Input, Output> {
  /** Steps of the model so far. */
  steps = 0;
  readonly #model: Model<State, Input, Output>;
  readonly #history: readonly Operation<Input, Output>[];
  /** Places in the history of what ended, and of what did not, in the order of calls. */
  readonly #known: readonly number[];
  readonly #unknown: readonly number[];
  /** For each unknown one the index of the one before it with an equal input, or -1. */
  readonly #twins: readonly number[];
  /** Indexes in `known`, in the order of returns. */
  readonly #byReturn: readonly number[];
  /** Of a known operation: random bits; those of all that are taken, XORed, are the hash of the set. */
  readonly #bits: Int32Array;
  readonly #visited = new Map<number, Configuration<State>[]>();
  /** Where to go on: by the number of known operations taken, and by that of unknown ones. */
  readonly #open: (Configuration<State>[] | undefined)[][] = [];
  #found: Configuration<State> | undefined;

  /** Searches the operations at `places` of the history. */
  constructor(
    model: Model<State, Input, Output>,
    history: readonly Operation<Input, Output>[],
    places: readonly number[],
  ) {
    this.#model = model;
    this.#history = history;
    const byCall = [...places].sort((a, b) =>
      history[a]!.call - history[b]!.call || a - b
    );
    this.#known = byCall.filter((at) => history[at]!.return !== undefined);
    this.#unknown = byCall.filter((at) => history[at]!.return === undefined);
    const returnOf = (index: number) => history[this.#known[index]!]!.return!;
    this.#byReturn = this.#known.map((_, index) => index).sort((a, b) =>
      returnOf(a) - returnOf(b) || a - b
    );
    this.#bits = randomBits(this.#known.length);
    this.#twins = twinsOf(this.#unknown.map((at) => history[at]!.input));
  }

  /** Searches until it is decided or a limit is reached. */
  run(limits: SearchLimits): "ok" | "illegal" | "unknown" {
    this.#enter({
      state: this.#model.init(),
      known: new Uint32Array((this.#known.length + 31) >> 5),
      unknown: new Uint32Array((this.#unknown.length + 31) >> 5),
      knownCount: 0,
      unknownCount: 0,
      hash: 0,
      parent: undefined,
      lastPlace: -1,
      returned: 0,
      cursor: 0,
      isCovered: false,
    });
    for (;;) {
      const { stack, top } = this.#furthest();
      if (stack === undefined || top === undefined) return "illegal";
      if (top.knownCount === this.#known.length) {
        this.#found = top;
        return "ok";
      }
      const firstReturn = this.#firstReturn(top);
      const isExhausted = !this.#takeKnown(top, firstReturn, limits);
      if (this.#isOver(limits)) return "unknown";
      if (!isExhausted) continue;
      stack.pop();
      if (!this.#takeUnknown(top, firstReturn, limits)) return "unknown";
    }
  }

  /**
   * The linearization; if there is none, the longest beginnings of one that were found, such that each operation in
   * any of them is in one of these. Places in the history.
   */
  linearizations(): number[][] {
    if (this.#found !== undefined) return [pathOf(this.#found)];
    const all = [...this.#visited.values()].flat().sort((a, b) =>
      lengthOf(b) - lengthOf(a)
    );
    const seen = new Set<number>();
    const longest: number[][] = [];
    for (const one of all) {
      if (!markCovered(one, seen)) continue;
      longest.push(pathOf(one));
    }
    return longest;
  }

  /** The open configuration with the most known operations, and of these the one with the fewest unknown ones. */
  #furthest(): {
    stack: Configuration<State>[] | undefined;
    top: Configuration<State> | undefined;
  } {
    for (; this.#open.length > 0; this.#open.pop()) {
      for (const stack of this.#open[this.#open.length - 1]!) {
        const top = stack?.[stack.length - 1];
        if (top !== undefined) return { stack, top };
      }
    }
    return { stack: undefined, top: undefined };
  }

  #isOver({ stepsMax, endsAt, now }: SearchLimits): boolean {
    return this.steps >= stepsMax ||
      endsAt !== Infinity && this.steps % stepsPerLook === 0 && now() >= endsAt;
  }

  /** The time of the first return of what is left. */
  #firstReturn({ known, returned }: Configuration<State>): number {
    let at = returned;
    while (has(known, this.#byReturn[at]!)) at++;
    return this.#history[this.#known[this.#byReturn[at]!]!]!.return!;
  }

  /** Enters the next configuration that is reached by a known operation; returns whether there may be more. */
  #takeKnown(
    from: Configuration<State>,
    firstReturn: number,
    limits: SearchLimits,
  ): boolean {
    for (; from.cursor < this.#known.length; from.cursor++) {
      const index = from.cursor;
      const place = this.#known[index]!;
      if (this.#history[place]!.call > firstReturn) return false;
      if (has(from.known, index)) continue;
      if (this.#isOver(limits)) return true;
      const after = this.#step(from.state, place);
      if (after === undefined) continue;
      const known = withBit(from.known, index);
      let { returned } = from;
      while (
        returned < this.#byReturn.length &&
        has(known, this.#byReturn[returned]!)
      ) returned++;
      const isNew = this.#enter({
        ...from,
        state: after.state,
        known,
        knownCount: from.knownCount + 1,
        hash: from.hash ^ this.#bits[index]!,
        parent: from,
        lastPlace: place,
        returned,
        cursor: firstMissing(known),
        isCovered: false,
      });
      if (!isNew) continue;
      from.cursor++;
      return true;
    }
    return false;
  }

  /** Enters all that are reached by an operation of unknown outcome; returns false at a limit. */
  #takeUnknown(
    from: Configuration<State>,
    firstReturn: number,
    limits: SearchLimits,
  ): boolean {
    for (const [index, place] of this.#unknown.entries()) {
      if (this.#history[place]!.call > firstReturn) break;
      if (has(from.unknown, index)) continue;
      const twin = this.#twins[index]!;
      if (twin >= 0 && !has(from.unknown, twin)) continue;
      if (this.#isOver(limits)) return false;
      const after = this.#step(from.state, place);
      // One that changes nothing may as well be left over.
      if (after === undefined || this.#areEqual(from.state, after.state)) {
        continue;
      }
      this.#enter({
        ...from,
        state: after.state,
        unknown: withBit(from.unknown, index),
        unknownCount: from.unknownCount + 1,
        parent: from,
        lastPlace: place,
        cursor: firstMissing(from.known),
        isCovered: false,
      });
    }
    return true;
  }

  #step(before: State, place: number): { state: State } | undefined {
    const { input, output, return: returned } = this.#history[place]!;
    this.steps++;
    const [isAllowed, state] = this.#model.step(
      before,
      input,
      returned === undefined ? undefined : output,
    );
    return isAllowed ? { state } : undefined;
  }

  #areEqual(a: State, b: State): boolean {
    return this.#model.equal?.(a, b) ?? Object.is(a, b);
  }

  /** Whether the answers that are still to come, the first few of them, may come. */
  #mayGoOn({ state, known, returned }: Configuration<State>): boolean {
    if (this.#model.canPrecede === undefined) return true;
    let ahead = 0;
    for (let at = returned; at < this.#byReturn.length; at++) {
      const index = this.#byReturn[at]!;
      if (has(known, index)) continue;
      const { input, output } = this.#history[this.#known[index]!]!;
      if (!this.#model.canPrecede(state, input, output as Output)) return false;
      if (++ahead === aheadMax) break;
    }
    return true;
  }

  /** Opens a configuration unless there is no need to; returns whether it did. */
  #enter(configuration: Configuration<State>): boolean {
    const { state, known, unknown, knownCount, unknownCount } = configuration;
    const key = configuration.hash ^ (this.#model.hash?.(state) ?? 0);
    const rows = this.#visited.get(key) ?? [];
    for (const row of rows) {
      if (
        isSubset(row.unknown, unknown) && isSame(row.known, known) &&
        this.#areEqual(row.state, state)
      ) return false;
    }
    if (rows.length === 0) this.#visited.set(key, rows);
    rows.push(configuration);
    if (!this.#mayGoOn(configuration)) return false;
    while (this.#open.length <= knownCount) this.#open.push([]);
    const byUnknown = this.#open[knownCount]!;
    while (byUnknown.length <= unknownCount) byUnknown.push(undefined);
    (byUnknown[unknownCount] ??= []).push(configuration);
    return true;
  }
}

function lengthOf(one: Configuration<unknown>): number {
  return one.knownCount + one.unknownCount;
}

function pathOf(end: Configuration<unknown>): number[] {
  const path: number[] = [];
  let at = end;
  for (; at.parent !== undefined; at = at.parent) path.push(at.lastPlace);
  return path.reverse();
}

/** Notes what leads to `end`; returns whether an operation in it had not been seen. */
function markCovered(
  end: Configuration<unknown>,
  seen: Set<number>,
): boolean {
  const before = seen.size;
  let at: Configuration<unknown> | undefined = end;
  for (; at?.parent !== undefined && !at.isCovered; at = at.parent) {
    at.isCovered = true;
    seen.add(at.lastPlace);
  }
  return seen.size > before;
}

function has(set: Uint32Array, index: number): boolean {
  return (set[index >> 5]! & (1 << (index & 31))) !== 0;
}

function withBit(set: Uint32Array, index: number): Uint32Array {
  const copy = set.slice();
  copy[index >> 5]! |= 1 << (index & 31);
  return copy;
}

/** The first index that is not in the set. */
function firstMissing(set: Uint32Array): number {
  let word = 0;
  while (word < set.length && set[word] === 0xffffffff) word++;
  let index = word << 5;
  while (word < set.length && has(set, index) && index >> 5 === word) index++;
  return index;
}

function isSame(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Whether all that is in `a` is in `b`. */
function isSubset(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if ((a[i]! & ~b[i]!) !== 0) return false;
  return true;
}

/** For each input the index of the last one before it that is equal, or -1. */
function twinsOf(inputs: readonly unknown[]): number[] {
  const latest = new Map<string, number>();
  return inputs.map((input, index) => {
    const text = textOf(input);
    if (text === undefined) return -1;
    const twin = latest.get(text) ?? -1;
    latest.set(text, index);
    return twin;
  });
}

/** Inputs that are deeper than this are not compared. */
const depthMax = 8;

/** A text that only equal inputs share; undefined if they hold what is not plain data. */
function textOf(value: unknown, depth = 0): string | undefined {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "function" || typeof value === "symbol") {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return String(value);
  if (depth === depthMax) return undefined;
  if (value instanceof Uint8Array) return `bytes ${value.join()}`;
  const isArray = Array.isArray(value);
  if (!isArray && Object.getPrototypeOf(value) !== Object.prototype) {
    return undefined;
  }
  const parts: string[] = [];
  for (const [name, part] of Object.entries(value)) {
    const text = textOf(part, depth + 1);
    if (text === undefined) return undefined;
    parts.push(`${JSON.stringify(name)}:${text}`);
  }
  return isArray ? `[${parts.join()}]` : `{${parts.sort().join()}}`;
}

/** Random, and the same in every run: xorshift. */
function randomBits(count: number): Int32Array {
  const bits = new Int32Array(count);
  let x = 0x9e3779b9;
  for (let i = 0; i < count; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bits[i] = x;
  }
  return bits;
}
