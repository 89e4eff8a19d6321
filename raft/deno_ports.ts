/** The real world: files, sockets, time and randomness of Deno. */
import { DenoFileSystem } from "../storage/deno_file_system.ts";
import type { Clock, Ports, Random, Timer } from "./ports.ts";
import { LoopWatch } from "./transport/loop_watch.ts";
import { TcpNetwork } from "./transport/tcp.ts";

/** Makes the ports that a NodeHost uses unless told otherwise. */
export function denoPorts(): Ports {
  const loop = new LoopWatch();
  return {
    fileSystem: new DenoFileSystem(),
    network: new TcpNetwork({ loop }),
    clock: new DenoClock(loop),
    random: new DenoRandom(),
    environment: readEnvironment,
  };
}

/** Asks nobody: where it may not be read, the variable counts as not set. */
function readEnvironment(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}

class DenoClock implements Clock {
  readonly #loop: LoopWatch;

  constructor(loop: LoopWatch) {
    this.#loop = loop;
  }

  now(): number {
    return performance.now();
  }

  wallTime(): number {
    return Date.now();
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const id = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(id) };
  }

  defer(callback: () => void): void {
    this.#loop.defer(callback);
  }
}

class DenoRandom implements Random {
  /** `getRandomValues` fills at most this much at a time. */
  static readonly #maxBytes = 65_536;

  fill(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += DenoRandom.#maxBytes) {
      const part = bytes.subarray(at, at + DenoRandom.#maxBytes);
      crypto.getRandomValues(part as Uint8Array<ArrayBuffer>);
    }
  }
}
