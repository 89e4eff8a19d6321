import { assert, fc } from "../../deps.ts";
import { concatBytes } from "../../../raft/codec/bytes.ts";
import {
  FrameHeaders,
  FrameReader,
  maxFirstFrameBytes,
} from "../../../raft/transport/framing.ts";
import { crc32 } from "./deps.ts";

const maxFrameBytes = 4 * 1024 * 1024;

function frameOf(payload: Uint8Array): Uint8Array {
  const headers = new FrameHeaders(crc32);
  return concatBytes([headers.make([payload], payload.length), payload]);
}

function payloadOf(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + seed * 7) & 255;
  return bytes;
}

/** Reads a stream that arrives in pieces of at most these lengths, in turn. */
function readAll(
  stream: Uint8Array,
  pieceLengths: readonly number[],
): { frames: Uint8Array[]; defect: string | undefined; allocated: number } {
  const reader = new FrameReader(maxFrameBytes, crc32);
  const frames: Uint8Array[] = [];
  const buffers = new Set<ArrayBufferLike>();
  for (let at = 0, piece = 0; at < stream.length; piece++) {
    const space = reader.space();
    buffers.add(space.buffer);
    const length = Math.min(
      pieceLengths[piece % pieceLengths.length]!,
      space.length,
      stream.length - at,
    );
    assert(length > 0);
    space.set(stream.subarray(at, at + length));
    reader.filled(length);
    at += length;
    while (true) {
      const frame = reader.next();
      if (frame === undefined) break;
      const allocated = sumOf([...buffers].map((buffer) => buffer.byteLength));
      if (typeof frame === "string") {
        return { frames, defect: frame, allocated };
      }
      frames.push(frame);
    }
  }
  const allocated = sumOf([...buffers].map((buffer) => buffer.byteLength));
  return { frames, defect: undefined, allocated };
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

Deno.test("FrameReader finds the same frames wherever the stream is cut", () => {
  const payloads = [payloadOf(1), payloadOf(70), payloadOf(5, 9)];
  const stream = concatBytes(payloads.map(frameOf));
  for (let cut = 1; cut < stream.length; cut++) {
    const { frames, defect } = readAll(stream, [cut, stream.length]);
    assert.equal(defect, undefined);
    assert.deepEqual(frames, payloads);
  }
  assert.deepEqual(readAll(stream, [1]).frames, payloads);
});

Deno.test("FrameReader gives any frames back, in any pieces, and never writes into one again (rule B4)", () => {
  const length = fc.oneof(
    fc.integer({ min: 1, max: 300 }),
    fc.integer({ min: 60_000, max: 600_000 }),
  );
  const piece = fc.oneof(fc.integer({ min: 1, max: 50_000 }), fc.nat(9));
  fc.assert(
    fc.property(
      fc.array(length, { minLength: 1, maxLength: 12 }),
      fc.array(piece.map((n) => n + 400), { minLength: 1, maxLength: 5 }),
      (lengths, pieces) => {
        const payloads = [10, ...lengths].map((n, i) => payloadOf(n, i));
        const { frames, defect } = readAll(
          concatBytes(payloads.map(frameOf)),
          pieces,
        );
        assert.equal(defect, undefined);
        assert.equal(frames.length, payloads.length);
        for (const [i, frame] of frames.entries()) {
          assert(frame.length === payloads[i]!.length);
          assert.equal(crc32(frame), crc32(payloads[i]!));
        }
      },
    ),
    { numRuns: 12 },
  );
});

Deno.test("FrameReader notices any single bit flipped", () => {
  const payload = payloadOf(40);
  const good = frameOf(payload);
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bad = good.slice();
    bad[bit >> 3]! ^= 1 << (bit & 7);
    // Bytes enough for whatever the length says now.
    const { frames, defect } = readAll(
      concatBytes([bad, new Uint8Array(9000)]),
      [10_000],
    );
    assert.deepEqual(frames, []);
    assert.match(defect ?? "", /^not a frame: its (length|checksum)/);
  }
});

Deno.test("FrameReader refuses an empty frame, one that is too long, and a long first one", () => {
  assert.match(readAll(new Uint8Array(64), [64]).defect!, /length is 0/);
  const first = frameOf(payloadOf(maxFirstFrameBytes + 1));
  assert.match(readAll(first, [first.length]).defect!, /length is 4097/);
  const header = new Uint8Array(8);
  new DataView(header.buffer).setUint32(0, maxFrameBytes + 1, true);
  const second = concatBytes([frameOf(payloadOf(4096)), header]);
  const { frames, defect } = readAll(second, [second.length]);
  assert.equal(frames.length, 1);
  assert.match(defect!, /length is 4194305, allowed are 1 to 4194304/);
  const longest = concatBytes([
    frameOf(payloadOf(4096)),
    frameOf(payloadOf(maxFrameBytes)),
  ]);
  assert.equal(readAll(longest, [100_000]).frames.length, 2);
});

Deno.test("FrameReader believes a length only as far as bytes have come", () => {
  const header = new Uint8Array(8);
  new DataView(header.buffer).setUint32(0, maxFrameBytes, true);
  const stream = concatBytes([
    frameOf(payloadOf(10)),
    header,
    new Uint8Array(1000),
  ]);
  assert(readAll(stream, [50]).allocated < 600_000);
});

Deno.test("FrameHeaders covers all parts of a frame with one checksum", () => {
  const parts = [payloadOf(3), payloadOf(2000, 2), payloadOf(1, 3)];
  const headers = new FrameHeaders(crc32);
  for (let i = 0; i < 1000; i++) headers.make(parts, 2004);
  const header = headers.make(parts, 2004);
  const whole = concatBytes([header, ...parts]);
  const { frames } = readAll(whole, [whole.length]);
  assert.deepEqual(frames, [concatBytes(parts)]);
});
