/** The process's clock, for limits of a search. The simulator, which must not know it, limits steps instead. */

/** Milliseconds since some moment; never goes back. */
export function steadyClock(): number {
  return performance.now();
}
