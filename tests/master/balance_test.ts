/** When nodes and leaders are moved for balance, and when not (M14). */
import { assert } from "../deps.ts";
import type { HostRecord } from "../../master/schema.ts";
import {
  isCalm,
  leaderImbalance,
  nodeImbalance,
} from "../../master/scheduler/balance.ts";
import { defaultLimits } from "../../master/scheduler/view.ts";
import { deadHost, fourHosts, host, now, view } from "./scheduler_fixtures.ts";

Deno.test("Nothing is moved for balance under the brake, while anybody is silent or failing, or was up for less than ten ticks (M14)", () => {
  const { settleTicks } = defaultLimits;
  assert.equal(settleTicks, 10);
  assert.equal(isCalm(view(fourHosts())), true);
  assert.equal(isCalm(view(fourHosts(), { isBraked: true })), false);
  const withFifth = (rest: Partial<HostRecord>) =>
    isCalm(view([...fourHosts(), host(5, rest)]));
  assert.equal(withFifth({ state: "failing" }), false);
  assert.equal(withFifth({ tick: now - 4 }), false, "it is silent");
  assert.equal(withFifth({ since: now - settleTicks + 1 }), false);
  assert.equal(withFifth({ since: now - settleTicks }), true);
  // What it carried was replaced, or is on the to-do list: while anything is, there is no balancing.
  assert.equal(isCalm(view([...fourHosts(), deadHost(5)])), true);
});

Deno.test("Only a difference of two or more is evened out, for what each NodeHost takes (M14)", () => {
  const between = (a: number, b: number, rest: Partial<HostRecord> = {}) => {
    const hosts = [host(1, { n: a, leads: a }), host(2, { n: b, leads: b })];
    Object.assign(hosts[0]!, rest);
    return [nodeImbalance(view(hosts)), leaderImbalance(view(hosts))];
  };
  const move = { from: "h1", to: "h2" };
  assert.deepEqual(between(3, 3), [undefined, undefined]);
  assert.deepEqual(between(4, 3), [undefined, undefined]);
  assert.deepEqual(between(5, 3), [move, move]);
  assert.deepEqual(between(6, 3, { capacity: 2 }), [undefined, undefined]);
  assert.deepEqual(between(9, 3, { capacity: 2 }), [move, move]);
  // Nothing is moved to where nothing is placed.
  const full = [host(1, { n: 9 }), host(2, { n: 0, cordon: true })];
  assert.equal(nodeImbalance(view(full)), undefined);
});
