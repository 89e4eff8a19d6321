/**
 * All that can happen to a small cluster of cores, within bounds: which message arrives next, whose timer runs out, whose
 * writes become durable, who crashes and with how much of them, who proposes. After every step the invariants of
 * `tests/support/core_cluster.ts` are checked. A state that was seen is not gone on from; a state is everything that
 * decides what happens next, the checks' own memory included.
 *
 * A message that never arrives is one that is lost, and any may overtake any. Cores cannot be copied, so a state is kept
 * as the steps that lead to it.
 */
import { assert } from "../../raft/core/assert.ts";
import type { Prng } from "../../raft/core/prng.ts";
import type { EntryBatch, Message } from "../../raft/core/types.ts";
import { CoreCluster, type CoreNode } from "../support/core_cluster.ts";
import { crc32 } from "../support/entries.ts";

/** What may happen, and how often. */
export interface ScopeBounds {
  /** Steps in a row. */
  readonly depth: number;
  /** Timers that run out. */
  readonly timeouts: number;
  /** Nodes that crash and start again. */
  readonly crashes: number;
  /** Commands proposed. */
  readonly proposals: number;
  /** Messages that arrive twice. */
  readonly duplicates: number;
}

/** Where the search begins. */
export type ScopeStart = "nothing" | "leader";

/** What was explored. */
export interface ScopeReport {
  readonly states: number;
  readonly steps: number;
  /** States at each depth. */
  readonly byDepth: readonly number[];
}

type Step =
  | { readonly kind: "deliver"; readonly position: number; keep: boolean }
  | { readonly kind: "timeout"; readonly nodeId: number }
  | { readonly kind: "sync"; readonly nodeId: number }
  | { readonly kind: "crash"; readonly nodeId: number; surviving: number }
  | { readonly kind: "propose"; readonly nodeId: number };

interface Used {
  readonly timeouts: number;
  readonly crashes: number;
  readonly proposals: number;
  readonly duplicates: number;
}

interface Place {
  readonly steps: readonly Step[];
  readonly used: Used;
}

/** Timers without chance: all run out after the shortest time. */
const steady = { below: () => 0, fork: () => steady } as unknown as Prng;
const electionTimeoutTicks = 2;
const nodeIds = [1, 2, 3];

function begin(start: ScopeStart): CoreCluster {
  const cluster = new CoreCluster({
    nodeIds,
    isDown: true,
    settings: { electionTimeoutTicks },
  });
  (cluster as { prng: Prng }).prng = steady;
  for (const nodeId of nodeIds) cluster.start(nodeId);
  if (start === "leader") {
    cluster.elect(1);
    cluster.settle();
  }
  return cluster;
}

function take(cluster: CoreCluster, step: Step): void {
  switch (step.kind) {
    case "deliver":
      cluster.deliver(step.position, { keep: step.keep });
      break;
    case "timeout":
      expire(cluster, step.nodeId);
      break;
    case "sync":
      cluster.sync(step.nodeId);
      break;
    case "crash":
      cluster.crash(step.nodeId, step.surviving);
      cluster.start(step.nodeId);
      break;
    case "propose":
      cluster.propose(step.nodeId, "x");
      break;
  }
  // State machines are fast, and say nothing to others.
  for (const nodeId of nodeIds) {
    for (let left = 4; left > 0; left--) cluster.apply(nodeId);
  }
}

/** A leader's tick, or as many as it takes another to campaign. */
function expire(cluster: CoreCluster, nodeId: number): void {
  const { term, role } = cluster.core(nodeId);
  if (role === "leader") return cluster.tick(nodeId);
  for (let tick = 0; tick <= electionTimeoutTicks; tick++) {
    cluster.tick(nodeId);
    const core = cluster.core(nodeId);
    if (core.role !== role || core.term !== term) return;
  }
}

function stepsFrom(
  cluster: CoreCluster,
  used: Used,
  bounds: ScopeBounds,
): { step: Step; used: Used }[] {
  const steps: { step: Step; used: Used }[] = [];
  const offered = new Set<string>();
  cluster.queue.forEach((message, position) => {
    const text = messageText(message);
    if (offered.has(text)) return;
    offered.add(text);
    steps.push({ step: { kind: "deliver", position, keep: false }, used });
    if (used.duplicates === bounds.duplicates) return;
    steps.push({
      step: { kind: "deliver", position, keep: true },
      used: { ...used, duplicates: used.duplicates + 1 },
    });
  });
  for (const nodeId of nodeIds) {
    const { writes, core } = cluster.node(nodeId);
    if (writes.length > 0) steps.push({ step: { kind: "sync", nodeId }, used });
    if (used.timeouts < bounds.timeouts) {
      steps.push({
        step: { kind: "timeout", nodeId },
        used: { ...used, timeouts: used.timeouts + 1 },
      });
    }
    if (core.isLeader() && used.proposals < bounds.proposals) {
      steps.push({
        step: { kind: "propose", nodeId },
        used: { ...used, proposals: used.proposals + 1 },
      });
    }
    if (used.crashes === bounds.crashes) continue;
    for (let surviving = 0; surviving <= writes.length; surviving++) {
      steps.push({
        step: { kind: "crash", nodeId, surviving },
        used: { ...used, crashes: used.crashes + 1 },
      });
    }
  }
  return steps;
}

const digests = new WeakMap<EntryBatch, string>();

/** Batches are told by their place and contents. */
function batchText(batch: EntryBatch): string {
  const known = digests.get(batch);
  if (known !== undefined) return known;
  const { firstIndex, lastIndex, term, bytes } = batch;
  const text = `${firstIndex}-${lastIndex}@${term}#${crc32(bytes)}`;
  digests.set(batch, text);
  return text;
}

function messageText(message: Message): string {
  return JSON.stringify(
    message.type === "append"
      ? { ...message, batches: message.batches.map(batchText) }
      : message,
  );
}

function nodeFingerprint(node: CoreNode): unknown[] {
  const { core, disk, writes, promises, durableWriteId, applying } = node;
  return [
    core.fingerprint(),
    disk.hardState(),
    disk.batches().map(batchText),
    writes.map(({ update: { records } }) => [
      records?.writeId,
      records?.hardState,
      records?.batches.map(batchText),
    ]),
    promises.map(({ after, messages }) => [after, messages.map(messageText)]),
    durableWriteId,
    applying?.lastIndex,
  ];
}

function fingerprint(cluster: CoreCluster, used: Used): string {
  return hash(JSON.stringify([
    used,
    nodeIds.map((nodeId) => nodeFingerprint(cluster.node(nodeId))),
    cluster.queue.map(messageText).sort(),
    cluster.checks.fingerprint(),
  ]));
}

/** 106 bits: two of any number of states that fit in memory will not meet (two rounds of cyrb53). */
function hash(text: string): string {
  let [a, b, c, d] = [0xdeadbeef, 0x41c6ce57, 0x9e3779b9, 0x85ebca6b];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
    c = Math.imul(c ^ code, 3432918353);
    d = Math.imul(d ^ code, 461845907);
  }
  return [a ^ b >>> 15, b ^ c >>> 13, c ^ d >>> 16, d ^ a >>> 14].map((word) =>
    (word >>> 0).toString(36)
  ).join(".");
}

/**
 * Explores everything within the bounds, nearest states first.
 *
 * @throws with the steps in its message, if an invariant does not hold
 */
export function explore(
  start: ScopeStart,
  bounds: ScopeBounds,
  /** Changes the cluster before anything happens: to see that a bug is found. */
  prepare: (cluster: CoreCluster) => void = () => {},
): ScopeReport {
  const seen = new Set<string>();
  const byDepth: number[] = [];
  let steps = 0;
  const none = { timeouts: 0, crashes: 0, proposals: 0, duplicates: 0 };
  let places: Place[] = [{ steps: [], used: none }];
  const reach = (place: Place): CoreCluster => {
    const cluster = begin(start);
    prepare(cluster);
    for (const step of place.steps) take(cluster, step);
    return cluster;
  };
  for (let depth = 0; depth <= bounds.depth && places.length > 0; depth++) {
    const next: Place[] = [];
    byDepth.push(0);
    for (const place of places) {
      let cluster: CoreCluster;
      steps++;
      try {
        cluster = reach(place);
      } catch (error) {
        throw new Error(
          `Cannot go on from "${start}" after ${
            JSON.stringify(place.steps)
          }: ` +
            (error instanceof Error ? error.message : String(error)),
          { cause: error },
        );
      }
      const key = fingerprint(cluster, place.used);
      if (seen.has(key)) continue;
      seen.add(key);
      byDepth[depth] = byDepth[depth]! + 1;
      if (depth === bounds.depth) continue;
      for (const { step, used } of stepsFrom(cluster, place.used, bounds)) {
        // Of three nodes that are alike, the first to run out is called 1.
        const isMirrored = start === "nothing" && depth === 0 &&
          step.kind === "timeout" && step.nodeId !== 1;
        if (!isMirrored) next.push({ steps: [...place.steps, step], used });
      }
    }
    places = next;
  }
  assert(seen.size > 0, "there must be a state to begin with");
  return { states: seen.size, steps, byDepth };
}
