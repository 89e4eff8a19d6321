/**
 * A TCP proxy that stands between all NodeHosts and does to their connections what networks do: it delays, holds back in
 * one direction or in both, hands bytes over one by one, breaks in the middle of a frame, refuses.
 *
 * Each machine has an address here that the others know it by. Who dials is told by the first bytes: the handshake names
 * its sender's address. From then on the two directions of a connection are two _flows_, each with faults of its own.
 */
import { SimRandom } from "../../testing/mod.ts";

/** What is wrong with one direction between two machines. All off: bytes pass as they come. */
export interface FlowFaults {
  /** Nothing passes; the connections stay, and what is under way comes later. */
  isHeld: boolean;
  /** Everything comes so much later. */
  delayMs: number;
  /** And up to so much more, by chance; never out of order. */
  jitterMs: number;
  /** Bytes pass so many at a time, 10 ms apart; 0 for all at once. */
  bytesAtATime: number;
  /** One in so many pieces breaks the connection, half of it delivered; 0 for none. */
  breaksOneIn: number;
  /** New connections are refused. */
  refuses: boolean;
}

/** What happened on the way. */
export interface ProxyCounts {
  /** Connections passed on. */
  connections: number;
  /** Connections refused. */
  refused: number;
  /** Connections broken. */
  broken: number;
  /** Bytes passed on. */
  bytes: number;
}

const pieceBytes = 64 * 1024;
/** So much is read ahead of what waits to be passed on, for each direction of a connection. */
const aheadMax = 1024 * 1024;
/** A handshake is shorter. */
const helloMax = 4_096;
const slowPauseMs = 10;

/** One direction between two machines. */
class Flow {
  readonly faults: FlowFaults = healthy();
  readonly #waiting = new Set<() => void>();

  /** Resolves when it is not held. */
  async passable(): Promise<void> {
    while (this.faults.isHeld) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Lets whoever waits look again. */
  look(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

function healthy(): FlowFaults {
  return {
    isHeld: false,
    delayMs: 0,
    jitterMs: 0,
    bytesAtATime: 0,
    breaksOneIn: 0,
    refuses: false,
  };
}

interface Door {
  readonly machine: string;
  readonly listener: Deno.TcpListener;
  /** Where the machine really listens. */
  target: { hostname: string; port: number };
}

/** The proxy. */
export class Proxy {
  /** What happened so far. */
  readonly counts: ProxyCounts = {
    connections: 0,
    refused: 0,
    broken: 0,
    bytes: 0,
  };
  readonly #doors = new Map<string, Door>();
  readonly #flows = new Map<string, Flow>();
  readonly #relays = new Set<Relay>();
  readonly #random: SimRandom;

  /** Nobody is behind it yet. */
  constructor(seed: number) {
    this.#random = new SimRandom(seed, "proxy");
  }

  /** Opens an address for a machine that listens at `target`. A machine may have several, one after the other. */
  open(machine: string, target: string): string {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const address = `127.0.0.1:${listener.addr.port}`;
    const [hostname, port] = target.split(":");
    const door = {
      machine,
      listener,
      target: { hostname: hostname!, port: Number(port) },
    };
    this.#doors.set(address, door);
    this.#accept(door);
    return address;
  }

  /** Changes what is wrong between two machines, in one direction. */
  set(from: string, to: string, faults: Partial<FlowFaults>): void {
    const flow = this.flow(from, to);
    Object.assign(flow.faults, faults);
    flow.look();
  }

  /** Nothing is wrong any more. What was held back comes now. */
  heal(): void {
    for (const flow of this.#flows.values()) {
      Object.assign(flow.faults, healthy());
      flow.look();
    }
  }

  /** Breaks the connections of a machine, or between two. */
  break(machine: string, other?: string): void {
    for (const relay of [...this.#relays]) {
      const isBetween = relay.joins(machine) &&
        (other === undefined || relay.joins(other));
      if (isBetween) relay.break();
    }
  }

  /** Closes everything. */
  close(): void {
    this.heal();
    for (const { listener } of this.#doors.values()) listener.close();
    this.#doors.clear();
    for (const relay of [...this.#relays]) relay.close();
  }

  /** For a relay: the machine that is known by an address that stands in these bytes. */
  machineIn(hello: Uint8Array): string | undefined {
    const text = new TextDecoder("latin1").decode(hello);
    for (const [address, { machine }] of this.#doors) {
      const at = text.indexOf(address);
      if (at < 0) continue;
      // 127.0.0.1:4001 must not be taken for 127.0.0.1:400.
      if (!/\d/.test(text.charAt(at + address.length))) return machine;
    }
    return undefined;
  }

  /** For a relay: the direction from one machine to another. */
  flow(from: string, to: string): Flow {
    const key = `${from}>${to}`;
    const flow = this.#flows.get(key) ?? new Flow();
    this.#flows.set(key, flow);
    return flow;
  }

  async #accept(door: Door): Promise<void> {
    for (;;) {
      let socket: Deno.TcpConn;
      try {
        socket = await door.listener.accept();
      } catch {
        return; // Closed.
      }
      const relay = new Relay(this, door, socket, this.#random);
      this.#relays.add(relay);
      relay.run().catch(() => {}).finally(() => {
        relay.close();
        this.#relays.delete(relay);
      });
    }
  }
}

/** One connection through the proxy. */
class Relay {
  readonly #proxy: Proxy;
  readonly #door: Door;
  readonly #inbound: Deno.TcpConn;
  readonly #random: SimRandom;
  readonly #ended = Promise.withResolvers<void>();
  #outbound: Deno.TcpConn | undefined;
  #from = "";
  #isClosed = false;

  constructor(
    proxy: Proxy,
    door: Door,
    inbound: Deno.TcpConn,
    random: SimRandom,
  ) {
    this.#proxy = proxy;
    this.#door = door;
    this.#inbound = inbound;
    this.#random = random;
  }

  joins(machine: string): boolean {
    return machine === this.#from || machine === this.#door.machine;
  }

  async run(): Promise<void> {
    const hello = await this.#readHello();
    if (hello === undefined) return;
    const { machine } = this.#door;
    const there = this.#proxy.flow(this.#from, machine);
    const back = this.#proxy.flow(machine, this.#from);
    if (there.faults.refuses || back.faults.refuses) {
      this.#proxy.counts.refused++;
      return;
    }
    await there.passable();
    if (this.#isClosed) return;
    this.#outbound = await Deno.connect(this.#door.target);
    if (this.#isClosed) return this.#outbound.close();
    for (const socket of [this.#inbound, this.#outbound]) {
      socket.setNoDelay(true);
    }
    this.#proxy.counts.connections++;
    const pumps = [
      this.#pump(this.#inbound, this.#outbound, there, hello),
      this.#pump(this.#outbound, this.#inbound, back, undefined),
    ];
    // When one direction has ended the connection has.
    await Promise.race(pumps.map((pump) => pump.catch(() => {})));
    this.close();
    await Promise.allSettled(pumps);
  }

  break(): void {
    if (this.#isClosed) return;
    this.#proxy.counts.broken++;
    this.close();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ended.resolve();
    for (const socket of [this.#inbound, this.#outbound]) {
      try {
        socket?.close();
      } catch {
        // It was closed by the other end.
      }
    }
  }

  /** Reads until it is known who dials; undefined if nobody says. */
  async #readHello(): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(helloMax);
    let length = 0;
    while (length < helloMax) {
      const count = await this.#inbound.read(bytes.subarray(length));
      if (count === null) return undefined;
      length += count;
      const hello = bytes.slice(0, length);
      const machine = this.#proxy.machineIn(hello);
      if (machine === undefined) continue;
      this.#from = machine;
      return hello;
    }
    return undefined;
  }

  /** Reads on while what was read waits for its time. Ends when the connection does. */
  async #pump(
    source: Deno.TcpConn,
    sink: Deno.TcpConn,
    flow: Flow,
    first: Uint8Array | undefined,
  ): Promise<void> {
    const queue: { bytes: Uint8Array | null; dueAt: number }[] = [];
    let waiting = 0;
    let wake = () => {};
    const changed = () => {
      wake();
      wake = () => {};
    };
    const change = () =>
      Promise.race([
        new Promise<void>((resolve) => wake = resolve),
        this.#ended.promise,
      ]);
    let latest = 0;
    const add = (bytes: Uint8Array | null) => {
      const { delayMs, jitterMs } = flow.faults;
      const lateMs = delayMs + this.#random.below(jitterMs + 1);
      latest = Math.max(latest, performance.now() + lateMs);
      queue.push({ bytes, dueAt: latest });
      waiting += bytes?.length ?? 0;
      changed();
    };
    const reading = (async () => {
      if (first !== undefined) add(first);
      for (;;) {
        while (waiting > aheadMax && !this.#isClosed) await change();
        const buffer = new Uint8Array(pieceBytes);
        const count = await source.read(buffer);
        if (count === null) return add(null);
        add(buffer.subarray(0, count));
      }
    })();
    reading.catch(() => add(null));
    while (!this.#isClosed) {
      const piece = queue.shift();
      if (piece === undefined) {
        await change();
        continue;
      }
      await this.#pause(piece.dueAt - performance.now());
      await Promise.race([flow.passable(), this.#ended.promise]);
      if (piece.bytes === null || this.#isClosed) return;
      await this.#pass(piece.bytes, sink, flow);
      waiting -= piece.bytes.length;
      changed();
    }
  }

  async #pass(
    bytes: Uint8Array,
    sink: Deno.TcpConn,
    flow: Flow,
  ): Promise<void> {
    const { breaksOneIn } = flow.faults;
    const breaks = breaksOneIn > 0 && this.#random.below(breaksOneIn) === 0;
    const passed = breaks ? bytes.subarray(0, bytes.length >> 1) : bytes;
    for (let at = 0; at < passed.length && !this.#isClosed;) {
      const atATime = flow.faults.bytesAtATime;
      const end = atATime > 0 ? at + atATime : passed.length;
      at += await sink.write(passed.subarray(at, end));
      if (atATime > 0) await this.#pause(slowPauseMs);
      await Promise.race([flow.passable(), this.#ended.promise]);
    }
    this.#proxy.counts.bytes += passed.length;
    if (breaks) this.break();
  }

  async #pause(ms: number): Promise<void> {
    if (ms <= 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const passed = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([passed, this.#ended.promise]);
    clearTimeout(timer);
  }
}
