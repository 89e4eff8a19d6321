/** `replaceNode`: the order of its steps, and that the quorum is never staked (master decision M1). */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type { RaftErrorCode } from "../../raft/errors.ts";
import { nextStep } from "../../raft/replacement.ts";
import type { Membership } from "../../raft/core/types.ts";
import { Hosts, until } from "../support/hosts.ts";

function isRaftError(code: RaftErrorCode, message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

function membershipOf(
  kinds: { members?: number[]; observers?: number[]; witnesses?: number[] },
  removed: number[] = [],
): Membership {
  const of = (ids: number[] = []) =>
    ids.map((nodeId) => ({ nodeId, address: `h:${nodeId}`, nodeHostId: "" }));
  return {
    configChangeIndex: 1,
    members: of(kinds.members),
    observers: of(kinds.observers),
    witnesses: of(kinds.witnesses),
    removed,
  };
}

Deno.test("nextStep() removes nobody before the new one has a vote (rule C4, M1)", () => {
  const replacement = { nodeId: 3, newNodeId: 4, address: "h:4" };
  const stepIn = (membership: Membership) => nextStep(membership, replacement);
  assert.equal(stepIn(membershipOf({ members: [1, 2, 3] })), "addObserver");
  assert.equal(
    stepIn(membershipOf({ members: [1, 2, 3], observers: [4] })),
    "promote",
  );
  assert.equal(stepIn(membershipOf({ members: [1, 2, 3, 4] })), "remove");
  assert.equal(stepIn(membershipOf({ members: [1, 2, 4] }, [3])), "done");
  // An observer is replaced by an observer.
  assert.equal(
    stepIn(membershipOf({ members: [1], observers: [3] })),
    "addObserver",
  );
  assert.equal(
    stepIn(membershipOf({ members: [1], observers: [3, 4] })),
    "remove",
  );
  assert.equal(
    stepIn(membershipOf({ members: [1], observers: [4] }, [3])),
    "done",
  );
});

Deno.test("nextStep() says why it cannot be done", () => {
  const replacement = { nodeId: 3, newNodeId: 4, address: "h:4" };
  const refusalIn = (membership: Membership, address = "h:4") => {
    const step = nextStep(membership, { ...replacement, address });
    assert.ok(typeof step === "object");
    return step.refusal;
  };
  const whole = membershipOf({ members: [1, 2, 3] });
  assert.match(refusalIn(membershipOf({ members: [1] })), /3 is not a member/);
  assert.match(
    refusalIn(membershipOf({ members: [1] }, [3])),
    /3 was removed already/,
  );
  assert.match(refusalIn({ ...whole, removed: [4] }), /another newNodeId/);
  assert.match(
    refusalIn(membershipOf({ members: [1, 2, 3, 4] }), "x:4"),
    /4 is at h:4/,
  );
  assert.match(
    refusalIn(membershipOf({ members: [1, 2], witnesses: [3] })),
    /3 is a witness/,
  );
});

/** Opens host 4 and starts node 4 there, which nobody has added yet. */
async function startFourth(hosts: Hosts): Promise<void> {
  const host = await hosts.open(4);
  await host.startCluster(hosts.cluster(4, 0, { join: true }));
}

Deno.test("A dead member is replaced, whoever is asked", async () => {
  await using hosts = await Hosts.started(3);
  const leader = hosts.leader();
  const [lost, follower] = [1, 2, 3].filter((n) => n !== leader) as [
    number,
    number,
  ];
  await hosts.host(leader).propose(1, Uint8Array.of(3));
  await hosts.close(lost);
  await startFourth(hosts);
  const asked = hosts.host(follower);
  const replacement = {
    nodeId: lost,
    newNodeId: 4,
    address: hosts.address(4),
  };
  const membership = await asked.replaceNode(1, replacement);
  assert.deepEqual(
    membership.members.map((member) => member.nodeId),
    [leader, follower, 4].sort(),
  );
  assert.deepEqual(membership.observers, []);
  assert.deepEqual(membership.removed, [lost]);
  await hosts.host(4).waitReady(1);
  assert.equal(await hosts.host(4).read(1, "total"), 3);
  // Called again, it finds that all is done.
  assert.deepEqual(await asked.replaceNode(1, replacement), membership);
});

Deno.test("A leader is replaced, on its own request, and hands over first", async () => {
  await using hosts = await Hosts.started(3);
  const leader = hosts.leader();
  await startFourth(hosts);
  await hosts.host(leader).replaceNode(1, {
    nodeId: leader,
    newNodeId: 4,
    address: hosts.address(4),
  });
  const other = hosts.host(leader === 1 ? 2 : 1);
  await until("node 4 leads", () => other.getLeader(1).leaderId === 4);
  await assert.rejects(
    hosts.host(leader).propose(1, Uint8Array.of(1)),
    isRaftError("nodeRemoved", /removed/),
  );
  assert.equal((await other.propose(1, Uint8Array.of(1))).value, 1);
});

Deno.test("A new node that never starts is given up, and no voter is touched (M1)", async () => {
  await using hosts = await Hosts.started(3);
  const lost = [1, 2, 3].find((n) => n !== hosts.leader())!;
  const asked = hosts.host(hosts.leader());
  await hosts.close(lost);
  await hosts.open(4);
  const replacement = {
    nodeId: lost,
    newNodeId: 4,
    address: hosts.address(4),
  };
  const before = await asked.getMembership(1);
  await assert.rejects(
    asked.replaceNode(1, replacement, { timeoutMs: 200 }),
    isRaftError(
      "timeout",
      /^Cannot replace node \d of cluster 1 by node 4: not in time: the leader has not heard from node 4: was it started with join: true\?; node 4 was added as an observer, node 4 was removed again; its id is used up, so try again with another newNodeId$/,
    ),
  );
  const after = await asked.getMembership(1);
  assert.deepEqual(after.members, before.members);
  assert.deepEqual(after.observers, []);
  assert.equal((await asked.propose(1, Uint8Array.of(1))).value, 1);
  await assert.rejects(
    asked.replaceNode(1, replacement),
    isRaftError("rejected", /another newNodeId/),
  );
});

Deno.test("An aborted replacement takes back its observer, and says what was done", async () => {
  await using hosts = await Hosts.started(3);
  const asked = hosts.host(1);
  await hosts.open(4);
  const aborter = new AbortController();
  const replacement = { nodeId: 3, newNodeId: 4, address: hosts.address(4) };
  const replaced = asked.replaceNode(1, replacement, {
    signal: aborter.signal,
  });
  const outcome = assert.rejects(replaced, (error: unknown) => {
    assert.ok(isRaftError("aborted", /was added .* was removed again/)(error));
    assert.equal((error as RaftError).cause, "enough");
    assert.equal((error as RaftError).outcome, "unknown");
    return true;
  });
  await until(
    "the observer is added",
    () => asked.info().clusters[0]!.membership.observers.length === 1,
  );
  // The call must have heard of it too, or there is nothing yet that it could tell.
  await asked.getMembership(1);
  aborter.abort("enough");
  await outcome;
  const { members, observers } = await asked.getMembership(1);
  assert.equal(members.length, 3);
  assert.deepEqual(observers, []);
});

Deno.test("A replacement goes on where another call was", async () => {
  await using hosts = await Hosts.started(3);
  const asked = hosts.host(2);
  const target = { nodeId: 4, address: hosts.address(4) };
  await startFourth(hosts);
  await asked.addObserver(1, target);
  await asked.addNode(1, target);
  const { members } = await asked.replaceNode(1, {
    nodeId: 3,
    newNodeId: 4,
    address: target.address,
  });
  assert.deepEqual(members.map((member) => member.nodeId), [1, 2, 4]);
});

Deno.test("A replacement is refused for whom there is not, and its arguments are checked", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const replacement = { nodeId: 8, newNodeId: 4, address: hosts.address(1) };
  await assert.rejects(
    host.replaceNode(1, replacement),
    isRaftError(
      "rejected",
      /^Cannot replace node 8 of cluster 1 by node 4: node 8 is not a member$/,
    ),
  );
  await assert.rejects(
    host.replaceNode(1, { ...replacement, newNodeId: 8 }),
    RangeError,
  );
  await assert.rejects(
    host.replaceNode(1, { ...replacement, address: "nowhere" }),
    RangeError,
  );
});
