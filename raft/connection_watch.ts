/** Tells of connections as they come and go, to logs, events and whoever asks what is the matter. */
import { RaftError } from "./errors.ts";
import type { EventHub } from "./events.ts";
import type { Logger } from "./ports.ts";
import type { Refusal } from "./transport/link_pool.ts";

/** The connections of one NodeHost. */
export class ConnectionWatch {
  readonly #logger: Logger;
  readonly #events: EventHub;
  readonly #up = new Set<string>();
  /** Why other NodeHosts cannot be reached, by address. */
  readonly #troubles = new Map<string, string>();

  /** No connection is known yet. */
  constructor(logger: Logger, events: EventHub) {
    this.#logger = logger;
    this.#events = events;
  }

  /** A link came up. */
  up(address: string): void {
    this.#troubles.delete(address);
    this.#up.add(address);
    if (!this.#events.isHeard) return;
    this.#events.emit({ type: "connectionUp", address, snapshot: false });
  }

  /** A link that was up is down, or could not be made. */
  down(address: string, reason: string): void {
    if (!this.#troubles.has(address)) {
      // That others are not up yet, or no longer, is usual; that we may not reach them never passes by itself.
      const level = /requires .* access/i.test(reason) ? "warn" : "info";
      this.#logger[level]("another NodeHost is out of reach", {
        address,
        reason,
      });
    }
    this.#troubles.set(address, reason);
    const wasUp = this.#up.delete(address);
    if (!this.#events.isHeard) return;
    this.#events.emit(
      wasUp
        ? { type: "connectionDown", address, reason }
        : { type: "connectionFailed", address, snapshot: false, reason },
    );
  }

  /** A stranger was turned away, or this side turned away whom it had dialled. */
  refused(refusal: Refusal): void {
    if (!this.#events.isHeard) return;
    this.#events.emit({ type: "connectionRefused", ...refusal });
  }

  /** Why the NodeHost at `address` cannot be reached, as far as known; `""` if it can, or was not tried. */
  troubleWith(address: string): string {
    return this.#troubles.get(address) ?? "";
  }
}

/** Why a NodeHost cannot listen. */
export function listenError(address: string, error: unknown): RaftError {
  const { code, name } = error as { code?: string; name?: string };
  const why = code === "EADDRINUSE"
    ? "the port is in use; end what listens there, or give another listenAddress"
    : name === "AddrNotAvailable" || /lookup address/.test(String(error))
    ? `this machine has no such address (${
      String(error)
    }); where others reach it under ` +
      "another one than its own, give its own, or 0.0.0.0 with the port, as listenAddress"
    : String(error);
  return new RaftError("rejected", `Cannot listen on ${address}: ${why}`, {
    cause: error,
  });
}
