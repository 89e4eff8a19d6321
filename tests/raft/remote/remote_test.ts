/** One side of requests between NodeHosts, with links and time by hand (rules C7, R1). */
import { RaftError } from "../../../raft/errors.ts";
import { decodeRemote, encodeRemote } from "../../../raft/remote/format.ts";
import type { RemoteBody, RemoteRequest } from "../../../raft/remote/format.ts";
import { Remote } from "../../../raft/remote/remote.ts";
import { decodeValue, encodeValue } from "../../../raft/remote/values.ts";
import type { Link, WireRecord } from "../../../raft/transport/link_pool.ts";
import { assert } from "../../deps.ts";
import { KeptLog } from "../../support/hosts.ts";

/** A link that keeps what is sent. */
class FakeLink implements Link {
  readonly address: string;
  isUp = true;
  version = 2;
  epoch = 1;
  readonly queuedBytes = 0;
  readonly droppedRecords = 0;
  sent: RemoteBody[] = [];

  constructor(address: string) {
    this.address = address;
  }

  get remote() {
    const nodeHostId = `id of ${this.address}`;
    return this.isUp
      ? { nodeHostId, incarnation: 1, raftAddress: this.address }
      : undefined;
  }

  send(record: WireRecord): boolean {
    return this.reply(record);
  }

  reply(record: WireRecord): boolean {
    if (!this.isUp || record.kind !== "remote") return false;
    const body = decodeRemote(record.body);
    assert.ok(typeof body === "object");
    this.sent.push(body);
    return true;
  }

  /** Requests among what was sent since the last call. */
  takeRequests(): RemoteRequest[] {
    const { sent } = this;
    this.sent = [];
    return sent.filter((body) => body.kind === "request");
  }
}

class World {
  now = 0;
  readonly timers: { at: number; callback: () => void }[] = [];
  readonly links = new Map<string, FakeLink>();
  readonly remote: Remote;
  node: unknown;

  constructor(peers: string[]) {
    this.remote = new Remote({
      clock: {
        now: () => this.now,
        wallTime: () => 0,
        defer: (callback) => callback(),
        setTimer: (ms, callback) => {
          const timer = { at: this.now + ms, callback };
          this.timers.push(timer);
          return {
            cancel: () => {
              const at = this.timers.indexOf(timer);
              if (at >= 0) this.timers.splice(at, 1);
            },
          };
        },
      },
      logger: new KeptLog(),
      tickMs: 50,
      maxPayloadBytes: 1_000,
      self: { nodeHostId: "self", incarnation: 1, raftAddress: "self:1" },
      peers,
      links: {
        linkTo: (address) => this.link(address),
        links: () => [...this.links.values()],
      },
      findNode: () => this.node as undefined,
      troubleWith: () => "",
      call: () => Promise.resolve(),
      learnAddresses: () => {},
      requestTurn: () => {},
    });
  }

  link(address: string): FakeLink {
    let link = this.links.get(address);
    if (link === undefined) {
      link = new FakeLink(address);
      this.links.set(address, link);
    }
    return link;
  }

  receive(link: FakeLink, body: RemoteBody | Uint8Array): void {
    const bytes = body instanceof Uint8Array ? body : encodeRemote(body);
    const head = { kind: "remote" as const, clusterId: 1, from: 1, to: 1 };
    this.remote.receive(link, { ...head, body: bytes });
  }

  /** Says that cluster 1 is at these addresses, the last of which leads. */
  locate(link: FakeLink, ...addresses: string[]): void {
    this.receive(link, {
      kind: "located",
      source: "member",
      term: 3,
      leaderId: addresses.length,
      places: addresses.map((address, i) => ({
        nodeId: i + 1,
        nodeHostId: `id of ${address}`,
        address,
      })),
    });
  }

  pass(ms: number): void {
    const until = this.now + ms;
    while (true) {
      const next = this.timers.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > until) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.now = next.at;
      next.callback();
    }
    this.now = until;
  }
}

const wait = { signal: undefined, timeoutMs: 1_000 };
const command = new Uint8Array([1]);

/** A NodeHost that knows where cluster 1 is. */
function started(): { world: World; first: FakeLink; leader: FakeLink } {
  const world = new World(["a:1"]);
  const first = world.link("a:1");
  return { world, first, leader: world.link("b:1") };
}

Deno.test("Remote: a request goes to the leader, with what is left of its time", async () => {
  const { world, first, leader } = started();
  const result = world.remote.propose(1, command, wait);
  assert.deepEqual(first.sent, [{ kind: "locate" }]);
  world.now = 300;
  world.locate(first, "a:1", "b:1");
  const [request] = leader.takeRequests();
  assert.equal(request!.timeoutMs, 700);
  assert.deepEqual(request!.payload, command);
  const payload = encodeValue({ value: 7 }, "it", 100);
  // Only who was asked may answer.
  world.receive(first, { kind: "result", id: request!.id, payload });
  world.pass(100);
  world.receive(leader, { kind: "result", id: request!.id, payload });
  assert.deepEqual(await result, { value: 7 });
});

Deno.test("Remote: when the connection is lost a proposal is unknown and not sent again; a read is (rule R1)", async () => {
  const { world, first, leader } = started();
  const proposal = world.remote.propose(1, command, wait);
  const read = world.remote.read(1, "q", wait);
  world.locate(first, "a:1", "b:1");
  assert.equal(leader.takeRequests().length, 2);
  leader.isUp = false;
  world.remote.linkDown(leader, "cut");
  await assert.rejects(
    proposal,
    (error) =>
      error instanceof RaftError && error.code === "dropped" &&
      error.outcome === "unknown",
  );
  world.pass(200);
  world.locate(first, "a:1", "b:1");
  world.pass(1);
  const again = [...first.takeRequests()];
  assert.deepEqual(again.map((request) => request.what), ["read"]);
  const payload = encodeValue("answer", "it", 100);
  world.receive(first, { kind: "result", id: again[0]!.id, payload });
  assert.equal(await read, "answer");
});

Deno.test("Remote: a proposal that waits here when a connection is lost goes to the next member", async () => {
  const { world, first, leader } = started();
  leader.isUp = false;
  const proposal = world.remote.propose(1, command, wait);
  world.locate(first, "a:1", "b:1");
  assert.equal(first.takeRequests().length, 0, "the leader is preferred");
  world.remote.linkDown(leader, "cannot be dialled");
  const [request] = first.takeRequests();
  assert.ok(request !== undefined);
  const payload = encodeValue({ value: 1 }, "it", 100);
  world.receive(first, { kind: "result", id: request.id, payload });
  assert.equal((await proposal).value, 1);
});

Deno.test("Remote: a member of an older release, which knows no such requests, is passed over (rule I6)", async () => {
  const { world, first, leader } = started();
  leader.version = 1;
  const proposal = world.remote.propose(1, command, wait);
  world.locate(first, "a:1", "b:1");
  assert.equal(leader.takeRequests().length, 0);
  const [request] = first.takeRequests();
  const payload = encodeValue({ value: 1 }, "it", 100);
  world.receive(first, { kind: "result", id: request!.id, payload });
  assert.equal((await proposal).value, 1);
});

Deno.test("Remote: who has no node of the cluster any more has done nothing, and the next one is asked", async () => {
  const { world, first, leader } = started();
  const proposal = world.remote.propose(1, command, wait);
  world.locate(first, "a:1", "b:1");
  const [request] = leader.takeRequests();
  const failure = {
    kind: "failure" as const,
    id: request!.id,
    type: "RaftError" as const,
    name: "clusterNotFound",
    message: "not here",
  };
  world.receive(leader, { ...failure, isUnknown: false });
  const [second] = first.takeRequests();
  world.receive(first, { ...failure, id: second!.id, isUnknown: true });
  await assert.rejects(
    proposal,
    (error) => error instanceof RaftError && error.outcome === "unknown",
  );
});

Deno.test("Remote: an answer that is none ends a proposal as unknown, a read as not applied", async () => {
  const { world, first, leader } = started();
  const proposal = world.remote.propose(1, command, wait);
  const read = world.remote.read(1, "q", wait);
  world.locate(first, "a:1", "b:1");
  for (const { id } of leader.takeRequests()) {
    world.receive(leader, { kind: "result", id, payload: new Uint8Array(1) });
    world.receive(leader, {
      kind: "result",
      id,
      payload: new Uint8Array([0x9a]),
    });
  }
  const outcomeOf = (outcome: string) => (error: unknown) =>
    error instanceof RaftError && error.outcome === outcome;
  await assert.rejects(proposal, outcomeOf("unknown"));
  assert.equal(await read, 0, "its first answer was the number 0");
});

Deno.test("Remote: a deadline is not applied before a proposal was sent, unknown afterwards (rule R1)", async () => {
  const { world, first } = started();
  const outcomes: string[] = [];
  const note = (error: RaftError) => void outcomes.push(error.outcome);
  const early = world.remote.propose(1, command, { ...wait, timeoutMs: 100 })
    .catch(note);
  world.pass(150);
  const late = world.remote.propose(1, command, wait).catch(note);
  world.locate(first, "a:1", "b:1");
  world.pass(1_100);
  await Promise.all([early, late]);
  assert.deepEqual(outcomes, ["notApplied", "unknown"]);
});

Deno.test("Remote: too much under way is busy, at once", async () => {
  const { world } = started();
  const waiting: Promise<unknown>[] = [];
  for (let i = 0; i < 16_384; i++) {
    waiting.push(world.remote.propose(1, command, wait).catch(() => {}));
  }
  await assert.rejects(
    world.remote.propose(1, command, wait),
    (error) =>
      error instanceof RaftError && error.code === "busy" &&
      error.outcome === "notApplied",
  );
  world.remote.close(new RaftError("closed", "it is over"));
  await Promise.all(waiting);
});

Deno.test("Remote: a member answers each request once, and not on another connection", async () => {
  const world = new World([]);
  const link = world.link("c:1");
  const answers: ((value: { value: number }) => void)[] = [];
  world.node = {
    machine: {},
    config: { maxSessions: 1 },
    propose: () => new Promise((resolve) => answers.push(resolve)),
  };
  const request = {
    kind: "request" as const,
    timeoutMs: 10,
    what: "propose" as const,
    wantsCommit: false,
    session: undefined,
    payload: command,
  };
  world.receive(link, { ...request, id: 1 });
  world.receive(link, { ...request, id: 2 });
  answers[0]!({ value: 3 });
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(link.sent.length, 1);
  const [answer] = link.sent;
  assert.ok(answer?.kind === "result" && answer.id === 1);
  assert.deepEqual(decodeValue(answer.payload), { value: { value: 3 } });
  link.epoch++;
  answers[1]!({ value: 4 });
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(link.sent.length, 1);
});

Deno.test("Remote: a connection has room for so many requests, and no more", () => {
  const world = new World([]);
  const link = world.link("c:1");
  world.node = {
    machine: {},
    config: { maxSessions: 1 },
    propose: () => new Promise(() => {}),
  };
  const request = {
    kind: "request" as const,
    timeoutMs: 10,
    what: "propose" as const,
    wantsCommit: false,
    session: undefined,
    payload: command,
  };
  for (let id = 1; id <= 4_097; id++) world.receive(link, { ...request, id });
  const [refusal] = link.sent;
  assert.ok(refusal?.kind === "failure" && refusal.id === 4_097);
  assert.equal(refusal.name, "busy");
});

Deno.test("Remote: bytes that are nothing are passed over", () => {
  const world = new World(["a:1"]);
  const link = world.link("c:1");
  for (let first = 0; first < 256; first++) {
    world.receive(link, new Uint8Array([first, 200, 3, 1]));
  }
  assert.deepEqual(link.sent, []);
});
