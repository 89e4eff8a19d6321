/** The shape of the tables of this folder. */

/** One sentence of the paper or the thesis, and how it is tested. */
export interface Sentence {
  /** Where it stands. */
  readonly section: string;
  /** What it says, in short. */
  readonly says: string;
  /** Throws unless the core does what the sentence says. */
  readonly test: () => void;
}
