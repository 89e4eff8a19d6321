import { assert } from "../deps.ts";
import type { MasterRequest, ReportReply } from "../../master/protocol.ts";
import {
  RequestRunner,
  type RequestTarget,
} from "../../master/request_runner.ts";
import { RaftError } from "../../raft/errors.ts";

/** Does nothing but remember, or fail. */
class FakeTarget implements RequestTarget {
  readonly calls: unknown[][] = [];
  failure: Error | undefined;

  #call(...call: unknown[]): Promise<void> {
    this.calls.push(call);
    return this.failure === undefined
      ? Promise.resolve()
      : Promise.reject(this.failure);
  }

  start = (request: unknown) => this.#call("start", request);
  kill = (clusterId: number, nodeId: number) =>
    this.#call("kill", clusterId, nodeId);
  addObserver = (change: unknown) => this.#call("addObserver", change);
  promote = (change: unknown) => this.#call("promote", change);
  remove = (change: unknown) => this.#call("remove", change);
  transfer = (transfer: unknown) => this.#call("transfer", transfer);
}

function kill(n: number, rest: Partial<MasterRequest> = {}): MasterRequest {
  return {
    epoch: "e1",
    clusterId: 1,
    n,
    kind: "kill",
    nodeId: 4,
    expectedConfigChangeIndex: 0,
    ...rest,
  };
}

function reply(...requests: MasterRequest[]): ReportReply {
  return {
    accepted: true,
    want: [],
    epoch: "e1",
    tick: 1,
    requests,
    nextReportMs: 1_000,
  };
}

function runner(): {
  target: FakeTarget;
  runner: RequestRunner;
  time: { ms: number };
} {
  const target = new FakeTarget();
  const time = { ms: 0 };
  return { target, runner: new RequestRunner(target, () => time.ms), time };
}

Deno.test("A request that is repeated in replies is done once, and its answer is repeated until it arrived (M10)", async () => {
  const { target, runner: one } = runner();
  const request = kill(1, { kind: "remove" });
  one.receive(reply(request));
  one.receive(reply(request));
  assert.equal(one.hasWork, true);
  await one.run();
  assert.equal(one.hasWork, false);
  const told = one.acknowledgements();
  assert.deepEqual(told, [{ clusterId: 1, n: 1, isDone: true }]);
  assert.deepEqual(one.acknowledgements(), told, "the report was lost");
  one.told(told);
  assert.deepEqual(one.acknowledgements(), []);
  one.receive(reply(request));
  await one.run();
  assert.deepEqual(
    one.acknowledgements(),
    told,
    "the master does not know it yet",
  );
  assert.equal(target.calls.length, 1);
});

Deno.test("A node that was still starting when it was to be stopped is stopped when masters ask once more (M9)", async () => {
  const { target, runner: one } = runner();
  for (let i = 0; i < 2; i++) {
    one.receive(reply(kill(1)));
    await one.run();
  }
  assert.equal(target.calls.length, 2);
});

Deno.test("A request of a lower step is refused, one of a higher step replaces it (M10)", async () => {
  const { target, runner: one } = runner();
  one.receive(reply(kill(5)));
  one.receive(reply(kill(4, { nodeId: 9 })));
  one.receive(reply(kill(6)));
  await one.run();
  one.receive(reply(kill(5)));
  await one.run();
  assert.deepEqual(target.calls, [["kill", 1, 4]]);
  assert.deepEqual(one.acknowledgements().map(({ n }) => n), [6]);
});

Deno.test("A request that was held for more than two periods is dropped (M2)", async () => {
  const { target, runner: one, time } = runner();
  one.receive(reply(kill(1)));
  time.ms = 2_001;
  await one.run();
  assert.deepEqual(target.calls, []);
  assert.deepEqual(one.acknowledgements(), []);
  one.receive(reply(kill(1)));
  await one.run();
  assert.equal(target.calls.length, 1, "repeated, it is a new judgement");
});

Deno.test("Requests of another epoch are refused; a store that was restored begins anew (M10, M11)", async () => {
  const { target, runner: one } = runner();
  one.receive(reply(kill(9)));
  await one.run();
  one.receive(reply(kill(10, { epoch: "e0" })));
  await one.run();
  assert.equal(target.calls.length, 1);
  one.receive(reply(kill(11)));
  one.receive({ ...reply(kill(1, { epoch: "e2" })), epoch: "e2" });
  await one.run();
  assert.equal(target.calls.length, 2);
  assert.deepEqual(one.acknowledgements(), [{
    clusterId: 1,
    n: 1,
    isDone: true,
  }]);
  assert.equal(one.epoch, "e2");
});

Deno.test("What fails is acknowledged with its code and reason, and does not hold up other clusters", async () => {
  const { target, runner: one } = runner();
  target.failure = new RaftError("notBootstrapped", "Cannot start: no data");
  one.receive(reply(
    kill(1, { kind: "restore", app: "kv" }),
    kill(3, { clusterId: 2 }),
  ));
  await one.run();
  assert.deepEqual(one.acknowledgements(), [
    {
      clusterId: 1,
      n: 1,
      isDone: false,
      code: "notBootstrapped",
      detail: "Cannot start: no data",
    },
    {
      clusterId: 2,
      n: 3,
      isDone: false,
      code: "notBootstrapped",
      detail: "Cannot start: no data",
    },
  ]);
  target.failure = new TypeError("a bug");
  one.receive(reply(kill(2)));
  await one.run();
  assert.equal(one.acknowledgements()[0]!.code, "refused");
});

Deno.test("A request of a kind that is not known is refused by name (M20)", async () => {
  const { target, runner: one } = runner();
  one.receive(reply(kill(1, { kind: "dance" as "kill" })));
  await one.run();
  assert.deepEqual(target.calls, []);
  assert.match(one.acknowledgements()[0]!.detail!, /"dance"/);
});

Deno.test("Each kind of request calls what it should with what it says", async () => {
  const { target, runner: one } = runner();
  const change = { clusterId: 1, nodeId: 4, expectedConfigChangeIndex: 30 };
  const base = { expectedConfigChangeIndex: 30 };
  const at = { address: "h4:7001", nodeHostId: "h4" };
  const start = {
    clusterId: 1,
    nodeId: 4,
    app: "kv",
    config: { snapshotEntries: 5 },
  };
  const members = { 4: "h4:7001" };
  const app = { app: "kv", config: { snapshotEntries: 5 } };
  const kinds: [Partial<MasterRequest>, unknown[]][] = [
    [{ kind: "launch", members, ...app }, ["start", {
      ...start,
      initialMembers: members,
    }]],
    [{ kind: "join", ...app }, ["start", { ...start, join: true }]],
    [{ kind: "restore", ...app }, ["start", start]],
    [{ kind: "addObserver", ...base, ...at }, ["addObserver", {
      ...change,
      ...at,
    }]],
    [{ kind: "promote", ...base, ...at }, ["promote", { ...change, ...at }]],
    [{ kind: "remove", ...base }, ["remove", change]],
    [{ kind: "transfer", target: 7 }, ["transfer", {
      clusterId: 1,
      nodeId: 4,
      target: 7,
    }]],
  ];
  let n = 0;
  for (const [request, call] of kinds) {
    one.receive(reply(kill(++n, request)));
    await one.run();
    assert.deepEqual(target.calls.at(-1), call);
  }
});
