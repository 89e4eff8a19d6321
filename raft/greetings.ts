/** How one node answers those who introduce themselves (rules I1 to I3); `routes.ts` judges them. */
import type { Admission } from "./admission.ts";
import type { Logger } from "./ports.ts";
import { helloWantedReason } from "./routes.ts";
import type { Hello, Routes } from "./routes.ts";
import type { Link, WireRecord } from "./transport/link_pool.ts";

/** What a {@link Greetings} needs of its node. */
export interface GreetingsOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly routes: Routes;
  readonly admission: Admission;
  readonly host: { readonly logger: Logger };
  schedule(): void;
}

/** What a {@link Greetings} needs of the engine. */
export interface TurnSource {
  /** Ticks since the NodeHost opened. */
  readonly tickNow: number;
  /** Asks for a turn, which sends what was queued. */
  requestTurn(): void;
}

/** The hellos of one node. */
export class Greetings {
  readonly #node: GreetingsOwner;
  readonly #engine: TurnSource;
  /** Made when they are needed, which is seldom: a NodeHost has thousands of nodes. */
  #told: Map<number, string> | undefined;
  #askedAt: Map<number, number> | undefined;

  /** Nobody has said anything yet. */
  constructor(node: GreetingsOwner, engine: TurnSource) {
    this.#node = node;
    this.#engine = engine;
  }

  /** A hello came in; true if it is believed. */
  receiveHello(link: Link, hello: Hello): boolean {
    const { nodeId, routes, admission, host, clusterId } = this.#node;
    if (hello.to !== nodeId) return false;
    const epoch = link.epoch;
    const objection = routes.judge(link, hello, () => {
      if (link.epoch === epoch) this.#welcome(link, hello.from);
    });
    if (objection === undefined) {
      admission.learn(hello);
      if (admission.isNewcomer() && !hello.newcomer) {
        routes.hello(hello.from, true); // Whoever speaks first to a joining node is asked for a welcome.
      }
      this.#node.schedule();
      return true;
    }
    this.#told ??= new Map();
    if (this.#told.get(hello.from) !== objection) {
      this.#told.set(hello.from, objection); // It asks again and again; once is enough for people.
      host.logger.warn("a node was refused", {
        clusterId,
        from: hello.from,
        nodeHostId: link.remote?.nodeHostId,
        reason: objection,
      });
    }
    this.refuse(link, hello.from, objection);
    return false;
  }

  /** Another node refuses this one, or asks for its hello. */
  receiveRefused(
    link: Link,
    refused: Extract<WireRecord, { kind: "refused" }>,
  ): void {
    if (refused.to !== this.#node.nodeId) return;
    if (refused.reason !== helloWantedReason) {
      this.#node.admission.refused(refused.from, refused.reason, link);
      return;
    }
    this.#node.routes.hello(refused.from, true);
    this.#engine.requestTurn();
  }

  /**
   * Whoever speaks without a hello on this connection said it before this node had started here. It is asked once a
   * tick at most.
   */
  askForHello(link: Link, from: number): void {
    this.#askedAt ??= new Map();
    if (this.#askedAt.get(from) === this.#engine.tickNow) return;
    this.#askedAt.set(from, this.#engine.tickNow);
    this.refuse(link, from, helloWantedReason);
  }

  /** Tells a node why it is not heard. */
  refuse(link: Link, to: number, reason: string): void {
    const { clusterId, nodeId } = this.#node;
    link.send({ kind: "refused", clusterId, from: nodeId, to, reason });
    this.#engine.requestTurn();
  }

  #welcome(link: Link, to: number): void {
    const { clusterId, nodeId, routes } = this.#node;
    routes.hello(to, false); // The newcomer must know whom the welcome is from.
    link.send({ kind: "welcome", clusterId, from: nodeId, to });
    this.#engine.requestTurn();
  }
}
