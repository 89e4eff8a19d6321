import { assert } from "../deps.ts";
import { Hosts } from "../support/hosts.ts";

Deno.test("queryLog() gives back what was applied, with sessions and leaders' own entries", async () => {
  await using hosts = await Hosts.started(3, { snapshotEntries: 0 });
  const host = hosts.host(1);
  for (let i = 1; i <= 5; i++) await host.propose(1, Uint8Array.of(i));
  const session = await host.openSession(1);
  await host.propose(session, Uint8Array.of(6));
  const { entries, availableFrom, availableTo } = host.queryLog(1, {
    firstIndex: 1,
  });
  assert.equal(availableFrom, 1);
  assert.equal(entries.length, availableTo);
  entries.forEach((entry, i) => assert.equal(entry.index, i + 1));
  assert.equal(entries[0]!.kind, "empty");
  const commands = entries.filter(({ kind }) => kind === "command");
  assert.deepEqual(commands.map(({ command }) => command[0]), [
    1,
    2,
    3,
    4,
    5,
    6,
  ]);
  assert.equal(entries.filter(({ kind }) => kind === "session").length, 1);
  assert.ok(entries.every(({ term }) => term >= 1));
  // A copy: what the caller does with it changes no log.
  commands[0]!.command[0] = 99;
  const again = host.queryLog(1, {
    firstIndex: commands[0]!.index,
    lastIndex: commands[0]!.index,
  });
  assert.deepEqual([...again.entries[0]!.command], [1]);
});

Deno.test("queryLog() stops at maxBytes, never before the first entry, and can go on from there", async () => {
  await using hosts = await Hosts.started(1, { snapshotEntries: 0 });
  const host = hosts.host(1);
  await Promise.all(
    Array.from(
      { length: 20 },
      (_, i) => host.propose(1, new Uint8Array(100).fill(i + 1)),
    ),
  );
  const found: number[] = [];
  let firstIndex = 1;
  let calls = 0;
  while (true) {
    const { entries, availableTo } = host.queryLog(1, {
      firstIndex,
      maxBytes: 250,
    });
    calls++;
    assert.ok(entries.length >= 1);
    for (const { kind, command } of entries) {
      if (kind === "command") found.push(command[0]!);
    }
    firstIndex = entries.at(-1)!.index + 1;
    if (firstIndex > availableTo) break;
  }
  assert.deepEqual(found, Array.from({ length: 20 }, (_, i) => i + 1));
  assert.ok(calls >= 10, `${calls} calls`);
  assert.equal(
    host.queryLog(1, { firstIndex: firstIndex - 1, maxBytes: 1 }).entries
      .length,
    1,
  );
});

Deno.test("queryLog() says what the log holds when it is asked for something else", async () => {
  await using hosts = await Hosts.started(1, { snapshotEntries: 0 });
  const host = hosts.host(1);
  for (let i = 0; i < 10; i++) await host.propose(1, Uint8Array.of(1));
  await host.takeSnapshot(1, { compactionOverhead: 2 });
  const { availableFrom, availableTo } = host.queryLog(1, {
    firstIndex: await host.compactLog(1, { keepEntries: 2 }),
  });
  assert.throws(() => host.queryLog(1, { firstIndex: availableFrom - 1 }), {
    name: "RangeError",
    message: new RegExp(
      `holds ${availableFrom} to ${availableTo}; .* snapshots`,
    ),
  });
  const beyond = { firstIndex: availableTo, lastIndex: availableTo + 1 };
  assert.throws(() => host.queryLog(1, beyond), RangeError);
  await host.compactLog(1);
  assert.throws(() => host.queryLog(1, { firstIndex: availableTo }), {
    message: /holds none; .* snapshots/,
  });
  for (
    const [query, error] of [
      [{ firstIndex: 0 }, RangeError],
      [{ firstIndex: "1" }, TypeError],
      [{ firstIndex: 5, lastIndex: 4 }, RangeError],
      [{ firstIndex: 1, maxBytes: 0 }, RangeError],
      [undefined, TypeError],
      [{ firstIndex: 1, lastindex: 2 }, TypeError],
    ] as const
  ) {
    assert.throws(() => host.queryLog(1, query as never), error);
  }
  assert.throws(() => host.queryLog(9, { firstIndex: 1 }), {
    code: "clusterNotFound",
  });
});

Deno.test("queryLog() reads at most 16 MiB at once, whatever maxBytes says", async () => {
  const size = 4 * 1024 * 1024;
  const segmentBytes = 64 * 1024 * 1024;
  await using hosts = await Hosts.started(1, { snapshotEntries: 0 }, {
    segmentBytes,
  });
  const host = hosts.host(1);
  for (let i = 0; i < 5; i++) await host.propose(1, new Uint8Array(size));
  const all = { firstIndex: 1, maxBytes: Number.MAX_SAFE_INTEGER };
  const { entries, availableTo } = host.queryLog(1, all);
  const bytes = entries.reduce((sum, { command }) => sum + command.length, 0);
  assert.equal(bytes, 4 * size);
  const firstIndex = entries.at(-1)!.index + 1;
  const rest = host.queryLog(1, { ...all, firstIndex });
  assert.equal(rest.entries.at(-1)!.index, availableTo);
});
