/**
 * What a test asks of masters that run in other processes (`instance.ts`), as one message there and one back. A test has
 * a room: a part of the database and a clock of its own, which go with each call, so that any of the processes can do it.
 */
import { CommandError } from "../../master/operator.ts";
import { RaftError, type RaftErrorCode } from "../../raft/errors.ts";
import type { Logger } from "../../raft/ports.ts";
import type { Fault } from "../master/fixtures.ts";
import { deserialize, serialize } from "./deps.ts";

/** A call. */
export interface FarCall {
  /** Everything is stored under this key part. */
  readonly room: string;
  /** The test's time; real time without it. */
  readonly nowMs?: number | undefined;
  /** So much later it is after each commit. */
  readonly commitMs: number;
  /** Of the next commits. */
  readonly faults: readonly (Fault | undefined)[];
  /** Options of the store that can be written down. */
  readonly store: Readonly<Record<string, unknown>>;
  /** A method of the store, or a request to a master over it. */
  readonly work: FarMethod | FarRequest;
}

/** A method of the store. */
export interface FarMethod {
  readonly kind: "method";
  readonly name: string;
  readonly args: readonly unknown[];
}

/** A request to a master. */
export interface FarRequest {
  readonly kind: "request";
  /** Options of the master that can be written down. */
  readonly master: Readonly<Record<string, unknown>>;
  /** The master's streams were closed. */
  readonly isClosed: boolean;
  readonly url: string;
  readonly method: string;
  readonly headers: readonly [string, string][];
  readonly body: Uint8Array | undefined;
}

/** An answer of a master. */
export interface FarResponse {
  readonly status: number;
  readonly headers: readonly [string, string][];
  readonly body: Uint8Array;
}

/** What comes back. */
export interface FarAnswer {
  /** The test's time, when it was done. */
  readonly nowMs: number;
  /** Faults that are left. */
  readonly faults: (Fault | undefined)[];
  /** What was done with the database since the last answer about this room. */
  readonly counts: Readonly<Record<string, number>>;
  /** What was logged. */
  readonly logs: readonly (readonly [keyof Logger, string, unknown])[];
  /** What the method returned, or the response. */
  readonly result?: unknown;
  /** What it threw. */
  readonly error?: FarError;
}

interface FarError {
  readonly kind: string;
  readonly code: string;
  readonly message: string;
}

/** Says that a call may be made again, if the process that has it ends. */
export const repeatableHeader = "x-repeatable";
/** Says how often it was made. */
export const attemptsHeader = "x-attempts";

/** As bytes. */
export function encode(
  message: FarCall | FarAnswer,
): Uint8Array<ArrayBuffer> {
  return new Uint8Array(serialize(message));
}

/** From bytes. */
export function decode<T extends FarCall | FarAnswer>(bytes: Uint8Array): T {
  return deserialize(bytes);
}

/** An error as it is sent. */
export function writeError(error: unknown): FarError {
  const { name: kind, message } = error as Error;
  return { kind, message, code: String((error as { code?: unknown }).code) };
}

/** The same error. */
export function readError({ kind, code, message }: FarError): Error {
  if (kind === "RaftError") {
    return new RaftError(code as RaftErrorCode, message);
  }
  if (kind === "CommandError") {
    return new CommandError(code as CommandError["code"], message);
  }
  if (kind === "RangeError") return new RangeError(message);
  if (kind === "TypeError") return new TypeError(message);
  return new Error(`${kind}: ${message}`);
}
