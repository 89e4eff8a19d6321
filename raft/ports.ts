/**
 * The ports of a NodeHost: everything that is not deterministic enters through one of these, so that the
 * whole of a NodeHost runs unchanged on virtual time (`testing/sim`).
 */
import type { Compression } from "../storage/compression.ts";
import type { FileSystem } from "../storage/file_system.ts";
import type { Network } from "./transport/transport.ts";

/** A timer that can be stopped. */
export interface Timer {
  /** Stops the timer; stopping it twice, or after it fired, is fine. */
  cancel(): void;
}

/** Time and the event loop. */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary start, with fractions. */
  now(): number;
  /** Milliseconds since 1970, for people to read. */
  wallTime(): number;
  /** Calls `callback` once after at least `delayMs`. */
  setTimer(delayMs: number, callback: () => void): Timer;
  /** Calls `callback` after pending input was handled: the end of this turn of the event loop. */
  defer(callback: () => void): void;
}

/** Randomness. */
export interface Random {
  /** Fills `bytes` with unpredictable bytes. */
  fill(bytes: Uint8Array): void;
}

/** Where a NodeHost tells what an operator may want to know. Fields are plain values. */
export interface Logger {
  /** Detail for a developer. */
  debug(message: string, fields?: Record<string, unknown>): void;
  /** Normal events. */
  info(message: string, fields?: Record<string, unknown>): void;
  /** Something is wrong and is being dealt with. */
  warn(message: string, fields?: Record<string, unknown>): void;
  /** Something is wrong and needs a person. */
  error(message: string, fields?: Record<string, unknown>): void;
}

/** All ports of a NodeHost. */
export interface Ports {
  /** Files. */
  readonly fileSystem: FileSystem;
  /** Connections. */
  readonly network: Network;
  /** Time. */
  readonly clock: Clock;
  /** Randomness. */
  readonly random: Random;
  /** Packs snapshots and entries; that of `node:zlib` if it is left out. Every member needs the same. */
  readonly compression?: Compression;
  /** A variable of the environment, or `undefined`: also if it may not be read. None is set if it is left out. */
  readonly environment?: (name: string) => string | undefined;
  /** For tests of upgrades: the newest wire version to speak, as an older release does; the newest there is by default. */
  readonly highestWireVersion?: number;
}
