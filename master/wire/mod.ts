/** How reports are written down: on their way to a master, and in its store. */
export { decodeCbor, encodeCbor } from "./cbor.ts";
export { hashSecret, isSecret, isSecretOf } from "./secret.ts";
export {
  ContradictoryReportError,
  maxReportBytes,
  namePattern,
  readReport,
  reportLimits,
  textPattern,
  writeReport,
} from "./report.ts";
export {
  digestOf,
  rowsOf,
  sliceLog,
  sliceNodes,
  slicePositions,
  unpackLog,
  unpackPositions,
  unpackRows,
} from "./rows.ts";
export type { NodeRow } from "./rows.ts";
