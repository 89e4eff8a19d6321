/**
 * Typed commands, queries and answers: a codec turns an application's commands into bytes and back, so that state
 * machines and callers have to do with their own types only.
 */
import type { ProposeOptions, WaitOptions } from "./config.ts";
import type { Session } from "./session.ts";
import type {
  AnyStateMachine,
  ConcurrentStateMachine,
  Entry,
  OnDiskStateMachine,
  Result,
  StateMachine,
  StateMachineFactory,
} from "./state_machine.ts";

/** Turns commands into bytes, which are replicated and stored, and back. */
export interface Codec<Command> {
  /** Encodes a command. */
  encodeCommand(command: Command): Uint8Array;
  /**
   * Decodes what `encodeCommand` made, of this version of the program or of any before: logs live long. One that throws
   * stops the node, on every NodeHost.
   */
  decodeCommand(bytes: Uint8Array): Command;
}

/** One committed command, decoded when it is first looked at. */
export interface TypedEntry<Command> {
  /** Position in the cluster's log. */
  readonly index: number;
  /** Term in which the entry was proposed. */
  readonly term: number;
  /** What was proposed. */
  readonly command: Command;
}

/** A {@link StateMachine} that takes commands and queries of its own types. */
export type TypedStateMachine<Command, Query = unknown, Answer = unknown> =
  & Omit<StateMachine, "update" | "lookup">
  & {
    /** See {@link StateMachine.update}. */
    update(entry: TypedEntry<Command>): Result;
    /** See {@link StateMachine.lookup}. */
    lookup(query: Query): Answer;
  };

/** A {@link ConcurrentStateMachine} or an {@link OnDiskStateMachine} that takes commands and queries of its own types. */
export type TypedBatchMachine<Command, Query = unknown, Answer = unknown> =
  & (
    | Omit<ConcurrentStateMachine, "update" | "lookup">
    | Omit<OnDiskStateMachine, "update" | "lookup">
  )
  & {
    /** See {@link ConcurrentStateMachine.update}. */
    update(
      entries: readonly TypedEntry<Command>[],
    ): Result[] | Promise<Result[]>;
    /** See {@link ConcurrentStateMachine.lookup}. */
    lookup(query: Query): Answer;
  };

/** What {@link typed} returns: goes where a state machine's factory goes, and names the types for `NodeHost.cluster`. */
export interface TypedFactory<Command, Query, Answer>
  extends StateMachineFactory {
  /** Encodes and decodes the commands. */
  readonly codec: Codec<Command>;
  /** There at compile time only: the types of queries and answers. */
  readonly types?: (query: Query) => Answer;
}

/** A cluster as its callers see it, in their own types: `NodeHost.cluster` makes it. */
export interface TypedCluster<Command, Query, Answer> {
  /** The cluster. */
  readonly clusterId: number;
  /** See `NodeHost.propose`; with `session` the command is applied exactly once. */
  propose(
    command: Command,
    options?: ProposeOptions & { session?: Session },
  ): Promise<Result>;
  /** See `NodeHost.read`. */
  read(query: Query, options?: WaitOptions): Promise<Awaited<Answer>>;
  /** See `NodeHost.staleRead`. */
  staleRead(query: Query): Promise<Awaited<Answer>>;
}

/** What a {@link TypedCluster} needs of its NodeHost. */
export interface ClusterHost {
  propose(
    target: number | Session,
    command: Uint8Array,
    options?: ProposeOptions,
  ): Promise<Result>;
  read<T>(
    clusterId: number,
    query: unknown,
    options?: WaitOptions,
  ): Promise<T>;
  staleRead<T>(clusterId: number, query: unknown): Promise<T>;
}

/**
 * Joins a codec and a state machine that takes decoded commands; the result goes where a state machine's factory goes.
 *
 * @example
 * ```ts
 * type Command = { add: number };
 * let total = 0;
 * const counter = typed(jsonCodec<Command>(), () => ({
 *   update: (entry) => ({ value: total += entry.command.add }),
 *   lookup: (_query: "total") => total,
 *   saveSnapshot: (writer) => writer.write(new Uint8Array([total])),
 *   recoverFromSnapshot: async (reader) => {
 *     total = (await new Response(reader).bytes())[0] ?? 0;
 *   },
 * }));
 * // await host.startCluster({ clusterId: 1, ..., stateMachine: counter });
 * // const cluster = host.cluster(1, counter);
 * // await cluster.propose({ add: 5 });
 * // const now: number = await cluster.read("total");
 * ```
 */
export function typed<Command, Query, Answer>(
  codec: Codec<Command>,
  factory: (
    node: { clusterId: number; nodeId: number },
  ) => TypedStateMachine<Command, Query, Answer>,
): TypedFactory<Command, Query, Answer>;
/** The same for a state machine that takes its commands in batches: a concurrent one, or one on disk. */
export function typed<Command, Query, Answer>(
  codec: Codec<Command>,
  factory: (
    node: { clusterId: number; nodeId: number },
  ) => TypedBatchMachine<Command, Query, Answer>,
): TypedFactory<Command, Query, Answer>;
export function typed<Command, Query, Answer>(
  codec: Codec<Command>,
  factory: (node: { clusterId: number; nodeId: number }) => unknown,
): TypedFactory<Command, Query, Answer> {
  for (const name of ["encodeCommand", "decodeCommand"] as const) {
    if (typeof codec?.[name] !== "function") {
      throw new TypeError(`Cannot use codec: it has no method ${name}`);
    }
  }
  const make = (node: { clusterId: number; nodeId: number }) =>
    decoding(codec, factory(node) as AnyStateMachine);
  return Object.assign(make, { codec });
}

/** A codec that writes commands as JSON: easy to read and to extend, and not the shortest. */
export function jsonCodec<Command>(): Codec<Command> {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  return {
    encodeCommand: (command) => {
      let text: string | undefined;
      try {
        text = JSON.stringify(command);
      } catch (error) {
        throw new TypeError(
          `Cannot encode the command: ${
            messageOf(error)
          }; write such values as texts, or use another codec`,
          { cause: error },
        );
      }
      if (text === undefined) {
        throw new TypeError(
          `Cannot encode the command: there is no JSON for ${typeof command}`,
        );
      }
      return encoder.encode(text);
    },
    decodeCommand: (bytes) => JSON.parse(decoder.decode(bytes)),
  };
}

/** The view of a cluster in the types of `factory`. */
export function typedCluster<Command, Query, Answer>(
  host: ClusterHost,
  clusterId: number,
  factory: TypedFactory<Command, Query, Answer>,
): TypedCluster<Command, Query, Answer> {
  const { codec } = factory ?? {};
  if (typeof codec?.encodeCommand !== "function") {
    throw new TypeError(
      "Cannot use the factory of a cluster: it has no codec; give what typed() returned",
    );
  }
  return {
    clusterId,
    propose: (command, options = {}) => {
      const { session, ...rest } = options;
      if (session !== undefined && session.clusterId !== clusterId) {
        throw new TypeError(
          `Cannot propose to cluster ${clusterId}: the session is one of cluster ${session.clusterId}`,
        );
      }
      return host.propose(
        session ?? clusterId,
        codec.encodeCommand(command),
        rest,
      );
    },
    read: (query, options) => host.read(clusterId, query, options),
    staleRead: (query) => host.staleRead(clusterId, query),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** An entry that decodes its command when it is asked for it, once. */
class DecodedEntry<Command> implements TypedEntry<Command> {
  readonly #entry: Entry;
  readonly #codec: Codec<Command>;
  #command: Command | undefined;
  #isDecoded = false;

  constructor(entry: Entry, codec: Codec<Command>) {
    this.#entry = entry;
    this.#codec = codec;
  }

  get index(): number {
    return this.#entry.index;
  }

  get term(): number {
    return this.#entry.term;
  }

  get command(): Command {
    if (!this.#isDecoded) {
      try {
        this.#command = this.#codec.decodeCommand(this.#entry.command);
      } catch (error) {
        throw new TypeError(
          `Cannot decode the command of entry ${this.#entry.index}: ${
            messageOf(error)
          }; the codec must read all that was ever proposed`,
          { cause: error },
        );
      }
      this.#isDecoded = true;
    }
    return this.#command as Command;
  }
}

/** `machine` with an `update` that is given decoded entries. What is no state machine stays as it is, to be refused. */
function decoding<Command>(
  codec: Codec<Command>,
  machine: AnyStateMachine,
): AnyStateMachine {
  const isMachine = typeof machine === "object" && machine !== null &&
    typeof machine.update === "function";
  if (!isMachine) return machine;
  const inner = machine as { update(given: unknown): unknown };
  const update = (given: Entry | readonly Entry[]) =>
    inner.update(
      Array.isArray(given)
        ? given.map((entry: Entry) => new DecodedEntry(entry, codec))
        : new DecodedEntry(given as Entry, codec),
    );
  const methods = new Map<PropertyKey, unknown>([["update", update]]);
  // Of an empty object: what a frozen machine has could not be replaced.
  return new Proxy({} as AnyStateMachine, {
    get(_, name) {
      const known = methods.get(name);
      if (known !== undefined) return known;
      const value = Reflect.get(machine, name, machine);
      if (typeof value !== "function") return value;
      const bound = value.bind(machine); // Its private fields are not the proxy's.
      methods.set(name, bound);
      return bound;
    },
  });
}
