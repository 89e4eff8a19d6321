/**
 * Proposals, membership changes and transfers between a follower's NodeHost and the leader's. What a follower forwards
 * is answered once: taken at an index and term, or not taken and why (rules B3, R1).
 */
import type { Peer } from "./core/peer.ts";
import type { EntryBatch } from "./core/types.ts";
import type { ChangeTable } from "./changes.ts";
import { inspectForwardedEntries } from "./entries.ts";
import type { RaftError } from "./errors.ts";
import type { HostContext } from "./host_context.ts";
import type { ProposalTable } from "./proposals.ts";
import { requestError } from "./requests.ts";
import { type MemberVersions, refusalOf } from "./versions.ts";
import type { WireRecord } from "./transport/link_pool.ts";

type RecordOf<K extends WireRecord["kind"]> = Extract<WireRecord, { kind: K }>;

/** What a {@link Forwarding} needs of its node. */
export interface ForwardingOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly peer: Peer;
  readonly host: HostContext;
  readonly versions: MemberVersions;
  /** Sends a record to a node of the cluster; false if there is no way to it now. */
  send(to: number, record: WireRecord): boolean;
  /** Why entries of so many bytes are too much for now. */
  overload(bytes: number): RaftError | undefined;
  /** Ends the next batch and gives it to the core. */
  seal(): void;
  schedule(): void;
}

/** Both sides of forwarding, for one node. */
export class Forwarding {
  readonly #node: ForwardingOwner;
  readonly #proposals: ProposalTable;
  readonly #changes: ChangeTable;
  #taken: { record: RecordOf<"forward">; place: number }[] = [];

  /** Nothing is under way. */
  constructor(
    node: ForwardingOwner,
    proposals: ProposalTable,
    changes: ChangeTable,
  ) {
    this.#node = node;
    this.#proposals = proposals;
    this.#changes = changes;
  }

  /** A follower's proposals came in. */
  receive(record: RecordOf<"forward">): void {
    const node = this.#node;
    const { entries, entryCount, firstCounter } = record;
    if (!node.peer.isLeader()) return this.#answer(record, "notLeader", 0);
    const found = inspectForwardedEntries(entries, entryCount, firstCounter);
    if (found === "malformed") {
      const { clusterId } = node;
      node.host.notices.warn(
        `malformed ${clusterId} ${record.from}`,
        "a forwarded proposal does not decode",
        { clusterId, from: record.from },
      );
      return this.#answer(record, "malformed", 0);
    }
    const objection = found === "sessions"
      ? node.versions.refuseSessions(true)
      : undefined;
    if (objection !== undefined) {
      const { code, message } = objection;
      return this.#answer(record, `${code}: ${message}`, 0);
    }
    const overload = node.overload(entries.length);
    if (overload !== undefined) return this.#answer(record, overload.code, 0);
    const { bytes } = this.#proposals.builder;
    if (bytes + entries.length > node.host.batchBytes) node.seal();
    const place = this.#proposals.addForeign(
      entries,
      entryCount,
      found === "sessions",
    );
    this.#taken.push({ record, place });
    node.schedule();
  }

  /** The batch that holds what was received was given to the core. */
  sealed(taken: EntryBatch | string): void {
    if (this.#taken.length === 0) return;
    const records = this.#taken;
    this.#taken = [];
    for (const { record, place } of records) this.#answer(record, taken, place);
  }

  /** The leader's answer to something forwarded came in. */
  answered(record: RecordOf<"forwarded">): void {
    this.#changes.answered(record.firstCounter, record);
    this.#proposals.answered(record.firstCounter, record, () => {
      const refused = refusalOf(record.refusal);
      if (refused !== undefined) {
        return requestError(refused.code, refused.reason);
      }
      if (record.refusal === "busy" || record.refusal === "diskFull") {
        return requestError(
          record.refusal,
          `Cannot propose: the leader is ${
            record.refusal === "busy" ? "overloaded" : "out of disk space"
          }`,
        );
      }
      return requestError(
        "dropped",
        `Cannot propose: the leader did not take it (${record.refusal})`,
      );
    });
    this.#node.schedule();
  }

  /** A follower's membership change came in. */
  receiveChange(record: RecordOf<"forwardChange">): void {
    const { peer } = this.#node;
    const taken = peer.isLeader()
      ? this.#node.versions.refuseChange(record.change) ??
        peer.proposeChange(record.change, record.proposerKey)
      : "notLeader";
    this.#answer(
      { from: record.from, firstCounter: record.counter, entryCount: 1 },
      taken,
      0,
    );
    this.#node.schedule();
  }

  /** A follower's wish for another leader came in; it is answered only if it is refused. */
  receiveTransfer(record: RecordOf<"forwardTransfer">): void {
    const { peer } = this.#node;
    const answer = peer.isLeader()
      ? peer.transferLeadership(record.target)
      : "notLeader";
    if (answer !== "started") {
      this.#answer(
        { from: record.from, firstCounter: record.counter, entryCount: 1 },
        answer,
        0,
      );
    }
    this.#node.schedule();
  }

  #answer(
    record: { from: number; firstCounter: number; entryCount: number },
    taken: EntryBatch | string,
    place: number,
  ): void {
    const isTaken = typeof taken !== "string";
    this.#node.send(record.from, {
      kind: "forwarded",
      clusterId: this.#node.clusterId,
      from: this.#node.nodeId,
      to: record.from,
      firstCounter: record.firstCounter,
      entryCount: record.entryCount,
      firstIndex: isTaken ? taken.firstIndex + place : 0,
      term: isTaken ? taken.term : 0,
      refusal: isTaken ? "" : taken,
    });
    this.#node.schedule();
  }
}
