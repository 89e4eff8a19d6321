import { Prng } from "../../../raft/core/prng.ts";
import { BatchIndex, type BatchPlace } from "../../../storage/wal/index.ts";
import { assert } from "../../deps.ts";

/** What an index holds, as plain values. */
function rowsOf(index: BatchIndex): BatchPlace[] {
  return Array.from({ length: index.count }, (_, row) => ({
    firstIndex: index.firstIndexOf(row),
    entryCount: index.lastIndexOf(row) - index.firstIndexOf(row) + 1,
    term: index.termOf(row),
    segment: index.segmentOf(row),
    offset: index.offsetOf(row),
    length: index.lengthOf(row),
  }));
}

const lastOf = (row: BatchPlace) => row.firstIndex + row.entryCount - 1;

Deno.test("BatchIndex does what a list of rows would", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const prng = new Prng(seed);
    const index = new BatchIndex();
    let rows: BatchPlace[] = [];
    let released: number[] = [];
    let gone: number[] = [];
    const onRelease = (_segment: number, length: number) =>
      released.push(length);
    const remove = (test: (row: BatchPlace) => boolean) => {
      gone.push(...rows.filter(test).map(({ length }) => length));
      rows = rows.filter((row) => !test(row));
    };
    let next = 1;
    let length = 1;
    const place = (firstIndex: number, entryCount: number): BatchPlace => ({
      firstIndex,
      entryCount,
      term: prng.between(1, 9),
      segment: prng.below(2 ** 31),
      offset: prng.below(2 ** 31),
      length: length++,
    });
    for (let step = 0; step < 400; step++) {
      released = [];
      gone = [];
      const at = prng.between(0, next + 3);
      switch (prng.below(9)) {
        case 0:
          index.truncateFrom(at, onRelease);
          remove((row) => row.firstIndex >= at);
          next = Math.max(at, 1);
          break;
        case 1:
          if (prng.chance(2, 3)) break;
          index.dropTo(at, onRelease);
          remove((row) => lastOf(row) <= at);
          break;
        case 2: {
          const moved = place(prng.between(1, next + 1), prng.between(1, 9));
          index.place(moved, onRelease);
          remove((row) =>
            row.firstIndex <= lastOf(moved) && lastOf(row) >= moved.firstIndex
          );
          rows.push(moved);
          rows.sort((a, b) => a.firstIndex - b.firstIndex);
          break;
        }
        case 3: {
          const row = prng.below(Math.max(1, rows.length));
          const old = rows[row];
          if (old === undefined) break;
          index.relocate(row, 7, 8);
          rows[row] = { ...old, segment: 7, offset: 8 };
          break;
        }
        default: {
          next = Math.max(next, ...rows.map((row) => lastOf(row) + 1));
          const made = place(next, prng.between(1, 9));
          index.push(made);
          rows.push(made);
          next += made.entryCount;
        }
      }
      assert.deepEqual(rowsOf(index), rows, `seed ${seed}, step ${step}`);
      assert.deepEqual(released, gone);
      const found = rows.findIndex((row) =>
        row.firstIndex <= at && at <= lastOf(row)
      );
      assert.equal(index.find(at), found);
      const ending = rows.findIndex((row) => lastOf(row) >= at);
      assert.equal(
        index.firstEndingFrom(at),
        ending < 0 ? rows.length : ending,
      );
    }
  }
});

Deno.test("BatchIndex starts tiny, and gives memory back", () => {
  const index = new BatchIndex();
  const place = { entryCount: 1, term: 1, segment: 1, offset: 0, length: 1 };
  assert.equal(index.memoryBytes, 0);
  index.push({ ...place, firstIndex: 1 });
  assert.equal(index.memoryBytes, 64);
  for (let firstIndex = 2; firstIndex <= 10_000; firstIndex++) {
    index.push({ ...place, firstIndex });
  }
  assert.ok(index.memoryBytes <= 2 * 32 * 10_000);
  index.dropTo(9_990, () => {});
  assert.ok(index.memoryBytes < 32 * 5_000);
  // A window that moves on needs no more than its own size, some times over.
  for (let firstIndex = 10_001; firstIndex <= 100_000; firstIndex++) {
    index.push({ ...place, firstIndex });
    if (firstIndex % 50 === 0) index.dropTo(firstIndex - 50, () => {});
  }
  assert.ok(index.memoryBytes <= 32 * 512, `${index.memoryBytes}`);
  index.clear(() => {});
  assert.equal(index.memoryBytes, 0);
});

Deno.test("BatchIndex.firstMissing() finds a hole", () => {
  const index = new BatchIndex();
  const place = { term: 1, segment: 1, offset: 0, length: 1 };
  assert.equal(index.firstMissing(0, 0), undefined);
  assert.equal(index.firstMissing(5, 6), 6);
  index.push({ ...place, firstIndex: 6, entryCount: 3 });
  index.push({ ...place, firstIndex: 9, entryCount: 1 });
  assert.equal(index.firstMissing(5, 9), undefined);
  assert.equal(index.firstMissing(4, 9), 5);
  assert.equal(index.firstMissing(5, 10), 10);
  index.push({ ...place, firstIndex: 11, entryCount: 1 });
  assert.equal(index.firstMissing(5, 11), 10);
});
