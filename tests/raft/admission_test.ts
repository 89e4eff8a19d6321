import { assert } from "../deps.ts";
import {
  Admission,
  initialMembership,
  welcomesNeeded,
} from "../../raft/admission.ts";
import type { Peer } from "../../raft/core/peer.ts";
import type { Membership } from "../../raft/core/types.ts";
import { removedReason } from "../../raft/routes.ts";
import type { Hello, Routes } from "../../raft/routes.ts";
import type { Link } from "../../raft/transport/link_pool.ts";
import type { Bootstrap } from "../../storage/log_store.ts";
import { KeptLog } from "../support/hosts.ts";

const self = { nodeHostId: "H1", incarnation: 1, raftAddress: "host-1:1" };

class World {
  bootstrap: Bootstrap;
  membership: Membership;
  readonly saves: (() => void)[] = [];
  readonly hellos: number[] = [];
  readonly known = new Map<number, string>();
  heard: number[] = [];
  readonly turns: unknown[] = [];
  removals = 0;
  readonly admission: Admission;

  constructor(size: number, fields: Partial<Bootstrap> = {}, clusterId = 1) {
    const initialMembers = Array.from(
      { length: size },
      (_, i) => [i + 1, `host-${i + 1}:1`] as const,
    );
    this.bootstrap = {
      join: false,
      initialMembers,
      stateMachineName: "",
      fingerprint: "f00d",
      generation: 1,
      admitted: false,
      settings: [],
      ...fields,
    };
    this.membership = initialMembership(this.bootstrap.initialMembers);
    const peer = {
      appliedIndex: 0,
      admit: (turn: unknown) => this.turns.push(turn),
      membership: () => this.membership,
      applyMembership: (membership: Membership) => this.membership = membership,
    };
    const routes = {
      hello: (to: number) => this.hellos.push(to),
      knownNodeHost: (nodeId: number) => this.known.get(nodeId) ?? "",
      setMembership: () => {},
      heardFrom: () => this.heard,
    };
    this.admission = new Admission({
      clusterId,
      nodeId: 1,
      self,
      peer: peer as unknown as Peer,
      routes: routes as unknown as Routes,
      config: { electionTimeoutTicks: 10 },
      host: { logger: new KeptLog() },
      bootstrap: () => this.bootstrap,
      saveBootstrap: (bootstrap, done) => {
        this.bootstrap = bootstrap;
        this.saves.push(done);
      },
      removed: () => this.removals++,
      schedule: () => {},
    });
  }

  refused(from: number, reason: string, nodeHostId = `H${from}`): void {
    const remote = { nodeHostId, incarnation: 1, raftAddress: "" };
    this.admission.refused(from, reason, { remote } as unknown as Link);
  }
}

Deno.test("welcomesNeeded(): any two sets of so many others have one in common (rule I2)", () => {
  for (let size = 2; size <= 9; size++) {
    const needed = welcomesNeeded(size);
    const others = size - 1;
    assert.ok(needed <= others);
    // A set cannot avoid all of another one among the others, or it is everybody.
    assert.ok(2 * needed > others, `${size} members`);
  }
  assert.deepEqual([2, 3, 4, 5].map(welcomesNeeded), [1, 2, 3, 3]);
});

Deno.test("Admission lets a newcomer vote only when enough others welcomed it and that is durable (rule I2)", () => {
  const world = new World(5);
  const { admission } = world;
  assert.deepEqual(admission.missing(), [2, 3, 4, 5]);
  admission.welcomed(2);
  admission.welcomed(2);
  admission.welcomed(77);
  admission.welcomed(3);
  assert.ok(admission.isNewcomer());
  admission.welcomed(5);
  assert.equal(admission.isNewcomer(), false);
  assert.equal(world.turns.length, 0, "it might be forgotten by a crash");
  assert.ok(world.bootstrap.admitted);
  world.saves[0]!();
  assert.equal(world.turns.length, 1);
});

Deno.test("Admission: one refusal outweighs every welcome, until the refuser changes its mind (rule I2)", () => {
  const world = new World(3);
  const { admission } = world;
  admission.welcomed(2);
  world.refused(3, "node 1 is known to live on NodeHost H0");
  admission.welcomed(2);
  assert.ok(admission.isNewcomer());
  assert.match(admission.refusal!.message, /node 3 refuses it/);
  admission.welcomed(3);
  assert.equal(admission.isNewcomer(), false);
  assert.equal(admission.refusal, undefined);
});

Deno.test("Admission heeds no refusal of a NodeHost that is known not to be the member (rule I1)", () => {
  const world = new World(3);
  world.known.set(3, "H3");
  world.refused(3, removedReason, "H7");
  world.refused(3, "anything", "H7");
  assert.equal(world.removals, 0);
  assert.equal(world.admission.refusal, undefined);
  world.refused(3, removedReason);
  assert.equal(world.removals, 1);
});

Deno.test("Admission asks those who did not answer, once in an election timeout", () => {
  const world = new World(3);
  world.admission.welcomed(2);
  for (let i = 0; i < 29; i++) world.admission.tick();
  assert.deepEqual(world.hellos, [3, 3]);
  world.admission.stop();
  for (let i = 0; i < 29; i++) world.admission.tick();
  assert.equal(world.hellos.length, 2);
});

Deno.test("Admission to a new cluster lets one member campaign first: as many clusters begin with one as with another", () => {
  const turnOf = (clusterId: number, join: boolean) => {
    const world = new World(3, { join }, clusterId);
    for (const nodeId of [2, 3]) world.admission.welcomed(nodeId);
    world.saves[0]!();
    return world.turns[0];
  };
  assert.deepEqual(
    [1, 2, 3, 4].map((clusterId) => turnOf(clusterId, false)),
    ["now", "later", "later", "now"],
  );
  assert.equal(turnOf(1, true), "any");
});

Deno.test("Admission of a joining node asks whoever spoke to it, and one welcome is enough (rules I1, I2)", () => {
  const world = new World(0, { join: true });
  world.heard = [7];
  world.admission.linkUp();
  assert.deepEqual(world.hellos, [7]);
  assert.ok(world.admission.isNewcomer());
  world.admission.welcomed(7);
  assert.equal(world.admission.isNewcomer(), false);
});

Deno.test("Admission of a joining node waits until the membership names its NodeHost (rules I1, I2)", () => {
  const world = new World(0, { join: true, fingerprint: "" });
  const { admission } = world;
  assert.equal(admission.mayListen(), false);
  const hello: Hello = {
    kind: "hello",
    clusterId: 1,
    from: 2,
    to: 1,
    fingerprint: "f00d",
    generation: 4,
    newcomer: false,
    initialMembers: [[2, "host-2:1"]],
  };
  admission.learn({ ...hello, fingerprint: "" });
  assert.equal(admission.mayListen(), false);
  admission.learn(hello);
  assert.ok(admission.mayListen());
  assert.equal(world.bootstrap.generation, 4);
  assert.deepEqual(world.membership.members.map((m) => m.nodeId), [2]);
  const named = (nodeHostId: string): Membership => ({
    configChangeIndex: 3,
    members: [{ nodeId: 1, address: "host-1:1", nodeHostId }],
    observers: [],
    witnesses: [],
    removed: [],
  });
  admission.membershipChanged(named(""));
  admission.membershipChanged(named("H9"));
  assert.ok(admission.isNewcomer());
  admission.membershipChanged(named("H1"));
  assert.equal(admission.isNewcomer(), false);
});

Deno.test("Admission does not admit a node that stopped before that was durable", () => {
  const world = new World(2);
  world.admission.welcomed(2);
  world.admission.stop();
  world.saves[0]!();
  assert.equal(world.turns.length, 0);
});
