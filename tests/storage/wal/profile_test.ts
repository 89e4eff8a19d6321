import {
  decodeProfile,
  emptyProfile,
  encodeProfile,
  profileBytesMax,
  snapshotPlace,
} from "../../../storage/wal/profile.ts";
import { assert } from "../../deps.ts";
import { bootstrap, snapshot } from "./fixture.ts";

const full = {
  snapshot: snapshot(2 ** 52, 2 ** 50),
  bootstrap,
  peers: [
    { nodeId: 1, nodeHostId: "a", incarnation: 0 },
    { nodeId: 2 ** 53 - 1, nodeHostId: "ü".repeat(300), incarnation: 7 },
  ],
};

Deno.test("A profile is decoded as it was encoded", () => {
  const { snapshot, bootstrap, peers } = full;
  for (
    const profile of [
      emptyProfile,
      full,
      { ...emptyProfile, snapshot },
      { ...emptyProfile, bootstrap },
      { ...emptyProfile, peers },
      {
        ...full,
        bootstrap: {
          join: true,
          initialMembers: [],
          stateMachineName: "",
          fingerprint: "",
          generation: 1,
          admitted: false,
          settings: [],
        },
      },
    ]
  ) {
    const bytes = encodeProfile(profile);
    assert.deepEqual(decodeProfile(bytes), profile);
    assert.deepEqual(encodeProfile(profile), bytes);
    assert.ok(bytes.length <= profileBytesMax(profile));
  }
});

Deno.test("snapshotPlace() reads index and term alone", () => {
  const { index, term } = full.snapshot;
  assert.deepEqual(snapshotPlace(encodeProfile(full)), { index, term });
  assert.equal(snapshotPlace(encodeProfile(emptyProfile)).index, 0);
});

Deno.test("A profile is of version 2 only if its bootstrap says what version 1 cannot (rule L8)", () => {
  assert.equal(encodeProfile(full)[0], 1);
  const more = [
    { machineKind: "concurrent" },
    { machineKind: "onDisk" },
    { isRemoved: true },
    { machineKind: "onDisk", isRemoved: true },
  ] as const;
  for (const fields of more) {
    const profile = { ...full, bootstrap: { ...full.bootstrap, ...fields } };
    const bytes = encodeProfile(profile);
    assert.equal(bytes[0], 2);
    assert.deepEqual(decodeProfile(bytes), profile);
    const { index, term } = full.snapshot;
    assert.deepEqual(snapshotPlace(bytes), { index, term });
  }
});

Deno.test("A profile of version 2 is as its golden file, which is read back (rule L8)", () => {
  const golden = Deno.readFileSync(
    new URL("../../golden/profile_v2", import.meta.url),
  );
  const profile = {
    ...emptyProfile,
    bootstrap: {
      join: true,
      initialMembers: [],
      stateMachineName: "kv",
      fingerprint: "0123456789abcdef",
      generation: 4,
      admitted: true,
      settings: [10, 1],
      machineKind: "onDisk",
      isRemoved: true,
    },
  } as const;
  assert.deepEqual(encodeProfile(profile), golden);
  assert.deepEqual(decodeProfile(golden), profile);
});

Deno.test("Bytes that are not exactly a profile are none", () => {
  const bytes = encodeProfile(full);
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(decodeProfile(bytes.subarray(0, length)), undefined);
  }
  const longer = new Uint8Array(bytes.length + 1);
  longer.set(bytes);
  assert.equal(decodeProfile(longer), undefined);
  const other = bytes.slice();
  other[0] = 3;
  assert.equal(decodeProfile(other), undefined);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 0xff;
    decodeProfile(damaged); // Whatever it is, it ends and does not throw.
  }
});
