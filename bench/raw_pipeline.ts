// deno-lint-ignore-file no-console -- a command-line program: its output is its result
/**
 * The physical limit that the replicated log is held against: one leader and two followers, each a process of its
 * own, that append the same bytes to a file, `syncData` it and acknowledge, with no Raft, no sessions, no snapshots
 * and no failure handling.
 *
 * An entry is encoded once. The same bytes go to the leader's file, to both sockets and to the followers' files; a
 * proposal resolves when the leader and at least one follower have synced it.
 *
 * Run: deno run -A bench/raw_pipeline.ts [--payload 16] [--outstanding 4096] [--seconds 5] [--dir DIR]
 * Prints one JSON line: proposals per second, p50/p99 latency in ms, CPU seconds of the leader process.
 */
import { crc32, parseArgs, process } from "./deps.ts";

const { values: args } = parseArgs({
  options: {
    role: { type: "string", default: "leader" },
    payload: { type: "string", default: "16" },
    outstanding: { type: "string", default: "4096" },
    seconds: { type: "string", default: "5" },
    dir: { type: "string", default: "." },
  },
});
const entryHeaderBytes = 24; // payload length u32, reserved u32, term u64, index u64
const frameHeaderBytes = 12; // body length u32, last index u64
const maxBodyBytes = 1 << 20;

interface Batch {
  readonly last: number;
  readonly body: Uint8Array;
  readonly done: (() => void)[];
}

async function writeAll(
  sink: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += await sink.write(bytes.subarray(done));
  }
}

let applied = 0;
let checksum = 0;

function apply(body: Uint8Array): void {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  for (let at = 0; at < body.length; applied++) {
    checksum += body[at + entryHeaderBytes]!;
    at += entryHeaderBytes + view.getUint32(at, true);
  }
}

async function follow(log: Deno.FsFile): Promise<void> {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  console.log((listener.addr as Deno.NetAddr).port);
  const conn = await listener.accept();
  conn.setNoDelay(true);
  let queue: Uint8Array[] = [];
  let last = 0;
  let syncing: Promise<void> | undefined;
  const sync = async () => {
    while (queue.length > 0) {
      const batch = queue;
      const index = last;
      queue = [];
      for (const body of batch) {
        crc32(body);
        await writeAll(log, body);
      }
      await log.syncData();
      const ack = new Uint8Array(8);
      new DataView(ack.buffer).setBigUint64(0, BigInt(index), true);
      await writeAll(conn, ack);
      batch.forEach(apply);
    }
    syncing = undefined;
  };
  let buffer = new Uint8Array(2 * maxBodyBytes);
  let have = 0;
  while (true) {
    const count = await conn.read(buffer.subarray(have)).catch(() => null);
    if (count === null) break;
    have += count;
    const view = new DataView(buffer.buffer);
    let at = 0;
    while (
      have - at >= frameHeaderBytes &&
      have - at >= frameHeaderBytes + view.getUint32(at, true)
    ) {
      const end = at + frameHeaderBytes + view.getUint32(at, true);
      queue.push(buffer.slice(at + frameHeaderBytes, end));
      last = Number(view.getBigUint64(at + 4, true));
      at = end;
    }
    buffer.copyWithin(0, at, have);
    have -= at;
    if (buffer.length - have < maxBodyBytes) {
      const bigger = new Uint8Array(2 * buffer.length);
      bigger.set(buffer.subarray(0, have));
      buffer = bigger;
    }
    if (queue.length > 0 && syncing === undefined) syncing = sync();
  }
  await syncing?.catch(() => {}); // The leader has gone; what it did not wait for does not count.
}

/** A follower process, and the connection to it. */
async function startFollower(): Promise<
  { child: Deno.ChildProcess; conn: Deno.TcpConn }
> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      import.meta.url,
      "--role",
      "follower",
      "--dir",
      args.dir,
    ],
    stdout: "piped",
  }).spawn();
  const { value } = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  const conn = await Deno.connect({ port, hostname: "127.0.0.1" });
  conn.setNoDelay(true);
  return { child, conn };
}

/** The leader's half of the pipeline: the function that proposes, and one that waits for the last sync. */
function startPipeline(
  log: Deno.FsFile,
  conns: readonly Deno.TcpConn[],
): {
  propose: (payload: Uint8Array) => Promise<void>;
  idle: () => Promise<void>;
} {
  const match = [0, 0, 0];
  const inFlight: Batch[] = [];
  const advance = () => {
    const committed = match.toSorted((a, b) => a - b)[1]!;
    while (inFlight.length > 0 && inFlight[0]!.last <= committed) {
      const batch = inFlight.shift()!;
      apply(batch.body);
      for (const done of batch.done) done();
    }
  };
  conns.forEach(async (conn, i) => {
    const buffer = new Uint8Array(4096);
    const view = new DataView(buffer.buffer);
    for (let have = 0;;) {
      const count = await conn.read(buffer.subarray(have)).catch(() => null);
      if (count === null) return;
      have += count;
      const whole = have - have % 8;
      if (whole === 0) continue;
      match[i + 1] = Number(view.getBigUint64(whole - 8, true));
      buffer.copyWithin(0, whole, have);
      have -= whole;
      advance();
    }
  });

  const outbox: Uint8Array[][] = conns.map(() => []);
  const isSending = conns.map(() => false);
  const send = async (i: number) => {
    isSending[i] = true;
    while (outbox[i]!.length > 0) {
      const frames = outbox[i]!;
      outbox[i] = [];
      for (const frame of frames) await writeAll(conns[i]!, frame);
    }
    isSending[i] = false;
  };
  let unsynced: Batch[] = [];
  let syncing: Promise<void> | undefined;
  const sync = async () => {
    while (unsynced.length > 0) {
      const batches = unsynced;
      unsynced = [];
      for (const batch of batches) await writeAll(log, batch.body);
      await log.syncData();
      match[0] = batches.at(-1)!.last;
      advance();
    }
    syncing = undefined;
  };

  const buffer = new Uint8Array(maxBodyBytes);
  const view = new DataView(buffer.buffer);
  let used = 0;
  let index = 0;
  let waiting: (() => void)[] = [];
  let isScheduled = false;
  const flush = () => {
    isScheduled = false;
    if (used === 0) return;
    const frame = new Uint8Array(frameHeaderBytes + used);
    frame.set(buffer.subarray(0, used), frameHeaderBytes);
    const head = new DataView(frame.buffer);
    head.setUint32(0, used, true);
    head.setBigUint64(4, BigInt(index), true);
    const body = frame.subarray(frameHeaderBytes);
    crc32(body);
    const batch = { last: index, body, done: waiting };
    used = 0;
    waiting = [];
    inFlight.push(batch);
    unsynced.push(batch);
    for (let i = 0; i < conns.length; i++) {
      outbox[i]!.push(frame);
      if (!isSending[i]) send(i);
    }
    syncing ??= sync();
  };
  const propose = (payload: Uint8Array) => {
    const size = entryHeaderBytes + payload.length;
    if (used + size > buffer.length) flush();
    view.setUint32(used, payload.length, true);
    view.setUint32(used + 8, 1, true);
    view.setUint32(used + 16, ++index, true);
    buffer.set(payload, used + entryHeaderBytes);
    used += size;
    if (!isScheduled) {
      isScheduled = true;
      setImmediate(flush);
    }
    return new Promise<void>((resolve) => waiting.push(resolve));
  };
  return { propose, idle: async () => await syncing };
}

async function lead(log: Deno.FsFile): Promise<void> {
  const followers = await Promise.all([startFollower(), startFollower()]);
  const conns = followers.map(({ conn }) => conn);
  const { propose, idle } = startPipeline(log, conns);

  const payload = new Uint8Array(Number(args.payload)).fill(7);
  const latencies: number[] = [];
  const outstanding = Number(args.outstanding);
  const begin = performance.now();
  const end = begin + Number(args.seconds) * 1000;
  let completed = 0;
  await Promise.all(Array.from({ length: outstanding }, async () => {
    for (let turn = 0; performance.now() < end; turn++) {
      const start = performance.now();
      await propose(payload);
      completed++;
      if (outstanding < 64 || turn % 16 === 0) {
        latencies.push(performance.now() - start);
      }
    }
  }));
  const seconds = (performance.now() - begin) / 1000;
  latencies.sort((a, b) => a - b);
  const cpu = process.cpuUsage();
  console.log(JSON.stringify({
    system: "raw-pipeline",
    payload: payload.length,
    outstanding,
    ops: Math.round(completed / seconds),
    p50_ms: Number(latencies[latencies.length >> 1]!.toFixed(3)),
    p99_ms: Number(
      latencies[Math.floor(latencies.length * 0.99)]!.toFixed(3),
    ),
    leader_cpu_s: Number(((cpu.user + cpu.system) / 1e6).toFixed(2)),
  }));
  await idle();
  for (const conn of conns) conn.close();
  await Promise.all(followers.map(({ child }) => child.status));
}

const dir = await Deno.makeTempDir({ dir: args.dir });
const log = await Deno.open(`${dir}/log`, {
  create: true,
  write: true,
  append: true,
});
await (args.role === "leader" ? lead(log) : follow(log));
log.close();
await Deno.remove(dir, { recursive: true });
