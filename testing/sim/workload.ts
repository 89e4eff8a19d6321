/** Clients: each asks one thing after the other, at any machine that is up, and notes what it is told. */
import { RaftError } from "../../raft/errors.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import type { Result } from "../../raft/state_machine.ts";
import { eventKind } from "./clock.ts";
import { CommitWatch } from "./commit_watch.ts";
import { SimulationFailure } from "./failure.ts";
import type { Operation } from "./history.ts";
import { describeError } from "./machine.ts";
import type { Machine } from "./machine.ts";
import { markCommand } from "./observed_machine.ts";
import type { ObservedAnswer } from "./observed_machine.ts";
import { SessionClients } from "./session_clients.ts";
import { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

/** A call that ends this much after its deadline has not ended as it should. */
const graceUs = 3_000_000;

/** What clients abort with: one for all, since making one costs more than the call. */
const abortReason = new DOMException("the client gave up", "AbortError");

/** Between two lulls there is work for at least so long, and at most twice that. */
const betweenLullsUs = 4_000_000;

/** So many of those that write want to know when their command is committed. */
const watchedShare = 1 / 4;

/** How many read where a leader was just elected. */
const readsAfterElection = 6;

/** An operation under way. */
interface Call {
  readonly operation: Operation;
  readonly machine: Machine;
  readonly onDeath: () => void;
  /** By then it must have ended, if its process lives and runs. */
  overdueUs: number;
}

/** What a client wants. */
interface Wish {
  readonly client: number;
  readonly clusterId: number;
  readonly kind: "write" | "read";
  readonly timeoutMs: number;
}

type Done = (status: Operation["status"]) => void;

/** A wish, and whom to tell how it ended. */
interface AskedCall {
  readonly wish: Wish;
  readonly done: Done;
}

/** All clients of a world. */
export class Workload {
  /** Those that propose in sessions. */
  readonly sessions: SessionClients;
  /** Those that want to know when their command is committed. */
  readonly commits: CommitWatch;
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #routing: SimRandom;
  readonly #calls = new Set<Call>();
  /** Operations that wait for their next attempt. */
  #waiting = 0;
  readonly #readerRandom: SimRandom;
  readonly #commitRandom: SimRandom;
  #isStopped = true;
  /** Counts {@link start}s: who was thinking before does not begin beside those who began since. */
  #round = 0;
  /** With bursts: clients that have something under way. */
  readonly #busy = new Set<number>();
  #lullFromUs = betweenLullsUs;
  #lullUntilUs = 0;

  /** No clients yet. */
  constructor(world: World, random: SimRandom) {
    this.#world = world;
    this.#random = random;
    this.#readerRandom = new SimRandom(world.plan.seed, "reads of new leaders");
    this.#commitRandom = new SimRandom(world.plan.seed, "commits told");
    this.commits = new CommitWatch((failure) => world.fail(failure));
    this.#routing = random.fork("routing");
    this.sessions = new SessionClients(world.plan, random.fork("sessions"));
    this.sessions.onRevived = ({ id, clusterId }) =>
      world.fail(
        new SimulationFailure(
          "rebuilt from the image",
          `operation ${id} was done in a session of before cluster ${clusterId} was rebuilt`,
        ),
      );
  }

  /** Lets the clients begin, again after each {@link stop}. */
  start(): void {
    const { clientCount, pulseUs } = this.#world.plan.workload;
    this.#isStopped = false;
    this.#round++;
    if (pulseUs > 0) return this.#pulseLater(this.#round);
    for (let client = 1; client <= clientCount; client++) {
      this.#think(client, this.#round);
    }
  }

  /** No client begins anything more. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Whether anything is under way. */
  get isIdle(): boolean {
    return this.#calls.size === 0 && this.#waiting === 0;
  }

  /** Once a simulated second: does every call end? */
  check(): void {
    const { nowUs } = this.#world.timeline;
    for (const { operation, machine, overdueUs } of this.#calls) {
      if (overdueUs >= nowUs || machine.scope.isPaused) continue;
      this.#world.fail(
        new SimulationFailure(
          "every call ends",
          `operation ${operation.id}, a ${operation.kind} asked of ${machine.label} at ` +
            `${operation.invokedUs / 1e6} s, has not ended`,
        ),
      );
    }
  }

  /** A machine was paused and goes on: its calls get their time. */
  resumed(machine: Machine): void {
    const overdueUs = this.#world.timeline.nowUs + graceUs;
    for (const call of this.#calls) {
      if (call.machine === machine) {
        call.overdueUs = Math.max(call.overdueUs, overdueUs);
      }
    }
  }

  /** Writes and reads once at `machine`; `done` is told whether both gave a result. */
  probe(
    machine: Machine,
    clusterId: number,
    done: (isFine: boolean) => void,
  ): void {
    this.#call(machine, {
      client: 0,
      clusterId,
      kind: "write",
      timeoutMs: 5_000,
    }, (written) => {
      if (written !== "done") return done(false);
      this.#call(machine, {
        client: 0,
        clusterId,
        kind: "read",
        timeoutMs: 5_000,
      }, (read) => done(read === "done"));
    });
  }

  /**
   * For a while writes wherever a cluster is led, and reads at `machine`, which may not know yet that it leads no more:
   * whoever answers from an old state is soon found out.
   */
  press(machine: Machine, clusterId: number, forUs: number): void {
    const steps = 24;
    for (let step = 1; step <= steps; step++) {
      const { timeline } = this.#world;
      const afterUs = Math.floor(forUs * step / steps);
      timeline.schedule(timeline.world, afterUs, eventKind.client, () => {
        if (this.#isStopped) return;
        const wish = { client: 0, clusterId, timeoutMs: 300 };
        const other = this.#chooseMachine(clusterId);
        if (other !== undefined && other !== machine) {
          this.#call(other, { ...wish, kind: "write" }, () => {});
        }
        if (machine.serves(clusterId)) {
          this.#call(machine, { ...wish, kind: "read" }, () => {});
        }
      });
    }
  }

  /**
   * Now and then many want to read at once where a leader was just elected, which may not know yet what its predecessor
   * had committed (rule C7).
   */
  elected(clusterId: number, leaderId: number): void {
    const random = this.#readerRandom;
    if (!random.chance(0.3)) return;
    const { timeline } = this.#world;
    for (let i = 0; i < readsAfterElection; i++) {
      const afterUs = random.longTail(0, 1_000, 20_000);
      timeline.schedule(timeline.world, afterUs, eventKind.client, () => {
        const machine = this.#world.machineOf(clusterId, leaderId);
        if (this.#isStopped || machine?.serves(clusterId) !== true) return;
        const wish = { client: 0, clusterId, timeoutMs: 300 };
        this.#call(machine, { ...wish, kind: "read" }, () => {});
      });
    }
  }

  /** The next burst: sooner while there is something to make up for, as after a time without a leader. */
  #pulseLater(round: number): void {
    const { timeline, plan, history } = this.#world;
    const due = plan.operationsPerSecond * timeline.nowUs / 1e6;
    const isBehind = history.completedCount < 1.05 * due;
    const { pulseUs } = plan.workload;
    const pauseUs = this.#random.below(isBehind ? pulseUs : 2 * pulseUs);
    timeline.schedule(timeline.world, pauseUs, eventKind.client, () => {
      if (this.#isStopped || round !== this.#round) return;
      this.#pulse();
      this.#pulseLater(round);
    });
  }

  /** All clients that have nothing under way ask one machine at the same time. */
  #pulse(): void {
    const random = this.#random;
    const { plan } = this.#world;
    const { clusterId } = random.pick(plan.clusters);
    const machine = this.#chooseMachine(clusterId);
    if (machine === undefined) return;
    const { clientCount } = plan.workload;
    const calls: AskedCall[] = [];
    for (let client = 1; client <= clientCount; client++) {
      if (this.#busy.has(client)) continue;
      this.#busy.add(client);
      const done = () => void this.#busy.delete(client);
      calls.push({ wish: this.#wishOf(client, clusterId), done });
    }
    this.#callAll(machine, calls);
  }

  #wishOf(client: number, clusterId: number): Wish {
    const random = this.#random;
    const { readShare } = this.#world.plan.workload;
    const kind = random.chance(readShare) ? "read" : "write";
    const timeoutMs = random.pick([300, 1_000, 3_000]);
    return { client, clusterId, kind, timeoutMs };
  }

  #think(client: number, round: number): void {
    const { timeline, plan } = this.#world;
    const pauseUs = this.#random.below(plan.workload.thinkUs) +
      this.#lullLeftUs();
    timeline.schedule(
      timeline.world,
      pauseUs,
      eventKind.client,
      () => this.#next(client, round),
    );
  }

  /** How long all clients do nothing from now on. */
  #lullLeftUs(): number {
    const { timeline, plan } = this.#world;
    const { lullUs } = plan.workload;
    if (lullUs === 0) return 0;
    const { nowUs } = timeline;
    if (nowUs >= this.#lullFromUs) {
      this.#lullUntilUs = nowUs + this.#random.below(lullUs);
      this.#lullFromUs = this.#lullUntilUs + betweenLullsUs +
        this.#random.below(betweenLullsUs);
    }
    return Math.max(0, this.#lullUntilUs - nowUs);
  }

  #next(client: number, round: number): void {
    if (this.#isStopped || round !== this.#round) return;
    const { clusterId } = this.#random.pick(this.#world.plan.clusters);
    const machine = this.#chooseMachine(clusterId);
    if (machine === undefined) return this.#think(client, round);
    this.#call(
      machine,
      this.#wishOf(client, clusterId),
      () => this.#think(client, round),
    );
  }

  /** Half of the time the leader, else anybody who carries the cluster; in some seeds now and then who does not. */
  #chooseMachine(clusterId: number): Machine | undefined {
    const { machines, checks, plan } = this.#world;
    const { routedShare } = plan.workload;
    if (routedShare > 0 && this.#routing.chance(routedShare)) {
      const others = machines.filter((one) =>
        one.isUp && !one.startedClusters.has(clusterId)
      );
      if (others.length > 0) return this.#routing.pick(others);
    }
    const carriers = machines.filter((one) => one.serves(clusterId));
    if (carriers.length === 0) return undefined;
    const { nodeId } = checks.record(clusterId).latestLeader();
    const leader = carriers.find((one) =>
      one.placements.get(clusterId)?.nodeId === nodeId
    );
    return leader !== undefined && this.#random.chance(0.5)
      ? leader
      : this.#random.pick(carriers);
  }

  #call(machine: Machine, wish: Wish, done: Done): void {
    this.#callAll(machine, [{ wish, done }]);
  }

  /** Makes calls one after the other in one event of the machine. */
  #callAll(machine: Machine, calls: readonly AskedCall[]): void {
    // The process may die before the calls are made: then nothing was asked.
    const onDeath = () => {
      for (const { done } of calls) done("notApplied");
    };
    machine.onDeath.add(onDeath);
    machine.run((host) => {
      machine.onDeath.delete(onDeath);
      for (const { wish, done } of calls) {
        this.#invoke(machine, host, wish, done);
      }
    });
  }

  #invoke(machine: Machine, host: NodeHost, wish: Wish, done: Done): void {
    const { timeline, history, checks, application } = this.#world;
    const random = this.#random;
    const { client, clusterId, kind } = wish;
    const input = kind === "write"
      ? application.command(random, history.nextId, this.#commandBytes())
      : application.query(random);
    const operation = history.begin({
      client,
      machine: machine.index,
      clusterId,
      kind,
      input,
      invokedUs: timeline.nowUs,
      floorIndex: checks.record(clusterId).floorIndex,
    });
    this.#attempt(machine, host, operation, wish, done);
  }

  #attempt(
    machine: Machine,
    host: NodeHost,
    operation: Operation,
    wish: Wish,
    done: Done,
  ): void {
    const { client, clusterId, kind, timeoutMs } = wish;
    const { input } = operation;
    const isInSession = kind === "write" &&
      this.sessions.uses(client, clusterId);
    // Opening a session and the proposal have that long each.
    const callMs = isInSession ? 2 * timeoutMs : timeoutMs;
    const call: Call = {
      operation,
      machine,
      onDeath: () => this.#ended(call, "unknown", done),
      overdueUs: this.#world.timeline.nowUs + callMs * 1_050 + graceUs,
    };
    this.#calls.add(call);
    machine.onDeath.add(call.onDeath);
    const signal = this.#maybeAbort(machine, timeoutMs);
    const watched = kind === "write" && this.#commitRandom.chance(watchedShare)
      ? this.commits.call(operation, isInSession)
      : undefined;
    const options = {
      timeoutMs,
      ...(signal === undefined ? {} : { signal }),
      ...(watched === undefined ? {} : { onCommitted: watched.onCommitted }),
    };
    const marked = () =>
      markCommand(input as Uint8Array, operation.id, clusterId);
    const asked: Promise<unknown> = kind === "read"
      ? host.read(clusterId, input, options)
      : isInSession
      ? this.sessions.propose(host, operation, marked(), options)
      : host.propose(clusterId, marked(), options);
    asked.then(
      (output) => {
        watched?.ended("done");
        operation.output = output;
        this.#ended(call, "done", done);
      },
      (error) => {
        const isUnknown = this.#isUnknown(error, signal);
        watched?.ended(isUnknown ? "unknown" : "notApplied");
        if (isInSession && isUnknown) {
          if (this.sessions.wantsRetry(operation)) {
            return this.#again(call, wish, done);
          }
        }
        this.#failed(call, error, signal, done);
      },
    );
  }

  #isUnknown(error: unknown, signal: AbortSignal | undefined): boolean {
    return error instanceof RaftError
      ? error.outcome === "unknown"
      : signal?.aborted === true && error === signal.reason;
  }

  /** Proposes again in a little while, wherever that may be. */
  #again(call: Call, wish: Wish, done: Done): void {
    const { timeline } = this.#world;
    this.#calls.delete(call);
    call.machine.onDeath.delete(call.onDeath);
    this.#waiting++;
    const tryAgain = () => {
      const machine = this.#chooseMachine(wish.clusterId);
      if (this.#isStopped) {
        this.#waiting--;
        this.sessions.giveUp(call.operation);
        return this.#ended(call, "unknown", done);
      }
      if (machine === undefined) return later();
      const onDeath = later;
      machine.onDeath.add(onDeath);
      machine.run((host) => {
        machine.onDeath.delete(onDeath);
        this.#waiting--;
        this.#attempt(machine, host, call.operation, wish, done);
      });
    };
    const later = () => {
      const pauseUs = this.#random.below(500_000);
      timeline.schedule(timeline.world, pauseUs, eventKind.client, tryAgain);
    };
    later();
  }

  /** One call in thirty is aborted by its caller. */
  #maybeAbort(machine: Machine, timeoutMs: number): AbortSignal | undefined {
    if (!this.#random.chance(1 / 30)) return undefined;
    const controller = new AbortController();
    const afterUs = this.#random.below(timeoutMs * 500);
    this.#world.timeline.schedule(
      machine.scope,
      afterUs,
      eventKind.client,
      () => controller.abort(abortReason),
    );
    return controller.signal;
  }

  #failed(
    call: Call,
    error: unknown,
    signal: AbortSignal | undefined,
    done: Done,
  ): void {
    const { operation, machine } = call;
    if (error instanceof RaftError) {
      operation.errorCode = error.code;
      const isUnknown = error.outcome === "unknown" &&
        operation.kind === "write";
      return this.#ended(call, isUnknown ? "unknown" : "notApplied", done);
    }
    if (signal?.aborted && error === signal.reason) {
      operation.errorCode = "aborted";
      return this.#ended(
        call,
        operation.kind === "write" ? "unknown" : "notApplied",
        done,
      );
    }
    this.#ended(call, "unknown", done);
    this.#world.fail(
      new SimulationFailure(
        "stops only when told",
        `operation ${operation.id} at ${machine.label} failed with ${
          describeError(error)
        }`,
        { cause: error },
      ),
    );
  }

  #ended(
    call: Call,
    status: Exclude<Operation["status"], "pending">,
    done: Done,
  ): void {
    const { operation, machine } = call;
    if (operation.status !== "pending") return;
    this.#calls.delete(call);
    machine.onDeath.delete(call.onDeath);
    const { history, timeline, checks } = this.#world;
    history.end(operation, status, timeline.nowUs);
    if (operation.session !== 0) {
      const host = status === "done" ? machine.host : undefined;
      this.sessions.ended(host, operation);
    }
    const record = checks.record(operation.clusterId);
    if (operation.kind === "write") {
      if (status === "done") {
        record.writeDone(operation, operation.output as Result);
      } else if (status === "notApplied") record.writeNotApplied(operation);
    } else if (status === "done") {
      const { index, answer } = operation.output as ObservedAnswer;
      operation.index = index;
      operation.output = answer;
      record.readDone(operation);
    }
    done(status);
  }

  #commandBytes(): number {
    const { commandBytes, bigCommandBytes } = this.#world.plan.workload;
    const limit = this.#random.chance(0.05) ? bigCommandBytes : commandBytes;
    return this.#random.below(limit + 1);
  }
}
