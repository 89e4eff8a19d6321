import { assert } from "../deps.ts";
import type { Peer } from "../../raft/core/peer.ts";
import type {
  ConfigChange,
  EntryBatch,
  Membership,
} from "../../raft/core/types.ts";
import { ChangeTable, firstChangeCounter } from "../../raft/changes.ts";
import { RaftError } from "../../raft/errors.ts";
import { requestError } from "../../raft/requests.ts";
import type { WireRecord } from "../../raft/transport/link_pool.ts";
import { makeBatch } from "../support/entries.ts";

const change: ConfigChange = {
  type: "addNode",
  nodeId: 4,
  address: "d:1",
  nodeHostId: "",
  expectedConfigChangeIndex: undefined,
};
const membership: Membership = {
  configChangeIndex: 8,
  members: [],
  observers: [],
  witnesses: [],
  removed: [],
};

/** A node around a table of changes; its peer answers as told. */
class World {
  role: "leader" | "follower" = "follower";
  leaderId = 2;
  term = 3;
  transferTarget = 0;
  answer: EntryBatch | string = "notLeader";
  isReachable = true;
  readonly sent: WireRecord[] = [];
  proposed = 0;
  #nextCounter = 1;
  readonly table: ChangeTable;
  readonly ends: unknown[] = [];
  #waiting: Promise<void>[] = [];

  constructor() {
    const peer = {
      isLeader: () => this.role === "leader",
      status: () => ({ transferTarget: this.transferTarget }),
      proposeChange: () => {
        this.proposed++;
        return this.answer;
      },
      transferLeadership: () => this.answer,
    };
    Object.defineProperty(peer, "leaderId", { get: () => this.leaderId });
    Object.defineProperty(peer, "term", { get: () => this.term });
    this.table = new ChangeTable({
      refuseChange: () => undefined,
      clusterId: 1,
      nodeId: 1,
      proposer: 77,
      peer: peer as unknown as Peer,
      takeCounters: (count) => {
        const first = this.#nextCounter;
        this.#nextCounter += count;
        return first;
      },
      send: (_to, record) => {
        if (this.isReachable) this.sent.push(record);
        return this.isReachable;
      },
    });
  }

  settle = (result: unknown): void => {
    if (!(result instanceof Promise)) {
      this.ends.push(result);
      return;
    }
    this.#waiting.push(result.catch((error: unknown) => {
      assert.ok(error instanceof RaftError);
      this.ends.push(`${error.code} ${error.outcome}`);
    }));
  };

  async ended(): Promise<unknown[]> {
    await Promise.all(this.#waiting);
    return this.ends;
  }

  /** A tick passes; `applied` and `appliedTerm` tell of the last entry applied. */
  tick(
    now: number,
    { applied = 7, appliedTerm = 3, leaderId = this.leaderId } = {},
  ): void {
    this.table.tick(now, { applied, appliedTerm, leaderId, patience: 3 });
  }

  /** The counter of the last request that was sent. */
  get counter(): number {
    return (this.sent.at(-1) as { counter: number }).counter;
  }
}

const lost = { firstIndex: 0, term: 0 };

Deno.test("ChangeTable sends a change once, and again only after the leader said that it did not take it (rule R1)", async () => {
  const world = new World();
  const { table } = world;
  table.addChange(change, world.settle, 50);
  table.turn();
  for (let now = 1; now < 5; now++) {
    world.tick(now);
    table.turn();
  }
  assert.equal(world.sent.length, 1, "it may be in a log");
  assert.ok(world.counter >= firstChangeCounter);
  for (const sent of [2, 3]) {
    table.answered(world.counter, { ...lost, refusal: "pendingChange" });
    table.turn();
    world.tick(5);
    table.turn();
    assert.equal(world.sent.length, sent);
  }
  table.answered(world.counter, { ...lost, refusal: "pendingChange" });
  table.turn();
  assert.equal(world.sent.length, 4);
  table.answered(world.counter, { ...lost, refusal: "pendingChange" });
  table.turn();
  assert.equal(world.sent.length, 4, "once a tick at most");
  world.tick(6);
  table.turn();
  assert.equal(world.sent.length, 5);
  table.answered(world.counter, { firstIndex: 8, term: 3, refusal: "" });
  table.decided(world.counter, { membership, accepted: true, reason: "" });
  table.decided(world.counter, { membership, accepted: true, reason: "" });
  world.tick(99);
  assert.deepEqual(await world.ended(), [membership]);
  assert.equal(table.hasWork, false);
});

Deno.test("ChangeTable waits for a leader that can be reached, and ends as not applied without one (rule R1)", async () => {
  const world = new World();
  world.leaderId = 0;
  world.table.addChange(change, world.settle, 3);
  world.table.turn();
  world.leaderId = 2;
  world.isReachable = false;
  world.tick(1);
  world.table.turn();
  world.tick(3);
  assert.deepEqual(await world.ended(), ["timeout notApplied"]);
});

Deno.test("ChangeTable cannot tell what became of a change that was sent when its deadline passes (rule R1)", async () => {
  const world = new World();
  world.table.addChange(change, world.settle, 3);
  world.table.turn();
  world.tick(3);
  assert.deepEqual(await world.ended(), ["timeout unknown"]);
});

Deno.test("ChangeTable ends a change whose place in the log another term's entry took (rules C4, R1)", async () => {
  const world = new World();
  world.role = "leader";
  world.answer = makeBatch({ term: 3, firstIndex: 8, commands: ["change"] });
  world.table.addChange(change, world.settle, 50);
  world.table.turn();
  const batchOf = (term: number, firstIndex: number) =>
    makeBatch({ term, firstIndex, commands: ["other"] });
  world.table.settleOverwritten(batchOf(4, 7));
  world.table.settleOverwritten(batchOf(3, 8));
  assert.deepEqual(await world.ended(), []);
  world.table.settleOverwritten(batchOf(4, 8));
  assert.deepEqual(await world.ended(), ["dropped notApplied"]);
});

Deno.test("ChangeTable ends a change that a leader took and lost once a later term's entry is applied before its place (rules C4, R1)", async () => {
  const world = new World();
  const { table } = world;
  table.addChange(change, world.settle, 50);
  table.turn();
  table.answered(world.counter, { firstIndex: 9, term: 3, refusal: "" });
  for (let now = 1; now < 10; now++) {
    world.tick(now, { applied: 8, appliedTerm: 3 });
  }
  world.tick(10, { applied: 9, appliedTerm: 4 }); // A snapshot may have had it.
  assert.deepEqual(await world.ended(), []);
  world.tick(11, { applied: 8, appliedTerm: 4 });
  assert.deepEqual(await world.ended(), ["dropped notApplied"]);
  assert.equal(table.hasWork, false);
});

Deno.test("ChangeTable gives up an answer once a later term's entry is applied, at once if the link was lost (rule R1)", async () => {
  for (const isCut of [true, false]) {
    const world = new World();
    const { table } = world;
    table.addChange(change, world.settle, 50);
    table.turn();
    table.linkLost(isCut ? 2 : 3);
    world.leaderId = 3;
    for (let now = 1; now < 10; now++) world.tick(now);
    assert.deepEqual(await world.ended(), [], "its entry may yet come");
    world.tick(10, { appliedTerm: 4 });
    world.tick(11, { appliedTerm: 4 });
    assert.equal((await world.ended()).length, isCut ? 1 : 0);
    world.tick(12, { appliedTerm: 4 });
    table.turn();
    assert.deepEqual(await world.ended(), ["dropped unknown"]);
    assert.equal(world.sent.length, 1, "it may be in a log");
  }
});

Deno.test("ChangeTable gives up an answer of the same leader only if the link was lost and is up again for a while (rule R1)", async () => {
  const world = new World();
  const { table } = world;
  table.addChange(change, world.settle, 50);
  table.turn();
  for (let now = 1; now < 5; now++) world.tick(now);
  table.linkLost(2);
  for (let now = 5; now < 10; now++) world.tick(now, { leaderId: 0 });
  for (let now = 10; now < 12; now++) world.tick(now);
  assert.deepEqual(await world.ended(), []);
  world.tick(12);
  assert.deepEqual(await world.ended(), ["dropped unknown"]);
});

Deno.test("ChangeTable waits anew for a change that is sent again (rule R1)", async () => {
  const world = new World();
  const { table } = world;
  table.addChange(change, world.settle, 50);
  table.turn();
  table.linkLost(2);
  world.tick(1);
  world.tick(2);
  table.answered(world.counter, { ...lost, refusal: "pendingChange" });
  world.tick(3, { appliedTerm: 4 });
  world.term = 4;
  table.turn();
  assert.equal(world.sent.length, 2);
  for (let now = 4; now < 10; now++) world.tick(now, { appliedTerm: 4 });
  assert.deepEqual(await world.ended(), []);
});

Deno.test("ChangeTable tells a change that was decided against, or is unsafe, at once (rule C4)", async () => {
  const world = new World();
  world.table.addChange(change, world.settle, 50);
  world.table.turn();
  world.table.decided(world.counter, {
    membership,
    accepted: false,
    reason: "node 4 was removed",
  });
  world.role = "leader";
  world.answer = "unsafeChange";
  world.table.addChange(change, world.settle, 50);
  world.table.turn();
  assert.deepEqual(await world.ended(), [
    "rejected notApplied",
    "rejected notApplied",
  ]);
});

Deno.test("ChangeTable forgets what was aborted, and ends the rest once (rule R1)", async () => {
  const world = new World();
  const forget = world.table.addChange(change, world.settle, 50);
  forget();
  assert.equal(world.table.hasWork, false);
  world.table.addChange(change, world.settle, 50);
  world.table.turn();
  world.isReachable = false;
  world.table.addChange(change, world.settle, 50);
  world.table.turn();
  for (let i = 0; i < 2; i++) {
    world.table.failAll((isUnknown) =>
      requestError("closed", "Cannot", isUnknown ? "unknown" : "notApplied")
    );
  }
  assert.deepEqual(await world.ended(), [
    "closed unknown",
    "closed notApplied",
  ]);
});

Deno.test("ChangeTable ends a transfer when the target leads, and when it did not take over (thesis 3.10)", async () => {
  const world = new World();
  world.role = "leader";
  world.leaderId = 1;
  world.answer = "started";
  world.transferTarget = 3;
  world.table.addTransfer(3, world.settle, 50);
  world.table.addTransfer(2, world.settle, 50);
  world.table.turn();
  assert.deepEqual(await world.ended(), []);
  world.role = "follower";
  world.leaderId = 3;
  world.term++;
  world.table.turn();
  assert.deepEqual(await world.ended(), [undefined]);
  world.role = "leader";
  world.leaderId = 1;
  world.transferTarget = 0;
  world.term++;
  world.table.turn(); // Somebody else leads: it has to be asked.
  world.tick(1);
  world.table.turn();
  world.table.turn();
  assert.deepEqual(await world.ended(), [undefined, "dropped notApplied"]);
});

Deno.test("ChangeTable refuses a transfer to whom cannot lead, wherever it was asked for", async () => {
  const world = new World();
  world.table.addTransfer(9, world.settle, 50);
  world.table.turn();
  world.table.answered(world.counter, { ...lost, refusal: "invalidTarget" });
  assert.deepEqual(await world.ended(), ["invalidTarget notApplied"]);
});
