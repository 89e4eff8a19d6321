/** Clients: each asks one thing after the other, wherever it may, and what it is told is noted. */
import type { Fleet, Machine } from "./fleet.ts";
import type { ChaosHistory, ClientCall } from "./history.ts";
import type { ListCommand } from "./machine.ts";
import { clusters } from "./plan.ts";
import { SimRandom } from "../../testing/mod.ts";
import type { ListInput } from "../../testing/linearizability.ts";

const clientCount = 8;
/** Of these so many use sessions, through the gateway. */
const sessionClientCount = 3;
const keysAtATime = 2;
/** A list is left alone when it was used so often: a search takes longer the longer it is. */
const callsPerKey = 100;
/** A client asks something else while it still waits for an answer that is so late. */
const patienceMs = 4_000;
const thinkMs = 40;
const padding = { share: 0.1, least: 200, most: 6_000 };

interface KeyState {
  readonly key: string;
  /** How long its list was in the latest answer. */
  length: number;
  calls: number;
}

/** All clients of a run. */
export class Clients {
  readonly #fleet: Fleet;
  readonly #history: ChaosHistory;
  readonly #random: SimRandom;
  readonly #keys = new Map<number, KeyState[]>();
  readonly #loops: Promise<void>[] = [];
  #nextKey = 1;
  #nextClient = 1;
  #isStopped = false;

  /** They have not begun. */
  constructor(fleet: Fleet, history: ChaosHistory, seed: number) {
    this.#fleet = fleet;
    this.#history = history;
    this.#random = new SimRandom(seed, "clients");
    for (const clusterId of clusters.keys()) {
      this.#keys.set(
        clusterId,
        Array.from({ length: keysAtATime }, () => this.#newKey(clusterId)),
      );
    }
  }

  /** Begins. */
  start(): void {
    for (let i = 0; i < clientCount; i++) {
      this.#loops.push(this.#loop(i < sessionClientCount));
    }
  }

  /** Ends; resolves when nobody begins anything more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
  }

  /** Writes to a cluster once, at a machine that carries it; returns whether that was done. */
  async probe(machine: Machine, clusterId: number): Promise<boolean> {
    const { key } = this.#newKey(clusterId);
    const input = { op: "append", key, value: this.#history.nextId } as const;
    const { status } = await this.#ask(
      this.#nextClient++,
      clusterId,
      machine,
      input,
      3_000,
      false,
    );
    return status === "done";
  }

  async #loop(usesSessions: boolean): Promise<void> {
    let client = this.#nextClient++;
    while (!this.#isStopped && !this.#fleet.isClosed) {
      await pause(this.#random.between(1, thinkMs));
      const clusterId = this.#random.pick([...clusters.keys()]);
      const machines = usesSessions
        ? [this.#fleet.gateway]
        : this.#fleet.carriers(clusterId);
      if (machines.length === 0) continue;
      const machine = this.#random.pick(machines);
      const keys = this.#keys.get(clusterId)!;
      const state = this.#random.pick(keys);
      if (++state.calls >= callsPerKey) {
        keys[keys.indexOf(state)] = this.#newKey(clusterId);
      }
      const timeoutMs = this.#random.pick([300, 1_000, 3_000]);
      const asked = this.#ask(
        client,
        clusterId,
        machine,
        this.#inputFor(state),
        timeoutMs,
        usesSessions,
      ).then((call) => learn(state, call));
      const isAnswered = await Promise.race([
        asked.then(() => true),
        pause(patienceMs).then(() => false),
      ]);
      // Whoever still waits is one client, who goes on is another: each asks one thing at a time.
      if (!isAnswered) client = this.#nextClient++;
    }
  }

  #newKey(clusterId: number): KeyState {
    return { key: `${clusterId}-${this.#nextKey++}`, length: 0, calls: 0 };
  }

  #inputFor({ key, length }: KeyState): ListInput {
    const value = this.#history.nextId;
    const chance = this.#random.below(100);
    if (chance < 40) return { op: "read", key };
    if (chance < 85) return { op: "append", key, value };
    return { op: "appendAt", key, value, length };
  }

  #ask(
    client: number,
    clusterId: number,
    machine: Machine,
    input: ListInput,
    timeoutMs: number,
    usesSessions: boolean,
  ): Promise<ClientCall> {
    const isInSession = usesSessions && input.op !== "read";
    const about = {
      client,
      clusterId,
      input,
      machine: machine.name,
      isInSession,
    };
    return this.#history.record(about, () => {
      if (input.op === "read") {
        const { key } = input;
        return machine.call("read", { clusterId, key, timeoutMs });
      }
      const command: ListCommand = { ...input, padding: this.#padding() };
      const request = { clusterId, command, timeoutMs };
      return isInSession
        ? machine.call("proposeInSession", { ...request, client })
        : machine.call("propose", request);
    });
  }

  #padding(): string {
    if (!this.#random.chance(padding.share)) return "";
    return "x".repeat(this.#random.between(padding.least, padding.most));
  }
}

function learn(state: KeyState, { output }: ClientCall): void {
  if (output === undefined || output === 0) return;
  state.length = typeof output === "number" ? output : output.length;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
