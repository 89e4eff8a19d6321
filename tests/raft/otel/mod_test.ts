import { assert } from "../../deps.ts";
import {
  type Attributes,
  type Instrument,
  type Meter,
  observe,
  type Observer,
} from "../../../raft/otel/mod.ts";
import { Hosts } from "../../support/hosts.ts";

/** A meter that is read when the test wants it. */
class FakeMeter implements Meter {
  readonly names = new Map<Instrument, string>();
  readonly kinds = new Map<string, string>();
  callback: ((observer: Observer) => void) | undefined;
  instruments: Instrument[] = [];

  createObservableCounter(name: string, options?: { unit?: string }) {
    return this.#make(name, `counter ${options?.unit}`);
  }
  createObservableGauge(name: string, options?: { unit?: string }) {
    return this.#make(name, `gauge ${options?.unit}`);
  }
  addBatchObservableCallback(
    callback: (observer: Observer) => void,
    instruments: Instrument[],
  ): void {
    this.callback = callback;
    this.instruments = instruments;
  }
  removeBatchObservableCallback(callback: (observer: Observer) => void): void {
    assert.equal(callback, this.callback);
    this.callback = undefined;
  }

  collect(): Map<string, number> {
    const values = new Map<string, number>();
    this.callback?.({
      observe: (instrument, value, attributes: Attributes = {}) => {
        assert.ok(this.instruments.includes(instrument), "it was announced");
        const key = `${this.names.get(instrument)} ${
          JSON.stringify(attributes)
        }`;
        assert.ok(!values.has(key), `${key} twice`);
        values.set(key, value);
      },
    });
    return values;
  }

  #make(name: string, kind: string): Instrument {
    assert.ok(!this.kinds.has(name), `${name} twice`);
    this.kinds.set(name, kind);
    const instrument = { addCallback: () => {} };
    this.names.set(instrument, name);
    return instrument;
  }
}

Deno.test("observe() gives every metric to a meter at each collection, until it is ended", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const meter = new FakeMeter();
  const stop = observe(host, { meter, attributes: { host: "a" } });
  const before = meter.collect();
  const key = 'drakkar_proposals_total {"host":"a"}';
  await Promise.all([1, 2, 3].map((n) => host.propose(1, new Uint8Array([n]))));
  const after = meter.collect();
  assert.equal(after.get(key)! - before.get(key)!, 3);
  assert.equal(meter.kinds.get("drakkar_sent_bytes_total"), "counter By");
  assert.equal(meter.kinds.get("drakkar_leaders"), "gauge ");
  assert.equal(after.get('drakkar_leaders {"host":"a"}'), 1);
  const latency = "drakkar_propose_duration_seconds";
  assert.equal(meter.kinds.get(`${latency}_sum`), "counter s");
  assert.ok(after.get(`${latency}_sum {"host":"a"}`)! > 0);
  assert.equal(after.get(`${latency}_count {"host":"a"}`), 3);
  assert.equal(after.get(`${latency}_bucket {"host":"a","le":"+Inf"}`), 3);
  for (const metric of host.metrics.snapshot()) {
    assert.ok(
      [...meter.kinds.keys()].some((name) => name.startsWith(metric.name)),
      metric.name,
    );
  }
  stop();
  assert.equal(meter.collect().size, 0);
});

Deno.test("observe() without an SDK does nothing, and harms nothing", async () => {
  await using hosts = new Hosts();
  observe(await hosts.open(1))();
});
