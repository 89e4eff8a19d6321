import { assert } from "../deps.ts";
import { denoPorts } from "../../raft/deno_ports.ts";
import type { Connection } from "../../raft/transport/transport.ts";

Deno.test("A loop that is busy with its own work soon looks at its sockets (rule C6)", async () => {
  const { clock, network } = denoPorts();
  let accepted: Connection | undefined;
  let turnsUntilFrame = 0;
  let turns = 0;
  const heard = Promise.withResolvers<void>();
  const listener = await network.listen("127.0.0.1:0", (connection) => {
    accepted = connection;
    connection.start({
      onFrame: () => {
        turnsUntilFrame = turns;
        heard.resolve();
      },
      onClose: () => {},
    });
  });
  const connection = await network.connect(
    listener.address,
    new AbortController().signal,
  );
  connection.start({ onFrame: () => {}, onClose: () => {} });
  let isOver = false;
  const work = () => {
    if (isOver) return;
    const until = clock.now() + 3;
    while (clock.now() < until);
    // After the loop has settled into the work, not before.
    if (++turns === 20) connection.send([Uint8Array.of(1)]);
    clock.defer(work);
  };
  clock.defer(work);
  await heard.promise;
  isOver = true;
  connection.close();
  accepted?.close();
  listener.close();
  await new Promise<void>((resolve) => clock.setTimer(1, resolve));
  assert.ok(
    turnsUntilFrame - 20 < 30,
    `heard after ${turnsUntilFrame - 20} turns`,
  );
});

Deno.test("denoPorts() gives a clock that goes on, timers that can be stopped, and randomness", async () => {
  const { clock, random } = denoPorts();
  const before = clock.now();
  await new Promise<void>((resolve) => clock.setTimer(1, resolve));
  assert.ok(clock.now() > before);
  assert.ok(clock.wallTime() > 1_600_000_000_000);
  const timer = clock.setTimer(1, () => assert.fail("was cancelled"));
  timer.cancel();
  timer.cancel();
  await new Promise<void>((resolve) => clock.setTimer(3, resolve));
  const bytes = new Uint8Array(70_000);
  random.fill(bytes);
  assert.ok(bytes.subarray(69_000).some((byte) => byte !== 0));
});

Deno.test("denoPorts() on a Deno that cannot lock files says which Deno can", () => {
  const { fileSystem } = denoPorts();
  const dir = Deno.makeTempDirSync();
  const { prototype } = Deno.FsFile;
  const lock = Object.getOwnPropertyDescriptor(prototype, "tryLockSync")!;
  try {
    Reflect.deleteProperty(prototype, "tryLockSync");
    assert.throws(
      () => fileSystem.tryLock(`${dir}/lock`),
      (error) =>
        error instanceof Error &&
        error.message.startsWith(`Cannot lock ${dir}/lock: Deno `) &&
        /use Deno 2\.9 or newer$/.test(error.message),
    );
  } finally {
    Object.defineProperty(prototype, "tryLockSync", lock);
    Deno.removeSync(dir, { recursive: true });
  }
  // The file it opened is not left open: the test runner would say so.
});
