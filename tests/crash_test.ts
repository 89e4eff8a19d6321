/**
 * The log under crashes: cut at every byte, flipped at every byte (rule L1), power cuts at any moment, during recovery
 * too (rules L2, L6), failing syncs, full disks. Everything acknowledged is there afterwards, and nothing is invented.
 */
import { RaftError } from "../raft/errors.ts";
import type { NodeWrite } from "../storage/log_store.ts";
import { MemoryFileSystem } from "../storage/memory_file_system.ts";
import type { Wal } from "../storage/wal/wal.ts";
import { assert } from "./deps.ts";
import {
  batch,
  bootstrap,
  contentsOf,
  dir,
  openLog,
  readFile,
  recordsOf,
  settle,
  snapshot,
  writeFile,
} from "./storage/wal/fixture.ts";
import {
  eachSeed,
  failures,
  fullDisk,
  powerCuts,
} from "./storage/wal/crash_run.ts";
import {
  applyGroup,
  contentsOfModel,
  type Model,
} from "./storage/wal/model.ts";

const segmentBytes = 8 * 1024;

/** Files of a log, and what it holds after each of its groups. */
interface SmallLog {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly models: readonly Model[];
}

/** Groups that show every kind of section, some synced and some not, and where the log is idle. */
const smallGroups: readonly (readonly NodeWrite[])[] = [
  [{ clusterId: 1, nodeId: 1, bootstrap, batches: [batch(1)] }],
  [
    { clusterId: 1, nodeId: 1, batches: [batch(2, 3), batch(5)] },
    {
      clusterId: 2,
      nodeId: 4,
      hardState: { term: 1, votedFor: 4, commit: 0 },
      batches: [batch(1, 2, 1, 5)],
    },
  ],
  [{ clusterId: 1, nodeId: 1, snapshot: snapshot(4), compactTo: 4 }],
  [{ clusterId: 2, nodeId: 4, batches: [batch(1, 5, 2), batch(6, 1, 2)] }],
  [{ clusterId: 3, nodeId: 1, snapshot: snapshot(50, 2) }, {
    clusterId: 2,
    nodeId: 4,
    remove: true,
  }],
  [{ clusterId: 3, nodeId: 1, batches: [batch(51, 2, 2)] }],
];

async function smallLog(
  end: "running" | "closed",
  groups = smallGroups,
): Promise<SmallLog> {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes });
  const models: Model[] = [new Map()];
  for (const [i, group] of groups.entries()) {
    await log.commitGroup(group, { sync: i % 3 !== 2 });
    models.push(applyGroup(models.at(-1)!, group));
    if (i === 1) await log.idle();
  }
  await settle();
  if (end === "closed") await log.close();
  const files = new Map(
    disk.list(dir).map((name) => [name, readFile(disk, `${dir}/${name}`)]),
  );
  if (end === "running") await log.close();
  return { files, models };
}

/** What becomes of a log with one file replaced: its contents and where it was cut, or the refusal. */
async function outcomeOf(
  log: SmallLog,
  name: string,
  bytes: Uint8Array,
  options: { withSpare: boolean },
): Promise<{ contents?: unknown; tornAt?: unknown; refusal?: string }> {
  const disk = new MemoryFileSystem();
  for (const [other, content] of log.files) {
    const isSpare = content.every((byte) => byte === 0);
    if (other === name) await writeFile(disk, `${dir}/${name}`, bytes);
    else if (!isSpare || options.withSpare) {
      await writeFile(disk, `${dir}/${other}`, content);
    }
  }
  let opened: Wal;
  try {
    opened = await openLog(disk, { segmentBytes });
  } catch (error) {
    assert.ok(error instanceof RaftError);
    assert.equal(error.code, "corruption");
    return { refusal: error.message };
  }
  const contents = contentsOf(opened);
  const { tornAt, tornBytes } = opened.recovery;
  assert.equal(tornBytes > 0, tornAt !== undefined);
  await opened.close();
  return { contents, tornAt };
}

/** Expects that damage makes the log end at a record, or be refused there. */
function assertEndsAt(
  log: SmallLog,
  outcome: Awaited<ReturnType<typeof outcomeOf>>,
  expected: {
    name: string;
    offset: number;
    groupCount: number;
    isDurable: boolean;
    what: string;
  },
): void {
  const { name, offset, groupCount, isDurable, what } = expected;
  const path = `${dir}/${name}`;
  if (isDurable) {
    const place = `${path} is damaged at offset ${offset}:`;
    assert.ok(outcome.refusal?.includes(place), `${what}: ${outcome.refusal}`);
    return;
  }
  assert.equal(outcome.refusal, undefined, what);
  assert.deepEqual(outcome.tornAt, { path, offset }, what);
  const model = contentsOfModel(log.models[groupCount]!);
  assert.deepEqual(outcome.contents, model, what);
}

for (const end of ["running", "closed"] as const) {
  Deno.test(`A flipped byte of a ${end} log is refused or cut off at its record (rule L1)`, async () => {
    const log = await smallLog(end);
    const name = "00000001.log";
    const bytes = log.files.get(name)!;
    const { records, syncedTo } = recordsOf(bytes);
    const logEnd = records.at(-1)!.end;
    for (let at = 0; at < logEnd + 64; at++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1 << (at % 8);
      const outcome = await outcomeOf(log, name, damaged, { withSpare: false });
      const what = `byte ${at}`;
      const place = records.findIndex((one) => at < one.end);
      const record = at < 1024 ? undefined : records[place];
      // What still says how far the log was durable: all but the header that was hit.
      const proofs = records.filter((one) =>
        one !== record || at >= one.offset + 32
      ).map((one) => one.syncedTo);
      if (at >= 1024) proofs.push(syncedTo);
      const proven = Math.max(0, ...proofs);
      if (at >= logEnd) {
        const all = contentsOfModel(log.models.at(-1)!);
        assert.equal(outcome.refusal, undefined, what);
        assert.deepEqual(outcome.contents, all, what);
        const isReported = at < logEnd + 32 && end === "running";
        assert.equal(outcome.tornAt !== undefined, isReported, what);
      } else if (record === undefined) {
        const isDurable = proven > 0;
        assertEndsAt(log, outcome, {
          name,
          offset: 0,
          groupCount: 0,
          isDurable,
          what,
        });
      } else {
        assertEndsAt(log, outcome, {
          name,
          offset: record.offset,
          groupCount: groupsIn(records.slice(0, place)),
          isDurable: proven > record.offset,
          what,
        });
      }
    }
  });

  Deno.test(`A ${end} log that is cut at any byte ends before the record that was cut (rule L1)`, async () => {
    const log = await smallLog(end);
    const name = "00000001.log";
    const bytes = log.files.get(name)!;
    const { records, syncedTo } = recordsOf(bytes);
    const logEnd = records.at(-1)!.end;
    for (let length = 1; length < logEnd; length++) {
      const cut = bytes.slice(0, length);
      const outcome = await outcomeOf(log, name, cut, { withSpare: false });
      const place = records.findIndex((one) => length < one.end);
      const proofs = records.filter((one) => one.offset + 32 <= length)
        .map((one) => one.syncedTo);
      if (length >= 1024) proofs.push(syncedTo);
      const offset = length < 1024 ? 0 : records[place]!.offset;
      assertEndsAt(log, outcome, {
        name,
        offset,
        groupCount: length < 1024 ? 0 : groupsIn(records.slice(0, place)),
        isDurable: Math.max(0, ...proofs) > offset,
        what: `length ${length}`,
      });
    }
  });
}

/** Groups among records. */
function groupsIn(records: readonly { kind: number }[]): number {
  return records.filter(({ kind }) => kind === 1).length;
}

Deno.test("Damage in any but the newest segment is refused, by name and offset (rule L1)", async () => {
  const groups: NodeWrite[][] = [];
  for (let index = 1; index <= 11; index++) {
    groups.push([{
      clusterId: 1,
      nodeId: 1,
      batches: [batch(index, 1, 1, 900)],
    }]);
  }
  const log = await smallLog("running", groups);
  const [first, second] = [...log.files.keys()];
  assert.ok(recordsOf(log.files.get(second!)!).records.length > 2);
  const bytes = log.files.get(first!)!;
  const { records } = recordsOf(bytes);
  const newest = log.files.get(second!)!;
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 0x10;
    const outcome = await outcomeOf(log, first!, damaged, { withSpare: true });
    const record = records.find((one) => at < one.end);
    if (record === undefined) {
      assert.equal(outcome.refusal, undefined, `byte ${at}`); // Never written.
      continue;
    }
    assertEndsAt(log, outcome, {
      name: first!,
      offset: at < 1024 ? 0 : record.offset,
      groupCount: 0,
      isDurable: true,
      what: `byte ${at}`,
    });
  }
  // A header that was damaged after the segment was durable cannot make it pass for a spare.
  for (let at = 0; at < 1024; at++) {
    const damaged = newest.slice();
    damaged[at]! ^= 0x10;
    const outcome = await outcomeOf(log, second!, damaged, { withSpare: true });
    assert.match(outcome.refusal ?? "", /00000002.log is damaged at offset 0/);
  }
});

Deno.test("A segment that is cut at any byte of its records is refused when another follows it (rule L1)", async () => {
  const groups = Array.from({ length: 11 }, (_, i) => [{
    clusterId: 1,
    nodeId: 1,
    batches: [batch(i + 1, 1, 1, 900)],
  }]);
  const log = await smallLog("running", groups);
  const [first] = [...log.files.keys()];
  const bytes = log.files.get(first!)!;
  const { records } = recordsOf(bytes);
  for (let length = 1; length < records.at(-1)!.end; length++) {
    const cut = bytes.slice(0, length);
    const outcome = await outcomeOf(log, first!, cut, { withSpare: true });
    const record = records.find((one) => length < one.end)!;
    assertEndsAt(log, outcome, {
      name: first!,
      offset: length < 1024 ? 0 : record.offset,
      groupCount: 0,
      isDurable: true,
      what: `length ${length}`,
    });
  }
});

Deno.test("A segment that is missing is missed (rule L1)", async () => {
  const groups: NodeWrite[][] = [];
  for (let index = 1; index <= 30; index++) {
    groups.push([{
      clusterId: 1,
      nodeId: 1,
      batches: [batch(index, 1, 1, 900)],
    }]);
  }
  const log = await smallLog("closed", groups);
  const names = [...log.files.keys()];
  assert.ok(names.length > 3, names.join());
  for (const name of names.slice(0, -2)) {
    const files = new Map(log.files);
    files.delete(name);
    const outcome = await outcomeOf(
      { ...log, files },
      "none",
      new Uint8Array(),
      {
        withSpare: true,
      },
    );
    assert.match(outcome.refusal ?? "", /damaged at offset 0:.*missing/, name);
  }
});

Deno.test("The log keeps what it acknowledged through power cuts (rules L2, L6)", async () => {
  await eachSeed({ first: 1, count: 60 }, powerCuts);
  await eachSeed({ first: 1_052, count: 1 }, powerCuts); // Two recoveries cut short, one after the other.
});

Deno.test("A failed write or sync closes the log for good, and loses nothing acknowledged (rules L2, L5)", async () => {
  const count = await eachSeed({ first: 1, count: 40 }, failures);
  assert.ok(count > 150, `${count} failures`);
});

Deno.test("A full disk refuses whole groups, and serves again by itself (rule L5)", async () => {
  const count = await eachSeed({ first: 1, count: 30 }, fullDisk);
  assert.ok(count > 400, `${count} refusals`);
});
