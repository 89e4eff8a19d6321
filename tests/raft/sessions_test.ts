import { assert, fc } from "../deps.ts";
import {
  encodeRegistration,
  maxSessionResultBytes,
  maxSessionTableBytes,
  registerSeries,
  SessionTable,
  unregisterSeries,
} from "../../raft/sessions.ts";
import type { SessionOutcome } from "../../raft/sessions.ts";
import type { Result } from "../../raft/state_machine.ts";
import { crc32 } from "../support/entries.ts";

const nothing = new Uint8Array(0);

class Clients {
  table = new SessionTable();
  /** Commands that were applied. */
  updates = 0;

  register(clientId: number, maxSessions = 4_096): SessionOutcome {
    return this.table.apply(
      { clientId, series: registerSeries, respondedTo: 0 },
      encodeRegistration(maxSessions),
      () => assert.fail("a registration is no command"),
    );
  }

  unregister(clientId: number): SessionOutcome {
    return this.table.apply(
      { clientId, series: unregisterSeries, respondedTo: 0 },
      nothing,
      () => assert.fail("the end of a session is no command"),
    );
  }

  propose(
    clientId: number,
    series: number,
    options: { respondedTo?: number; data?: Uint8Array } = {},
  ): SessionOutcome {
    const { respondedTo = series - 1, data } = options;
    return this.table.apply({ clientId, series, respondedTo }, nothing, () => {
      const result: Result = { value: ++this.updates };
      if (data !== undefined) result.data = data;
      return result;
    });
  }

  /** What a snapshot makes of the table. */
  restored(savedIn = 1, generation = savedIn): Clients {
    const clients = new Clients();
    const table = SessionTable.decode(this.table.encode(savedIn), generation);
    assert.ok(typeof table !== "string", String(table));
    clients.table = table;
    return clients;
  }
}

const codeOf = (outcome: SessionOutcome) => outcome.refusal?.code;

Deno.test("SessionTable applies a proposal once: a duplicate gets the first result (rule R2)", () => {
  const clients = new Clients();
  assert.deepEqual(clients.register(7), { result: { value: 7 } });
  const data = Uint8Array.of(1, 2);
  const first = clients.propose(7, 1, { data });
  data.fill(0); // The state machine may use its memory again.
  assert.deepEqual(clients.propose(7, 1), first);
  assert.deepEqual(first.result, { value: 1, data: Uint8Array.of(1, 2) });
  first.result!.data!.fill(9); // And so may the caller.
  assert.deepEqual(clients.propose(7, 1).result?.data, Uint8Array.of(1, 2));
  assert.equal(clients.propose(7, 2).result?.value, 2);
  assert.equal(clients.updates, 2);
});

Deno.test("SessionTable answers what the client has acknowledged at once, and never applies it again (rule R2)", () => {
  const clients = new Clients();
  clients.register(7);
  clients.propose(7, 1);
  clients.propose(7, 2);
  const late = clients.propose(7, 1);
  assert.equal(codeOf(late), "alreadyAcknowledged");
  assert.ok(late.refusal!.isApplied);
  // Proposal 3 was given up before it came; when it comes after all, the client is at 4.
  clients.propose(7, 4);
  assert.equal(codeOf(clients.propose(7, 3)), "alreadyAcknowledged");
  assert.equal(
    codeOf(clients.propose(7, 3, { respondedTo: 0 })),
    "alreadyAcknowledged",
  );
  assert.equal(clients.updates, 3);
});

Deno.test("SessionTable refuses sessions that are unknown, ended or registered twice", () => {
  const clients = new Clients();
  assert.equal(codeOf(clients.propose(7, 1)), "invalidSession");
  assert.equal(codeOf(clients.unregister(7)), "invalidSession");
  clients.register(7);
  assert.equal(codeOf(clients.register(7)), "invalidSession");
  assert.deepEqual(clients.unregister(7), { result: { value: 7 } });
  assert.equal(codeOf(clients.propose(7, 1)), "invalidSession");
  assert.equal(codeOf(clients.unregister(7)), "invalidSession");
  assert.equal(clients.table.bytes, 0);
  assert.equal(clients.updates, 0);
});

Deno.test("SessionTable forgets the least recently used session beyond its limit, and a duplicate is a use (rule R2)", () => {
  const clients = new Clients();
  for (const id of [1, 2, 3]) clients.register(id, 3);
  clients.propose(1, 1);
  clients.propose(1, 1);
  clients.register(4, 3); // 2 goes.
  assert.equal(codeOf(clients.propose(2, 1)), "invalidSession");
  assert.equal(codeOf(clients.propose(1, 2)), undefined);
  clients.register(5, 3); // 3 goes.
  assert.equal(codeOf(clients.propose(3, 1)), "invalidSession");
  assert.equal(clients.table.count, 3);
  clients.register(6, 1); // A lower limit lets all others go.
  assert.equal(clients.table.count, 1);
  assert.equal(codeOf(clients.propose(6, 1)), undefined);
});

Deno.test("SessionTable is bounded in bytes, and what was acknowledged counts no more (rule R2)", () => {
  const clients = new Clients();
  const data = new Uint8Array(maxSessionResultBytes);
  const sessionsThatFit = Math.floor(maxSessionTableBytes / data.length);
  for (let id = 1; id <= 2 * sessionsThatFit; id++) {
    clients.register(id);
    clients.propose(id, 1, { data });
    assert.ok(clients.table.bytes <= maxSessionTableBytes);
  }
  const { count, bytes } = clients.table;
  assert.ok(count < sessionsThatFit && count > sessionsThatFit / 2);
  const last = 2 * sessionsThatFit;
  clients.propose(last, 2);
  assert.equal(clients.table.bytes, bytes - data.length);
});

Deno.test("SessionTable keeps no result that is too big, and says that the command was applied (rule R2)", () => {
  const clients = new Clients();
  clients.register(7);
  const data = new Uint8Array(maxSessionResultBytes + 1);
  for (let i = 0; i < 2; i++) {
    const { refusal } = clients.propose(7, 1, { data });
    assert.equal(refusal?.code, "payloadTooBig");
    assert.ok(refusal.isApplied);
    assert.match(refusal.message, /65537 bytes .* 65536/);
    clients.table = clients.restored().table;
  }
  assert.equal(clients.updates, 1);
  assert.equal(codeOf(clients.propose(7, 2)), undefined);
});

Deno.test("SessionTable comes back from a snapshot whole, its order included (rule R2)", () => {
  const step = fc.record({
    kind: fc.constantFrom("register", "unregister", "propose", "propose"),
    id: fc.integer({ min: 1, max: 6 }),
    series: fc.integer({ min: 1, max: 4 }),
    respondedTo: fc.integer({ min: 0, max: 3 }),
    data: fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined }),
  });
  const take = (
    clients: Clients,
    { kind, id, series, respondedTo, data }: typeof step extends
      fc.Arbitrary<infer T> ? T : never,
  ) =>
    kind === "register"
      ? clients.register(id, 4)
      : kind === "unregister"
      ? clients.unregister(id)
      : clients.propose(id, series, {
        respondedTo,
        ...(data === undefined ? {} : { data }),
      });
  fc.assert(fc.property(
    fc.array(step, { maxLength: 40 }),
    fc.array(step, { maxLength: 40 }),
    (before, after) => {
      const clients = new Clients();
      for (const one of before) take(clients, one);
      const restored = clients.restored();
      restored.updates = clients.updates;
      assert.equal(restored.table.bytes, clients.table.bytes);
      assert.equal(restored.table.hash(crc32), clients.table.hash(crc32));
      for (const one of after) {
        assert.deepEqual(take(restored, one), take(clients, one));
      }
      assert.deepEqual(restored.table.encode(1), clients.table.encode(1));
    },
  ));
});

Deno.test("SessionTable's hash tells the order of use, and what is kept (rule R2)", () => {
  const make = (order: number[]) => {
    const clients = new Clients();
    for (const id of [1, 2]) clients.register(id);
    for (const id of order) clients.propose(id, 1);
    return clients;
  };
  const hash = (clients: Clients) => clients.table.hash(crc32);
  assert.equal(hash(make([1, 2])), hash(make([1, 2])));
  assert.notEqual(hash(make([1, 2])), hash(make([2, 1])));
  assert.notEqual(hash(make([1, 2])), hash(make([1, 2, 1])));
});

Deno.test("SessionTable is bound to the cluster's generation (rules R2, I3)", () => {
  const clients = new Clients();
  clients.register(7);
  clients.propose(7, 1);
  assert.equal(clients.restored(3, 3).table.count, 1);
  const later = clients.restored(3, 4);
  assert.equal(later.table.count, 0, "an import set the cluster back");
  assert.equal(codeOf(later.propose(7, 1)), "invalidSession");
  assert.equal(
    clients.restored(3, 1).table.count,
    1,
    "a node that joins has not learnt its generation yet",
  );
});

Deno.test("SessionTable.decode() refuses what is none by name, and never throws (rules L8, R3)", () => {
  const clients = new Clients();
  for (const id of [5, 6, 7]) clients.register(id, 9);
  clients.propose(5, 1, { data: Uint8Array.of(1, 2, 3) });
  clients.propose(6, 1);
  const good = clients.table.encode(1);
  for (let cut = 0; cut < good.length; cut++) {
    assert.equal(
      typeof SessionTable.decode(good.subarray(0, cut), 1),
      "string",
    );
  }
  const longer = new Uint8Array(good.length + 1);
  longer.set(good);
  assert.match(String(SessionTable.decode(longer, 1)), /does not end/);
  const other = good.slice();
  other[0] = 2;
  assert.match(String(SessionTable.decode(other, 1)), /version is 2.*reads 1/);
  fc.assert(fc.property(
    fc.nat(good.length - 1),
    fc.integer({ min: 1, max: 255 }),
    (at, flip) => {
      const bad = good.slice();
      bad[at]! ^= flip;
      SessionTable.decode(bad, 1);
    },
  ));
});
