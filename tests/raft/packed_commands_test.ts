import { assert } from "../deps.ts";
import { zlibCompression } from "../../raft/compression.ts";
import {
  entryKind,
  openBatch,
  sealBatch,
} from "../../raft/core/entry_batch.ts";
import type { EntryBatch } from "../../raft/core/types.ts";
import { EntryBuilder, EntryCursor } from "../../raft/entries.ts";
import { RaftError } from "../../raft/errors.ts";
import { commandOf, packCommand } from "../../raft/packed_commands.ts";
import type { Entry, Result } from "../../raft/state_machine.ts";
import { crc32 } from "../../storage/deps.ts";
import { Counter, Hosts } from "../support/hosts.ts";
import { ConcurrentCounter } from "../support/machines.ts";

function cursorOn(command: Uint8Array): EntryCursor {
  const builder = new EntryBuilder();
  builder.add(command, entryKind.packed);
  const batch = sealBatch(builder.take(), {
    term: 1,
    firstIndex: 1,
    entryCount: 1,
    isConfigChange: false,
  }, crc32);
  const cursor = new EntryCursor(batch);
  cursor.next();
  return cursor;
}

Deno.test("A command is packed only if that makes it shorter, and unpacks to what it was", () => {
  assert.equal(packCommand(new Uint8Array(100), zlibCompression), undefined);
  const noise = new Uint8Array(5_000);
  for (let i = 0, state = 1; i < noise.length; i++) {
    state = Math.imul(state, 1103515245) + 12345 | 0;
    noise[i] = state >>> 16;
  }
  assert.equal(packCommand(noise, zlibCompression), undefined);
  const command = new Uint8Array(100_000).fill(7);
  const packed = packCommand(command, zlibCompression)!;
  assert.ok(packed.length < 1_000);
  assert.deepEqual(commandOf(cursorOn(packed), zlibCompression), command);
});

Deno.test("A packed command that is none, or unpacks to another length, is refused and takes no more memory than it says", () => {
  const packed = packCommand(
    new Uint8Array(1_000_000).fill(7),
    zlibCompression,
  )!;
  const bad: Uint8Array[] = [
    new Uint8Array(0),
    new Uint8Array(3),
    new Uint8Array(4),
    packed.slice(0, -1),
    packed.slice(0, 4),
  ];
  for (
    const rawLength of [0, 1, 999_999, 1_000_001, 2 ** 28 + 1, 2 ** 32 - 1]
  ) {
    const lying = packed.slice();
    new DataView(lying.buffer).setUint32(0, rawLength, true);
    bad.push(lying);
  }
  for (const bytes of bad) {
    assert.throws(
      () => commandOf(cursorOn(bytes), zlibCompression),
      (error) => error instanceof RaftError && error.code === "corruption",
    );
  }
});

Deno.test("A batch with a packed command is read from its golden file (rule L8)", () => {
  const golden = Deno.readFileSync(
    new URL("../golden/batch_v1_packed", import.meta.url),
  );
  // What zlib makes of bytes differs from one release to the next (rule C11), so it is only read.
  const batch = openBatch(golden, crc32);
  assert.notEqual(typeof batch, "string");
  const cursor = new EntryCursor(batch as EntryBatch);
  cursor.next();
  assert.equal(cursor.kind, entryKind.packed);
  assert.deepEqual(
    commandOf(cursor, zlibCompression),
    new Uint8Array(1_000).fill(7),
  );
});

/** Remembers the commands it got. */
class Keeper extends Counter {
  readonly commands: Uint8Array[] = [];
  override update(entry: Entry): Result {
    this.commands.push(entry.command.slice());
    return super.update(entry);
  }
}

Deno.test("Packed commands reach every state machine as they were proposed: from leader and follower, in sessions, after a restart", async () => {
  const machines = new Map<number, Keeper>();
  const hosts = new Hosts();
  await using _ = hosts;
  const config = (n: number) => ({
    // One of them does not pack, and applies what the others did.
    entryCompression: n !== 3,
    snapshotEntries: 0,
    stateMachine: () => {
      const machine = new Keeper();
      machines.set(n, machine);
      return machine;
    },
  });
  const start = async (n: number) => {
    await hosts.open(n);
    await hosts.host(n).startCluster(hosts.cluster(n, 3, config(n)));
  };
  for (const n of [1, 2, 3]) await start(n);
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  const command = new Uint8Array(50_000).fill(2);
  const small = Uint8Array.of(3);
  for (const n of [1, 2, 3]) {
    await hosts.host(n).propose(1, command);
    await hosts.host(n).propose(1, small);
  }
  const session = await hosts.host(1).openSession(1);
  await hosts.host(1).propose(session, command);
  for (const n of [1, 2, 3]) await hosts.host(n).read(1, "total");
  const expected = [command, small, command, small, command, small, command];
  const check = (n: number) =>
    assert.deepEqual(machines.get(n)!.commands, expected);
  for (const n of [1, 2, 3]) check(n);
  const { entries } = hosts.host(1).queryLog(1, { firstIndex: 1 });
  assert.equal(
    entries.filter((entry) => entry.command.length === 50_000).length,
    4,
  );
  await hosts.close(2);
  await start(2);
  await hosts.host(2).waitReady(1);
  check(2);
});

Deno.test("A packed log is shorter, and concurrent state machines get it unpacked", async () => {
  const bytesOf = async (entryCompression: boolean) => {
    await using hosts = await Hosts.started(1, {
      entryCompression,
      snapshotEntries: 0,
      stateMachine: () => new ConcurrentCounter(),
    });
    const host = hosts.host(1);
    for (let i = 0; i < 20; i++) {
      await host.propose(1, new Uint8Array(20_000).fill(1));
    }
    assert.equal(await host.read(1, "total"), 20);
    const log = hosts.disk(1).list("/data/log").filter((name) =>
      /^\d+\.log$/.test(name)
    );
    const file = hosts.disk(1).open(`/data/log/${log[0]}`);
    const bytes = new Uint8Array(file.size());
    file.readAt(bytes, 0);
    file.close();
    return bytes.filter((byte) => byte !== 0).length;
  };
  assert.ok(await bytesOf(true) * 10 < await bytesOf(false));
});
