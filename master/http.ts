/** Bodies and answers of the master's HTTP API. */
import type { Context } from "./deps.ts";
import { decodeCbor, encodeCbor } from "./wire/mod.ts";

/** The content types of bodies. */
export const cborType = "application/cbor";
const jsonType = "application/json";

/** An answer in the format that is accepted. */
export function answer(
  context: Context,
  value: Record<string, unknown>,
  status: 200 | 201 = 200,
): Response {
  context.header("cache-control", "no-store");
  context.header("vary", "accept");
  if (wantsCbor(context.req.header("accept") ?? "")) {
    context.header("content-type", cborType);
    return context.body(encodeCbor(value), status);
  }
  return context.json(value, status);
}

/** Whether CBOR is accepted, and not less than JSON (RFC 9110, 12.5.1). Who accepts neither is given JSON. */
export function wantsCbor(accept: string): boolean {
  let cbor = 0;
  let json = 0;
  for (const range of accept.toLowerCase().split(",")) {
    const [type, ...params] = range.split(";").map((part) => part.trim());
    const given = params.find((param) => param.startsWith("q="))?.slice(2);
    const quality = Number(given ?? "1") || 0;
    if (type === cborType) cbor = quality;
    if (type === jsonType) json = quality;
  }
  return cbor > 0 && cbor >= json;
}

/** A refusal (RFC 9457). */
export function problem(
  status: number,
  code: string,
  detail: string,
): Response {
  const title = code.replaceAll("-", " ");
  const body = JSON.stringify({
    type: "about:blank",
    title,
    status,
    code,
    detail,
  });
  return new Response(body, {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
    },
  });
}

/** The refusal of a method. */
export function methodNotAllowed(allowed: string): Response {
  const refused = problem(
    405,
    "method-not-allowed",
    `The methods here are: ${allowed}`,
  );
  refused.headers.set("allow", allowed);
  return refused;
}

/** The value in the body, or the answer to a body that holds none. `code` is that of the refusal. */
export async function readBody(
  context: Context,
  maxBytes: number,
  code: string,
): Promise<{ value: unknown } | Response> {
  const type = (context.req.header("content-type") ?? "").split(";")[0]?.trim()
    .toLowerCase();
  if (type !== cborType && type !== jsonType) {
    const what = `The body must be ${cborType} or ${jsonType}`;
    return problem(415, "unsupported-type", what);
  }
  const bytes = await readBytes(context.req.raw.body, maxBytes);
  if (bytes === undefined) {
    const what = `The body has more than ${maxBytes} bytes`;
    return problem(413, "too-large", what);
  }
  try {
    const value = type === cborType
      ? decodeCbor(bytes)
      : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return { value };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return problem(400, code, reason);
  }
}

/** The whole body; `undefined` if it is longer than `max`, and then the rest of it is not read. */
async function readBytes(
  body: ReadableStream<Uint8Array> | null,
  max: number,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > max) return undefined;
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
