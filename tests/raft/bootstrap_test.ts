import { assert } from "../deps.ts";
import { bootstrapFor, configOf, fingerprintOf } from "../../raft/bootstrap.ts";
import { resolveClusterConfig } from "../../raft/config.ts";
import type { ClusterConfig } from "../../raft/config.ts";
import { initialMembership } from "../../raft/admission.ts";
import { AssertionError } from "../../raft/core/assert.ts";
import { RaftError } from "../../raft/errors.ts";
import { Counter } from "../support/hosts.ts";

const members = { 1: "a:1", 2: "b:1", 10: "c:1" };

function config(fields: Partial<ClusterConfig> = {}) {
  return resolveClusterConfig({
    clusterId: 4,
    nodeId: 1,
    stateMachine: () => new Counter(),
    ...fields,
  });
}

function isRefused(code: string, text: RegExp) {
  return (error: unknown) =>
    error instanceof RaftError && error.code === code &&
    text.test(error.message);
}

Deno.test("bootstrapFor() makes a newcomer of a new member, unless it is the only one (rule I2)", () => {
  const made = bootstrapFor(config({ initialMembers: members }), undefined);
  assert.equal(made.admitted, false);
  assert.equal(made.generation, 1);
  assert.deepEqual(made.initialMembers, [[1, "a:1"], [2, "b:1"], [10, "c:1"]]);
  const alone = config({ initialMembers: { 1: "a:1" } });
  assert.equal(bootstrapFor(alone, undefined).admitted, true);
});

Deno.test("bootstrapFor() lets a joining node know nothing of how its cluster began (rule I3)", () => {
  const made = bootstrapFor(config({ join: true }), undefined);
  assert.equal(made.fingerprint, "");
  assert.equal(made.admitted, false);
  assert.deepEqual(made.initialMembers, []);
});

Deno.test("bootstrapFor() wants members, join, or data", () => {
  assert.throws(
    () => bootstrapFor(config(), undefined),
    isRefused("notBootstrapped", /node 1 of cluster 4/),
  );
});

Deno.test("bootstrapFor() refuses a restart that contradicts the log, and keeps what the log says (rule I2)", () => {
  const made = {
    ...bootstrapFor(config({ initialMembers: members }), undefined),
    admitted: true,
    generation: 3,
  };
  const again = bootstrapFor(config({ electionTimeoutTicks: 20 }), made);
  assert.equal(again.admitted, true);
  assert.equal(again.generation, 3);
  assert.equal(again.fingerprint, made.fingerprint);
  assert.equal(again.settings[0], 20);
  const others = { ...members, 10: "d:1" };
  assert.throws(
    () => bootstrapFor(config({ initialMembers: others }), made),
    isRefused(
      "rejected",
      /other initialMembers: node 10 at c:1, and is at d:1 now; give the same, or none$/,
    ),
  );
  assert.throws(
    () =>
      bootstrapFor(config({ initialMembers: { 1: "a:1", 2: "b:1" } }), {
        ...made,
        admitted: false,
      }),
    isRefused(
      "rejected",
      /node 10 at c:1, and is not among them now; .* delete the data of cluster 4 /,
    ),
  );
  assert.throws(
    () => bootstrapFor(config({ join: true }), made),
    isRefused("rejected", /initial member/),
  );
  const joined = bootstrapFor(config({ join: true }), undefined);
  assert.throws(
    () => bootstrapFor(config({ initialMembers: members }), joined),
    isRefused("rejected", /joined/),
  );
});

Deno.test("A log that has one node twice among the initial members starts no node: its disk counted twice (rule I3)", () => {
  const made = bootstrapFor(config({ initialMembers: members }), undefined);
  const mistyped = {
    ...made,
    initialMembers: [[1, "a:1"], [2, "b:1"], [2, "c:1"]] as const,
  };
  for (const again of [config(), config({ initialMembers: members })]) {
    assert.throws(
      () => bootstrapFor(again, mistyped),
      isRefused(
        "rejected",
        /one node twice among the initial members 1, 2, 2, .* delete the data of cluster 4 on every NodeHost/,
      ),
    );
  }
  assert.throws(
    () => initialMembership(mistyped.initialMembers),
    AssertionError,
  );
  assert.equal(initialMembership(made.initialMembers).members.length, 3);
});

Deno.test("configOf() starts a node again with the settings it had (rule I5)", () => {
  const settings = {
    electionTimeoutTicks: 21,
    heartbeatTicks: 3,
    snapshotEntries: 7,
    compactionOverhead: 8,
    maxInMemLogBytes: 123_456,
    maxSessions: 17,
    quiesce: true,
    leaseReads: true,
    maxClockDriftPpm: 2_000,
    snapshotCompression: true,
    entryCompression: true,
  };
  const first = config({
    initialMembers: members,
    stateMachine: "counter",
    ...settings,
  });
  const node = { clusterId: 4, nodeId: 1 };
  assert.deepEqual(configOf(node, bootstrapFor(first, undefined)), {
    ...node,
    witness: false,
    stateMachine: "counter",
    ...settings,
  });
  // What a version wrote that had fewer settings.
  const bootstrap = bootstrapFor(first, undefined);
  const older = { ...bootstrap, settings: bootstrap.settings.slice(0, 5) };
  assert.equal(configOf(node, older).maxSessions, 4_096);
});

Deno.test("configOf() has off what a record from before does not name (rule L8)", () => {
  const record = bootstrapFor(config({ initialMembers: members }), undefined);
  const old = { ...record, settings: record.settings.slice(0, 5) };
  assert.equal(configOf({ clusterId: 4, nodeId: 1 }, old).quiesce, false);
});

Deno.test("A witness is recorded as one, and starts again as nothing else (rule C9)", () => {
  const witness = { ...config({ join: true }), witness: true };
  const record = bootstrapFor(witness, undefined);
  assert.equal(record.witness, true);
  assert.equal(configOf({ clusterId: 4, nodeId: 1 }, record).witness, true);
  assert.throws(
    () => bootstrapFor(config({ join: true }), record),
    /it is a witness, start it with witness: true/,
  );
});

Deno.test("fingerprintOf() differs by cluster, ids and addresses (rule I3)", () => {
  const prints = new Set([
    fingerprintOf(1, [[1, "a:1"], [2, "b:1"]]),
    fingerprintOf(2, [[1, "a:1"], [2, "b:1"]]),
    fingerprintOf(1, [[1, "a:1"], [3, "b:1"]]),
    fingerprintOf(1, [[1, "a:1"], [2, "b:2"]]),
    fingerprintOf(1, [[1, "a:1"]]),
  ]);
  assert.equal(prints.size, 5);
  for (const print of prints) assert.match(print, /^[0-9a-f]{16}$/);
});
