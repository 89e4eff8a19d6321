import { assert } from "../../deps.ts";
import { PendingConnection } from "../../../raft/transport/pending_connection.ts";
import type {
  Connection,
  ConnectionHandlers,
} from "../../../raft/transport/transport.ts";

/** A connection whose other end is the test. */
class FakeConnection implements Connection {
  readonly remoteAddress = "10.0.0.1:1";
  readonly bufferedBytes = 0;
  handlers: ConnectionHandlers | undefined;
  isClosed = false;

  start(handlers: ConnectionHandlers): void {
    assert.equal(this.handlers, undefined, "start comes once");
    this.handlers = handlers;
  }

  send(): void {}

  drained(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.end("closed here");
  }

  end(reason: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handlers?.onClose(reason);
  }
}

/** An owner that writes down what it hears. */
function makeOwner(heard: string[], name: string): ConnectionHandlers {
  return {
    onFrame: (frame) => heard.push(`${name} ${frame[0]}`),
    onClose: (reason) => heard.push(`${name} ${reason}`),
  };
}

function setUp(): {
  fake: FakeConnection;
  pending: PendingConnection;
  heard: string[];
  arrive: (...numbers: number[]) => void;
} {
  const fake = new FakeConnection();
  const pending = new PendingConnection(fake);
  const heard: string[] = [];
  pending.start(makeOwner(heard, "first"));
  const arrive = (...numbers: number[]) => {
    for (const number of numbers) {
      fake.handlers?.onFrame(new Uint8Array([number]));
    }
  };
  return { fake, pending, heard, arrive };
}

Deno.test("PendingConnection keeps what arrives between two owners, in order", () => {
  const { fake, pending, heard, arrive } = setUp();
  arrive(1);
  pending.hold();
  assert(pending.isHeld);
  arrive(2, 3);
  assert.deepEqual(heard, ["first 1"]);
  const second = makeOwner(heard, "second");
  pending.start({
    ...second,
    onFrame: (frame) => {
      // Something arrives while the kept frames are handed over.
      if (frame[0] === 2) arrive(4);
      second.onFrame(frame);
    },
  });
  arrive(5);
  fake.end("gone");
  assert.deepEqual(heard, [
    "first 1",
    "second 2",
    "second 3",
    "second 4",
    "second 5",
    "second gone",
  ]);
});

Deno.test("PendingConnection tells an end between two owners to the second, once, behind its frames", () => {
  const { fake, pending, heard, arrive } = setUp();
  pending.hold();
  arrive(1);
  fake.end("gone");
  pending.close();
  pending.start(makeOwner(heard, "second"));
  assert.deepEqual(heard.slice(0, 2), ["second 1", "second gone"]);
  assert.equal(heard.length, 2);
});

Deno.test("PendingConnection hands nothing over any more once its owner closes it", () => {
  const { pending, heard, arrive } = setUp();
  pending.hold();
  arrive(1, 2, 3);
  const owner = makeOwner(heard, "second");
  pending.start({
    ...owner,
    onFrame: (frame) => {
      owner.onFrame(frame);
      pending.close();
    },
  });
  assert.deepEqual(heard, ["second 1", "second closed here"]);
});

Deno.test("PendingConnection ends a peer that floods it between two owners", () => {
  const { fake, pending, arrive } = setUp();
  pending.hold();
  for (let i = 0; i < 64; i++) arrive(1);
  assert.equal(fake.isClosed, false);
  arrive(1);
  assert(fake.isClosed);
});
