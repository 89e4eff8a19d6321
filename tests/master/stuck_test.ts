/** Whatever does not end although it is asked for keeps nothing else from being done, and is asked for more seldom. */
import { assert } from "../deps.ts";
import type { ClusterImage } from "../../master/cluster_image.ts";
import { decide } from "../../master/scheduler/decide.ts";
import {
  deadHost,
  fourHosts,
  host,
  image,
  now,
  view,
} from "./scheduler_fixtures.ts";

/** What is decided tick by tick while no step has an effect. */
function play(begin: ClusterImage, hosts = fourHosts(), ticks = 60): {
  told: string[];
  steps: { at: number; kind: string; node: number }[];
  end: ClusterImage;
} {
  const told: string[] = [];
  const steps: { at: number; kind: string; node: number }[] = [];
  let end = begin;
  for (let tick = now; tick < now + ticks; tick++) {
    const heard = hosts.map((one) =>
      one.state === "ok" ? { ...one, tick } : one
    );
    const decision = decide(view(heard, { tick }), end);
    if (decision.do !== "change") continue;
    const { step } = decision.next;
    if (step !== undefined && step.n !== end.step?.n) {
      const { kind, node } = step;
      steps.push({ at: tick - now, kind, node });
      if (decision.what !== "") told.push(decision.what);
    }
    end = decision.next;
  }
  return { told, steps, end };
}

Deno.test("A removed node that is not stopped keeps its cluster from no repair (M1, M9)", () => {
  const hosts = [deadHost(1), host(2), host(3), host(4), host(5)];
  const { steps } = play(image({ zombies: { 9: "h5" } }), hosts, 5);
  assert.deepEqual(steps[0], { at: 0, kind: "kill", node: 9 });
  const { told } = play(image({ zombies: { 9: "h5" } }), hosts);
  assert.ok(told.includes("repair"), told.join());
});

Deno.test("Of several nodes that should not run none is asked for alone, and each later from time to time (M9)", () => {
  const { steps, told } = play(image({ zombies: { 8: "h4", 9: "h3" } }));
  const kills = steps.filter(({ kind }) => kind === "kill");
  assert.deepEqual(kills.slice(0, 3).map(({ node }) => node), [8, 9, 8]);
  assert.deepEqual(kills.map(({ at }) => at), [0, 3, 9, 21, 33, 45, 57]);
  assert.equal(told.filter((what) => what === "kill").length, 3);
});

Deno.test("A node that should not run is asked for at once, whatever was not stopped before (M9, M15)", () => {
  const { end } = play(image({ zombies: { 8: "h4" } }), fourHosts(), 13);
  const other = { ...end, zombies: { 9: "h3" } };
  const tick = now + 13;
  const heard = fourHosts().map((one) => ({ ...one, tick }));
  const decision = decide(view(heard, { tick }), other);
  assert.equal(decision.do, "change");
  assert.deepEqual(
    decision.do === "change" && decision.next.step?.hosts,
    { h3: 9 },
  );
});

Deno.test("A cluster that is being deleted, and whose NodeHost does not stop it, is asked for later each time", () => {
  const { steps, told } = play(image({ life: "deleting" }));
  assert.deepEqual(steps.map(({ at }) => at), [0, 3, 9, 21, 33, 45, 57]);
  assert.equal(told.length, 3);
});
