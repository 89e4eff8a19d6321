import { assert } from "../../deps.ts";
import type {
  ClusterRecord,
  KnownCluster,
  KnownHost,
} from "../../../examples/demo/master_api.ts";
import { missingFrom } from "../../../examples/demo/master_report.ts";
import { lackOf } from "../../../examples/demo/placement.ts";

const carried = new Map([["a", [1, 2]], ["b", [1, 2]]]);
const expected = { carried, clusterIds: [1, 2], maxAgeMs: 500 };

function host(id: string, leaders: number[], clusters = [1, 2]): KnownHost {
  return {
    nodeHostId: id,
    nodeHostAddress: `${id}:7000`,
    region: "",
    ageMs: 100,
    clusters,
    leaders,
  };
}

function cluster(
  clusterId: number,
  leader: KnownCluster["leader"],
): KnownCluster {
  return { clusterId, members: { 1: "a:7000", 2: "b:7000" }, leader };
}

const ledByA = { nodeId: 1, nodeHostId: "a" };
const ledByB = { nodeId: 2, nodeHostId: "b" };

Deno.test("missingFrom() finds nothing when the master knows all", () => {
  assert.deepEqual(
    missingFrom(
      [host("a", [1]), host("b", [2], [2, 1])],
      [cluster(1, ledByA), cluster(2, ledByB)],
      expected,
    ),
    [],
  );
});

Deno.test("missingFrom() names what a master knows no longer, or not yet", () => {
  const clusters = [cluster(1, ledByA), cluster(2, ledByA)];
  const cases: [KnownHost[], KnownCluster[], string[]][] = [
    [[host("a", [1, 2])], clusters, ["1 of 2 NodeHosts"]],
    [
      [host("a", [1, 2]), host("b", [], [1])], // It was started just now.
      clusters,
      ["clusters 1 of 1, 2 on NodeHost b"],
    ],
    [
      [host("a", [1, 2]), host("b", [2])], // It was killed, and has not reported since.
      clusters,
      ["2 NodeHosts that lead cluster 2"],
    ],
    [
      [host("a", [1, 2]), { ...host("b", []), ageMs: 1_250 }], // It has said nothing since.
      clusters,
      ["nothing new of NodeHost b, last heard 1.3 s ago"],
    ],
    [
      [host("a", [1]), host("b", [])],
      [cluster(1, ledByA), cluster(2, null)],
      ["no member that leads cluster 2"],
    ],
    [
      [host("a", [1, 2]), host("b", [])],
      [cluster(1, ledByA), cluster(2, { nodeId: 3, nodeHostId: "a" })],
      ["no member that leads cluster 2"],
    ],
    [
      [host("a", [1, 2]), host("b", [])],
      [cluster(1, ledByA)],
      ["no member that leads cluster 2"],
    ],
  ];
  for (const [hosts, known, missing] of cases) {
    assert.deepEqual(missingFrom(hosts, known, expected), missing);
  }
});

Deno.test("missingFrom() wants a NodeHost that is dead to be known as dead, whatever it said last", () => {
  const known = [cluster(1, ledByA), cluster(2, ledByA)];
  const dead = {
    ...expected,
    carried: new Map([["a", [1, 2]], ["b", undefined]]),
  };
  const last = { ...host("b", [2], [2]), ageMs: 90_000 };
  assert.deepEqual(missingFrom([host("a", [1, 2]), last], known, dead), [
    "NodeHost b as one that is alive",
  ]);
  const failed = { ...last, state: "failed" };
  assert.deepEqual(missingFrom([host("a", [1, 2]), failed], known, dead), []);
});

Deno.test("lackOf() says why a cluster is not whole", () => {
  const voter = { role: "voter", host: "a", since: 3 };
  const whole: ClusterRecord = {
    life: "ok",
    members: {
      1: voter,
      2: { ...voter, host: "b" },
      3: { ...voter, host: "c" },
    },
  };
  const withThird = (third: Partial<ClusterRecord["members"][string]>) => ({
    ...whole,
    members: { ...whole.members, 3: { ...voter, ...third } },
  });
  const { 3: _, ...two } = whole.members;
  const cases: [ClusterRecord, string | undefined][] = [
    [whole, undefined],
    [{ ...whole, life: "launching" }, "it is launching"],
    [{ ...whole, members: two }, "it has 2 nodes"],
    [withThird({ role: "observer" }), "node 3 has no vote yet"],
    [withThird({ missingSince: 7 }), "node 3 does not run"],
    [withThird({ host: "d" }), "node 3 is on a NodeHost that is dead"],
    [{ ...whole, plan: { kind: "repair" } }, "repair is under way"],
    [{ ...whole, step: { kind: "kill" } }, "kill is under way"],
  ];
  for (const [record, why] of cases) {
    assert.equal(lackOf(record, "d"), why);
  }
});
