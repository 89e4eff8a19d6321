/** What the nodes of one NodeHost share. */
import type { AddressBook } from "./address_book.ts";
import type { EventHub } from "./events.ts";
import type { Counters } from "./metrics/counters.ts";
import type { Clock, Logger } from "./ports.ts";
import type { Notices } from "./transport/notices.ts";
import type { SnapshotPacer } from "./snapshot_pacer.ts";
import type { Snapshotter } from "./snapshotter.ts";
import type { HostIdentity, LinkPool } from "./transport/link_pool.ts";
import type { Compression } from "../storage/compression.ts";
import type { HostVersions } from "./versions.ts";
import type { LogStore } from "../storage/log_store.ts";
import type { SnapshotStore } from "../storage/snapshots.ts";

/** Ports and services of one NodeHost. */
export interface HostContext {
  /** Who it is. */
  readonly self: HostIdentity;
  /** Names this incarnation in proposer keys: a random safe integer, not 0. */
  readonly proposer: number;
  /** Length of a tick. */
  readonly tickMs: number;
  /** Largest command. */
  readonly maxPayloadBytes: number;
  /**
   * Entries beyond this many bytes go into a further batch, or record (rule B3): with the biggest entry on top, which is
   * an eighth of a segment, a batch stays below a quarter of one, which is the longest frame.
   */
  readonly batchBytes: number;
  /** Time. */
  readonly clock: Clock;
  /** Packs commands and unpacks them. */
  readonly compression: Compression;
  /** What it and others speak (rule I6). */
  readonly versions: HostVersions;
  /** Where to log. */
  readonly logger: Logger;
  /** Where to log what may happen again and again. */
  readonly notices: Notices;
  /** Who listens to what happens. */
  readonly events: EventHub;
  /** What is counted. */
  readonly counters: Counters;
  /** Where they are. */
  readonly addresses: AddressBook;
  /** Connections to other NodeHosts. */
  readonly links: LinkPool;
  /** The log of all nodes. */
  readonly log: LogStore;
  /** Snapshot files. */
  readonly snapshotStore: SnapshotStore;
  /** Spaces automatic ones. */
  readonly snapshotPacer: SnapshotPacer;
  /** Sends and receives them. */
  readonly snapshotter: Snapshotter;
}
