/** The page's routes: what is open, who is signed in, and what a page of somebody else cannot do (M13). */
import { assert } from "../deps.ts";
import type { Master } from "../../master/server.ts";
import { documentText } from "../../master/page/document.ts";
import { scriptText } from "../../master/page/script.ts";
import { textScript } from "../../master/page/script_text.ts";
import {
  cookieHeader,
  sessionMs,
  Sessions,
} from "../../master/page/session.ts";
import { cluster, report, withStore } from "./fixtures.ts";
import { masterOver } from "./instances.ts";

const token = "a-token-of-nodehosts-and-those-who-look";
const operatorToken = "a-token-of-operators-and-nobody-else-at-all";
const files = ["/", "/page.css", "/page.js", "/icon.svg"];

function post(
  master: Master,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Response | Promise<Response> {
  return master.request(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
  });
}

async function cookieOf(master: Master, given: string): Promise<string> {
  const response = await post(master, "/v1/session", { token: given });
  assert.equal(response.status, 200);
  await response.body?.cancel();
  return response.headers.get("set-cookie")!.split(";")[0]!;
}

async function codeOf(
  response: Response | Promise<Response>,
): Promise<[number, string]> {
  const { status, code } = await (await response).json();
  assert.equal(status, (await response).status);
  return [status, code];
}

Deno.test("The page's files are open, cost no read, and load and run nothing but themselves (M13)", async () => {
  await withStore(async (store, kv) => {
    const master = masterOver({ store, token });
    for (const path of files) {
      const response = await master.request(path);
      assert.equal(response.status, 200, path);
      const policy = response.headers.get("content-security-policy")!;
      assert.match(policy, /^default-src 'none'; script-src 'self';/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.match(policy, /require-trusted-types-for 'script'/);
      assert.ok(!policy.includes("unsafe"));
      assert.equal(response.headers.get("x-content-type-options"), "nosniff");
      await response.body?.cancel();
      const etag = response.headers.get("etag")!;
      const again = await master.request(path, {
        headers: { "if-none-match": etag },
      });
      assert.equal(again.status, 304);
      const wrong = await master.request(path, { method: "POST" });
      assert.equal(wrong.status, 405);
      await wrong.body?.cancel();
    }
    assert.deepEqual(
      [kv.counts.get, kv.counts.getMany, kv.counts.list, kv.counts.commit],
      [0, 0, 0, 0],
    );
  });
});

Deno.test("The page's document has no inline script, style or handler, and its script makes no markup of text (M13)", () => {
  assert.ok(
    !/ on[a-z]+=| style=|<style|<script>|javascript:/i.test(documentText),
  );
  for (const [, url] of documentText.matchAll(/(?:src|href)="([^"]*)"/g)) {
    assert.match(url!, /^[a-z]+\.[a-z]+$/, "it loads nothing from elsewhere");
  }
  assert.ok(
    !/innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function/
      .test(scriptText),
  );
  const urls = [...scriptText.matchAll(/https?:\/\/[^"]+/g)].map(([url]) =>
    url
  );
  assert.deepEqual(urls, ["http://www.w3.org/2000/svg"]);
  new Function(scriptText); // It can be parsed.
});

Deno.test("Names of NodeHosts are shortened by what all have in common, and never to something else", () => {
  const names = ["commonEnd", "commonStart", "withShortIds"];
  const script = new Function(`${textScript}return { ${names.join()} };`);
  const { commonEnd, commonStart, withShortIds } = script() as {
    commonEnd(addresses: string[]): string;
    commonStart(addresses: string[]): string;
    withShortIds(text: string): string;
  };
  const ends: [string[], string][] = [
    [["a.example.net:7001", "b.example.net:7001"], ".example.net:7001"],
    [["a-1.example.net:7001", "b-1.example.net:7002"], ""],
    [["a.x.net:7001", "b.y.net:7001"], ".net:7001"],
    // Of numbers only the port: the rest of an address may be another's.
    [["10.0.0.1:7001", "10.0.1.1:7001"], ":7001"],
    [["[fe80::1]:7001", "[fe80::2:1]:7001"], ":7001"],
    [["10.0.0.1:7001", "a.example.net:7001"], ":7001"],
    [["x.example.net:7001", "example.net:7001"], ".net:7001"],
    // Nothing would be left of one of them.
    [["a.b:7001", "b:7001"], ":7001"],
    [["only.example.net:7001"], ""],
    [[], ""],
  ];
  for (const [addresses, end] of ends) {
    assert.equal(commonEnd(addresses), end, addresses.join());
  }
  const loopback = ["127.0.0.1:7001", "127.0.0.1:7002"];
  assert.equal(commonStart(loopback), "127.0.0.1");
  assert.equal(commonStart([...loopback, "127.0.0.2:7003"]), "");
  assert.equal(commonStart(["127.0.0.1:7001"]), "");
  assert.equal(commonStart([]), "");
  assert.equal(
    withShortIds("node 4334559652194468 comes, node 12 goes"),
    "node …4468 comes, node 12 goes",
  );
});

Deno.test("A session stands for the token, for looking or for commands, and a reader's gives none (M13)", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store, token, operatorToken });
    await store.report(report(1));
    const roleOf = async (cookie: string) => {
      const headers = { cookie };
      const response = await master.request("/v1/session", { headers });
      return (await response.json()).role;
    };
    const reader = await cookieOf(master, token);
    const operator = await cookieOf(master, operatorToken);
    assert.deepEqual(await Promise.all(["", reader, operator].map(roleOf)), [
      null,
      "reader",
      "operator",
    ]);
    for (const cookie of [reader, operator]) {
      for (const path of ["/v1/board", "/v1/nodehosts", "/v1/events"]) {
        const response = await master.request(path, { headers: { cookie } });
        assert.equal(response.status, 200, path);
        await response.body?.cancel();
      }
    }
    const drain = (cookie: string, headers = {}) =>
      post(master, "/v1/nodehosts/host-1/drain", {}, { cookie, ...headers });
    assert.deepEqual(await codeOf(drain(reader)), [403, "not-an-operator"]);
    assert.deepEqual(await codeOf(drain("")), [401, "unauthorized"]);
    const done = await drain(operator, { "sec-fetch-site": "same-origin" });
    assert.equal((await done.json()).drain, true);
    // What a browser keeps is of no use to report with.
    const reported = await post(master, "/v1/report", report(2), {
      cookie: operator,
    });
    assert.deepEqual(await codeOf(reported), [401, "unauthorized"]);
  });
});

Deno.test("A page of somebody else can neither sign in nor command with a browser's cookie (M13)", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store, token, operatorToken });
    await store.report(report(1));
    const cookie = await cookieOf(master, operatorToken);
    const foreign: Record<string, string>[] = [
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { origin: "https://elsewhere.example" },
      { origin: "null" },
    ];
    for (const headers of foreign) {
      const refused = [403, "foreign-origin"];
      const drain = post(master, "/v1/nodehosts/host-1/drain", {}, {
        cookie,
        ...headers,
      });
      assert.deepEqual(await codeOf(drain), refused);
      const session = post(master, "/v1/session", { token }, headers);
      assert.deepEqual(await codeOf(session), refused);
    }
    // What ends TLS in front of a master hides the scheme.
    const behind = await post(master, "/v1/pause", {}, {
      cookie,
      origin: "https://localhost",
    });
    assert.equal(behind.status, 200);
    await behind.body?.cancel();
    const form = await master.request("/v1/nodehosts/host-1/drain", {
      method: "POST",
      body: "{}",
      headers: { cookie, "content-type": "text/plain" },
    });
    assert.deepEqual(await codeOf(form), [415, "unsupported-type"]);
  });
});

Deno.test("Signing in with anything but a token is refused, and reads no store (M12, M13)", async () => {
  await withStore(async (store, kv) => {
    const master = masterOver({ store, token, operatorToken });
    const cases: [unknown, [number, string]][] = [
      [{ token: `${token}x` }, [401, "unauthorized"]],
      [{ token: "" }, [401, "unauthorized"]],
      [{ token: 1 }, [400, "bad-request"]],
      [null, [400, "bad-request"]],
      [{}, [400, "bad-request"]],
      [{ token: "x".repeat(5_000) }, [413, "too-large"]],
    ];
    for (const [body, expected] of cases) {
      const response = await post(master, "/v1/session", body);
      assert.equal(response.headers.get("set-cookie"), null);
      assert.deepEqual(await codeOf(response), expected);
    }
    const { get, getMany, list, commit } = kv.counts;
    assert.deepEqual([get, getMany, list, commit], [0, 0, 0, 0]);
  });
});

Deno.test("A cookie is signed, ends after 12 hours, and is void when its token is (M13)", () => {
  const tokens = { readers: [token], operators: [operatorToken] };
  const startMs = 1_000_000;
  let nowMs = startMs;
  const sessions = new Sessions(tokens, () => nowMs);
  const { value, session } = sessions.signIn(operatorToken)!;
  assert.equal(session.role, "operator");
  const check = (text: string, by = sessions) =>
    by.check(`a=b; drakkar=${text}`)?.role;
  assert.equal(check(value), "operator");
  nowMs = startMs + sessionMs - 1;
  assert.equal(check(value), "operator");
  nowMs = startMs + sessionMs;
  assert.equal(check(value), undefined);
  nowMs = startMs;
  const [role, expires, signature] = value.split(".") as [
    string,
    string,
    string,
  ];
  const forged = [
    `operator.${expires}.${"0".repeat(64)}`,
    `operator.${Number(expires) + 1}.${signature}`,
    `reader.${expires}.${signature}`,
    `${role}.${expires}`,
    `${role}.${expires}.${signature}0`,
    "",
  ];
  for (const text of forged) assert.equal(check(text), undefined, text);
  const readerValue = sessions.signIn(token)!.value;
  const promoted = readerValue.replace("reader", "operator");
  assert.equal(check(promoted), undefined);
  const later = new Sessions(
    { ...tokens, operators: [`${operatorToken}2`] },
    () => nowMs,
  );
  assert.equal(check(value, later), undefined);
  // While one token replaces another, both are good.
  const both = [`${operatorToken}2`, operatorToken];
  const rotating = new Sessions({ ...tokens, operators: both }, () => nowMs);
  assert.equal(check(value, rotating), "operator");
  assert.equal(sessions.check(undefined), undefined);
});

Deno.test("Over TLS the cookie is bound to the host, and never seen by scripts (M13)", async () => {
  const secure = cookieHeader("value", true);
  assert.match(secure, /^__Host-drakkar=value; Path=\/; Max-Age=43200; /);
  assert.match(secure, /HttpOnly; SameSite=Strict; Secure$/);
  assert.match(cookieHeader("", false), /^drakkar=; Path=\/; Max-Age=0; /);
  await withStore(async (store) => {
    const master = masterOver({ store, token });
    const response = await post(master, "/v1/session", { token }, {
      "x-forwarded-proto": "https",
    });
    await response.body?.cancel();
    assert.match(response.headers.get("set-cookie")!, /^__Host-drakkar=reader/);
    const out = await master.request("/v1/session", { method: "DELETE" });
    assert.match(out.headers.get("set-cookie")!, /^drakkar=; .*Max-Age=0/);
    assert.equal((await out.json()).role, null);
  });
});

Deno.test("Without tokens nobody signs in, and everybody may look and command", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store });
    await store.report(report(1, [cluster(1, 1)]));
    const session = await master.request("/v1/session");
    assert.deepEqual(await session.json(), { role: "operator", isOpen: true });
    const board = await (await master.request("/v1/board")).json();
    assert.equal(board.status.clusters, 1);
    assert.equal(
      board.status.deploymentId,
      (await store.deploymentId()).toString(),
    );
  });
});

Deno.test("Clusters are filtered, searched and paged, and a query that makes no sense is refused", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store });
    const all = Array.from({ length: 30 }, (_, i) => cluster(i + 1, 1));
    await store.report(report(1, all));
    const ask = async (query: string) => {
      const response = await master.request(`/v1/board/clusters?${query}`);
      const { clusters, total } = await response.json();
      return [total, clusters.map(({ id }: { id: number }) => id)];
    };
    assert.deepEqual(await ask("limit=3&offset=2"), [30, [3, 4, 5]]);
    assert.deepEqual(await ask("text=2&limit=3"), [11, [2, 20, 21]]);
    // Of each cluster one of three members runs.
    assert.deepEqual(await ask("state=trouble&limit=1"), [30, [1]]);
    assert.deepEqual(await ask("state=well"), [0, []]);
    assert.deepEqual((await ask("text=host-1&limit=1"))[0], 30);
    assert.deepEqual(await ask("text=nobody"), [0, []]);
    const wrong = [
      "limit=0",
      "limit=201",
      "limit=x",
      "offset=-1",
      "state=fine",
      `text=${"x".repeat(201)}`,
    ];
    for (const query of wrong) {
      const response = master.request(`/v1/board/clusters?${query}`);
      assert.deepEqual(await codeOf(response), [400, "bad-request"], query);
    }
  });
});

Deno.test("What was reported reaches the page as JSON text, never as markup (M13)", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store });
    const region = "<script>alert(1)</script>";
    await store.report(report(1, [], { region }));
    const response = await master.request("/v1/board");
    assert.match(response.headers.get("content-type")!, /^application\/json/);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.equal((await response.json()).hosts.list[0].region, region);
  });
});
