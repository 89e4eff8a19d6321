/** Where NodeHosts are that have moved (rules I1, I4): who is believed, and what is kept. */
import { AddressBook } from "../../raft/address_book.ts";
import type { KnownAddress } from "../../raft/address_book.ts";
import {
  decodeAddressBook,
  encodeAddressBook,
} from "../../raft/address_book_format.ts";
import { crc32 } from "../../storage/deps.ts";
import { assert } from "../deps.ts";

const host = (
  nodeHostId: string,
  incarnation: number,
  raftAddress: string,
) => ({
  nodeHostId,
  incarnation,
  raftAddress,
});

class World {
  readonly changes: string[] = [];
  kept: readonly KnownAddress[] = [];
  memberships: Record<string, string[]> = { A: ["a:1"], B: ["b:1"] };
  readonly book: AddressBook;

  constructor(
    kept: readonly KnownAddress[] = [],
    hints: Record<string, string> = {},
  ) {
    this.book = new AddressBook(
      {
        nodeHostId: "self",
        membershipAddresses: (id) => this.memberships[id] ?? [],
        changed: (id) => this.changes.push(id),
        save: (moved) => this.kept = moved,
      },
      kept,
      hints,
    );
  }

  where(id: string): string {
    return this.book.addressOf(id, "as before");
  }
}

Deno.test("A NodeHost that is where memberships have it is not talked about", () => {
  const world = new World();
  assert.equal(world.book.seen(host("A", 3, "a:1")), false);
  assert.equal(world.where("A"), "as before");
  assert.deepEqual(world.book.moved(), []);
  assert.deepEqual(world.changes, []);
});

Deno.test("A NodeHost that has moved is believed, kept and told (rule I4)", () => {
  const world = new World();
  assert.equal(world.book.seen(host("A", 4, "new:1")), true);
  assert.equal(world.where("A"), "new:1");
  assert.deepEqual(world.changes, ["A"]);
  const moved = [{ ...host("A", 4, "new:1"), isMoved: true }];
  assert.deepEqual(world.kept, moved);
  assert.deepEqual(world.book.moved(), moved);
  // And back again: the others must hear of it.
  assert.equal(world.book.seen(host("A", 5, "a:1")), true);
  assert.equal(world.where("A"), "a:1");
  const again = new World(world.kept);
  assert.equal(again.where("A"), "a:1");
});

Deno.test("An older incarnation is never believed (rule I1)", () => {
  const world = new World();
  world.book.seen(host("A", 4, "new:1"));
  assert.equal(world.book.seen(host("A", 3, "old:1")), false);
  assert.equal(world.book.told(host("A", 3, "old:1")), false);
  assert.equal(world.book.told(host("A", 4, "lie:1")), false);
  assert.equal(world.where("A"), "new:1");
  assert.equal(world.book.told(host("A", 5, "newer:1")), true);
  assert.equal(world.where("A"), "newer:1");
  assert.equal(world.book.told(host("A", 5, "newer:1")), false, "no news");
});

Deno.test("Nobody else says where this NodeHost is", () => {
  const world = new World();
  assert.equal(world.book.told(host("self", 99, "lie:1")), false);
  world.book.hint("self", "lie:1");
  assert.equal(world.where("self"), "as before");
});

Deno.test("What the operator says is true until the NodeHost says otherwise", () => {
  const kept = [{ ...host("A", 4, "kept:1"), isMoved: true }];
  const world = new World(kept, { A: "said:1" });
  assert.equal(world.where("A"), "said:1");
  // Hearsay of the time before does not count.
  assert.equal(world.book.told(host("A", 4, "kept:1")), false);
  assert.equal(world.where("A"), "said:1");
  assert.equal(world.book.seen(host("A", 4, "kept:1")), true);
  assert.equal(world.where("A"), "kept:1");
  world.book.hint("A", "again:1");
  assert.equal(world.where("A"), "again:1");
  assert.equal(world.book.told(host("A", 5, "newest:1")), true);
  assert.equal(world.where("A"), "newest:1");
});

Deno.test("What the operator says of a NodeHost outlives what others heard of it before (rules I1, I4)", () => {
  // It was met before this process, where memberships have it, of which nothing is kept. It moved; the operator says so.
  const world = new World([], { A: "second:1" });
  // A master last heard it where it was.
  assert.equal(world.book.told(host("A", 5, "a:1")), false);
  assert.equal(world.where("A"), "second:1");
  assert.equal(world.book.told(host("A", 5, "a:1")), false);
  assert.equal(world.book.told(host("A", 4, "older:1")), false);
  assert.equal(world.where("A"), "second:1");
  // Another hint does not forget what is older than it.
  world.book.hint("A", "third:1");
  assert.equal(world.book.told(host("A", 5, "a:1")), false);
  assert.equal(world.where("A"), "third:1");
  assert.deepEqual(world.changes, ["A"]);
  // The master has heard it again since.
  assert.equal(world.book.told(host("A", 6, "fourth:1")), true);
  assert.equal(world.where("A"), "fourth:1");
});

Deno.test("A NodeHost itself knows better than what the operator says, whatever was heard of it (rule I4)", () => {
  const world = new World([], { A: "second:1" });
  world.book.told(host("A", 7, "a:1"));
  assert.equal(world.book.seen(host("A", 7, "third:1")), true);
  assert.equal(world.where("A"), "third:1");
});

Deno.test("So many NodeHosts are remembered, those that moved longest", () => {
  const world = new World();
  world.book.seen(host("A", 1, "moved:1"));
  for (let i = 0; i < 5_000; i++) world.book.seen(host(`x${i}`, 1, `x${i}:1`));
  assert.equal(world.where("A"), "moved:1");
  for (let i = 0; i < 5_000; i++) world.book.told(host(`y${i}`, 1, `y${i}:1`));
  assert.equal(world.book.moved().length, 4_096);
});

const moved = [
  {
    ...host("0123456789abcdef0123456789abcdef", 7, "host-1:7000"),
    isMoved: true,
  },
  {
    ...host("fedcba9876543210fedcba9876543210", 2 ** 40, "[::1]:1"),
    isMoved: true,
  },
];

Deno.test("The file of addresses of version 1 is read for ever (rule L8)", () => {
  const golden = Deno.readFileSync(
    new URL("../golden/addresses_v1", import.meta.url),
  );
  assert.deepEqual(decodeAddressBook(golden, crc32), moved);
  assert.deepEqual(encodeAddressBook(moved, crc32), golden);
});

Deno.test("A damaged file of addresses says what is wrong, and an unknown version is named (rule L8)", () => {
  const bytes = encodeAddressBook(moved, crc32);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.with(at, bytes[at]! ^ 0x10);
    assert.equal(typeof decodeAddressBook(damaged, crc32), "string", `${at}`);
    assert.equal(
      typeof decodeAddressBook(bytes.subarray(0, at), crc32),
      "string",
    );
  }
  assert.match(
    String(decodeAddressBook(bytes.with(8, 2), crc32)),
    /version is 2, and this library reads 1/,
  );
});
