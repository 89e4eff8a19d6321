/**
 * Mending (rule L7; after Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST '18). A node whose
 * log damage took committed entries from is not started, so it neither votes nor acknowledges, until it has fetched them
 * from other members and its log is whole again. What is committed at an index is the same everywhere, and its batch
 * too (rule B1), so any member that knows it to be committed may answer. A node that may have lost a vote or an
 * acknowledgement is never started.
 */
import type { AddressBook } from "./address_book.ts";
import { hasPayloads } from "./core/entry_batch.ts";
import { decodeConfigChange } from "./core/membership_format.ts";
import { allMembers, memberOf } from "./core/members.ts";
import type { EntryBatch } from "./core/types.ts";
import { EntryCursor } from "./entries.ts";
import type { Engine } from "./engine.ts";
import { RaftError } from "./errors.ts";
import type { Node } from "./node.ts";
import type { Logger } from "./ports.ts";
import type { Link, LinkPool, WireRecord } from "./transport/link_pool.ts";
import type { LogDamage, NodeLog } from "../storage/log_store.ts";
import type { Wal } from "../storage/wal/wal.ts";

type Fetch = Extract<WireRecord, { kind: "fetchEntries" }>;
type Fetched = Extract<WireRecord, { kind: "fetchedEntries" }>;

/** Ticks until another member is asked. */
const answerTicks = 20;
/** Rounds of all members without an entry after which people are told. */
const silentRounds = 10;

/** A node that damage took something from. */
export interface DamagedNode {
  /** The cluster. */
  clusterId: number;
  /** The node. */
  nodeId: number;
  /** `mending`: it fetches committed entries and will start. `lost`: it must be replaced by a node with a new id. */
  state: "mending" | "lost";
  /** The first missing entry, with `mending`; else 0. */
  firstIndex: number;
  /** The last one. */
  lastIndex: number;
  /** What was found where. */
  reason: string;
}

/** What {@link Mending} needs of its NodeHost. */
export interface MendingHost {
  /** Where NodeHosts are that have moved. */
  readonly addresses: Pick<AddressBook, "addressOf">;
  readonly links: LinkPool;
  readonly engine: Engine;
  readonly log: Wal;
  readonly logger: Logger;
  readonly tickMs: number;
  /** Bytes of batches in one answer. */
  readonly maxBytes: number;
  /** Rejects when the NodeHost closes. */
  pause(ms: number): Promise<void>;
  /** Why nothing is written any more. */
  failure(): RaftError | undefined;
}

/** The mending of all nodes of a NodeHost. */
export class Mending {
  readonly #host: MendingHost;
  /** Who waits for an answer, by cluster. */
  readonly #waiting = new Map<number, (answer: Fetched) => void>();

  /** Nothing is mended yet. */
  constructor(host: MendingHost) {
    this.#host = host;
  }

  /**
   * Resolves when a node may start: at once if nothing is missing, else when that was fetched.
   *
   * @throws {RaftError} `corruption` if it must never start again
   */
  async whole(
    node: { clusterId: number; nodeId: number },
    log: NodeLog,
  ): Promise<void> {
    const damage = log.damage();
    if (damage?.kind === "lost") throw lostError(node, damage.reason);
    if (damage !== undefined) return await this.#mend(node, log);
    const { hiddenDamage } = this.#host.log;
    if (hiddenDamage === undefined || log.bootstrap() !== undefined) return;
    throw new RaftError(
      "corruption",
      `Cannot start node ${node.nodeId} of cluster ${node.clusterId} here: ${hiddenDamage}, which may have taken all that ` +
        "was known of it; start new nodes on a NodeHost with a new directory",
    );
  }

  /** An answer came in. */
  receive(answer: Fetched): void {
    this.#waiting.get(answer.clusterId)?.(answer);
  }

  /** Answers a member's node that mends its log, if its NodeHost is the one that the membership names. */
  answer(node: Node, link: Link, fetch: Fetch): void {
    const asking = memberOf(node.peer.membership(), fetch.from);
    const isKnown = asking !== undefined &&
      (asking.nodeHostId === "" ||
        asking.nodeHostId === link.remote?.nodeHostId);
    if (!isKnown || fetch.to !== node.nodeId) return;
    link.send({
      kind: "fetchedEntries",
      clusterId: node.clusterId,
      from: node.nodeId,
      to: fetch.from,
      firstIndex: fetch.firstIndex,
      firstHeld: node.log.firstIndex(),
      batches: this.#committed(node, fetch),
    });
    this.#host.engine.requestTurn();
  }

  #committed(node: Node, { firstIndex, lastIndex }: Fetch): EntryBatch[] {
    const batches: EntryBatch[] = [];
    let bytes = 0;
    const last = Math.min(lastIndex, node.peer.commit);
    for (let index = firstIndex; index <= last;) {
      const batch = node.log.batchAt(index);
      if (batch?.firstIndex !== index || !hasPayloads(batch)) break;
      bytes += batch.bytes.length;
      if (batches.length > 0 && bytes > this.#host.maxBytes) break;
      batches.push(batch);
      index = batch.lastIndex + 1;
    }
    return batches;
  }

  async #mend(
    node: { clusterId: number; nodeId: number },
    log: NodeLog,
  ): Promise<void> {
    const { logger } = this.#host;
    const members = membersIn(log, this.#host.addresses).filter(([id]) =>
      id !== node.nodeId
    );
    const isWitness = log.bootstrap()?.witness === true;
    let silent = 0;
    for (let turn = 0;; turn++) {
      const damage = log.damage();
      if (damage === undefined) break;
      const member = members[turn % members.length];
      const batches = member === undefined
        ? []
        : await this.#ask(node, member, damage, isWitness);
      if (batches.length > 0) {
        await this.#save(node, batches);
        silent = 0;
        turn--; // Who has these is asked for the next.
        continue;
      }
      await this.#host.pause(this.#host.tickMs);
      if (++silent !== silentRounds * Math.max(1, members.length)) continue;
      logger.error("no other member sends what damage took from a node", {
        ...node,
        firstIndex: damage.firstIndex,
        lastIndex: damage.lastIndex,
        advice: "start the others, or replace the node if they have compacted",
      });
    }
    logger.info("a node was mended", { ...node });
  }

  /** Asks one member; what it has from the front of the damage on, none if it does not answer. */
  async #ask(
    node: { clusterId: number; nodeId: number },
    [to, address]: readonly [nodeId: number, address: string],
    { firstIndex, lastIndex }: LogDamage,
    isWitness: boolean,
  ): Promise<EntryBatch[]> {
    const { links, engine, tickMs } = this.#host;
    const { clusterId, nodeId } = node;
    let answered: Fetched | undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(clusterId, (answer) => {
      const isOurs = answer.from === to && answer.to === nodeId &&
        answer.firstIndex === firstIndex;
      if (!isOurs) return;
      answered = answer;
      resolve();
    });
    links.linkTo(address).send({
      kind: "fetchEntries",
      clusterId,
      from: nodeId,
      to,
      firstIndex,
      lastIndex,
    });
    engine.requestTurn();
    try {
      for (let tick = 0; tick < answerTicks && answered === undefined; tick++) {
        await Promise.race([promise, this.#host.pause(tickMs)]);
      }
    } finally {
      this.#waiting.delete(clusterId);
    }
    const usable: EntryBatch[] = [];
    for (const batch of answered?.batches ?? []) {
      if (batch.lastIndex > lastIndex) break; // Another history than ours.
      // A witness, of a version that still answers, has headers alone: taken for entries they would be lost here.
      if (!isWitness && !hasPayloads(batch)) break;
      usable.push(batch);
    }
    return usable;
  }

  #save(
    node: { clusterId: number; nodeId: number },
    mended: readonly EntryBatch[],
  ): Promise<void> {
    const { clusterId, nodeId } = node;
    return new Promise((resolve, reject) => {
      const failure = this.#host.failure();
      if (failure !== undefined) return reject(failure);
      this.#host.engine.stageOther(
        { clusterId, nodeId, mended },
        true,
        resolve,
        () => reject(this.#host.failure()),
      );
    });
  }
}

function lostError(
  node: { clusterId: number; nodeId: number },
  reason: string,
): RaftError {
  return new RaftError(
    "corruption",
    `Cannot start node ${node.nodeId} of cluster ${node.clusterId}: ${reason}, and a vote or an acknowledgement of it may ` +
      "be lost, so it must not take part again: remove it from the cluster and add a node with a new id",
  );
}

/** Everybody who may be a member, as far as the node's own log tells. */
function membersIn(
  log: NodeLog,
  addresses: Pick<AddressBook, "addressOf">,
): (readonly [number, string])[] {
  const members = new Map<number, string>(log.bootstrap()?.initialMembers);
  const snapshot = log.snapshot();
  if (snapshot !== undefined) {
    for (const { nodeId, address } of allMembers(snapshot.membership)) {
      members.set(nodeId, address);
    }
  }
  const missing = log.damage();
  for (let index = log.firstIndex(); index <= log.lastIndex();) {
    const batch = log.batchAt(index);
    if (batch === undefined) {
      index = Math.max(index, missing?.lastIndex ?? index) + 1;
      continue;
    }
    if (batch.isConfigChange) noteChange(members, batch);
    index = batch.lastIndex + 1;
  }
  const hosts = new Map(log.peers().map((peer) => [peer.nodeId, peer]));
  return [...members].sort(([a], [b]) => a - b).map(([nodeId, address]) => {
    const nodeHostId = hosts.get(nodeId)?.nodeHostId ?? "";
    return [nodeId, addresses.addressOf(nodeHostId, address)];
  });
}

function noteChange(members: Map<number, string>, batch: EntryBatch): void {
  const cursor = new EntryCursor(batch);
  if (!cursor.next()) return;
  const change = decodeConfigChange(cursor.command());
  if (change?.type.startsWith("add")) {
    members.set(change.nodeId, change.address);
  }
}
