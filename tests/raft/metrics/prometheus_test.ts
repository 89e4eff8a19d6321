import { assert } from "../../deps.ts";
import type { Metric } from "../../../raft/metrics/host_metrics.ts";
import { prometheus } from "../../../raft/metrics/prometheus.ts";
import { Hosts } from "../../support/hosts.ts";

/** Reads a page as Prometheus does, and fails on what it would not take. Returns the values by series. */
function parse(page: string): Map<string, number> {
  assert.ok(page.endsWith("\n"), "the last line must end");
  const series = new Map<string, number>();
  const types = new Map<string, string>();
  let family = "";
  for (const line of page.split("\n").slice(0, -1)) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(
      line,
    );
    if (comment !== null) {
      const [, kind, name, rest] = comment;
      if (kind === "HELP") {
        assert.ok(!types.has(name!), `${name} comes in one piece`);
        family = name!;
      } else {
        assert.equal(name, family, "TYPE follows HELP");
        assert.match(rest!, /^(counter|gauge|histogram)$/);
        types.set(name!, rest!);
      }
      continue;
    }
    const sample =
      /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (\S+)$/
        .exec(line);
    assert.ok(sample !== null, `not a sample: ${line}`);
    const [, name, labels = "", value] = sample;
    const base = types.get(family) === "histogram"
      ? name!.replace(/_(bucket|sum|count)$/, "")
      : name;
    assert.equal(base, family, `${name} stands below its own TYPE`);
    const key = name + labels;
    assert.ok(!series.has(key), `${key} twice`);
    assert.ok(Number.isFinite(Number(value)), `${key} is ${value}`);
    series.set(key, Number(value));
  }
  return series;
}

Deno.test("prometheus() makes a page that Prometheus can read, with what happened in it", async () => {
  await using hosts = await Hosts.started(3);
  const leader = hosts.host(hosts.leader());
  for (let i = 0; i < 5; i++) {
    await Promise.all(
      Array.from({ length: 20 }, () => leader.propose(1, new Uint8Array([1]))),
    );
  }
  await leader.read(1, "total");
  const series = parse(prometheus(leader));
  const value = (name: string) => {
    const found = series.get(name);
    assert.ok(found !== undefined, `there is ${name}`);
    return found;
  };
  assert.equal(value("drakkar_propose_duration_seconds_count"), 100);
  assert.equal(
    value('drakkar_propose_duration_seconds_bucket{le="+Inf"}'),
    100,
  );
  assert.ok(value("drakkar_propose_duration_seconds_sum") > 0);
  assert.ok(value("drakkar_log_sync_duration_seconds_count") > 0);
  assert.ok(value("drakkar_apply_duration_seconds_count") > 0);
  assert.equal(value("drakkar_proposals_total"), 100);
  assert.ok(value("drakkar_entries_applied_total") >= 100);
  assert.ok(value("drakkar_reads_total") >= 1);
  assert.equal(value("drakkar_nodes"), 1);
  assert.equal(value("drakkar_leaders"), 1);
  assert.equal(value("drakkar_links"), 2);
  assert.equal(value('drakkar_proposals_refused_total{reason="busy"}'), 0);
  assert.ok(value("drakkar_messages_sent_total") > 0);
  assert.ok(value("drakkar_received_bytes_total") > 0);
  let before = 0;
  for (const [name, count] of series) {
    if (!name.startsWith("drakkar_apply_duration_seconds_bucket")) continue;
    assert.ok(count >= before, "buckets are cumulative");
    before = count;
  }
});

Deno.test("The number of series does not grow with the number of clusters", async () => {
  await using hosts = new Hosts();
  const host = await hosts.open(1);
  const before = parse(prometheus(host)).size;
  for (let clusterId = 1; clusterId <= 20; clusterId++) {
    await host.startCluster(hosts.cluster(1, 1, { clusterId }));
  }
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => host.waitReady(i + 1)),
  );
  const after = parse(prometheus(host));
  assert.equal(after.size, before);
  assert.equal(after.get("drakkar_leaders"), 20);
});

Deno.test("Counters do not go back when a node leaves", async () => {
  await using hosts = await Hosts.started(3);
  const host = hosts.host(1);
  const ignored = host.metrics.value("drakkar_messages_ignored_total");
  await host.stopCluster(1);
  assert.ok(host.metrics.value("drakkar_messages_ignored_total") >= ignored);
  assert.equal(host.metrics.value("drakkar_nodes"), 0);
  assert.throws(() => host.metrics.value("nothing"), RangeError);
});

Deno.test("prometheus() escapes texts and labels, and refuses labels that are none", () => {
  const metric: Metric = {
    name: "x_total",
    help: "back\\slash\nand line",
    type: "counter",
    unit: "",
    samples: [{ labels: { reason: 'a "b"\\\n' }, value: 1 }],
  };
  const host = { metrics: { snapshot: () => [metric] } };
  assert.equal(
    prometheus(host, { zone: "n" }),
    "# HELP x_total back\\\\slash\\nand line\n" +
      "# TYPE x_total counter\n" +
      'x_total{zone="n",reason="a \\"b\\"\\\\\\n"} 1\n',
  );
  parse(prometheus(host, { zone: '"\\\n' }));
  for (const name of ["", "1a", "a-b", "le"]) {
    assert.throws(() => prometheus(host, { [name]: "" }), RangeError);
  }
});
