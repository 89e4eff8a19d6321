/**
 * Nodes on their way in. A NodeHost that is given thousands of clusters at once would do nothing else for seconds, and the
 * clusters that have a leader already would lose it: so a few nodes enter in each turn of the event loop (rule C6). And
 * what other members said meanwhile to a node that is still on its way is kept for it, or they would have to say it again.
 */
import type { Clock } from "./ports.ts";
import type { Hello } from "./routes.ts";
import type { Link } from "./transport/link_pool.ts";

/** Nodes that enter in one turn of the event loop: some ten milliseconds' work. */
const nodesPerTurn = 128;
/** Hellos that are kept for one node. */
const maxHeld = 16;

/** A hello, and the connection on which it came. */
export interface HeldHello {
  readonly link: Link;
  readonly epoch: number;
  readonly hello: Hello;
}

/** The nodes of one NodeHost that are being started. */
export class Starting {
  readonly #clock: Clock;
  /** What was said to each, by cluster and sender. */
  readonly #clusters = new Map<number, Map<number, HeldHello>>();
  #waiting: (() => void)[] = [];
  #left = nodesPerTurn;
  #isTurnDue = false;

  /** Nobody is on the way. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the node of a cluster is on its way. */
  has(clusterId: number): boolean {
    return this.#clusters.has(clusterId);
  }

  /** The node of a cluster sets out. */
  begin(clusterId: number): void {
    this.#clusters.set(clusterId, nobody);
  }

  /** It has arrived, or never will. */
  end(clusterId: number): void {
    this.#clusters.delete(clusterId);
  }

  /** Keeps what was said to a node that is on its way. */
  hold(link: Link, hello: Hello): void {
    let held = this.#clusters.get(hello.clusterId);
    if (held === undefined) return;
    if (held === nobody) {
      held = new Map();
      this.#clusters.set(hello.clusterId, held);
    }
    if (held.size >= maxHeld && !held.has(hello.from)) return;
    held.set(hello.from, { link, epoch: link.epoch, hello });
  }

  /** What was said to a node on connections that still stand, by sender. */
  heldFor(clusterId: number): HeldHello[] {
    return [...this.#clusters.get(clusterId) ?? nobody]
      .filter(([, { link, epoch }]) => link.isUp && link.epoch === epoch)
      .sort(([a], [b]) => a - b)
      .map(([, held]) => held);
  }

  /** Resolves when one more node may enter. */
  turn(): Promise<void> | undefined {
    this.#requestTurn();
    if (this.#left > 0) {
      this.#left--;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #requestTurn(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    this.#clock.defer(() => {
      this.#isTurnDue = false;
      const entering = this.#waiting.splice(0, nodesPerTurn);
      this.#left = nodesPerTurn - entering.length;
      if (this.#waiting.length > 0) this.#requestTurn();
      for (const enter of entering) enter();
    });
  }
}

/** Shared by all to whom nothing was said, which are nearly all. */
const nobody: Map<number, HeldHello> = new Map();
