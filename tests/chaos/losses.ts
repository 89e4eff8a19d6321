/**
 * Machines that lose their folder, or find another in its place. Under its old ids a wiped machine must not come back: it
 * has forgotten its votes (rule I2); it is replaced. A copied folder, or one of another address, does not open (rule I4).
 */
import type { CheckName } from "./checks.ts";
import { copyFolder } from "./deps.ts";
import type { Fleet, Machine } from "./fleet.ts";
import { CallFailure } from "./protocol.ts";

/** So long a wiped machine tries to come back. */
const returnMs = 2_500;
/** The network is sound then, so this is plenty. */
const replaceTimeoutMs = 60_000;

/** What is lost, and what is done about it. */
export class Losses {
  readonly #fleet: Fleet;
  readonly #note: (what: string) => void;

  /** `note` gets a line for each step. */
  constructor(fleet: Fleet, note: (what: string) => void) {
    this.#fleet = fleet;
    this.#note = note;
  }

  /** A machine loses its folder. With `returns` it first tries to come back as if nothing had happened. */
  async wipe(machine: Machine, returns: boolean): Promise<void> {
    this.#note(`wipe ${machine.name}`);
    await machine.kill();
    Deno.removeSync(machine.dir!, { recursive: true });
    if (returns) {
      await this.#comeBack(machine);
      await machine.kill();
      Deno.removeSync(machine.dir!, { recursive: true });
    }
    await this.#replace(machine);
  }

  /** A folder that is a copy, or belongs to another address, does not open; the true one does. */
  async strangeFolder(machine: Machine, variant: number): Promise<void> {
    const isCopy = variant < 0.5;
    this.#note(
      `${machine.name} finds ${
        isCopy ? "a copy of" : "another address in"
      } its folder`,
    );
    await machine.kill();
    const original = `${machine.dir}-original`;
    if (isCopy) {
      Deno.renameSync(machine.dir!, original);
      copyFolder(original, machine.dir!);
    }
    machine.spawn();
    const code = await codeOf(
      machine.open(isCopy ? {} : { raftAddress: "127.0.0.1:9" }),
    );
    if (code !== "dirMismatch") {
      this.#fail(
        "a strange folder is refused",
        `${machine.name}, with ${
          isCopy ? "a copy" : "another address"
        }: ${code}`,
      );
    }
    await machine.kill();
    if (isCopy) {
      Deno.removeSync(machine.dir!, { recursive: true });
      Deno.renameSync(original, machine.dir!);
    }
    await machine.start();
  }

  async #comeBack(machine: Machine): Promise<void> {
    machine.spawn();
    await machine.open();
    for (const [clusterId, nodeId] of machine.nodes) {
      const code = await codeOf(
        machine.startNode(clusterId).then(() =>
          machine.call("ready", { clusterId, timeoutMs: returnMs })
        ),
      );
      this.#note(`${machine.name}, wiped, as node ${nodeId}: ${code}`);
      const state = (await machine.call("states", null))
        .find((one) => one.clusterId === clusterId);
      if (code !== "none" && state?.leaderId !== nodeId) continue;
      this.#fail(
        "a wiped folder is refused",
        `${machine.name} is ${
          code === "none" ? "ready" : "the leader"
        } as node ${nodeId} of cluster ${clusterId}`,
      );
    }
  }

  async #replace(machine: Machine): Promise<void> {
    machine.becomeAnother();
    machine.spawn();
    await machine.open();
    for (const [clusterId, nodeId] of [...machine.nodes]) {
      const newNodeId = this.#fleet.newNodeId(clusterId);
      machine.nodes.set(clusterId, newNodeId);
      machine.joined.add(clusterId);
      await machine.startNode(clusterId);
      const { raftAddress: address } = machine;
      const survivor = this.#fleet.carriers(clusterId)[0]!;
      try {
        await survivor.call("replace", {
          clusterId,
          nodeId,
          newNodeId,
          address,
          timeoutMs: replaceTimeoutMs,
        });
        await machine.call("ready", { clusterId, timeoutMs: replaceTimeoutMs });
      } catch (error) {
        this.#fail(
          "a lost machine is replaced",
          `node ${nodeId} of cluster ${clusterId} by ${newNodeId}: ${
            (error as Error).message
          }`,
        );
      }
      this.#note(`node ${nodeId} of cluster ${clusterId} is ${newNodeId} now`);
    }
    machine.isUp = machine.process !== undefined;
  }

  #fail(check: CheckName, message: string): void {
    this.#fleet.report({ check, message });
  }
}

/** The code of the error that a call ends with; `none` if it ends well. */
async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "none";
  } catch (error) {
    if (error instanceof CallFailure) return error.code;
    throw error;
  }
}
