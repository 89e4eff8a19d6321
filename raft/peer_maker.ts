/** Makes the core of a node out of what its log and its configuration say. */
import { initialMembership } from "./admission.ts";
import type { ResolvedClusterConfig } from "./config.ts";
import type { CoreCounters } from "./core/counters.ts";
import { getUint64 } from "./core/entry_batch.ts";
import { leaseFor } from "./core/lease.ts";
import { Peer } from "./core/peer.ts";
import { Prng } from "./core/prng.ts";
import { crc32 } from "./deps.ts";
import type { Random } from "./ports.ts";
import type { Bootstrap, NodeLog } from "../storage/log_store.ts";

/** Election timeouts without activity after which a cluster with `quiesce` falls quiet. */
const quiesceElections = 5;

/** What a core is made of. */
export interface PeerParts {
  readonly config: ResolvedClusterConfig;
  readonly log: NodeLog;
  readonly bootstrap: Bootstrap;
  readonly tickMs: number;
  /** Most bytes of entries in one message. */
  readonly batchBytes: number;
  readonly random: Random;
  readonly counters: CoreCounters;
}

/** The core of a node that begins where its log ends. */
export function makePeer(parts: PeerParts): Peer {
  const { config, log, bootstrap, batchBytes, random, counters } = parts;
  const snapshot = log.snapshot();
  return new Peer(
    {
      nodeId: config.nodeId,
      electionTimeoutTicks: config.electionTimeoutTicks,
      heartbeatTicks: config.heartbeatTicks,
      ...(config.leaseReads ? { lease: leaseFor(config, parts.tickMs) } : {}),
      quiesceTicks: config.quiesce
        ? quiesceElections * config.electionTimeoutTicks
        : 0,
      maxAppendBytes: batchBytes,
      maxInflightAppends: 256,
      maxInflightBytes: 16 * 1024 * 1024,
      maxApplyBytes: 1024 * 1024,
      retainBytes: 256 * 1024,
      isWitness: config.witness,
      mayVote: bootstrap.admitted,
      turnOffset: new Prng(config.clusterId).uint32(),
      prng: new Prng(randomInteger(random)),
      crc32,
      counters,
    },
    log,
    {
      membership: snapshot?.membership ??
        initialMembership(bootstrap.initialMembers),
      applied: snapshot?.index ?? 0,
    },
  );
}

/** A random integer from 1 to 2^52. */
export function randomInteger(random: Random): number {
  const bytes = new Uint8Array(8);
  random.fill(bytes);
  bytes[6] = bytes[6]! & 0x0f;
  bytes[7] = 0;
  return getUint64(new DataView(bytes.buffer), 0) + 1;
}
