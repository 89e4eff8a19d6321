/** What a checker of linearizability is told: the object as if one client used it alone, and what clients saw. */

/** One call of one client. Calls that certainly had no effect are left out of a history. */
export interface Operation<Input, Output> {
  /** Who called; for people only. */
  readonly client?: number;
  /** What was asked. */
  readonly input: Input;
  /** What was answered. Missing if nobody knows the outcome. */
  readonly output?: Output;
  /** When the call was made, by a clock that all operations share; any unit. */
  readonly call: number;
  /**
   * When the answer came, not before `call`. Missing if none did: then the operation may have taken effect at any time
   * after its call, or never.
   */
  readonly return?: number;
}

/** An object with one client: what each operation answers, and what it leaves behind. */
export interface Model<State, Input, Output> {
  /** For people, and for the Go program that reads written histories. */
  readonly name: string;
  /** The state before the first operation. */
  init(): State;
  /**
   * Whether an operation may answer this in this state, and the state after it. A state is never changed, a new one is
   * returned. `output` is undefined if nobody knows it; such a step is allowed in every state.
   */
  step(
    state: State,
    input: Input,
    output: Output | undefined,
  ): readonly [ok: boolean, state: State];
  /** Whether two states are the same; `Object.is` unless given. */
  equal?(a: State, b: State): boolean;
  /** A number that is equal for equal states: makes the search faster where states are many. */
  hash?(state: State): number;
  /**
   * Names the part of the object that an operation is about. Parts that know nothing of each other are searched one by
   * one, which is what makes long histories of many keys feasible: an object is linearizable if each part is.
   */
  partition?(input: Input): string | number;
  /**
   * Whether an operation with this input and answer may still come once the object is in this state: `false` only if
   * nothing that could happen in between makes it possible. A state that remembers its past, such as a list that only
   * grows, is known to be wrong long before an answer contradicts it; then many operations of unknown outcome are no
   * longer many ways to go. Asked with operations of known outcome only.
   */
  canPrecede?(state: State, input: Input, output: Output): boolean;
}
