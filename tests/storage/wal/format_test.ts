import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  segmentHeaderBytes,
  segmentName,
  segmentNumber,
  segmentSizeFor,
} from "../../../storage/wal/format.ts";
import {
  isRecordHeader,
  RecordBuffer,
  syncedToOf,
} from "../../../storage/wal/record.ts";
import { assert } from "../../deps.ts";
import { crc32 } from "./fixture.ts";

const header = {
  number: 12,
  salt: { headerSeed: 0xffff_fffe, payloadSeed: 3 },
  base: 2 ** 50,
  size: 64 * 1024 * 1024,
  previousEnd: 2 ** 50 - 4096,
  oldest: 9,
  syncedTo: 2 ** 50 + 8,
  judgedTo: 2 ** 49,
};

Deno.test("A segment's name holds its number, and other names none", () => {
  assert.equal(segmentName(1), "00000001.log");
  assert.equal(segmentName(123_456_789), "123456789.log");
  for (const number of [1, 99_999_999, 100_000_000, 2 ** 40]) {
    assert.equal(segmentNumber(segmentName(number)), number);
  }
  for (
    const name of [
      "new.tmp",
      "00000000.log",
      "0000001.log",
      "000000001.log",
      "00000001.log.bak",
      "x0000001.log",
      "-0000001.log",
    ]
  ) {
    assert.equal(segmentNumber(name), undefined, name);
  }
});

Deno.test("A segment's size is a multiple of 4 KiB", () => {
  assert.equal(segmentSizeFor(1), 4096);
  assert.equal(segmentSizeFor(4096), 4096);
  assert.equal(segmentSizeFor(4097), 8192);
});

Deno.test("A segment's header is read as it was written, and any damage is seen", () => {
  const bytes = encodeSegmentHeader(header, crc32);
  assert.equal(bytes.length, segmentHeaderBytes);
  assert.deepEqual(decodeSegmentHeader(bytes, crc32), header);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 1 << (at % 8);
    const decoded = decodeSegmentHeader(damaged, crc32);
    assert.deepEqual(decoded, { defect: "damaged" }, `byte ${at}`);
  }
  const zeros = new Uint8Array(segmentHeaderBytes);
  assert.deepEqual(decodeSegmentHeader(zeros, crc32), { defect: "zero" });
  const short = bytes.subarray(0, 511);
  assert.deepEqual(decodeSegmentHeader(short, crc32), { defect: "damaged" });
});

Deno.test("A record belongs to its position and its segment's salt (rule L1)", () => {
  const buffer = new RecordBuffer();
  const { salt } = header;
  buffer.append(new Uint8Array(16));
  buffer.begin();
  buffer.append(Uint8Array.of(1, 2, 3));
  buffer.finish({ kind: 1, bufferPosition: 4096, syncedTo: 77, salt }, crc32);
  assert.equal(buffer.length, 16 + 32 + 8);
  const position = 4096 + 16;
  assert.ok(isRecordHeader(buffer, 16, { position, salt }, crc32));
  assert.equal(syncedToOf(buffer, 16), 77);
  const elsewhere = { position: position + 8, salt };
  assert.ok(!isRecordHeader(buffer, 16, elsewhere, crc32));
  const other = { ...salt, headerSeed: 1 };
  assert.ok(!isRecordHeader(buffer, 16, { position, salt: other }, crc32));
});

Deno.test("RecordBuffer grows with what it holds, and gives it back", () => {
  const buffer = new RecordBuffer();
  const large = new Uint8Array(20 * 1024 * 1024).fill(5);
  buffer.begin();
  const at = buffer.append(large);
  assert.equal(buffer.payloadBytes, large.length);
  assert.deepEqual(buffer.bytes.subarray(at, at + 9), large.subarray(0, 9));
  // The end mark behind it is zero, whatever was there.
  assert.deepEqual(buffer.contents(1000).subarray(-32), new Uint8Array(32));
  assert.equal(buffer.contents(5).length, buffer.length + 5);
  buffer.clear();
  assert.equal(buffer.length, 0);
  assert.ok(buffer.bytes.length <= 8 * 1024 * 1024);
});
