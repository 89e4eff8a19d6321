import {
  freeAddresses,
  makeBenchDir,
  parseProcessStatus,
} from "../../bench/system.ts";
import { growthOf } from "../../bench/soak.ts";
import { readLines } from "../../bench/protocol.ts";
import { assert } from "../deps.ts";

Deno.test("parseProcessStatus() finds a size in MiB", () => {
  const text = "Name:\tdeno\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n";
  assert.equal(parseProcessStatus(text, "VmHWM"), 200);
  assert.equal(parseProcessStatus(text, "VmRSS"), 100);
  assert.ok(Number.isNaN(parseProcessStatus(text, "VmSwap")));
});

Deno.test({
  name: "makeBenchDir() refuses a tmpfs, where a sync means nothing",
  ignore: Deno.build.os !== "linux",
  fn() {
    assert.throws(() => makeBenchDir("/dev/shm", "/"), /\/dev\/shm.*tmpfs/);
  },
});

Deno.test("makeBenchDir() makes the place that is asked for", () => {
  const root = Deno.makeTempDirSync({ dir: "." });
  try {
    const made = makeBenchDir(`${root}/not/there`, "/");
    assert.ok(made.startsWith(`${root}/not/there/`), made);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("freeAddresses() are different ones", () => {
  const addresses = freeAddresses(3);
  assert.equal(new Set(addresses).size, 3);
  for (const address of addresses) assert.match(address, /^127\.0\.0\.1:\d+$/);
});

Deno.test("growthOf() compares the last sample with the second", () => {
  const sample = (second: number, rss: number, heap: number) => ({
    second,
    rss_mb: [rss],
    heap_mb: [heap],
    disk_mb: [64],
  });
  const early = [sample(60, 50, 5), sample(120, 100, 10)];
  assert.equal(growthOf([...early, sample(180, 110, 13)]), 1.3);
  assert.ok(Number.isNaN(growthOf(early)));
});

Deno.test("readLines() puts lines together that arrive in pieces", async () => {
  const encoder = new TextEncoder();
  const stream = ReadableStream.from(
    ["{a", "}\n{b}\n{", "c}\n", "rest"].map((text) => encoder.encode(text)),
  );
  const lines: string[] = [];
  for await (const line of readLines(stream)) lines.push(line);
  assert.deepEqual(lines, ["{a}", "{b}", "{c}", "rest"]);
});
