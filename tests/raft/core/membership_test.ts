import { assert } from "../../deps.ts";
import {
  decideChange,
  decodeConfigChange,
  decodeMembership,
  encodeConfigChange,
  encodeMembership,
} from "../../../raft/core/membership.ts";
import { Prng } from "../../../raft/core/prng.ts";
import { SingleNode } from "../../support/single_node.ts";
import type { ConfigChange, Membership } from "../../../raft/core/types.ts";

const base: Membership = {
  configChangeIndex: 40,
  members: [
    { nodeId: 1, address: "a:1", nodeHostId: "host-a" },
    { nodeId: 3, address: "c:1", nodeHostId: "" },
  ],
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

Deno.test("decideChange() refuses to remove the only member", () => {
  const alone = { ...base, members: base.members.slice(0, 1) };
  const { reason } = decideChange(
    alone,
    changeOf({ type: "removeNode", nodeId: 1 }),
    50,
  );
  assert.equal(reason, "node 1 is the only member");
});

Deno.test("decideChange() applies a change only to the membership it was meant for", () => {
  assert.equal(
    reasonOf({ expectedConfigChangeIndex: 39 }),
    "the membership changed at index 40, not 39",
  );
  assert.equal(reasonOf({ expectedConfigChangeIndex: 40 }), "");
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

Deno.test("decideChange() decides nothing for a node that knows no members", () => {
  const nobody = { configChangeIndex: 0, members: [], removed: [] };
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

Deno.test("decodeConfigChange() reads every change back", () => {
  for (const type of ["addNode", "removeNode", "identify"] as const) {
    for (const expectedConfigChangeIndex of [undefined, 0, 7]) {
      const change = changeOf({
        type,
        nodeId: Number.MAX_SAFE_INTEGER,
        expectedConfigChangeIndex,
      });
      assert.deepEqual(decodeConfigChange(encodeConfigChange(change)), change);
    }
  }
});

Deno.test("encodeMembership() writes what its drawing says (rule R3)", () => {
  const bytes = encodeMembership({
    configChangeIndex: 3,
    members: [{ nodeId: 1, address: "a", nodeHostId: "" }],
    removed: [2],
  });
  assert.deepEqual([...bytes], [
    ...[1, 3, 0, 0, 0, 0, 0, 0, 0],
    ...[1, 0, 0, 0, 1, 0, 0, 0],
    ...[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 97, 0, 0],
    ...[2, 0, 0, 0, 0, 0, 0, 0],
  ]);
});

Deno.test("decodeMembership() reads it back", () => {
  assert.deepEqual(decodeMembership(encodeMembership(base)), base);
  const nobody = { configChangeIndex: 0, members: [], removed: [] };
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
    { bytes: encodeMembership(base), decode: decodeMembership },
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
