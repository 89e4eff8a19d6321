/** How a decision is put together. */
import type { ClusterImage } from "../cluster_image.ts";
import type { StepKind } from "../schema.ts";
import { type Decision, isRunning, nothing, type View } from "./view.ts";
import { votersOf } from "../cluster_image.ts";

/** What a step says. */
export interface StepParts {
  readonly kind: StepKind;
  readonly node: number;
  readonly hosts: Record<string, number>;
}

/** The record with another step. */
export function withStep(
  view: View,
  image: ClusterImage,
  { kind, node, hosts }: StepParts,
): ClusterImage {
  const n = image.steps + 1;
  const step = { n, kind, node, at: view.tick, expectCci: image.cci, hosts };
  return { ...image, steps: n, step };
}

/** A decision. */
export function change(
  next: ClusterImage,
  rest: { hosts: readonly string[]; what: string; why: string },
): Decision {
  return { do: "change", next, ...rest };
}

/** Asks a voter that runs, and is not the node concerned if that can be helped, to change the members. */
export function memberStep(
  view: View,
  image: ClusterImage,
  options: {
    kind: "addObserver" | "promote" | "remove";
    node: number;
    hosts: readonly string[];
    what: string;
    why: string;
  },
): Decision {
  const { kind, node, hosts, what, why } = options;
  const running = votersOf(image)
    .filter((id) => isRunning(view, image.members[id]));
  // Each try asks another one: a member may be cut off from its leader.
  const others = running.filter((id) => id !== node);
  const pool = others.length > 0 ? others : running;
  const asked = pool[image.steps % Math.max(1, pool.length)];
  const host = image.members[asked ?? 0]?.host;
  if (host === undefined) return nothing("no voter runs that could be asked");
  const step = { kind, node, hosts: { [host]: node } };
  return change(withStep(view, image, step), { hosts, what, why });
}
