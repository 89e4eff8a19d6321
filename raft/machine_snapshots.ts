/** How a snapshot of each kind of state machine is begun: where it stands, what it holds, and who writes it. */
import type { SnapshotTraits } from "../storage/snapshot_format.ts";
import type { SnapshotMaking } from "../storage/snapshots.ts";
import { assert } from "./core/assert.ts";
import type { AnyApplier } from "./batch_applier.ts";
import type { Peer } from "./core/peer.ts";
import type { SnapshotMeta } from "./core/types.ts";
import {
  type AnyStateMachine,
  kindOf,
  type SnapshotWriter,
} from "./state_machine.ts";

/** What is asked of the node. */
export interface SnapshotSource {
  readonly machine: AnyStateMachine;
  readonly applier: AnyApplier;
  readonly peer: Peer;
  /** Whether blocks are packed. */
  readonly isPacked: boolean;
  /** Of the cluster. */
  readonly generation: number;
  /** Of the cluster's initial members. */
  readonly fingerprint: string;
  /** Entries may be applied again. */
  resumed(): void;
}

/** A snapshot that stands at a point in time. */
export interface BegunSnapshot {
  /** Where it stands. */
  readonly meta: SnapshotMeta;
  /** How its file is made. */
  readonly making?: SnapshotMaking;
  /** The table of the clients' sessions, if there is one. Needs a file of version 2. */
  readonly sessions?: Uint8Array;
  /** Writes it. Called once in any case. */
  write(writer: SnapshotWriter): Promise<void>;
}

/**
 * Fixes the state as of now. `kept` is what the node keeps for itself: of a state machine on disk that is no state, once
 * everything applied is durable there. `whole` is for others. Entries are applied again as soon as the kind allows.
 */
export async function beginSnapshot(
  source: SnapshotSource,
  purpose: "kept" | "whole",
): Promise<BegunSnapshot> {
  const { machine, applier } = source;
  applier.pause();
  const resume = () => {
    applier.resume();
    source.resumed();
  };
  if (machine.kind !== "concurrent" && machine.kind !== "onDisk") {
    // Until the state is written; that it becomes durable need not hold anybody up.
    return {
      ...placeOf(source, purpose, false),
      write: (writer) => settled(() => machine.saveSnapshot(writer), resume),
    };
  }
  try {
    await applier.quiet();
    if (machine.kind === "onDisk" && purpose === "kept") {
      await machine.sync();
      return {
        ...placeOf(source, purpose, true),
        write: () => Promise.resolve(),
      };
    }
    const place = placeOf(source, purpose, false);
    const context = await machine.prepareSnapshot();
    return {
      ...place,
      write: async (writer) => await machine.saveSnapshot(context, writer),
    };
  } finally {
    resume();
  }
}

async function settled(
  work: () => Promise<void>,
  after: () => void,
): Promise<void> {
  try {
    await work();
  } finally {
    after();
  }
}

function placeOf(
  source: SnapshotSource,
  purpose: "kept" | "whole",
  isDummy: boolean,
): Omit<BegunSnapshot, "write"> {
  const { machine, applier, peer, isPacked, generation, fingerprint } = source;
  assert(
    purpose === "kept" || !applier.isAhead,
    "a whole state must be that of its index",
  );
  const kind = kindOf(machine);
  const traits: SnapshotTraits = {
    kind,
    isDummy,
    isImported: false,
    generation,
    machineIndex: kind === "onDisk" ? applier.given : 0,
    fingerprint,
  };
  // What a regular state machine keeps for itself needs no more than version 1.
  const { sessions } = applier;
  const isPlain = kind === "regular" && purpose === "kept" && !isPacked &&
    sessions.isPristine;
  return {
    meta: {
      index: applier.applied,
      term: applier.appliedTerm,
      membership: peer.membership(),
    },
    making: isPlain ? {} : { traits, isPacked },
    ...(sessions.isPristine ? {} : { sessions: sessions.encode(generation) }),
  };
}
