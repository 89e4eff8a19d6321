/**
 * A process with masters, on the edge's Deno and with the permissions that they have there: it does what tests elsewhere
 * ask for (`far_call.ts`), on the database in `DRAKKAR_TEST_KV`. Its first line of output is its address. SIGINT lets it
 * finish what it has begun, as a master does.
 */
// deno-lint-ignore-file no-console -- a program that is started from the command line
import { openDenoKv } from "../../master/kv.ts";
import { KvStore, type KvStoreOptions } from "../../master/kv_store.ts";
import { createMaster, type Master } from "../../master/server.ts";
import { systemClock } from "../../master/system.ts";
import { FaultyKv } from "../master/fixtures.ts";
import { PrefixedKv } from "../master/instances.ts";
import {
  decode,
  encode,
  type FarAnswer,
  type FarCall,
  type FarRequest,
  type FarResponse,
  writeError,
} from "./far_call.ts";

const shared = await openDenoKv(Deno.env.get("DRAKKAR_TEST_KV"));

/** What a test has here. */
class Room {
  readonly kv: FaultyKv;
  nowMs: number | undefined;
  #logs: FarAnswer["logs"][number][] = [];
  readonly #stores = new Map<string, KvStore>();
  readonly #masters = new Map<string, Master>();

  constructor(name: string) {
    this.kv = new FaultyKv(new PrefixedKv(shared, name));
  }

  async do(call: FarCall): Promise<FarAnswer> {
    this.nowMs = call.nowMs;
    if (call.faults.length > 0) this.kv.faults = [...call.faults];
    const { commitMs } = call;
    this.kv.beforeCommit = commitMs === 0 ? undefined : () => {
      this.nowMs = (this.nowMs ?? 0) + commitMs;
      return Promise.resolve();
    };
    let outcome: Pick<FarAnswer, "result" | "error">;
    try {
      outcome = { result: await this.#work(call) };
    } catch (error) {
      outcome = { error: writeError(error) };
    }
    const counts = { ...this.kv.counts };
    Object.assign(this.kv.counts, {
      get: 0,
      getMany: 0,
      list: 0,
      commit: 0,
      set: 0,
    });
    const logs = this.#logs;
    this.#logs = [];
    const { faults } = this.kv;
    return { nowMs: this.nowMs ?? 0, faults, counts, logs, ...outcome };
  }

  async #work({ store: options, work }: FarCall): Promise<unknown> {
    const store = this.#storeOf(options);
    if (work.kind === "request") return await this.#answer(options, work);
    if (work.name === "exportLines") {
      return await Array.fromAsync(store.exportLines());
    }
    const method = Reflect.get(store, work.name, store);
    return await method.apply(store, work.args);
  }

  #storeOf(options: FarCall["store"]): KvStore {
    const key = JSON.stringify(options);
    let store = this.#stores.get(key);
    if (store === undefined) {
      const clock: KvStoreOptions["clock"] = {
        wallTime: () => this.nowMs ?? Date.now(),
        setTimer: systemClock.setTimer,
      };
      store = new KvStore({ ...options, kv: this.kv, clock });
      this.#stores.set(key, store);
    }
    return store;
  }

  async #answer(
    storeOptions: FarCall["store"],
    request: FarRequest,
  ): Promise<FarResponse> {
    const master = this.#masterOf(storeOptions, request);
    if (request.isClosed) master.close();
    const { url, method, headers, body } = request;
    const response = await master.fetch(
      new Request(url, {
        method,
        headers: [...headers],
        ...(body === undefined ? {} : { body: new Uint8Array(body) }),
      }),
    );
    return {
      status: response.status,
      headers: [...response.headers],
      body: method === "HEAD" ? new Uint8Array() : await response.bytes(),
    };
  }

  #masterOf(storeOptions: FarCall["store"], { master }: FarRequest): Master {
    const key = JSON.stringify([storeOptions, master]);
    let known = this.#masters.get(key);
    if (known === undefined) {
      const note = (level: FarAnswer["logs"][number][0]) =>
      (
        message: string,
        fields?: Record<string, unknown>,
      ) =>
        void this.#logs.push([
          level,
          message,
          JSON.parse(JSON.stringify(fields ?? {})),
        ]);
      known = createMaster({
        ...master,
        store: this.#storeOf(storeOptions),
        logger: {
          debug: note("debug"),
          info: note("info"),
          warn: note("warn"),
          error: note("error"),
        },
      });
      this.#masters.set(key, known);
    }
    return known;
  }
}

const rooms = new Map<string, Room>();

async function answer(request: Request): Promise<Response> {
  const call = decode<FarCall>(await request.bytes());
  let room = rooms.get(call.room);
  if (room === undefined) rooms.set(call.room, room = new Room(call.room));
  return new Response(encode(await room.do(call)));
}

const server = Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(`http://127.0.0.1:${port}`),
}, answer);
Deno.addSignalListener("SIGINT", () => void server.shutdown());
await server.finished;
Deno.exit(0);
