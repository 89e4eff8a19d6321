import { assert } from "../../deps.ts";
import { decideChange } from "../../../raft/core/membership.ts";
import {
  decodeConfigChange,
  decodeMembership,
  encodeConfigChange,
  encodeMembership,
} from "../../../raft/core/membership_format.ts";
import { Prng } from "../../../raft/core/prng.ts";
import { SingleNode } from "../../support/single_node.ts";
import type { ConfigChange, Membership } from "../../../raft/core/types.ts";

const base: Membership = {
  configChangeIndex: 40,
  members: [
    { nodeId: 1, address: "a:1", nodeHostId: "host-a" },
    { nodeId: 3, address: "c:1", nodeHostId: "" },
  ],
  observers: [],
  witnesses: [],
  removed: [2],
};

function changeOf(fields: Partial<ConfigChange>): ConfigChange {
  return {
    type: "addNode",
    nodeId: 5,
    address: "e:1",
    nodeHostId: "",
    expectedConfigChangeIndex: undefined,
    ...fields,
  };
}

function reasonOf(fields: Partial<ConfigChange>): string {
  const decision = decideChange(base, changeOf(fields), 50);
  assert.equal(decision.accepted, decision.reason === "");
  if (!decision.accepted) assert.equal(decision.membership, base);
  return decision.reason;
}

Deno.test("decideChange() adds a member in the order of ids", () => {
  const { membership, accepted } = decideChange(
    base,
    changeOf({ nodeId: 2_000, nodeHostId: "host-e" }),
    50,
  );
  assert.equal(accepted, true);
  assert.equal(membership.configChangeIndex, 50);
  assert.deepEqual(membership.members.map(({ nodeId }) => nodeId), [
    1,
    3,
    2_000,
  ]);
  assert.equal(membership.members[2]?.nodeHostId, "host-e");
});

Deno.test("decideChange() removes a member for ever", () => {
  const { membership } = decideChange(
    base,
    changeOf({ type: "removeNode", nodeId: 1 }),
    50,
  );
  assert.deepEqual(membership.members.map(({ nodeId }) => nodeId), [3]);
  assert.deepEqual(membership.removed, [1, 2]);
  assert.equal(
    decideChange(membership, changeOf({ nodeId: 1, address: "a:1" }), 51)
      .reason,
    "node 1 was removed and cannot come back",
  );
});

Deno.test("decideChange() refuses what cannot be", () => {
  assert.equal(
    reasonOf({ nodeId: 2 }),
    "node 2 was removed and cannot come back",
  );
  assert.equal(reasonOf({ nodeId: 3 }), "node 3 is a member already");
  assert.equal(
    reasonOf({ address: " A:1 " }),
    "address  A:1  belongs to node 1",
  );
  assert.equal(reasonOf({ address: " " }), "the address is empty");
  assert.equal(
    reasonOf({ type: "removeNode", nodeId: 9 }),
    "node 9 is not a member",
  );
  assert.equal(
    reasonOf({ type: "removeNode", nodeId: 2 }),
    "node 2 was removed and cannot come back",
  );
});

Deno.test("decideChange() refuses to remove the only voter", () => {
  const alone = { ...base, members: base.members.slice(0, 1) };
  const { reason } = decideChange(
    alone,
    changeOf({ type: "removeNode", nodeId: 1 }),
    50,
  );
  assert.equal(reason, "node 1 is the only voter");
});

Deno.test("decideChange() applies a change only to the membership it was meant for", () => {
  assert.equal(
    reasonOf({ expectedConfigChangeIndex: 39 }),
    "the membership changed at index 40, not 39",
  );
  assert.equal(reasonOf({ expectedConfigChangeIndex: 40 }), "");
});

/** Voters 1 and 3, observer 4, witness 6. */
const mixed: Membership = {
  ...base,
  observers: [{ nodeId: 4, address: "d:1", nodeHostId: "host-d" }],
  witnesses: [{ nodeId: 6, address: "f:1", nodeHostId: "" }],
};

function mixedReason(fields: Partial<ConfigChange>): string {
  const { reason } = decideChange(mixed, changeOf(fields), 50);
  return reason;
}

Deno.test("decideChange() adds observers and witnesses beside the voters", () => {
  const observed = decideChange(
    mixed,
    changeOf({ type: "addObserver", nodeHostId: "host-e" }),
    50,
  ).membership;
  assert.deepEqual(observed.members, base.members);
  assert.deepEqual(observed.observers.map(({ nodeId }) => nodeId), [4, 5]);
  assert.equal(observed.observers[1]?.nodeHostId, "host-e");
  assert.equal(observed.configChangeIndex, 50);
  const witnessed =
    decideChange(mixed, changeOf({ type: "addWitness" }), 50).membership;
  assert.deepEqual(witnessed.members, base.members);
  assert.deepEqual(witnessed.witnesses.map(({ nodeId }) => nodeId), [5, 6]);
});

Deno.test("decideChange() promotes an observer: same id, same address, same NodeHost", () => {
  const { membership, reason } = decideChange(
    mixed,
    changeOf({ nodeId: 4, address: " D:1" }),
    50,
  );
  assert.equal(reason, "");
  assert.deepEqual(membership.observers, []);
  assert.deepEqual(membership.members[2], {
    nodeId: 4,
    address: "d:1",
    nodeHostId: "host-d",
  });
  assert.equal(
    mixedReason({ nodeId: 4, address: "d:2" }),
    "node 4 is an observer at d:1, and is promoted there or nowhere",
  );
  assert.equal(
    mixedReason({ nodeId: 4, address: "d:1", nodeHostId: "host-x" }),
    "node 4 belongs to NodeHost host-d",
  );
});

Deno.test("decideChange() makes nobody anything else but an observer a voter", () => {
  const refused = (type: ConfigChange["type"], nodeId: number) =>
    mixedReason({ type, nodeId, address: "z:1" });
  assert.equal(
    refused("addObserver", 1),
    "node 1 is a voter and cannot become an observer",
  );
  assert.equal(
    refused("addWitness", 1),
    "node 1 is a voter and cannot become a witness",
  );
  assert.equal(
    refused("addNode", 6),
    "node 6 is a witness and cannot become a voter",
  );
  assert.equal(
    refused("addObserver", 6),
    "node 6 is a witness and cannot become an observer",
  );
  assert.equal(
    refused("addWitness", 4),
    "node 4 is an observer and cannot become a witness",
  );
  assert.equal(refused("addObserver", 4), "node 4 is an observer already");
  assert.equal(refused("addWitness", 6), "node 6 is a witness already");
});

Deno.test("decideChange() gives an address to one member of any kind", () => {
  for (const type of ["addNode", "addObserver", "addWitness"] as const) {
    for (const [address, owner] of [["A:1", 1], ["d:1 ", 4], ["F:1", 6]]) {
      assert.equal(
        mixedReason({ type, address: address as string }),
        `address ${address} belongs to node ${owner}`,
      );
    }
  }
});

Deno.test("decideChange() removes observers and witnesses for ever, and never the only voter", () => {
  for (const nodeId of [4, 6]) {
    const { membership } = decideChange(
      mixed,
      changeOf({ type: "removeNode", nodeId }),
      50,
    );
    assert.deepEqual(membership.removed, [2, nodeId]);
    for (const type of ["addNode", "addObserver", "addWitness"] as const) {
      assert.equal(
        decideChange(membership, changeOf({ type, nodeId }), 51).reason,
        `node ${nodeId} was removed and cannot come back`,
      );
    }
  }
  // Neither an observer nor a witness could lead.
  const alone = { ...mixed, members: mixed.members.slice(0, 1) };
  assert.equal(
    decideChange(alone, changeOf({ type: "removeNode", nodeId: 1 }), 50).reason,
    "node 1 is the only voter",
  );
});

Deno.test("decideChange() records who carries a member of any kind (rule I1)", () => {
  const { membership } = decideChange(
    mixed,
    changeOf({ type: "identify", nodeId: 6, nodeHostId: "host-f" }),
    50,
  );
  assert.equal(membership.witnesses[0]?.nodeHostId, "host-f");
  assert.equal(membership.configChangeIndex, 40);
});

Deno.test("decideChange() records who carries a member without moving the change index (rule I1)", () => {
  const identify = { type: "identify", nodeHostId: "host-c" } as const;
  const { membership, accepted } = decideChange(
    base,
    changeOf({ ...identify, nodeId: 3, expectedConfigChangeIndex: 7 }),
    50,
  );
  assert.equal(accepted, true);
  assert.equal(membership.configChangeIndex, 40);
  assert.equal(membership.members[1]?.nodeHostId, "host-c");
  assert.equal(
    reasonOf({ ...identify, nodeId: 1 }),
    "node 1 belongs to NodeHost host-a",
  );
  assert.equal(reasonOf({ ...identify, nodeId: 9 }), "node 9 is not a member");
  assert.equal(
    reasonOf({ type: "identify", nodeId: 3 }),
    "the NodeHost is not named",
  );
});

Deno.test("decideChange() records who carries several members by one change, all or none (rule I1)", () => {
  const identify = {
    type: "identify",
    nodeId: 3,
    nodeHostId: "host-c",
  } as const;
  const { membership } = decideChange(
    mixed,
    changeOf({ ...identify, also: [{ nodeId: 6, nodeHostId: "host-f" }] }),
    50,
  );
  assert.equal(membership.members[1]?.nodeHostId, "host-c");
  assert.equal(membership.witnesses[0]?.nodeHostId, "host-f");
  assert.equal(membership.configChangeIndex, 40);
  for (
    const [nodeId, nodeHostId, reason] of [
      [9, "host-x", "node 9 is not a member"],
      [6, "", "the NodeHost is not named"],
    ] as const
  ) {
    const also = [{ nodeId, nodeHostId }];
    const refused = decideChange(mixed, changeOf({ ...identify, also }), 50);
    assert.equal(refused.reason, reason);
    assert.equal(refused.membership, mixed);
  }
});

Deno.test("decideChange() decides nothing for a node that knows no members", () => {
  const nobody = {
    configChangeIndex: 0,
    members: [],
    observers: [],
    witnesses: [],
    removed: [],
  };
  assert.throws(() => decideChange(nobody, changeOf({}), 50), /members before/);
});

Deno.test("encodeConfigChange() writes what its drawing says (rule R3)", () => {
  const bytes = encodeConfigChange(changeOf({
    nodeId: 2 ** 40 + 5,
    address: "é",
    nodeHostId: "h",
    expectedConfigChangeIndex: 257,
  }));
  assert.deepEqual([...bytes], [
    ...[1, 1],
    ...[5, 0, 0, 0, 0, 1, 0, 0],
    ...[2, 1, 0, 0, 0, 0, 0, 0],
    ...[2, 0, 0xc3, 0xa9],
    ...[1, 0, 104],
  ]);
});

Deno.test("encodeConfigChange() writes the second version only for what the first cannot say (rules L8, R3)", () => {
  const versionOf = (fields: Partial<ConfigChange>) =>
    encodeConfigChange(changeOf(fields))[0];
  for (const type of ["addNode", "removeNode", "identify"] as const) {
    assert.equal(versionOf({ type, force: false }), 1);
    assert.equal(versionOf({ type, force: true }), 2);
  }
  assert.deepEqual([...encodeConfigChange(changeOf({ type: "addObserver" }))], [
    ...[2, 4, 0],
    ...[5, 0, 0, 0, 0, 0, 0, 0],
    ...[0, 0, 0, 0, 0, 0, 0, 0],
    ...[3, 0, 101, 58, 49],
    ...[0, 0],
  ]);
  const flagged = encodeConfigChange(
    changeOf({ type: "addWitness", force: true, whenCaughtUp: true }),
  );
  assert.deepEqual([...flagged.slice(0, 3)], [2, 5, 3]);
});

Deno.test("decodeConfigChange() refuses a second encoding of the same change", () => {
  const bytes = encodeConfigChange(changeOf({ force: true }));
  bytes[2] = 0; // Without the flag this is a change of the first version.
  assert.equal(decodeConfigChange(bytes), undefined);
  bytes[2] = 8; // A flag that nobody knows.
  assert.equal(decodeConfigChange(bytes), undefined);
  bytes[2] = 1;
  bytes[0] = 3;
  assert.equal(decodeConfigChange(bytes), undefined);
  const observer = encodeConfigChange(changeOf({ type: "addObserver" }));
  const old = new Uint8Array([1, 4, ...observer.subarray(3)]);
  assert.equal(decodeConfigChange(old), undefined);
});

Deno.test("encodeConfigChange() writes several identities as its drawing says (rules L8, R3)", () => {
  const change = changeOf({
    type: "identify",
    address: "",
    nodeHostId: "h",
    also: [{ nodeId: 6, nodeHostId: "i" }, { nodeId: 257, nodeHostId: "" }],
  });
  const bytes = encodeConfigChange(change);
  assert.deepEqual([...bytes], [
    ...[2, 3, 4],
    ...[5, 0, 0, 0, 0, 0, 0, 0],
    ...[0, 0, 0, 0, 0, 0, 0, 0],
    ...[0, 0],
    ...[1, 0, 104],
    ...[2, 0],
    ...[6, 0, 0, 0, 0, 0, 0, 0, 1, 0, 105],
    ...[1, 1, 0, 0, 0, 0, 0, 0, 0, 0],
  ]);
  assert.deepEqual(decodeConfigChange(bytes), change);
  // None is the change of the first version; ids ascend; nothing else has them.
  assert.equal(
    encodeConfigChange(changeOf({ type: "identify", also: [] }))[0],
    1,
  );
  const unsorted = bytes.slice();
  unsorted[26] = 5;
  assert.equal(decodeConfigChange(unsorted), undefined);
  const other = bytes.slice();
  other[1] = 1;
  assert.equal(decodeConfigChange(other), undefined);
  const many = bytes.slice();
  many.fill(255, 24, 26);
  assert.equal(decodeConfigChange(many), undefined);
  const nobody = new Uint8Array([...bytes.subarray(0, 24), 0, 0]);
  assert.equal(decodeConfigChange(nobody), undefined);
});

Deno.test("decodeConfigChange() reads every change back", () => {
  const types = [
    "addNode",
    "removeNode",
    "identify",
    "addObserver",
    "addWitness",
  ] as const;
  for (const type of types) {
    for (const expectedConfigChangeIndex of [undefined, 0, 7]) {
      for (const flags of [{}, { force: true }, { whenCaughtUp: true }]) {
        const change = changeOf({
          type,
          nodeId: Number.MAX_SAFE_INTEGER,
          expectedConfigChangeIndex,
          ...flags,
        });
        assert.deepEqual(
          decodeConfigChange(encodeConfigChange(change)),
          change,
        );
      }
    }
  }
});

Deno.test("encodeMembership() writes what its drawing says (rule R3)", () => {
  const bytes = encodeMembership({
    configChangeIndex: 3,
    members: [{ nodeId: 1, address: "a", nodeHostId: "" }],
    observers: [],
    witnesses: [],
    removed: [2],
  });
  assert.deepEqual([...bytes], [
    ...[1, 3, 0, 0, 0, 0, 0, 0, 0],
    ...[1, 0, 0, 0, 1, 0, 0, 0],
    ...[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 97, 0, 0],
    ...[2, 0, 0, 0, 0, 0, 0, 0],
  ]);
});

Deno.test("encodeMembership() writes the second version for observers and witnesses (rules L8, R3)", () => {
  const bytes = encodeMembership({
    configChangeIndex: 3,
    members: [{ nodeId: 1, address: "a", nodeHostId: "" }],
    observers: [{ nodeId: 4, address: "b", nodeHostId: "" }],
    witnesses: [{ nodeId: 3, address: "", nodeHostId: "h" }],
    removed: [2],
  });
  assert.deepEqual([...bytes], [
    ...[2, 3, 0, 0, 0, 0, 0, 0, 0],
    ...[1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
    ...[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 97, 0, 0],
    ...[4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 98, 0, 0],
    ...[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 104],
    ...[2, 0, 0, 0, 0, 0, 0, 0],
  ]);
});

Deno.test("decodeMembership() refuses a member of two kinds, and a second encoding of the same members", () => {
  const twice = encodeMembership({ ...mixed, observers: base.members });
  assert.equal(decodeMembership(twice), undefined);
  const first = encodeMembership(base);
  const second = new Uint8Array(first.length + 8);
  second.set(first.subarray(0, 13));
  second.set(first.subarray(13), 21);
  second[0] = 2;
  assert.equal(decodeMembership(second), undefined);
});

Deno.test("decodeMembership() reads it back", () => {
  assert.deepEqual(decodeMembership(encodeMembership(mixed)), mixed);
  assert.deepEqual(decodeMembership(encodeMembership(base)), base);
  const nobody = {
    configChangeIndex: 0,
    members: [],
    observers: [],
    witnesses: [],
    removed: [],
  };
  assert.deepEqual(decodeMembership(encodeMembership(nobody)), nobody);
});

Deno.test("decodeMembership() refuses ids out of order", () => {
  const bytes = encodeMembership({
    ...base,
    members: [...base.members].reverse(),
  });
  assert.equal(decodeMembership(bytes), undefined);
});

Deno.test("Decoders refuse damaged bytes without throwing", () => {
  const prng = new Prng(1);
  const good = [
    { bytes: encodeConfigChange(changeOf({})), decode: decodeConfigChange },
    {
      bytes: encodeConfigChange(changeOf({ type: "addWitness", force: true })),
      decode: decodeConfigChange,
    },
    {
      bytes: encodeConfigChange(changeOf({
        type: "identify",
        also: [{ nodeId: 6, nodeHostId: "i" }],
      })),
      decode: decodeConfigChange,
    },
    { bytes: encodeMembership(base), decode: decodeMembership },
    { bytes: encodeMembership(mixed), decode: decodeMembership },
  ];
  for (const { bytes, decode } of good) {
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(decode(bytes.subarray(0, length)), undefined);
    }
    assert.equal(decode(new Uint8Array([...bytes, 0])), undefined);
    for (let round = 0; round < 2_000; round++) {
      const damaged = bytes.slice();
      damaged[prng.below(damaged.length)] = prng.below(256);
      decode(damaged);
    }
  }
});

Deno.test("A new leader changes nothing while what it found in its log is not applied (rule C4)", () => {
  const node = new SingleNode({ log: [1, 1] });
  node.becomeLeader();
  // Everything is committed, its own entry too; applying it takes longer.
  node.core.step({
    type: "appendResponse",
    from: 2,
    to: 1,
    term: 2,
    index: 3,
    rejected: false,
    hintIndex: 0,
    hintTerm: 0,
  });
  assert.equal(node.core.commit, 3);
  const propose = () =>
    node.cluster.proposeChange(1, changeOf({ type: "removeNode", nodeId: 3 }));
  assert.equal(propose(), "pendingChange");
  node.cluster.apply(1, 1);
  assert.equal(propose(), "pendingChange");
  node.cluster.apply(1);
  assert.equal(typeof propose(), "object");
});

Deno.test("A leader refuses a change after which it would hear no quorum (rule C4)", () => {
  const node = new SingleNode({ members: [1, 2, 3] });
  node.becomeLeader();
  node.accept(2, 1);
  node.take();
  const removal = (nodeId: number) =>
    node.cluster.proposeChange(1, {
      ...changeOf({ type: "removeNode", nodeId, address: "" }),
    });
  // Node 3 was never heard: without node 2 there would be nobody.
  assert.equal(removal(2), "unsafeChange");
  assert.equal(
    node.cluster.proposeChange(1, changeOf({ nodeId: 4, address: "d:1" })),
    "unsafeChange",
  );
  assert.equal(typeof removal(3), "object");
});

Deno.test("A change that will not take effect is safe: it is refused when it is applied", () => {
  const node = new SingleNode({ members: [1, 2, 3] });
  node.becomeLeader();
  node.accept(2, 1);
  const batch = node.cluster.proposeChange(
    1,
    changeOf({ nodeId: 3, address: "c:2" }),
  );
  assert.ok(typeof batch === "object");
  node.take();
  node.accept(2, 2);
  assert.deepEqual(node.node.decisions, [
    { index: 2, accepted: false, reason: "node 3 is a member already" },
  ]);
  assert.equal(node.core.membership().configChangeIndex, 0);
});

Deno.test("Fewer voters may mean that more is committed", () => {
  const node = new SingleNode({ members: [1, 2, 3, 4] });
  node.lead();
  node.cluster.proposeChange(
    1,
    changeOf({ type: "removeNode", nodeId: 4, address: "" }),
  );
  node.cluster.propose(1, "x");
  node.take();
  node.accept(2, 3); // Two of four have index 3, and two of three.
  node.accept(3, 2); // Three of four have the change.
  assert.equal(node.core.appliedIndex, 3);
});

Deno.test("Peer.proposeChange() refuses a proposer key of the wrong length", () => {
  const node = new SingleNode();
  node.lead();
  assert.throws(
    () => node.core.proposeChange(changeOf({}), new Uint8Array(15)),
    /Cannot propose a membership change: the proposer key has 15 bytes/,
  );
});
