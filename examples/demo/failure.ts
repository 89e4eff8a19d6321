/** What the demo ends with when something does not go as it must. */

/** Something is lost, different, stuck, or cannot be begun; the message says what and where. */
export class DemoFailure extends Error {
  /** How many acknowledged chunks are missing or different, if that is known. */
  readonly lost: number | undefined;

  /** Makes a failure. */
  constructor(message: string, lost?: number) {
    super(message);
    this.lost = lost;
  }
}
