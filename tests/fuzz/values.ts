/** Values that several targets encode. */
export {
  change,
  id,
  integer,
  membership,
  object,
  text,
} from "../raft/codec/arbitraries.ts";
