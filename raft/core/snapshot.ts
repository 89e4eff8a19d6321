/** Snapshots: sending one to a follower whose entries are compacted, and installing one (paper, section 7). */
import type { Progress } from "./progress.ts";
import type { Raft } from "./raft.ts";
import type { Message } from "./types.ts";

type MessageOf<Type extends Message["type"]> = Extract<Message, { type: Type }>;

/** Has the driver stream the latest snapshot to a follower that lives. Tells whether it did. */
export function maybeSendSnapshot(raft: Raft, progress: Progress): boolean {
  // Streaming to a node that is down would fail, over and over.
  if (!raft.isActive(progress)) return false;
  const snapshot = raft.log.snapshot;
  // One that brings the follower no further would be sent for ever.
  if (snapshot === undefined || snapshot.index < progress.next) return false;
  progress.becomeSnapshot(snapshot.index);
  raft.outbox.sendEarly({
    type: "snapshot",
    from: raft.nodeId,
    to: progress.nodeId,
    term: raft.term,
    snapshot,
  });
  return true;
}

/** The driver is done with streaming. */
export function reportSnapshot(
  raft: Raft,
  report: { nodeId: number; delivered: boolean },
): void {
  if (raft.role !== "leader") return;
  raft.progressOf(report.nodeId)?.snapshotDone(report.delivered);
}

/** Installs a snapshot whose file lies durable here (paper, figure 13). */
export function handleSnapshot(
  raft: Raft,
  message: MessageOf<"snapshot">,
): void {
  const { log } = raft;
  const { snapshot } = message;
  if (snapshot.term > message.term || snapshot.index < 1) {
    raft.ignored.broken++;
    raft.counters.snapshotsRejected++;
    return;
  }
  if (snapshot.index > log.commit) {
    if (log.holds(snapshot.index, snapshot.term)) {
      // The log has all of it; the entries after it stay (paper, figure 13, step 6).
      log.commitTo(snapshot.index);
    } else {
      log.restore(snapshot);
      raft.setMembership(snapshot.membership);
      raft.outbox.snapshot = snapshot;
    }
  } else raft.counters.snapshotsRejected++;
  raft.outbox.send({
    type: "appendResponse",
    from: raft.nodeId,
    to: message.from,
    term: raft.term,
    index: log.commit,
    rejected: false,
    hintIndex: 0,
    hintTerm: 0,
  });
}
