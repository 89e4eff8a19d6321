/** Bodies that are read line by line, so that however much is sent, only a line of it is in memory. */
import type { Context } from "../deps.ts";
import { problem } from "../http.ts";
import { InputError } from "./shape.ts";

/** A body of lines that a route takes. */
export interface LinesParts {
  /** Its content type. */
  readonly contentType: string;
  /** Bytes of the whole body at most. */
  readonly maxBytes: number;
  /** Bytes of a line at most. */
  readonly maxLineBytes: number;
}

/** There is more of it than a route takes. */
export class TooLargeError extends Error {
  /** Tells it from other errors. */
  override readonly name = "TooLargeError";
}

/** The lines of the body, which are read as they are asked for, or the answer to a body of another kind. */
export function linesOfBody(
  context: Context,
  parts: LinesParts,
): AsyncIterable<string> | Response {
  const type = (context.req.header("content-type") ?? "").split(";")[0]?.trim()
    .toLowerCase();
  if (type !== parts.contentType) {
    const what = `The body must be ${parts.contentType}`;
    return problem(415, "unsupported-type", what);
  }
  return readLines(context.req.raw.body, parts);
}

async function* readLines(
  body: ReadableStream<Uint8Array> | null,
  { maxBytes, maxLineBytes }: LinesParts,
): AsyncGenerator<string> {
  let total = 0;
  let parts: Uint8Array[] = [];
  let length = 0;
  const add = (part: Uint8Array) => {
    length += part.length;
    if (length > maxLineBytes) {
      throw new TooLargeError(`A line has more than ${maxLineBytes} bytes`);
    }
    if (part.length > 0) parts.push(part);
  };
  const take = (): string => {
    const line = textOf(parts, length);
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of whole(body)) {
    total += chunk.length;
    if (total > maxBytes) {
      throw new TooLargeError(`The body has more than ${maxBytes} bytes`);
    }
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      if (end < 0) break;
      add(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    add(chunk.subarray(start));
  }
  if (length > 0) yield take();
}

/** Whoever sends may end in the middle: that is not a fault of this program. */
async function* whole(
  body: ReadableStream<Uint8Array> | null,
): AsyncGenerator<Uint8Array> {
  const chunks = (body ?? new Blob().stream())[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await nextOf(chunks);
      if (done === true) return;
      yield value;
    }
  } finally {
    await chunks.return?.();
  }
}

async function nextOf(
  chunks: AsyncIterator<Uint8Array>,
): Promise<IteratorResult<Uint8Array>> {
  try {
    return await chunks.next();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InputError(`Cannot read the body: it broke off: ${why}`);
  }
}

function textOf(parts: readonly Uint8Array[], length: number): string {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError("Cannot read the body: a line is not UTF-8");
  }
}
