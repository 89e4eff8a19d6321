/** NodeHosts on a `Network` that a user wrote: one that knows nothing of ours but the interface. */
import type {
  Connection,
  ConnectionHandlers,
  Listener,
  Network,
} from "../../../raft/transport/transport.ts";
import { assert } from "../../deps.ts";
import { Hosts } from "../../support/hosts.ts";

/** One end of a pair of pipes. Frames travel as copies, one event of the loop after they were sent. */
class PipeEnd implements Connection {
  readonly remoteAddress: string;
  other!: PipeEnd;
  #handlers: ConnectionHandlers | undefined;
  #early: Uint8Array[] = [];
  #closedFor: string | undefined;
  #buffered = 0;
  #waiting: { bytes: number; go: () => void }[] = [];

  constructor(remoteAddress: string) {
    this.remoteAddress = remoteAddress;
  }

  get bufferedBytes(): number {
    return this.#buffered;
  }

  start(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    for (const frame of this.#early) handlers.onFrame(frame);
    this.#early = [];
    if (this.#closedFor !== undefined) handlers.onClose(this.#closedFor);
  }

  send(parts: readonly Uint8Array[]): void {
    if (this.#closedFor !== undefined) return;
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const frame = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      frame.set(part, at);
      at += part.length;
    }
    this.#buffered += length;
    setTimeout(() => {
      this.#buffered -= length;
      this.other.#receive(frame);
      this.#look();
    });
  }

  drained(bytes: number): Promise<void> {
    return new Promise((go) => {
      this.#waiting.push({ bytes, go });
      this.#look();
    });
  }

  close(): void {
    setTimeout(() => this.#end("closed here"));
    setTimeout(() => this.other.#end("closed there"));
  }

  #receive(frame: Uint8Array): void {
    if (this.#closedFor !== undefined) return;
    if (this.#handlers === undefined) this.#early.push(frame);
    else this.#handlers.onFrame(frame);
  }

  #end(reason: string): void {
    if (this.#closedFor !== undefined) return;
    this.#closedFor = reason;
    this.#handlers?.onClose(reason);
    this.#look();
  }

  #look(): void {
    const isClosed = this.#closedFor !== undefined;
    const ready = this.#waiting.filter(({ bytes }) =>
      isClosed || this.#buffered <= bytes
    );
    this.#waiting = this.#waiting.filter((one) => !ready.includes(one));
    for (const { go } of ready) go();
  }
}

class Pipes implements Network {
  readonly #listeners = new Map<string, (connection: Connection) => void>();
  connections = 0;

  listen(
    address: string,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener> {
    this.#listeners.set(address, onConnection);
    return Promise.resolve({
      address,
      close: () => void this.#listeners.delete(address),
    });
  }

  connect(address: string): Promise<Connection> {
    const onConnection = this.#listeners.get(address);
    if (onConnection === undefined) {
      return Promise.reject(new Error(`nobody is at ${address}`));
    }
    const [here, there] = [new PipeEnd(address), new PipeEnd("a pipe")];
    here.other = there;
    there.other = here;
    this.connections++;
    setTimeout(() => onConnection(there));
    return Promise.resolve(here);
  }
}

Deno.test("NodeHosts serve over a transport that is none of ours", async () => {
  const pipes = new Pipes();
  await serve(pipes);
  assert.ok(pipes.connections >= 2, `${pipes.connections}`);
  // What was sent at the last moment arrives at a closed end.
  await new Promise((resolve) => setTimeout(resolve, 20));
});

async function serve(pipes: Pipes): Promise<void> {
  await using hosts = new Hosts();
  hosts.network = pipes;
  for (const n of [1, 2, 3]) {
    const host = await hosts.open(n);
    await host.startCluster(hosts.cluster(n, 3));
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  for (const n of [1, 2, 3]) {
    await hosts.host(n).propose(1, Uint8Array.of(n));
    assert.equal(await hosts.host(n).read(1, "count"), n);
  }
  // One is closed, the rest go on, and it comes back over new pipes.
  await hosts.close(3);
  await hosts.host(1).waitReady(1);
  const session = await hosts.host(1).openSession(1);
  await hosts.host(1).propose(session, Uint8Array.of(4));
  const back = await hosts.open(3);
  await back.startCluster(hosts.cluster(3, 3));
  await back.waitReady(1);
  assert.equal(await back.read(1, "total"), 10);
}
