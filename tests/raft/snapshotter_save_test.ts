import { assert } from "../deps.ts";
import {
  bodyOf,
  clusterId,
  metaAt,
  pattern,
  rejectsWith,
  sourceFolder,
  test,
} from "./snapshot_world.ts";

test("saves what begin() gives, and nothing for undefined", async (world) => {
  const saved = await world.source.save({
    clusterId,
    nodeId: 1,
    begin: () => ({
      meta: metaAt(100),
      write: (writer) => writer.write(pattern(10)),
    }),
  });
  assert.deepEqual(saved?.meta, metaAt(100));
  assert.equal(saved?.bytes, world.sourceDisk.usedBytes);
  assert.deepEqual(await bodyOf(world.sourceStore, 1), pattern(10));
  const none = { clusterId, nodeId: 1, begin: () => undefined };
  assert.equal(await world.source.save(none), undefined);
});

test("leaves nothing of a save that the state machine failed", async (world) => {
  const failure = new Error("a bug in the state machine");
  await assert.rejects(
    world.source.save({
      clusterId,
      nodeId: 1,
      begin: () => ({
        meta: metaAt(100),
        write: async (writer) => {
          await writer.write(pattern(1_000_000));
          throw failure;
        },
      }),
    }),
    (error) => error === failure,
  );
  assert.deepEqual(world.sourceDisk.list(sourceFolder), []);
});

test("tells diskFull of a save, whatever the state machine makes of it (rule L5)", async (world) => {
  world.sourceDisk.capacityBytes = 500_000;
  const ways: ((written: Promise<void>) => Promise<void>)[] = [
    (written) => written,
    (written) => written.catch(() => {}),
    (written) => {
      return written.catch(() => {
        throw new Error("something else");
      });
    },
    async () => {},
  ];
  for (const way of ways) {
    await rejectsWith(
      world.source.save({
        clusterId,
        nodeId: 1,
        begin: () => ({
          meta: metaAt(100),
          write: (writer) => way(writer.write(pattern(1_000_000))),
        }),
      }),
      "diskFull",
      /^Cannot write snapshot data\/snapshots\/7-1\/100\.snap: the disk is full$/,
    );
    assert.deepEqual(world.sourceDisk.list(sourceFolder), []);
  }
});

test("calls write() also if no file can be made, so that the node goes on (rule L5)", async (world) => {
  world.sourceDisk.capacityBytes = 0;
  let isPaused = false;
  await rejectsWith(
    world.source.save({
      clusterId,
      nodeId: 1,
      begin: () => {
        isPaused = true;
        return {
          meta: metaAt(100),
          write: async (writer) => {
            try {
              writer.write(pattern(10)); // Nobody looks at this one.
              await writer.write(pattern(10));
            } finally {
              isPaused = false;
            }
          },
        };
      },
    }),
    "diskFull",
    /the disk is full$/,
  );
  assert.equal(isPaused, false);
});

test("gives up a save when its signal is aborted", async (world) => {
  const controller = new AbortController();
  const reason = new Error("stopped");
  const saving = world.source.save({
    clusterId,
    nodeId: 1,
    signal: controller.signal,
    begin: () => ({
      meta: metaAt(100),
      write: async (writer) => {
        for (;;) await writer.write(pattern(300_000));
      },
    }),
  });
  const rejected = assert.rejects(saving, (error) => error === reason);
  await world.clock.settle(10);
  controller.abort(reason);
  await rejected;
  assert.deepEqual(world.sourceDisk.list(sourceFolder), []);
});

test(
  "saves so many at a time",
  async (world) => {
    let running = 0;
    let most = 0;
    const saves = [1, 2, 3, 4, 5].map((nodeId) =>
      world.source.save({
        clusterId,
        nodeId,
        begin: () => {
          most = Math.max(most, ++running);
          return {
            meta: metaAt(100),
            write: async () => {
              await world.clock.settle(5);
              running--;
            },
          };
        },
      })
    );
    await Promise.all(saves);
    assert.equal(most, 2);
  },
  { maxConcurrentSaves: 2 },
);
