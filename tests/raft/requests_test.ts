import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import {
  abortable,
  type PendingRead,
  ProposalGroup,
  ReadTable,
  requestError,
  settleError,
} from "../../raft/requests.ts";

const failure = () => requestError("timeout", "Cannot wait any longer");

/** A read, and how it ended: every end is kept, so that a second one shows. */
function read(
  deadline = 10,
  answer: () => unknown = () => "answer",
): { pending: PendingRead; ends: unknown[] } {
  const ends: unknown[] = [];
  const settle = (result: unknown) => {
    ends.push(result instanceof Promise ? "error" : result);
    if (result instanceof Promise) result.catch(() => {});
  };
  return { pending: { answer, settle, deadline, isForgotten: false }, ends };
}

Deno.test("requestError() makes errors without a trace, and leaves the limit of others alone", () => {
  const limit = Error.stackTraceLimit;
  const error = requestError("busy", "Cannot propose", "unknown");
  assert.ok(error instanceof RaftError);
  assert.equal(error.outcome, "unknown");
  assert.equal(error.stack?.includes("\n    at "), false);
  assert.equal(Error.stackTraceLimit, limit);
});

Deno.test("abortable() ends with what came first, and forgets the request only for the signal (rule R1)", async () => {
  const controller = new AbortController();
  let forgotten = 0;
  let end: (result: number) => void = () => {};
  const start = (settle: (result: number) => void) => {
    end = settle;
    return () => forgotten++;
  };
  const first = abortable<number>(controller.signal, start);
  end(1);
  controller.abort(new Error("late"));
  assert.equal(await first, 1);
  assert.equal(forgotten, 0);

  const other = new AbortController();
  const reason = new Error("first");
  const second = abortable<number>(other.signal, start);
  other.abort(reason);
  end(2);
  await assert.rejects(second, reason);
  assert.equal(forgotten, 1);
  await assert.rejects(abortable<number>(other.signal, start), reason);
});

Deno.test("abortable() leaves no listener behind for a request that was refused while it was made (rule R1)", async () => {
  const controller = new AbortController();
  const refused = abortable<number>(controller.signal, (settle) => {
    settleError(settle, failure());
    return () => assert.fail("there is nothing to forget");
  });
  await assert.rejects(refused, /any longer/);
  controller.abort(new Error("would be an unhandled rejection"));
  await new Promise((resolve) => setTimeout(resolve, 0));
});

Deno.test("ProposalGroup ends each request once, at its own deadline (rule R1)", async () => {
  const group = new ProposalGroup();
  const ends: string[] = [];
  const settle = (name: string) => (result: unknown) => {
    (result as Promise<never>).catch(() => {});
    ends.push(name);
  };
  group.add(settle("early"), 3, 1);
  group.skip(2, 10);
  group.add(settle("late"), 9, 1);
  group.expire(2, failure);
  assert.deepEqual(ends, []);
  group.expire(3, failure);
  assert.deepEqual(ends, ["early"]);
  assert.equal(group.soonest, 9);
  group.fail(failure);
  group.fail(failure);
  group.expire(99, failure);
  assert.deepEqual(ends, ["early", "late"]);
  await Promise.resolve();
});

Deno.test("ReadTable answers a read only once its index is applied (rule C7)", () => {
  const table = new ReadTable();
  const { pending, ends } = read();
  table.add(pending);
  table.serve(100);
  assert.deepEqual(ends, [], "no leader has confirmed it");
  table.beginRound(1, 0);
  table.confirm(2, 5);
  table.serve(100);
  assert.deepEqual(ends, [], "another round was confirmed");
  table.confirm(1, 5);
  table.serve(4);
  assert.deepEqual(ends, []);
  table.serve(5);
  assert.deepEqual(ends, ["answer"]);
  assert.equal(table.count, 0);
});

Deno.test("ReadTable asks again under a new context, and hears the old one no more (rule C7)", () => {
  const table = new ReadTable();
  const { pending, ends } = read(100);
  table.add(pending);
  table.beginRound(1, 0);
  table.tick(19, 20, failure);
  assert.equal(table.hasWaiting, false);
  table.tick(20, 20, failure);
  assert.equal(table.hasWaiting, true);
  table.beginRound(2, 20);
  table.confirm(1, 3);
  table.serve(100);
  assert.deepEqual(ends, []);
  table.confirm(2, 3);
  table.serve(100);
  assert.deepEqual(ends, ["answer"]);
});

Deno.test("ReadTable asks again for more reads than a call takes arguments", () => {
  const table = new ReadTable();
  const reads = 300_000;
  const settle = () => {};
  for (let i = 0; i < reads; i++) {
    table.add({ answer: () => 1, settle, deadline: 99, isForgotten: false });
  }
  table.beginRound(1, 0);
  table.tick(50, 20, failure);
  table.beginRound(2, 50);
  table.confirm(2, 1);
  table.serve(1);
  assert.equal(table.count, 0);
});

Deno.test("ReadTable ends every read once: at its deadline, dropped, forgotten or at the end (rule R1)", () => {
  const table = new ReadTable();
  const waiting = read(1);
  const inRound = read(2);
  const confirmed = read(3);
  const dropped = read(9);
  const forgotten = read(1);
  table.add(inRound.pending);
  table.beginRound(1, 0);
  table.add(confirmed.pending);
  table.beginRound(2, 0);
  table.confirm(2, 50);
  table.add(dropped.pending);
  table.beginRound(3, 0);
  table.add(waiting.pending);
  table.add(forgotten.pending);
  forgotten.pending.isForgotten = true;
  for (const now of [1, 2, 3]) table.tick(now, 100, failure);
  table.drop(3, failure);
  table.drop(3, failure);
  assert.equal(table.count, 0);
  table.failAll(failure);
  for (const { ends } of [waiting, inRound, confirmed, dropped]) {
    assert.deepEqual(ends, ["error"]);
  }
  assert.deepEqual(forgotten.ends, []);
});

Deno.test("ReadTable ends each read once when an answer stops the node (rule R1)", () => {
  const table = new ReadTable();
  const before = read();
  const stopper = read(10, () => {
    table.failAll(failure);
    return "stopped";
  });
  const after = read();
  for (const { pending } of [before, stopper, after]) table.add(pending);
  table.beginRound(1, 0);
  table.confirm(1, 1);
  table.serve(1);
  assert.deepEqual(before.ends, ["answer"]);
  assert.deepEqual(stopper.ends, ["stopped"]);
  assert.deepEqual(after.ends, ["error"]);
});

Deno.test("ReadTable gives the error of an answer that throws to its read only", () => {
  const table = new ReadTable();
  const bad = read(10, () => {
    throw new Error("no such query");
  });
  const good = read();
  table.add(bad.pending);
  table.add(good.pending);
  table.beginRound(1, 0);
  table.confirm(1, 1);
  table.serve(1);
  assert.deepEqual(bad.ends, ["error"]);
  assert.deepEqual(good.ends, ["answer"]);
});
