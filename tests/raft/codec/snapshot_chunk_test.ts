import { assert } from "../../deps.ts";
import { concatBytes } from "../../../raft/codec/bytes.ts";
import {
  decodeSnapshotFrame,
  encodeSnapshotFrame,
  snapshotChunkBytes,
  snapshotChunkFrameBytes,
  type SnapshotFrame,
  type SnapshotOffer,
} from "../../../raft/codec/snapshot_chunk.ts";
import { Prng } from "../../../raft/core/prng.ts";
import { crc32 } from "../../../storage/deps.ts";

const frames: SnapshotFrame[] = [
  {
    kind: "offer",
    offer: {
      clusterId: 2 ** 53 - 1,
      from: 1,
      to: 2,
      term: 9,
      meta: {
        index: 100,
        term: 8,
        membership: {
          configChangeIndex: 4,
          members: [{ nodeId: 1, address: "h:1", nodeHostId: "äb" }],
          observers: [],
          witnesses: [],
          removed: [3],
        },
      },
      fileBytes: 12_345,
      fingerprint: "0123456789abcdef",
      generation: 1,
    },
  },
  { kind: "accept" },
  { kind: "refused", reason: "node 2 was removed" },
  { kind: "chunk", offset: 2 ** 40, data: Uint8Array.of(1, 2, 3) },
  { kind: "progress", bytes: 2 ** 40 },
  { kind: "done" },
  { kind: "failed", reason: "" },
];

function encode(frame: SnapshotFrame): Uint8Array {
  return concatBytes(encodeSnapshotFrame(frame, crc32));
}

Deno.test("Snapshot frames come back as they were", () => {
  for (const frame of frames) {
    assert.deepEqual(decodeSnapshotFrame(encode(frame), crc32), frame);
  }
});

Deno.test("A full chunk fits in a frame of 256 KiB", () => {
  const data = new Uint8Array(snapshotChunkBytes);
  const bytes = encode({ kind: "chunk", offset: 5, data });
  assert.equal(bytes.length, snapshotChunkFrameBytes);
  assert.equal(snapshotChunkFrameBytes, 256 * 1024);
});

Deno.test("decodeSnapshotFrame() names the defect of a frame that was cut or lengthened", () => {
  for (const frame of frames) {
    const whole = encode(frame);
    for (let length = 0; length < whole.length; length++) {
      const result = decodeSnapshotFrame(whole.subarray(0, length), crc32);
      assert.equal(typeof result, "string", `${frame.kind} cut at ${length}`);
    }
    const longer = concatBytes([whole, Uint8Array.of(0)]);
    assert.equal(typeof decodeSnapshotFrame(longer, crc32), "string");
  }
});

Deno.test("decodeSnapshotFrame() finds every flipped bit of a chunk", () => {
  const whole = encode({
    kind: "chunk",
    offset: 70_000,
    data: new Uint8Array(50).map((_, i) => i),
  });
  for (let at = 1; at < whole.length; at++) {
    const damaged = whole.slice();
    damaged[at] = (damaged[at] ?? 0) ^ 0x10;
    assert.equal(typeof decodeSnapshotFrame(damaged, crc32), "string");
  }
});

Deno.test("An offer of unknown length is of version 2", () => {
  const { offer } = frames[0] as { offer: SnapshotOffer };
  const frame = { kind: "offer", offer: { ...offer, fileBytes: 0 } } as const;
  const bytes = encode(frame);
  assert.equal(bytes[1], 2);
  assert.deepEqual(decodeSnapshotFrame(bytes, crc32), frame);
  bytes[1] = 1;
  assert.equal(decodeSnapshotFrame(bytes, crc32), "range");
});

Deno.test("decodeSnapshotFrame() refuses an offer of another version by name (rule L8)", () => {
  const offer = encode(frames[0]!);
  offer[1] = 3;
  assert.equal(decodeSnapshotFrame(offer, crc32), "version");
  offer[1] = 2; // It says a length, so it must not say that none is known.
  assert.equal(decodeSnapshotFrame(offer, crc32), "range");
});

Deno.test("decodeSnapshotFrame() never throws for what it is given", () => {
  const prng = new Prng(1);
  for (let run = 0; run < 20_000; run++) {
    const frame = frames[prng.below(frames.length)]!;
    const bytes = encode(frame);
    for (let flips = prng.below(4); flips >= 0; flips--) {
      bytes[prng.below(bytes.length)] = prng.below(256);
    }
    decodeSnapshotFrame(bytes, crc32);
    const noise = new Uint8Array(prng.below(100)).map(() => prng.below(256));
    if (noise.length > 0) noise[0] = 32 + prng.below(8);
    decodeSnapshotFrame(noise, crc32);
  }
});
