/**
 * Exports on a schedule (M11): a store that is lost is lost with all decisions, so a copy lies elsewhere. To a folder,
 * where the last ones are kept, or to an address, which is sent each of them with PUT.
 */
import { reasonOf } from "./redact.ts";
import type { MasterClock } from "./system.ts";

/** Copies that a folder keeps. */
const keptMax = 14;
const namePattern = /^drakkar-[0-9TZ-]+\.ndjson$/;

/** What is exported, and where to. */
export interface ExportSchedule {
  /** Gives all state, line by line. */
  readonly store: { exportLines(): AsyncIterable<string> };
  /** A folder that exists, or an `https:` or `http:` URL. */
  readonly to: string;
  /** Bearer token for the address. */
  readonly token?: string | undefined;
  /** Milliseconds from the end of one to the beginning of the next. */
  readonly everyMs: number;
  /** Time. */
  readonly clock: MasterClock;
  /** Is told what went wrong; the next one is made all the same. */
  readonly onFailure: (why: string) => void;
}

/** Makes a copy, and then one each period, until it is stopped. */
export function startExports(schedule: ExportSchedule): { stop(): void } {
  const { clock, everyMs } = schedule;
  let isStopped = false;
  let timer: { cancel(): void } | undefined;
  const run = async () => {
    await exportOnce(schedule);
    if (!isStopped) timer = clock.setTimer(everyMs, () => void run());
  };
  void run();
  return {
    stop() {
      isStopped = true;
      timer?.cancel();
    },
  };
}

/** Makes one copy. What goes wrong is told to `onFailure`. */
export async function exportOnce(
  schedule: Omit<ExportSchedule, "everyMs">,
): Promise<void> {
  const { to, onFailure } = schedule;
  try {
    if (/^https?:/.test(to)) await send(schedule);
    else await save(schedule);
  } catch (error) {
    onFailure(`Cannot export to ${withoutSecrets(to)}: ${reasonOf(error)}`);
  }
}

/** What is in an address beside its host and path may be a secret. */
function withoutSecrets(to: string): string {
  if (!URL.canParse(to)) return to;
  const { origin, pathname } = new URL(to);
  return `${origin}${pathname}`;
}

async function save(
  { store, to, clock }: Omit<ExportSchedule, "everyMs">,
): Promise<void> {
  const time = new Date(clock.wallTime()).toISOString();
  const path = `${to}/drakkar-${time.replaceAll(/[:.]/g, "-")}.ndjson`;
  // Aside first: what bears the name is whole.
  const aside = `${path}.new`;
  const file = await Deno.open(aside, {
    write: true,
    create: true,
    truncate: true,
    mode: 0o600,
  });
  try {
    for await (const bytes of bytesOf(store)) {
      for (let at = 0; at < bytes.length;) {
        at += await file.write(bytes.subarray(at));
      }
    }
    await file.sync();
  } finally {
    file.close();
  }
  await Deno.rename(aside, path);
  const names: string[] = [];
  for await (const { name } of Deno.readDir(to)) {
    if (namePattern.test(name)) names.push(name);
  }
  for (const name of names.sort().slice(0, -keptMax)) {
    await Deno.remove(`${to}/${name}`);
  }
}

async function send(
  { store, to, token }: Omit<ExportSchedule, "everyMs">,
): Promise<void> {
  const response = await fetch(to, {
    method: "PUT",
    headers: {
      "content-type": "application/x-ndjson",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: bytesOf(store),
    redirect: "manual",
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`the status is ${response.status}`);
}

function bytesOf(
  store: ExportSchedule["store"],
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  const lines = store.exportLines()[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await lines.next();
      if (done === true) controller.close();
      else controller.enqueue(encoder.encode(`${value}\n`));
    },
    async cancel() {
      await lines.return?.();
    },
  });
}
