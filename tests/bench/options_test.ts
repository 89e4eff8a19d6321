import { parseOptions, UsageError } from "../../bench/options.ts";
import { sessionsOf } from "../../bench/throughput.ts";
import { assert } from "../deps.ts";

Deno.test("parseOptions() has the documented defaults", () => {
  assert.deepEqual(parseOptions([], "/from"), {
    mode: "write",
    clusters: 1,
    payload: 16,
    outstanding: 4096,
    seconds: 5,
    count: 5_000_000,
    repeat: 1,
    snapshotEntries: undefined,
    dir: undefined,
    isSecure: false,
    isObserved: false,
    isInSession: false,
    against: undefined,
    isSuite: false,
    isHelp: false,
  });
  const failover = parseOptions(["--mode", "failover"], "/from");
  assert.equal(failover.repeat, 20);
  assert.equal(failover.outstanding, 64);
  assert.equal(
    parseOptions(["--mode=recovery"], "/from").snapshotEntries,
    0,
  );
  assert.equal(parseOptions(["--mode=soak"], "/from").seconds, 300);
  assert.equal(parseOptions(["--mode=overload"], "/from").seconds, 30);
  assert.equal(parseOptions(["--suite"], "/from").repeat, 5);
});

Deno.test("parseOptions() counts a relative --dir from where the command was given", () => {
  assert.equal(parseOptions(["--dir", "x/y"], "/from").dir, "/from/x/y");
  assert.equal(parseOptions(["--dir", "/x/y"], "/from").dir, "/x/y");
});

Deno.test("parseOptions() refuses a flag that the mode would ignore", () => {
  const values: Record<string, string> = {
    clusters: "2",
    payload: "32",
    outstanding: "8",
    seconds: "3",
    count: "1000",
    repeat: "7",
    "snapshot-entries": "100",
    dir: "/x",
  };
  const ignored: Record<string, string[]> = {
    "--mode=write": ["count"],
    "--mode=read": ["count"],
    "--mode=failover": ["clusters", "count"],
    "--mode=recovery": ["seconds"],
    "--mode=soak": ["count", "repeat"],
    "--mode=overload": ["clusters", "count", "repeat"],
    "--suite": ["clusters", "outstanding", "count"],
  };
  for (const [what, names] of Object.entries(ignored)) {
    for (const [name, value] of Object.entries(values)) {
      const parse = () => parseOptions([what, `--${name}=${value}`], "/from");
      if (!names.includes(name)) {
        parse();
        continue;
      }
      const message = `Cannot use --${name}: ${
        what.replace("=", " ")
      } has no use for it`;
      assert.throws(parse, new UsageError(message));
    }
  }
  assert.throws(() => parseOptions(["--count=1"], "/from"), /--mode write has/);
  assert.throws(
    () => parseOptions(["--suite", "--mode=write"], "/from"),
    /^UsageError: Cannot use --mode: --suite has no use for it$/,
  );
});

Deno.test("parseOptions() counts --against from where the command was given, and then measures five pairs", () => {
  const options = parseOptions(["--against", "../before"], "/from/here");
  assert.equal(options.against, "/from/before");
  assert.equal(options.repeat, 5);
  assert.equal(parseOptions(["--against=/x", "--repeat=3"], "/").repeat, 3);
  assert.throws(
    () => parseOptions(["--mode=idle", "--against=/x"], "/"),
    /Cannot use --against: --mode idle has no use for it/,
  );
});

Deno.test("A benchmark as in production has one session in each cluster, with --sessions one for each proposer", () => {
  const options = { isObserved: false, isInSession: false, outstanding: 64 };
  assert.equal(sessionsOf(options), 0);
  assert.equal(sessionsOf({ ...options, isObserved: true }), 1);
  const both = { ...options, isObserved: true, isInSession: true };
  assert.equal(sessionsOf(both), 64);
});

Deno.test("parseOptions() takes --observed and --sessions where they mean something", () => {
  const { isObserved, isInSession } = parseOptions(
    ["--observed", "--sessions"],
    "/from",
  );
  assert.deepEqual([isObserved, isInSession], [true, true]);
  assert.equal(
    parseOptions(["--mode=soak", "--observed"], "/").isObserved,
    true,
  );
  for (const mode of ["read", "soak", "overload", "idle"]) {
    assert.throws(
      () => parseOptions([`--mode=${mode}`, "--sessions"], "/from"),
      new UsageError(
        `Cannot use --sessions: --mode ${mode} has no use for it`,
      ),
    );
  }
  assert.throws(
    () => parseOptions(["--sessions", "--outstanding=4097"], "/from"),
    /--outstanding: "4097" is not an integer from 1 to 4096/,
  );
});

Deno.test("parseOptions() refuses what it cannot use, by name", () => {
  const refused: [string[], RegExp][] = [
    [["--mode", "fly"], /--mode: "fly" is none of write, read/],
    [["--clusters", "0"], /--clusters: "0" is not an integer from 1/],
    [["--clusters=1.5"], /--clusters/],
    [["--payload=-1"], /--payload/],
    [["--payload", "8388609"], /--payload/],
    [["--outstanding="], /--outstanding: ""/],
    [["--outstanding", "1e3"], /--outstanding/],
    [["--seconds", "soon"], /--seconds: "soon"/],
    [["--mode=recovery", "--count=0"], /--count: "0" is not/],
    [["--repeat=0"], /--repeat/],
    [["--snapshot-entries=-1"], /--snapshot-entries/],
    [["--speed", "11"], /--speed/],
    [["write"], /write/],
  ];
  for (const [args, message] of refused) {
    assert.throws(
      () => parseOptions(args, "/from"),
      (error) => error instanceof UsageError && message.test(error.message),
      args.join(" "),
    );
  }
});
