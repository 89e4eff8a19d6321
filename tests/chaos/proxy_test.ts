import { assert } from "../deps.ts";
import { Proxy } from "./proxy.ts";

/** A machine that listens, and what it has received. */
class Server implements Disposable {
  readonly address: string;
  readonly sockets: Deno.TcpConn[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #waiting: ((socket: Deno.TcpConn) => void)[] = [];

  constructor() {
    this.address = `127.0.0.1:${this.#listener.addr.port}`;
    this.#accept();
  }

  accepted(): Promise<Deno.TcpConn> {
    const socket = this.sockets.shift();
    if (socket !== undefined) return Promise.resolve(socket);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }

  async #accept(): Promise<void> {
    try {
      for await (const socket of this.#listener) {
        const waiting = this.#waiting.shift();
        if (waiting === undefined) this.sockets.push(socket);
        else waiting(socket);
      }
    } catch {
      // Closed.
    }
  }
}

function connect(address: string): Promise<Deno.TcpConn> {
  const [hostname, port] = address.split(":");
  return Deno.connect({ hostname: hostname!, port: Number(port) });
}

async function receive(socket: Deno.TcpConn, length: number): Promise<string> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await socket.read(bytes.subarray(at)).catch(() => null);
    if (count === null) return `closed after ${at}`;
    at += count;
  }
  return new TextDecoder().decode(bytes);
}

async function send(socket: Deno.TcpConn, text: string): Promise<void> {
  await socket.write(new TextEncoder().encode(text));
}

/** Two machines, and a connection that the first has dialled through the proxy. */
async function world(
  test: (
    parts: {
      proxy: Proxy;
      server: Server;
      near: Deno.TcpConn;
      far: Deno.TcpConn;
      dial: () => Promise<Deno.TcpConn>;
    },
  ) => Promise<void>,
): Promise<void> {
  const proxy = new Proxy(1);
  using server = new Server();
  const opened: Deno.TcpConn[] = [];
  const self = proxy.open("a", "127.0.0.1:1");
  const other = proxy.open("b", server.address);
  const hello = `hello from ${self}!`;
  const dial = async () => {
    const near = await connect(other);
    opened.push(near);
    await send(near, hello);
    return near;
  };
  try {
    const near = await dial();
    const far = await server.accepted();
    opened.push(far);
    assert.equal(await receive(far, hello.length), hello);
    await test({ proxy, server, near, far, dial });
  } finally {
    proxy.close();
    for (const socket of opened) {
      try {
        socket.close();
      } catch {
        // The proxy's end was closed, and it with that.
      }
    }
  }
}

Deno.test("Proxy passes bytes both ways, and the end of a connection", () =>
  world(async ({ proxy, near, far }) => {
    await send(near, "one");
    assert.equal(await receive(far, 3), "one");
    await send(far, "two");
    assert.equal(await receive(near, 3), "two");
    assert.equal(proxy.counts.connections, 1);
    near.closeWrite();
    assert.equal(await receive(far, 1), "closed after 0");
  }));

Deno.test("Proxy holds one direction back while the other goes on, and delivers later", () =>
  world(async ({ proxy, near, far }) => {
    proxy.set("a", "b", { isHeld: true });
    await send(near, "late");
    let hasCome = false;
    const late = receive(far, 4).then((text) => {
      hasCome = true;
      return text;
    });
    for (const text of ["back", "and ", "back"]) {
      await send(far, text);
      assert.equal(await receive(near, 4), text);
    }
    assert.ok(!hasCome);
    proxy.set("a", "b", { isHeld: false });
    assert.equal(await late, "late");
  }));

Deno.test("Proxy breaks connections of a machine, or between two, and no others", () =>
  world(async ({ proxy, near, far }) => {
    proxy.break("c");
    proxy.break("a", "c");
    await send(near, "still");
    assert.equal(await receive(far, 5), "still");
    proxy.break("b", "a");
    assert.equal(await receive(far, 1), "closed after 0");
    assert.equal(proxy.counts.broken, 1);
  }));

Deno.test("Proxy breaks a connection in the middle of what it carries", () =>
  world(async ({ proxy, near, far }) => {
    proxy.set("a", "b", { breaksOneIn: 1 });
    await send(near, "twelve bytes");
    assert.equal(await receive(far, 12), "closed after 6");
  }));

Deno.test("Proxy hands bytes over a few at a time, whole and in order", () =>
  world(async ({ proxy, near, far }) => {
    proxy.set("a", "b", { bytesAtATime: 3, delayMs: 5, jitterMs: 5 });
    for (const text of ["twelve bytes", "and as many!"]) await send(near, text);
    assert.equal(await receive(far, 24), "twelve bytesand as many!");
  }));

Deno.test("Proxy refuses new connections, and heals", () =>
  world(async ({ proxy, server, dial }) => {
    proxy.set("b", "a", { refuses: true });
    assert.equal(await receive(await dial(), 1), "closed after 0");
    assert.equal(proxy.counts.refused, 1);
    proxy.heal();
    await dial();
    const far = await server.accepted();
    assert.equal(await receive(far, 5), "hello");
    far.close();
  }));
