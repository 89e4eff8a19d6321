/**
 * Clusters as text. A scenario file is a list of blocks, separated by empty lines:
 *
 * ```text
 * # Why this scenario exists.
 * command
 * command
 * ----
 * what the commands say, then one line for each node
 * ```
 *
 * Commands (`N` is a node id, `N>M` the way from one to another):
 *
 * ```text
 * cluster N... [setting=V]     a new cluster of these nodes
 * down N... [setting=V]        the same, but nothing is started yet
 * disk N term=T vote=V commit=C log=T,T,...   writes the disk of a node that is down
 * lose-commit N                the commit index on the disk of a node that is down becomes 0
 * start N... | crash N...      crash loses what is not synced
 * join N [witness]             a node that waits to be added
 * tick N [count] | run count   run ticks everybody and settles after each tick
 * elect N                      ticks until N leads
 * settle                       disks, state machines and messages run until all is quiet
 * sync N [count]               by hand: writes become durable
 * apply N [count]              by hand: what is committed and durable is applied
 * deliver N>M [type] [count]   by hand: messages on that way arrive, or those of one type
 * lose N>M [type]              they do not
 * cut N>M... | partition N N | N N | heal
 * propose N text...            one batch with an entry for each text
 * change N add|observe|witness|remove|identify M [force|caught-up]
 * transfer N M | read N | snapshot N [entries to keep] | unreachable N M
 * log N | queue | reads N | decisions N       say more
 * ```
 */
import { assert } from "../../raft/core/assert.ts";
import { hasPayloads } from "../../raft/core/entry_batch.ts";
import type { ConfigChange, Member, Message } from "../../raft/core/types.ts";
import {
  change,
  CoreCluster,
  type CoreNode,
  type CoreSettings,
} from "./core_cluster.ts";
import { fillDisk } from "./single_node.ts";

/** One block of a scenario file. */
interface Block {
  readonly comments: readonly string[];
  readonly commands: readonly string[];
  readonly expected: string;
}

/** What a scenario says when it is run, and what its file says. */
export interface ScenarioResult {
  readonly actual: string;
  readonly expected: string;
}

/** Runs the scenario that `text` is. `actual` is the whole file with the outcome in place of the expectation. */
export function runScenario(text: string): ScenarioResult {
  const scenario = new Scenario();
  const blocks = parse(text);
  const render = (block: Block, outcome: string) =>
    [...block.comments, ...block.commands, "----", outcome].join("\n");
  const actual = blocks.map((block) =>
    render(block, scenario.run(block.commands))
  );
  const expected = blocks.map((block) => render(block, block.expected));
  return {
    actual: actual.join("\n\n") + "\n",
    expected: expected.join("\n\n") + "\n",
  };
}

function parse(text: string): Block[] {
  return text.split(/\n\n+/).filter((part) => part.trim() !== "").map(
    (part) => {
      const lines = part.trim().split("\n");
      const bar = lines.indexOf("----");
      const head = bar < 0 ? lines : lines.slice(0, bar);
      return {
        comments: head.filter((line) => line.startsWith("#")),
        commands: head.filter((line) => !line.startsWith("#")),
        expected: bar < 0 ? "" : lines.slice(bar + 1).join("\n"),
      };
    },
  );
}

const changeTypes: Readonly<Record<string, ConfigChange["type"]>> = {
  add: "addNode",
  observe: "addObserver",
  witness: "addWitness",
  remove: "removeNode",
  identify: "identify",
};

class Scenario {
  #cluster = new CoreCluster({ nodeIds: [] });
  #said: string[] = [];

  run(commands: readonly string[]): string {
    this.#said = [];
    for (const command of commands) {
      const [name, ...words] = command.split(/\s+/) as [string, ...string[]];
      this.#run(name, words);
    }
    const states = [...this.#cluster.nodes.values()]
      .sort((left, right) => left.nodeId - right.nodeId)
      .map(describeNode);
    return [...this.#said, ...states].join("\n");
  }

  #run(name: string, words: readonly string[]): void {
    const cluster = this.#cluster;
    const ids = words.map(Number);
    const nodeId = ids[0] ?? 0;
    const second = ids[1];
    switch (name) {
      case "cluster":
      case "down":
        return this.#create(words, name === "down");
      case "disk":
        return this.#disk(nodeId, words.slice(1));
      case "lose-commit":
        return this.#loseCommit(nodeId);
      case "start":
        return ids.forEach((id) => cluster.start(id));
      case "crash":
        return ids.forEach((id) => cluster.crash(id));
      case "join":
        return cluster.join(nodeId, { isWitness: words[1] === "witness" });
      case "tick":
        return cluster.tick(nodeId, second ?? 1);
      case "run":
        return cluster.run(nodeId);
      case "elect":
        return cluster.elect(nodeId);
      case "settle":
        return cluster.settle();
      case "sync":
        return cluster.sync(nodeId, second ?? Infinity);
      case "apply":
        return cluster.apply(nodeId, second ?? Infinity);
      case "deliver":
        return this.#deliver(words);
      case "lose":
        return this.#lose(words);
      case "cut":
        return words.forEach((way) => {
          const [from, to] = parseWay(way);
          cluster.cut(from, to);
        });
      case "partition":
        return this.#partition(words);
      case "heal":
        return cluster.heal();
      case "propose":
        return this.#say(cluster.propose(nodeId, ...words.slice(1)));
      case "change":
        return this.#change(nodeId, words);
      case "transfer":
        return this.#say(
          cluster.act(nodeId, (core) => core.transferLeadership(second ?? 0)),
        );
      case "read":
        cluster.read(nodeId);
        return;
      case "snapshot":
        return cluster.snapshot(nodeId, second ?? 0);
      case "unreachable":
        return cluster.act(
          nodeId,
          (core) => core.reportUnreachable(second ?? 0),
        );
      case "log":
        return this.#sayLog(nodeId);
      case "queue":
        return this.#sayQueue();
      case "reads":
        return this.#sayReads(nodeId);
      case "decisions":
        return this.#sayDecisions(nodeId);
      default:
        throw new RangeError(`Cannot run scenario command: ${name} is unknown`);
    }
  }

  #say(outcome: { firstIndex: number; lastIndex: number } | string): void {
    this.#said.push(
      typeof outcome === "string"
        ? outcome
        : `proposed ${outcome.firstIndex}..${outcome.lastIndex}`,
    );
  }

  #create(words: readonly string[], isDown: boolean): void {
    const settings = words.filter((word) => word.includes("=")).map((word) => {
      const [name, value] = word.split("=") as [string, string];
      return [name, Number(value)] as const;
    });
    this.#cluster = new CoreCluster({
      nodeIds: words.filter((word) => !word.includes("=")).map(Number),
      settings: Object.fromEntries(settings) as CoreSettings,
      isDown,
    });
  }

  #disk(nodeId: number, words: readonly string[]): void {
    const fields = new Map(
      words.map((word) => word.split("=") as [string, string]),
    );
    fillDisk(this.#cluster.node(nodeId).disk, {
      term: Number(fields.get("term") ?? 0),
      votedFor: Number(fields.get("vote") ?? 0),
      commit: Number(fields.get("commit") ?? 0),
      log: (fields.get("log") ?? "").split(",").filter((term) => term !== "")
        .map(Number),
    });
  }

  #loseCommit(nodeId: number): void {
    const { disk } = this.#cluster.node(nodeId);
    const state = disk.hardState();
    assert(state !== undefined, "there must be a hard state");
    disk.write({
      hardState: { ...state, commit: 0 },
      batches: [],
      snapshot: undefined,
    });
  }

  #deliver(words: readonly string[]): void {
    const matches = matcher(words);
    let count = words[2] === undefined ? Infinity : Number(words[2]);
    for (; count > 0; count--) {
      const position = this.#cluster.queue.findIndex(matches);
      if (position < 0) return;
      this.#cluster.deliver(position);
    }
  }

  #lose(words: readonly string[]): void {
    const matches = matcher(words);
    for (;;) {
      const position = this.#cluster.queue.findIndex(matches);
      if (position < 0) return;
      this.#cluster.drop(position);
    }
  }

  #partition(words: readonly string[]): void {
    const groups = words.join(" ").split("|").map((group) =>
      group.trim().split(/\s+/).map(Number)
    );
    this.#cluster.partition(...groups);
  }

  #change(nodeId: number, words: readonly string[]): void {
    const type = changeTypes[words[1] ?? ""];
    assert(type !== undefined, "a change must be of a known type");
    const outcome = this.#cluster.proposeChange(nodeId, {
      ...change(type, Number(words[2])),
      force: words[3] === "force",
      whenCaughtUp: words[3] === "caught-up",
    });
    this.#say(outcome);
  }

  #sayLog(nodeId: number): void {
    const batches = this.#cluster.node(nodeId).disk.batches().map((batch) =>
      `${batch.firstIndex}..${batch.lastIndex}@${batch.term}${
        batch.isConfigChange ? " change" : hasPayloads(batch) ? "" : " bare"
      }`
    );
    this.#said.push(`disk of ${nodeId}: ${batches.join(", ") || "no batches"}`);
  }

  #sayQueue(): void {
    for (const message of this.#cluster.queue) {
      this.#said.push(describeMessage(message));
    }
  }

  #sayReads(nodeId: number): void {
    const node = this.#cluster.node(nodeId);
    for (const { context, index } of node.readStates) {
      this.#said.push(`read ${context.counter} of ${nodeId} at ${index}`);
    }
    for (const context of node.droppedReads) {
      this.#said.push(`read ${context.counter} of ${nodeId} dropped`);
    }
  }

  #sayDecisions(nodeId: number): void {
    for (const decision of this.#cluster.node(nodeId).decisions) {
      this.#said.push(
        `change at ${decision.index} on ${nodeId}: ${
          decision.accepted ? "accepted" : decision.reason
        }`,
      );
    }
  }
}

function parseWay(way: string): [from: number, to: number] {
  const [from, to] = way.split(">").map(Number);
  assert(from !== undefined && to !== undefined, "a way is written N>M");
  return [from, to];
}

function matcher(words: readonly string[]): (message: Message) => boolean {
  const [from, to] = parseWay(words[0] ?? "");
  const type = words[1];
  return (message) =>
    message.from === from && message.to === to &&
    (type === undefined || type === "any" || message.type === type);
}

function describeMessage(message: Message): string {
  const { type, from, to, term, ...rest } = message;
  const fields = Object.entries(rest).map(([name, value]) => {
    if (name === "batches") {
      const batches = value as readonly { firstIndex: number; term: number }[];
      return `batches=[${
        batches.map((batch) => `${batch.firstIndex}@${batch.term}`).join(" ")
      }]`;
    }
    return `${name}=${
      typeof value === "object" ? JSON.stringify(value) : value
    }`;
  });
  return `${from}>${to} ${type} term=${term} ${fields.join(" ")}`.trimEnd();
}

function describeNode(node: CoreNode): string {
  if (node.peer === undefined) return `${node.nodeId} down`;
  const { core } = node;
  const status = core.status();
  const { members, observers, witnesses } = core.membership();
  const kind = (name: string, of: readonly Member[]) =>
    of.length === 0
      ? []
      : [`${name}=${of.map((member) => member.nodeId).join(",")}`];
  return [
    `${node.nodeId} ${status.role}`,
    `term=${status.term}`,
    `vote=${status.votedFor}`,
    `leader=${status.leaderId}`,
    `commit=${status.commit}`,
    `applied=${status.applied}`,
    `log=${status.firstIndex}..${status.lastIndex}`,
    `members=${members.map((member) => member.nodeId).join(",")}`,
    ...kind("observers", observers),
    ...kind("witnesses", witnesses),
    ...(node.writes.length > 0 ? [`unsynced=${node.writes.length}`] : []),
    ...(status.transferTarget > 0 ? [`transfer=${status.transferTarget}`] : []),
  ].join(" ");
}
