import type { EntryBatch } from "../../../raft/core/types.ts";
import { Prng } from "../../../raft/core/prng.ts";
import { RaftError } from "../../../raft/errors.ts";
import type { NodeLog, NodeWrite } from "../../../storage/log_store.ts";
import { MemoryFileSystem } from "../../../storage/memory_file_system.ts";
import type { Wal } from "../../../storage/wal/wal.ts";
import { assert } from "../../deps.ts";
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
} from "./fixture.ts";
import {
  applyGroup,
  contentsOfModel,
  type Model,
  type ModelNode,
} from "./model.ts";

const one = { clusterId: 1, nodeId: 1 };
const other = { clusterId: 2, nodeId: 4 };
const late = { clusterId: 3, nodeId: 1 };

/** Over several segments: entries of two nodes, committed after a while, a new leader's entries, a snapshot. */
const groups: readonly (readonly NodeWrite[])[] = [
  [{
    ...one,
    bootstrap,
    hardState: { term: 1, votedFor: 1, commit: 0 },
    batches: [batch(1, 2)],
  }],
  [{
    ...other,
    bootstrap,
    hardState: { term: 1, votedFor: 4, commit: 0 },
    batches: [batch(1, 2, 1, 400)],
  }],
  [{ ...one, batches: [batch(3, 1, 1, 900)] }],
  [{ ...one, batches: [batch(4, 2, 1, 900)] }],
  [{ ...one, hardState: { term: 1, votedFor: 1, commit: 4 } }],
  [{
    ...other,
    batches: [batch(3, 1, 1, 300), batch(4, 1, 1, 300), batch(5, 1, 1, 300)],
  }],
  [{ ...other, hardState: { term: 2, votedFor: 2, commit: 2 } }],
  [{ ...other, batches: [batch(3, 1, 2, 700)] }],
  [{ ...other, batches: [batch(4, 1, 2, 700)] }],
  [{ ...one, batches: [batch(6, 1, 1, 900)] }],
  [
    { ...other, hardState: { term: 2, votedFor: 2, commit: 4 } },
    { ...one, hardState: { term: 1, votedFor: 1, commit: 6 } },
  ],
  [{ ...one, snapshot: snapshot(3), compactTo: 2 }],
  [{ ...one, batches: [batch(7, 1, 1, 1200)] }],
  [{ ...other, batches: [batch(5, 1, 2, 900)] }],
  [{ ...one, hardState: { term: 1, votedFor: 1, commit: 7 } }],
  // In the last segment: a new node, and a vote.
  [{
    ...late,
    bootstrap,
    hardState: { term: 1, votedFor: 1, commit: 0 },
    batches: [batch(1)],
  }],
  [{ ...late, batches: [batch(2)] }],
  [{ ...late, hardState: { term: 1, votedFor: 1, commit: 2 } }],
  [{ ...one, hardState: { term: 2, votedFor: 3, commit: 7 } }],
  [{ ...one, batches: [batch(8, 1, 2, 30)] }],
  [{ ...other, batches: [batch(6, 1, 2, 30)] }],
];

interface MadeLog {
  readonly segmentBytes: number;
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly model: Model;
}

async function makeLog(segmentBytes: number): Promise<MadeLog> {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes });
  let model: Model = new Map();
  for (const group of groups) {
    await log.commitGroup(group, { sync: true });
    await settle();
    model = applyGroup(model, group);
  }
  await log.close();
  const files = new Map(
    disk.list(dir).map((name) => [name, readFile(disk, `${dir}/${name}`)]),
  );
  return { segmentBytes, files, model };
}

async function diskWith(
  made: MadeLog,
  damage: (name: string, bytes: Uint8Array) => void,
): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem();
  for (const [name, bytes] of made.files) {
    const copy = bytes.slice();
    damage(name, copy);
    await writeFile(disk, `${dir}/${name}`, copy);
  }
  return disk;
}

function modelNode(model: Model, node: NodeLog): ModelNode {
  return model.get(`${node.clusterId}-${node.nodeId}`)!;
}

/** What a node still says must be true: hard state, and every entry outside of what it says is missing. */
function checkTruth(node: NodeLog, model: ModelNode): void {
  assert.deepEqual(node.hardState(), model.hardState);
  // A snapshot's record may be gone, if all that it covers is still there.
  if (node.snapshot() === undefined) assert.equal(node.firstIndex(), 1);
  else assert.deepEqual(node.snapshot(), model.snapshot);
  // What a snapshot covers may be compacted instead of fetched.
  const covered = Math.max(model.compacted[0], node.snapshot()?.index ?? 0);
  assert.ok(node.firstIndex() <= covered + 1);
  const damage = node.damage();
  for (const batch of model.batches) {
    if (batch.lastIndex < node.firstIndex()) continue;
    const found = node.batchAt(batch.firstIndex);
    if (
      damage !== undefined && damage.firstIndex <= batch.firstIndex &&
      batch.lastIndex <= damage.lastIndex
    ) {
      assert.equal(found, undefined, "what is in doubt is not shown");
      continue;
    }
    assert.deepEqual(found?.bytes, batch.bytes, `entry ${batch.firstIndex}`);
  }
}

/** Fetches what is missing from the model, as from another member. */
async function mend(log: Wal, node: NodeLog, model: ModelNode): Promise<void> {
  for (
    let damage = node.damage();
    damage !== undefined;
    damage = node.damage()
  ) {
    const { firstIndex } = damage;
    const next = model.batches.find((batch) => batch.firstIndex === firstIndex);
    // The compaction itself may be gone: then nobody has what it took.
    if (firstIndex <= model.compacted[0]) return;
    assert.ok(
      next !== undefined,
      `what is missing begins with a batch: ${JSON.stringify(damage)}`,
    );
    await log.commitGroup([{
      clusterId: node.clusterId,
      nodeId: node.nodeId,
      mended: [next] as EntryBatch[],
    }], { sync: true });
  }
}

const counts = { whole: 0, entries: 0, lost: 0, refused: 0, torn: 0 };

async function checkDamage(
  made: MadeLog,
  where: string,
  damage: (name: string, bytes: Uint8Array) => void,
): Promise<void> {
  const { segmentBytes } = made;
  const disk = await diskWith(made, damage);
  let log: Wal;
  try {
    log = await openLog(disk, { segmentBytes, onDamage: "mend", seed: 3 });
  } catch (error) {
    assert.ok(error instanceof RaftError && error.code === "corruption", where);
    // Without any checkpoint, or with nothing of the newest segment, nobody knows which nodes there are.
    const isRight =
      /there is no checkpoint|the header does not check, and it is older/;
    assert.match(error.message, isRight, `${where}: ${error.message}`);
    counts.refused++;
    return;
  }
  if (log.recovery.tornAt !== undefined) {
    counts.torn++; // Nothing durable says that it was: rule L1 decides, and the tests of crashes look at it.
    return await log.close();
  }
  const found = log.recovery.damage.length > 0;
  if (!found) {
    assert.deepEqual(contentsOf(log), contentsOfModel(made.model), where);
    return await log.close();
  }
  const verdicts = new Map<string, string | undefined>();
  for (const ids of log.nodes()) {
    const node = log.node(ids.clusterId, ids.nodeId);
    const model = modelNode(made.model, node);
    assert.ok(model !== undefined, `${where}: a node that never was`);
    const kind = node.damage()?.kind;
    verdicts.set(`${ids.clusterId}`, kind);
    counts[kind ?? "whole"]++;
    if (kind === "lost") continue;
    checkTruth(node, model);
    const missing = node.damage();
    assert.ok(
      (missing?.lastIndex ?? 0) <= model.hardState!.commit,
      `${where}: only what is provably committed may be fetched`,
    );
  }
  for (const key of made.model.keys()) {
    const isThere = verdicts.has(key.split("-")[0]!);
    assert.ok(isThere || log.hiddenDamage !== undefined, `${where}: no ${key}`);
  }
  await log.close();
  await checkReopened(made, disk, verdicts, where);
}

/** The verdicts last, whether or not the log is opened to be mended; and what is mended is whole. */
async function checkReopened(
  made: MadeLog,
  disk: MemoryFileSystem,
  verdicts: ReadonlyMap<string, string | undefined>,
  where: string,
): Promise<void> {
  const { segmentBytes } = made;
  for (const onDamage of ["refuse", "mend"] as const) {
    const log = await openLog(disk, { segmentBytes, onDamage, seed: 4 });
    assert.deepEqual(log.recovery.damage, [], where);
    for (const ids of log.nodes()) {
      const node = log.node(ids.clusterId, ids.nodeId);
      assert.equal(
        node.damage()?.kind,
        verdicts.get(`${ids.clusterId}`),
        where,
      );
    }
    await log.close();
  }
  let log = await openLog(disk, { segmentBytes, seed: 5 });
  const check = () => {
    for (const ids of log.nodes()) {
      const node = log.node(ids.clusterId, ids.nodeId);
      if (node.damage()?.kind === "lost") continue;
      assert.equal(node.damage(), undefined, where);
      checkTruth(node, modelNode(made.model, node));
    }
  };
  for (const ids of log.nodes()) {
    const node = log.node(ids.clusterId, ids.nodeId);
    if (node.damage()?.kind === "lost") continue;
    await mend(log, node, modelNode(made.model, node));
  }
  check();
  await log.close();
  log = await openLog(disk, { segmentBytes, seed: 6 });
  check();
  await log.close();
}

async function damageEverything(made: MadeLog): Promise<void> {
  const names = [...made.files.keys()].filter((name) =>
    made.files.get(name)!.some((byte) => byte !== 0)
  );
  for (const name of names) {
    const { records } = recordsOf(made.files.get(name)!);
    for (const { offset, end } of records) {
      const places = [offset + 1, offset + 40, offset + 70, offset + 100]
        .filter((at) => at < end);
      places.push(...[end - 200, end - 9].filter((at) => at > offset + 32));
      for (const at of places) {
        await checkDamage(made, `${name} at ${at}`, (file, bytes) => {
          if (file === name) bytes[at]! ^= 0x10;
        });
      }
      await checkDamage(made, `${name} from ${offset} on`, (file, bytes) => {
        if (file === name) {
          bytes.fill(0x5a, offset, Math.min(end, offset + 512));
        }
      });
    }
    await checkDamage(made, `${name}, half of its header`, (file, bytes) => {
      if (file === name) bytes[20]! ^= 1;
    });
    await checkDamage(made, `${name}, its header`, (file, bytes) => {
      if (file === name) bytes.fill(0x77, 0, 1024);
    });
  }
}

for (const segmentBytes of [4096, 8192, 32_768]) {
  Deno.test(`Wal with onDamage mend: every record damaged in turn leaves only what is true, and says what is missing, in segments of ${segmentBytes} bytes (rule L7)`, async () => {
    Object.assign(counts, { whole: 0, entries: 0, lost: 0 });
    await damageEverything(await makeLog(segmentBytes));
    assert.ok(counts.whole > 20, JSON.stringify(counts));
    assert.ok(counts.lost > 20, JSON.stringify(counts));
    if (segmentBytes > 8192) return; // Without a later checkpoint most is lost.
    assert.ok(counts.entries > 20, JSON.stringify(counts));
  });
}

Deno.test("Wal with onDamage mend: damage in a segment that was taken for a spare is none of the log's (rules L4, L7)", async () => {
  const made = await makeLog(4096);
  const names = [...made.files.keys()].sort();
  const used = names.filter((name) =>
    made.files.get(name)![16] === parseInt(name) // The number in the header.
  );
  const newest = used.at(-1)!;
  const spare = names.at(-1)!;
  assert.equal(parseInt(spare), parseInt(newest) + 1);
  const old = made.files.get(used[0]!)!;
  const { refused } = counts;
  let touched = 0;
  await checkDamage(
    made,
    "the newest, and the spare behind it",
    (file, bytes) => {
      if (file === spare) bytes.set(old);
      if (file !== spare && file !== newest) return;
      bytes[20]! ^= 1; // One copy of the header; the other stays.
      touched++;
    },
  );
  assert.equal(touched, 2);
  assert.equal(counts.refused, refused, "it opens");
});

Deno.test("Wal with onDamage mend: one whole copy of every header is enough (rule L7)", async () => {
  const made = await makeLog(4096);
  const { refused } = counts;
  let touched = 0;
  await checkDamage(made, "half of every header", (file, bytes) => {
    if (bytes[16] !== parseInt(file)) return; // It is not used, or not any more.
    bytes[20]! ^= 1;
    touched++;
  });
  assert.ok(touched >= 3);
  assert.equal(counts.refused, refused, "it opens");
});

/** What every node of an opened log says must be true. */
function checkAllTruth(log: Wal, model: Model, where: string): void {
  const seen = new Set<string>();
  for (const ids of log.nodes()) {
    const node = log.node(ids.clusterId, ids.nodeId);
    seen.add(`${ids.clusterId}-${ids.nodeId}`);
    if (node.damage()?.kind === "lost") continue;
    try {
      checkTruth(node, modelNode(model, node));
    } catch (error) {
      throw new Error(`${where}: ${error}`, { cause: error });
    }
  }
  for (const key of model.keys()) {
    assert.ok(
      seen.has(key) || log.hiddenDamage !== undefined,
      `${where}: ${key}`,
    );
  }
}

Deno.test("Wal with onDamage mend: damage after damage, mended or not, leaves only what is true, and is not refused silently (rule L7)", async () => {
  const prng = new Prng(5);
  let opened = 0;
  let refused = 0;
  for (let run = 0; run < 250; run++) {
    const made = await makeLog(prng.pick([4096, 8192, 16_384]));
    const { segmentBytes, model } = made;
    const disk = await diskWith(made, () => {});
    const places = [...made.files].flatMap(([name, bytes]) =>
      recordsOf(bytes).records.map(({ offset, end }) => ({ name, offset, end }))
    );
    let where = "";
    for (let round = 0; round < 3; round++) {
      const { name, offset, end } = prng.pick(places);
      if (disk.stat(`${dir}/${name}`) === undefined) continue;
      const at = prng.between(offset, end);
      const bytes = readFile(disk, `${dir}/${name}`);
      bytes[at]! ^= 1 << prng.below(8);
      await writeFile(disk, `${dir}/${name}`, bytes);
      where += `${name} at ${at}, `;
      for (const onDamage of ["refuse", "mend"] as const) {
        let log: Wal;
        try {
          log = await openLog(disk, { segmentBytes, onDamage, seed: run });
        } catch (error) {
          assert.ok(error instanceof RaftError, `${where}: ${error}`);
          assert.equal(error.code, "corruption");
          refused++;
          continue;
        }
        if (log.recovery.tornAt !== undefined) {
          await log.close();
          round = 3;
          break;
        }
        opened++;
        checkAllTruth(log, model, `run ${run}: ${where}${onDamage}`);
        if (onDamage === "mend" && prng.chance(1, 2)) {
          for (const ids of log.nodes()) {
            const node = log.node(ids.clusterId, ids.nodeId);
            if (node.damage()?.kind !== "entries") continue;
            await mend(log, node, modelNode(model, node));
          }
          checkAllTruth(log, model, `run ${run}: ${where}mended`);
        }
        await log.close();
      }
    }
  }
  assert.ok(opened > 300 && refused > 200, `${opened} ${refused}`);
});

Deno.test("Wal with onDamage mend: damage to batches of one node leaves the others alone (rule L7)", async () => {
  const segmentBytes = 8192;
  const made = await makeLog(segmentBytes);
  const disk = await diskWith(made, (_name, bytes) => {
    const at = indexOf(bytes, batch(4, 1, 2, 700).bytes.subarray(0, 40));
    if (at > 0) bytes[at + 100]! ^= 1;
  });
  await assert.rejects(openLog(disk, { segmentBytes }), { code: "corruption" });
  const log = await openLog(disk, { segmentBytes, onDamage: "mend" });
  assert.equal(log.node(1, 1).damage(), undefined);
  const damage = log.node(2, 4).damage();
  assert.equal(damage?.kind, "entries");
  assert.deepEqual([damage.firstIndex, damage.lastIndex], [3, 4]);
  assert.match(damage.reason, /\.log is damaged at offset \d+/);
  assert.equal(log.hiddenDamage, undefined);
  await log.close();
});

function indexOf(bytes: Uint8Array, text: Uint8Array): number {
  for (let at = 0; at + text.length <= bytes.length; at++) {
    if (text.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}
