/**
 * Listens to the events of one process, as an application may, and checks their order: of one node terms never go back,
 * a term has the leader that all others know, nothing is told of a node that does not run, a connection that is lost was
 * there, and a subscriber that keeps up misses nothing.
 */
import type { HostEvent } from "../../raft/events.ts";
import { SimulationFailure } from "./failure.ts";

/** What a watch needs of the checks. */
export interface WatchedChecks {
  /** Keeps a failure. */
  fail(failure: SimulationFailure): void;
  /** A leader of a term is known; fails if it is another one than others know. */
  leaderTold(clusterId: number, term: number, leaderId: number): void;
  /** A write takes long, or has ended. */
  diskTold(event: Extract<HostEvent, { type: "diskSlow" }>): void;
}

/** Watches one process. */
export class EventWatch {
  /** Events seen. */
  count = 0;
  readonly #label: string;
  readonly #checks: WatchedChecks;
  /** The latest term told of each node that runs. */
  readonly #terms = new Map<string, number>();
  readonly #connected = new Set<string>();
  #isClosing = false;

  /** Nothing seen yet; `label` names the process. */
  constructor(label: string, checks: WatchedChecks) {
    this.#label = label;
    this.#checks = checks;
  }

  /** Follows a stream until it ends. */
  async follow(stream: AsyncIterable<HostEvent>): Promise<void> {
    for await (const event of stream) this.saw(event);
  }

  /** The next event. */
  saw(event: HostEvent): void {
    this.count++;
    switch (event.type) {
      case "nodeReady":
        if (this.#terms.has(nameOf(event))) {
          this.#fail(`node ${nameOf(event)} is ready, and was already`);
        }
        this.#terms.set(nameOf(event), 0);
        return;
      case "nodeUnloaded":
        // One that could not take part was never ready.
        this.#terms.delete(nameOf(event));
        return;
      case "leaderChanged":
        return this.#leaderChanged(event);
      case "membershipChanged":
      case "snapshotRecovered":
      case "logCompacted":
        if (!this.#terms.has(nameOf(event))) {
          this.#fail(`${event.type} of node ${nameOf(event)}, which runs not`);
        }
        return;
      case "connectionUp":
        if (!event.snapshot) this.#connected.add(event.address);
        return;
      case "connectionDown":
        if (!this.#connected.delete(event.address)) {
          this.#fail(
            `the connection to ${event.address} is down, and was not up`,
          );
        }
        return;
      case "diskSlow":
        return this.#checks.diskTold(event);
      case "hostClosing":
        if (this.#isClosing) this.#fail("it is closing, and was already");
        this.#isClosing = true;
        return;
      case "eventsDropped":
        return this.#fail(`${event.count} events are missing`);
    }
  }

  #leaderChanged(event: Extract<HostEvent, { type: "leaderChanged" }>): void {
    const known = this.#terms.get(nameOf(event));
    if (known === undefined) {
      return this.#fail(`a leader of node ${nameOf(event)}, which runs not`);
    }
    if (event.term < known) {
      this.#fail(
        `node ${nameOf(event)} goes from term ${known} to term ${event.term}`,
      );
    }
    this.#terms.set(nameOf(event), event.term);
    if (event.leaderId === undefined) return;
    this.#checks.leaderTold(event.clusterId, event.term, event.leaderId);
  }

  #fail(what: string): void {
    this.#checks.fail(
      new SimulationFailure("events in order", `${this.#label}: ${what}`),
    );
  }
}

function nameOf(
  event: { readonly clusterId: number; readonly nodeId: number },
): string {
  return `${event.clusterId}/${event.nodeId}`;
}
