/** What the driver of a node decides about its core. */
import type { CoreCounters } from "./counters.ts";
import type { LeaseConfig } from "./lease.ts";
import type { Prng } from "./prng.ts";
import type { Crc32 } from "./types.ts";

/** Settings of one {@link Peer}; they do not change while it lives. */
export interface PeerConfig {
  /** This node's id. */
  readonly nodeId: number;
  /** Ticks without a leader after which a node campaigns, and without a quorum after which a leader steps down. */
  readonly electionTimeoutTicks: number;
  /** Ticks between two heartbeats of a leader. */
  readonly heartbeatTicks: number;
  /** Ticks without activity after which the cluster may fall quiet (rule C10); 0 or undefined: never. */
  readonly quiesceTicks?: number;
  /** How leases for reads are counted (rule C8); undefined: there are none. */
  readonly lease?: LeaseConfig;
  /** Most bytes of batches in one append message; a bigger batch travels alone. */
  readonly maxAppendBytes: number;
  /** Most append messages on the way to one follower. */
  readonly maxInflightAppends: number;
  /** No further append leaves for a follower while this many bytes are on the way to it. */
  readonly maxInflightBytes: number;
  /** Most bytes of batches in one committed range, which has at least one batch. */
  readonly maxApplyBytes: number;
  /** Bytes of batches kept in memory for followers after they are persisted and applied. */
  readonly retainBytes: number;
  /** Whether the node is a witness: it stores no payloads and never leads (rule C9). */
  readonly isWitness: boolean;
  /** If false the node neither votes nor campaigns until `admit()` (rule I2). */
  readonly mayVote: boolean;
  /** Equal on all members, and another for each cluster: in which order they campaign in place of a leader; 0 if left out. */
  readonly turnOffset?: number;
  /** Where election timeouts are drawn from. */
  readonly prng: Prng;
  /** Checksum for the batches this node makes. */
  readonly crc32: Crc32;
  /** Where it counts; other nodes may count there too. */
  readonly counters?: CoreCounters;
}
