/**
 * Assertions that stay on in production: a broken invariant stops the node it belongs to, and is never
 * "repaired". One condition per assert, and a literal message, because the callers are hot.
 */

/** An invariant of this library did not hold: a bug in it, never the fault of a caller or a peer. */
export class AssertionError extends Error {
  /** Always `"AssertionError"`. */
  override readonly name = "AssertionError";
}

/**
 * Fails unless `condition` holds.
 *
 * @throws {AssertionError} if it does not.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/**
 * Marks a place that the type checker proves to be out of reach.
 *
 * @throws {AssertionError} always, since being here means that the proof was circumvented.
 */
export function unreachable(value: never): never {
  throw new AssertionError(
    `Cannot reach this place: got ${JSON.stringify(value)}`,
  );
}
