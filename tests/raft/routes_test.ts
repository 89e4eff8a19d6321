import { assert } from "../deps.ts";
import type { Membership } from "../../raft/core/types.ts";
import { removedReason, Routes } from "../../raft/routes.ts";
import type { Hello } from "../../raft/routes.ts";
import type { Link, WireRecord } from "../../raft/transport/link_pool.ts";
import type { Bootstrap, PeerIdentity } from "../../storage/log_store.ts";

/** A link that is up or down as the test says. */
class TestLink {
  readonly address: string;
  remote: Link["remote"];
  isUp = false;
  epoch = 0;
  queuedBytes = 0;
  dials = 0;
  readonly sent: WireRecord[] = [];
  constructor(address: string) {
    this.address = address;
  }
  send(record: WireRecord): void {
    if (this.isUp) this.sent.push(record);
    else this.dials++;
  }
  up(nodeHostId: string, incarnation = 1): void {
    this.isUp = true;
    this.epoch++;
    this.remote = { nodeHostId, incarnation, raftAddress: this.address };
  }
  down(): void {
    this.isUp = false;
    this.remote = undefined;
  }
  get kinds(): string[] {
    return this.sent.map((record) => record.kind);
  }
}

const membership: Membership = {
  configChangeIndex: 0,
  members: [1, 2, 3].map((nodeId) => ({
    nodeId,
    address: `host-${nodeId}:1`,
    nodeHostId: "",
  })),
  observers: [],
  witnesses: [],
  removed: [9],
};

class World {
  readonly links = new Map<string, TestLink>();
  readonly saved: { peers: readonly PeerIdentity[]; mustSync: boolean }[] = [];
  readonly saves: (() => void)[] = [];
  isNewcomer = false;
  bootstrap: Bootstrap = {
    join: false,
    initialMembers: [[1, "host-1:1"], [2, "host-2:1"], [3, "host-3:1"]],
    stateMachineName: "",
    fingerprint: "f00d",
    generation: 1,
    admitted: true,
    settings: [],
  };
  /** Where NodeHosts are that have moved. */
  readonly addresses = new Map<string, string>();
  readonly routes: Routes;

  constructor(identities: PeerIdentity[] = [], members = membership) {
    this.routes = new Routes(
      {
        clusterId: 5,
        nodeId: 1,
        self: { nodeHostId: "H1", incarnation: 1, raftAddress: "host-1:1" },
        linkTo: (address) => this.link(address) as unknown as Link,
        addressOf: (id, otherwise) => this.addresses.get(id) ?? otherwise,
        bootstrap: () => this.bootstrap,
        refuseHost: () => undefined,
        isNewcomer: () => this.isNewcomer,
        saveIdentities: (peers, mustSync, done) => {
          this.saved.push({ peers, mustSync });
          this.saves.push(done);
        },
      },
      members,
      identities,
    );
  }

  link(address: string): TestLink {
    let link = this.links.get(address);
    if (link === undefined) {
      link = new TestLink(address);
      this.links.set(address, link);
    }
    return link;
  }

  judge(
    link: TestLink,
    hello: Partial<Hello>,
    welcome = () => {},
  ): string | undefined {
    return this.routes.judge(link as unknown as Link, {
      kind: "hello",
      clusterId: 5,
      from: 2,
      to: 1,
      fingerprint: "f00d",
      generation: 1,
      newcomer: false,
      initialMembers: [],
      ...hello,
    }, welcome);
  }

  isBelieved(link: TestLink, from: number): boolean {
    return this.routes.isBelieved(link as unknown as Link, from);
  }
}

const record: WireRecord = { kind: "welcome", clusterId: 5, from: 1, to: 2 };

Deno.test("Routes says hello first on each connection, and only once on it (rule I3)", () => {
  const world = new World();
  const link = world.link("host-2:1");
  assert.equal(world.routes.send(2, record), false);
  assert.equal(link.dials, 1);
  link.up("H2");
  assert.ok(world.routes.send(2, record));
  assert.ok(world.routes.send(2, record));
  assert.deepEqual(link.kinds, ["hello", "welcome", "welcome"]);
  link.down();
  link.up("H2");
  assert.ok(world.routes.isReachable(2));
  assert.ok(world.routes.send(2, record));
  assert.deepEqual(link.kinds.slice(3), ["hello", "welcome"]);
  assert.equal(world.routes.send(7, record), false, "nobody knows node 7");
});

Deno.test("Routes sends nothing but a refusal to a NodeHost that is known not to carry the node (rule I1)", () => {
  const world = new World([{ nodeId: 2, nodeHostId: "H2", incarnation: 4 }]);
  const link = world.link("host-2:1");
  link.up("H7");
  assert.equal(world.routes.send(2, record), false);
  assert.equal(world.routes.isReachable(2), false);
  assert.deepEqual(link.kinds, ["refused"]);
});

Deno.test("Routes believes a node only on the connection on which it said hello (rule I3)", () => {
  const world = new World();
  const link = world.link("host-2:1");
  link.up("H2");
  assert.equal(world.isBelieved(link, 2), false);
  assert.equal(world.judge(link, {}), undefined);
  assert.ok(world.isBelieved(link, 2));
  assert.equal(world.isBelieved(link, 3), false);
  link.down();
  link.up("H2");
  assert.equal(world.isBelieved(link, 2), false);
});

Deno.test("Routes refuses other initial members, another generation and a removed node, by name (rule I3)", () => {
  const world = new World();
  const link = world.link("host-2:1");
  link.up("H2");
  const other = { fingerprint: "beef" };
  assert.match(
    world.judge(link, other)!,
    /other members than ours, which are 1 at host-1:1, 2 at host-2:1, 3 at host-3:1: .*; both clusters have begun: /,
  );
  assert.match(
    world.judge(link, { ...other, newcomer: true })!,
    /; it has not voted yet: delete what it stored of cluster /,
  );
  world.isNewcomer = true;
  assert.match(
    world.judge(link, { ...other, newcomer: true })!,
    /; neither node has voted yet: /,
  );
  assert.match(world.judge(link, other)!, /; this node has not voted yet: /);
  world.isNewcomer = false;
  assert.match(
    world.judge(link, { generation: 2 })!,
    /generation 2, ours is 1/,
  );
  assert.equal(world.judge(link, { from: 9 }), removedReason);
  assert.equal(world.isBelieved(link, 2), false);
  assert.equal(
    world.judge(link, { fingerprint: "", generation: 0 }),
    undefined,
    "a joining node does not know yet",
  );
});

Deno.test("Nobody but a voter tells a node that it was removed: the vote of that node may be all the voters can learn it by (seed 3314)", () => {
  const [own, ...others] = membership.members;
  const kinds = ["observers", "witnesses"] as const;
  for (const kind of kinds) {
    const world = new World([], {
      ...membership,
      members: others,
      [kind]: [own!],
    });
    const link = world.link("host-9:1");
    link.up("H9");
    assert.equal(world.routes.isKnownRemoved(9), false);
    assert.equal(world.judge(link, { from: 9 }), undefined);
    world.routes.setMembership(membership);
    assert.equal(world.routes.isKnownRemoved(9), true, "it is promoted");
  }
});

Deno.test("Routes refuses a node from another NodeHost, or an older incarnation, than was seen, also after a restart (rule I1)", () => {
  const seen = [{ nodeId: 2, nodeHostId: "H2", incarnation: 4 }];
  const world = new World(seen);
  const link = world.link("host-2:1");
  link.up("H7", 9);
  assert.match(world.judge(link, {})!, /NodeHost H2, not on H7.*remove it/);
  link.up("H2", 3);
  assert.match(
    world.judge(link, {})!,
    /incarnation 4, now it says 3.*old copy/,
  );
  link.up("H2", 4);
  assert.equal(world.judge(link, {}), undefined);
  link.up("H2", 5);
  assert.equal(world.judge(link, {}), undefined);
  assert.deepEqual(world.saved.at(-1)!.peers, [{ ...seen[0], incarnation: 5 }]);
});

Deno.test("Routes takes the membership's word for who carries a node (rule I1)", () => {
  const members = {
    ...membership,
    members: membership.members.map((member) => ({
      ...member,
      nodeHostId: `H${member.nodeId}`,
    })),
  };
  const world = new World([], members);
  assert.equal(world.routes.knownNodeHost(3), "H3");
  const link = world.link("host-3:1");
  link.up("H2");
  assert.match(world.judge(link, { from: 3 })!, /known to live on NodeHost H3/);
});

Deno.test("Routes welcomes a newcomer only when it is durable whom it saw (rule I2)", () => {
  const world = new World();
  const link = world.link("host-2:1");
  link.up("H2");
  let welcomes = 0;
  const welcome = () => welcomes++;
  assert.equal(world.judge(link, { newcomer: true }, welcome), undefined);
  assert.equal(welcomes, 0);
  assert.ok(world.saved[0]!.mustSync);
  world.saves[0]!();
  assert.equal(welcomes, 1);
  // Asked again, it answers again, and at once; a node that asks for nothing is not welcomed.
  world.judge(link, { newcomer: true }, welcome);
  assert.equal(welcomes, 2);
  world.judge(link, {}, welcome);
  assert.equal(world.saves.length, 1);
  // What was written without a sync is not durable.
  const other = world.link("host-3:1");
  other.up("H3");
  world.judge(other, { from: 3 }, welcome);
  world.saves[1]!();
  world.judge(other, { from: 3, newcomer: true }, welcome);
  assert.equal(welcomes, 2);
  assert.ok(world.saved[2]!.mustSync);
  world.saves[2]!();
  assert.equal(welcomes, 3);
});

Deno.test("Routes tells a node that was not there how the cluster began, and no other (rule I3)", () => {
  const world = new World();
  world.routes.setMembership({
    ...membership,
    members: [...membership.members, {
      nodeId: 4,
      address: "host-4:1",
      nodeHostId: "",
    }],
  });
  for (const n of [2, 3, 4]) world.link(`host-${n}:1`).up(`H${n}`);
  world.routes.helloAll();
  const membersTold = [2, 3, 4].map((n) =>
    (world.link(`host-${n}:1`).sent[0] as Hello).initialMembers.length
  );
  assert.deepEqual(membersTold, [0, 0, 3]);
});

Deno.test("Routes answers a node that is no member here where it was heard from, while that connection stands", () => {
  const world = new World();
  const link = world.link("host-6:1");
  link.up("H6");
  world.judge(link, { from: 6 });
  assert.ok(world.routes.send(6, record));
  assert.deepEqual(link.kinds, ["hello", "welcome"]);
  link.down();
  link.up("H6");
  assert.equal(world.routes.send(6, record), false);
});

Deno.test("Routes welcomes a joining node only if the membership names its NodeHost (rules I1, I2)", () => {
  const world = new World();
  const link = world.link("host-4:1");
  link.up("H4");
  let welcomes = 0;
  const ask = () => {
    world.judge(link, { from: 4, newcomer: true }, () => welcomes++);
    for (const save of world.saves.splice(0)) save();
  };
  ask();
  assert.equal(welcomes, 0, "it is no member");
  const withFour = (nodeHostId: string): Membership => ({
    ...membership,
    configChangeIndex: 9,
    members: [...membership.members, {
      nodeId: 4,
      address: "host-4:1",
      nodeHostId,
    }],
  });
  world.routes.setMembership(withFour(""));
  ask();
  assert.equal(welcomes, 0, "it was added, nobody said where");
  world.routes.setMembership(withFour("H4"));
  ask();
  assert.equal(welcomes, 1);
});

Deno.test("Routes tell a NodeHost at a member's address now and then that another carries the member (rule I2)", () => {
  const world = new World([{ nodeId: 2, nodeHostId: "H2", incarnation: 1 }]);
  const link = world.link("host-2:1");
  link.up("H9");
  for (let i = 0; i < 40; i++) {
    assert.equal(world.routes.send(2, record), false);
  }
  assert.deepEqual(link.kinds, ["refused", "refused"]);
  const [refused] = link.sent;
  assert.ok(refused?.kind === "refused" && refused.to === 2);
  assert.match(
    refused.reason,
    /node 2 is known to live on NodeHost H2, not on H9/,
  );
  link.up("H9");
  world.routes.hello(2, true);
  assert.deepEqual(link.kinds, ["refused", "refused", "refused"]);
  link.up("H2");
  world.routes.hello(2, true);
  assert.deepEqual(link.kinds.at(-1), "hello");
});
