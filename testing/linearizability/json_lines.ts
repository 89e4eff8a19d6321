/**
 * Histories as text, one operation on a line, so that another program can read them: `tests/porcupine/` has one in Go
 * that hands them to porcupine.
 *
 * ```text
 * {"model":"register","operations":2}
 * {"client":1,"call":0,"return":10,"input":{"op":"write","value":1},"output":null}
 * {"client":2,"call":5,"return":null,"input":{"op":"read"}}
 * ```
 *
 * The first line names the model and says how many operations follow; histories may stand behind each other in one
 * file. `return` is null if the outcome is unknown.
 */
import type { Operation } from "./model.ts";

/** Writes a history. Inputs and outputs must be what JSON can say. */
export function formatHistory(
  modelName: string,
  history: readonly Operation<unknown, unknown>[],
): string {
  const lines = [
    JSON.stringify({ model: modelName, operations: history.length }),
  ];
  for (const operation of history) {
    lines.push(JSON.stringify({
      client: operation.client ?? 0,
      call: operation.call,
      return: operation.return ?? null,
      input: operation.input,
      output: operation.output,
    }));
  }
  return lines.join("\n") + "\n";
}

/**
 * Reads what {@link formatHistory} wrote: any number of histories. What the inputs and outputs are is not checked.
 *
 * @throws {SyntaxError} if the text is something else
 */
export function parseHistory(text: string): {
  readonly model: string;
  readonly operations: readonly Operation<unknown, unknown>[];
}[] {
  const lines = text.split("\n").filter((line) => line !== "");
  const histories = [];
  for (let at = 0; at < lines.length;) {
    const { model, operations: count } = JSON.parse(lines[at++]!);
    if (typeof model !== "string" || !Number.isSafeInteger(count)) {
      throw new SyntaxError(
        `Cannot read line ${at} of a history: it names no model and number of operations`,
      );
    }
    if (count < 0 || count > lines.length - at) {
      throw new SyntaxError(
        `Cannot read a history of ${count} operations: ${
          lines.length - at
        } lines follow`,
      );
    }
    const operations = lines.slice(at, at += count).map(parseOperation);
    histories.push({ model, operations });
  }
  return histories;
}

function parseOperation(line: string): Operation<unknown, unknown> {
  const { client, call, input, output, return: returned } = JSON.parse(line);
  if (returned === null) return { client, input, call };
  return { client, input, output, call, return: returned };
}
