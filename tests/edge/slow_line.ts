/** A line to a server on which everything that clients send takes its time. */

/** A listener that passes on to a port, later. */
export class SlowLine implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #target: number;
  readonly #delayMs: () => number;

  /** Passes on to `target`; each piece that a client sends waits for `delayMs()` first. */
  constructor(target: number, delayMs: () => number) {
    this.#target = target;
    this.#delayMs = delayMs;
    this.#accept();
  }

  /** Where it listens. */
  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  async #accept(): Promise<void> {
    try {
      for await (const client of this.#listener) this.#connect(client);
    } catch {
      // It is closed.
    }
  }

  async #connect(client: Deno.TcpConn): Promise<void> {
    try {
      const server = await Deno.connect({
        hostname: "127.0.0.1",
        port: this.#target,
      });
      client.setNoDelay(true);
      server.setNoDelay(true);
      const delayMs = this.#delayMs;
      const slowly = new TransformStream<Uint8Array, Uint8Array>({
        async transform(piece, controller) {
          await new Promise((resolve) => setTimeout(resolve, delayMs()));
          controller.enqueue(piece);
        },
      });
      await Promise.all([
        client.readable.pipeThrough(slowly).pipeTo(server.writable),
        server.readable.pipeTo(client.writable),
      ]);
    } catch {
      // One of them is gone; so is the other, then.
    }
  }

  /** Takes no more clients. */
  [Symbol.dispose](): void {
    this.#listener.close();
  }
}
