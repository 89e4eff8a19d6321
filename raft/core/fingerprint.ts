/** The whole state of a node as plain values: whoever explores states must know which of them it has seen. */
import type { Raft } from "./raft.ts";

/** Objects that say it themselves, and what decides nothing. */
const special: ReadonlySet<string> = new Set([
  "config",
  "counters",
  "ignored",
  "log",
  "lossCount",
  "outbox",
  "progress",
  "self",
]);

/** Everything that decides what happens next. */
export function fingerprintOf(raft: Raft): unknown[] {
  const plain = Object.entries(raft).filter(([name]) => !special.has(name));
  return [
    plain,
    raft.log.fingerprint(),
    raft.outbox.fingerprint(),
    raft.progress.map((progress) => progress.fingerprint()),
  ];
}
