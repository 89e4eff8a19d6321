/**
 * Who may do what (M12, M13). Everything is decided from the request and the tokens in the environment: whoever is
 * turned away costs the store nothing.
 *
 * A token comes as a bearer. A NodeHost with a secret of its own gets a ticket for it, which is signed with a token and so
 * is void when that is: from then on it needs no token, and a stranger without a ticket costs nothing. At a browser a
 * cookie stands for the token (`page/session.ts`); nobody reports with one.
 */
import { TokenCheck } from "./auth.ts";
import type { Context } from "./deps.ts";
import { problem } from "./http.ts";
import { type Role, Sessions } from "./page/session.ts";
import { hashSecret, isSecret } from "./wire/mod.ts";

/** Who may call a route: everybody; those who look; those and NodeHosts with a ticket; operators. */
export type Access = "open" | "reader" | "nodehost" | "operator";

/** Tokens. */
export interface GateOptions {
  /** Of NodeHosts, and of people who look. */
  readonly token?: string | readonly string[] | undefined;
  /** Of operators. */
  readonly operatorToken?: string | readonly string[] | undefined;
  /** Milliseconds since 1970, by which sessions end. */
  readonly now: () => number;
}

/** Decides about requests. */
export class Gate {
  readonly #readers: TokenCheck;
  readonly #operators: TokenCheck;
  /** Without any token everybody may do everything. */
  readonly isOpen: boolean;
  /** Who is signed in at a browser. */
  readonly sessions: Sessions;

  /**
   * Without tokens everybody may do everything; with `token` alone, nobody gives commands.
   *
   * @throws {RangeError} if a token is too short to be a secret.
   */
  constructor({ token, operatorToken, now }: GateOptions) {
    const readers = [token ?? []].flat();
    const operators = [operatorToken ?? []].flat();
    this.#readers = new TokenCheck(readers);
    this.#operators = new TokenCheck(operators);
    this.sessions = new Sessions({ readers, operators }, now);
    this.isOpen = this.#readers.isEmpty && this.#operators.isEmpty;
  }

  /** The answer to whoever may not, or `undefined`. */
  refuse(context: Context, access: Access): Response | undefined {
    if (access === "open" || this.isOpen) return undefined;
    if (access === "nodehost" && this.nodeHostOf(context) !== undefined) {
      return undefined;
    }
    const role = access === "nodehost"
      ? this.#bearerRole(context)
      : this.roleOf(context);
    if (role === "operator") return undefined;
    if (access !== "operator" && role !== undefined) return undefined;
    if (role === undefined) return unauthorized();
    const what = "Commands want an operator's token; this one only reports";
    return problem(403, "not-an-operator", what);
  }

  /** A page of somebody else must not give commands with a browser's credentials (M13). */
  refuseForeign(context: Context): Response | undefined {
    const site = context.req.header("sec-fetch-site");
    const origin = context.req.header("origin");
    // Where the browser says it, it is so: what stands in front of a master may call that by another name.
    const isForeign = site !== undefined
      ? site !== "same-origin" && site !== "none"
      : origin !== undefined && !isOwn(origin, context);
    if (!isForeign) return undefined;
    return problem(403, "foreign-origin", "Commands come from the same origin");
  }

  /** What the caller may do. */
  roleOf(context: Context): Role | undefined {
    return this.#bearerRole(context) ??
      this.sessions.check(context.req.header("cookie"))?.role;
  }

  #bearerRole(context: Context): Role | undefined {
    if (this.isOpen) return "operator";
    const header = context.req.header("authorization");
    if (this.#operators.isBearer(header)) return "operator";
    return this.#readers.isBearer(header) ? "reader" : undefined;
  }

  // ---- NodeHosts ----

  /** What a NodeHost with this secret shows from now on in place of a token; `undefined` where there are no tokens. */
  ticketFor(nodeHostId: string, secret: string): string | undefined {
    if (this.isOpen) return undefined;
    return `${this.#signer.sign(ticketText(nodeHostId, secret))}.${nodeHostId}`;
  }

  /** The NodeHost whose valid ticket a request has, with the secret that goes with it. */
  nodeHostOf(context: Context): string | undefined {
    const header = context.req.header("authorization") ?? "";
    const match = /^nodehost +([0-9a-f]{64})\.([\x21-\x7e]{1,128})$/i.exec(
      header,
    );
    const secret = context.req.header("x-drakkar-secret");
    if (match === null || secret === undefined || !isSecret(secret)) {
      return undefined;
    }
    const [, mac, nodeHostId] = match;
    const text = ticketText(nodeHostId!, secret);
    const isRight = this.#operators.isSigned(text, mac!.toLowerCase()) ||
      this.#readers.isSigned(text, mac!.toLowerCase());
    return isRight ? nodeHostId : undefined;
  }

  /** Operators' tokens never leave masters; where there are none, the other one must do. */
  get #signer(): TokenCheck {
    return this.#operators.isEmpty ? this.#readers : this.#operators;
  }
}

function ticketText(nodeHostId: string, secret: string): string {
  return `nodehost ${nodeHostId} ${hashSecret(secret)}`;
}

function unauthorized(): Response {
  const refused = problem(
    401,
    "unauthorized",
    "A bearer token is wanted",
  );
  refused.headers.set("www-authenticate", "Bearer");
  return refused;
}

/** The scheme is left out: in front of a master there may be what does TLS for it. */
function isOwn(origin: string, context: Context): boolean {
  if (!URL.canParse(origin)) return false;
  const { host } = new URL(context.req.url);
  return new URL(origin).host === host;
}
