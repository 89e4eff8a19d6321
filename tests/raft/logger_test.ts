import { assert } from "../deps.ts";
import {
  consoleLogger,
  harmless,
  jsonLogger,
  type LogLevel,
  textLogger,
  withLevel,
} from "../../raft/logger.ts";
import { Notices } from "../../raft/transport/notices.ts";
import { KeptLog } from "../support/hosts.ts";

const levels: LogLevel[] = ["debug", "info", "warn", "error"];

Deno.test("jsonLogger() writes one object a line, whatever the fields are", () => {
  const lines: string[] = [];
  const logger = jsonLogger({ write: (line) => lines.push(line) });
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  logger.warn("a\nb", {
    big: 7n,
    deep: { big: 8n, list: [1, "x"] },
    error: new Error("it broke"),
    nothing: undefined,
    circle,
    level: "mine",
    message: "mine",
  });
  logger.error("no fields");
  assert.ok(!lines[0]!.includes("\n"));
  const { time, error, ...rest } = JSON.parse(lines[0]!);
  assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.match(error, /it broke/);
  assert.deepEqual(rest, {
    level: "warn",
    message: "a\nb",
    big: "7",
    deep: { big: "8", list: [1, "x"] },
    circle: "[object Object]",
  });
  assert.equal(JSON.parse(lines[1]!).level, "error");
});

Deno.test("textLogger() writes a line for people", () => {
  const lines: string[] = [];
  const logger = textLogger({ write: (line) => lines.push(line) });
  logger.info("a node stopped", {
    clusterId: 1,
    error: new Error("x\ny"),
    none: undefined,
  });
  assert.deepEqual(lines, ["drakkar: a node stopped clusterId=1 error=x\\ny"]);
});

Deno.test("A logger of a level takes that level and what matters more", () => {
  for (const [i, level] of levels.entries()) {
    for (const make of [jsonLogger, textLogger]) {
      const taken: LogLevel[] = [];
      const logger = make({ level, write: (_, of) => taken.push(of) });
      for (const of of levels) logger[of]("x");
      assert.deepEqual(taken, levels.slice(i));
    }
  }
  const kept = new KeptLog();
  const logger = withLevel("error", kept);
  logger.warn("quiet");
  logger.error("loud", { n: 1 });
  assert.deepEqual(kept.lines, ["error loud n=1"]);
  assert.throws(() => withLevel("loud" as LogLevel, kept), TypeError);
  consoleLogger.info("dropped");
});

Deno.test("harmless() does not let a logger that throws get in the way", () => {
  const broken = textLogger({
    level: "debug",
    write: () => {
      throw new Error("no room");
    },
  });
  assert.throws(() => broken.debug("x"));
  for (const level of levels) harmless(broken)[level]("x");
});

Deno.test("Notices.limited() tells a warning about a cluster once a minute, and all the rest as it is", () => {
  const kept = new KeptLog();
  let now = 0;
  const clock = {
    now: () => now,
    wallTime: () => now,
    setTimer: () => ({ cancel: () => {} }),
    defer: () => {},
  };
  const logger = new Notices(kept, clock).limited(kept);
  for (let i = 0; i < 3; i++) {
    logger.warn("again", { clusterId: 1 });
    logger.info("always");
  }
  logger.warn("again", { clusterId: 2 });
  now = 60_000;
  logger.warn("again", { clusterId: 1 });
  assert.deepEqual(kept.lines.filter((line) => line.startsWith("warn")), [
    "warn again clusterId=1",
    "warn again clusterId=2 suppressed=2",
    "warn again clusterId=1",
  ]);
  assert.equal(kept.lines.length, 6);
});
