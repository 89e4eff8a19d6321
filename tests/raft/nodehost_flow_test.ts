/** Flow control and commit notification: section "Flow" of the scenarios that others learnt from. */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type {
  Entry,
  Result,
  SnapshotWriter,
} from "../../raft/state_machine.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";

const five = new Uint8Array([5]);

/** Applies nothing while it saves a snapshot, and that takes as long as the test likes. */
class Sluggish extends Counter {
  resume: () => void = () => {};
  override async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    await new Promise<void>((resolve) => this.resume = resolve);
    await super.saveSnapshot(writer);
  }
}

async function startSluggish(maxInMemLogBytes: number): Promise<{
  hosts: Hosts;
  machines: Map<number, Sluggish>;
}> {
  const hosts = new Hosts();
  const machines = new Map<number, Sluggish>();
  for (const n of [1, 2, 3]) {
    const host = await hosts.open(n);
    await host.startCluster(hosts.cluster(n, 3, {
      maxInMemLogBytes,
      stateMachine: () => {
        const machine = new Sluggish();
        machines.set(n, machine);
        return machine;
      },
    }));
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  return { hosts, machines };
}

Deno.test("Proposals are refused while a follower holds too much that is not applied, and taken again when it does not", async () => {
  const { hosts, machines } = await startSluggish(128 * 1024);
  await using _ = hosts;
  await hosts.host(1).propose(1, five);
  const leader = hosts.host(hosts.leader());
  const follower = [1, 2, 3].find((n) => n !== hosts.leader())!;
  const saved = hosts.host(follower).takeSnapshot(1, { timeoutMs: 30_000 });
  const command = new Uint8Array(16 * 1024);
  let refused: unknown;
  for (let i = 0; i < 200 && refused === undefined; i++) {
    await leader.propose(1, command).catch((error) => refused = error);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(refused instanceof RaftError && refused.code === "busy");
  assert.match(refused.message, /not applied yet here or on a follower/);
  assert.equal(refused.outcome, "notApplied");
  // Reads ask the leader's own state, which is not behind.
  assert.equal(await leader.read(1, "total"), 5);
  // The follower's own callers are refused as well.
  await assert.rejects(
    hosts.host(follower).propose(1, five),
    (error) => error instanceof RaftError && error.code === "busy",
  );
  machines.get(follower)!.resume();
  await saved;
  let isTaken = false;
  for (let i = 0; i < 1_000 && !isTaken; i++) {
    isTaken = await leader.propose(1, five).then(() => true, () => false);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(isTaken, "it recovers by itself");
});

Deno.test("onCommitted comes before the command is applied and before the call ends, wherever it is made", async () => {
  const story: string[] = [];
  class Teller extends Counter {
    override update(entry: Entry): Result {
      if (entry.command[0] === 7) story.push("applied");
      return super.update(entry);
    }
  }
  await using hosts = new Hosts();
  for (const n of [1, 2, 3]) {
    const host = await hosts.open(n);
    await host.startCluster(
      hosts.cluster(n, 3, {
        stateMachine: () => n === 1 ? new Teller() : new Counter(),
      }),
    );
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  for (const leader of [1, 2]) {
    if (hosts.leader() !== leader) {
      await hosts.host(1).transferLeadership(1, leader);
    }
    story.length = 0;
    await hosts.host(1).propose(1, new Uint8Array([7]), {
      onCommitted: () => story.push("committed"),
    });
    story.push("ended");
    assert.equal(story.filter((what) => what === "committed").length, 1);
    assert.ok(story.indexOf("committed") < story.indexOf("ended"));
    if (leader === 1) {
      assert.deepEqual(story, ["committed", "applied", "ended"]);
    }
  }
});

Deno.test("onCommitted comes though a state machine is held up, never after a refusal, and its own failure is its own", async () => {
  const { hosts, machines } = await startSluggish(1024 * 1024);
  await using _ = hosts;
  await hosts.host(1).propose(1, five);
  const n = hosts.leader();
  const leader = hosts.host(n);
  const saved = leader.takeSnapshot(1, { timeoutMs: 30_000 });
  let isCommitted = false;
  let isEnded = false;
  const proposed = leader.propose(1, five, {
    onCommitted: () => {
      isCommitted = true;
      throw new Error("of no concern");
    },
    timeoutMs: 30_000,
  }).then(() => isEnded = true);
  await until("it is committed", () => isCommitted);
  assert.equal(isEnded, false, "nothing is applied now");
  machines.get(n)!.resume();
  await saved;
  await proposed;
  assert.ok(
    hosts.logs.get(n)!.lines.some((line) => line.includes("of no concern")),
  );
  for (const other of [1, 2, 3]) if (other !== n) await hosts.close(other);
  let isTold = false;
  await assert.rejects(
    leader.propose(1, five, {
      onCommitted: () => isTold = true,
      timeoutMs: 200,
    }),
    RaftError,
  );
  assert.equal(isTold, false);
  assert.throws(
    () => leader.propose(1, five, { onCommitted: 5 as unknown as () => void }),
    /onCommitted: it must be a function/,
  );
});

Deno.test("onCommitted is called once for a session's proposal, however often that is sent", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const session = await host.openSession(1);
  let count = 0;
  await host.propose(session, five, { onCommitted: () => count++ });
  assert.equal(count, 1);
});
