/** The page that a master shows to people. Rendered here, without scripts; everything reported is escaped by `html`. */
import { html } from "./deps.ts";
import type { ClusterSummary, NodeHostSummary } from "./overview.ts";

const shownClusters = 200;

/** Nothing loads but the page's own style sheet, and nothing may frame it. */
export const pagePolicy =
  "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What the page shows. */
export interface PageContent {
  /** The deployment's id. */
  readonly deploymentId: bigint;
  /** All NodeHosts. */
  readonly nodeHosts: readonly NodeHostSummary[];
  /** All clusters. */
  readonly clusters: readonly ClusterSummary[];
  /** A NodeHost that did not report for so long is shown as silent. */
  readonly silentAfterMs: number;
}

type Html = ReturnType<typeof html>;

/** The page. */
export async function renderPage(content: PageContent): Promise<string> {
  const { deploymentId, nodeHosts, clusters, silentAfterMs } = content;
  const page = await html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta http-equiv="refresh" content="10">
        <title>Drakkar master</title>
        <link rel="stylesheet" href="style.css">
      </head>
      <body>
        <header>
          <h1>Drakkar</h1>
          <p>Deployment <code>${deploymentId.toString()}</code></p>
        </header>
        <main>
          <section>
    <h2>NodeHosts <span class="count">${nodeHosts.length}</span></h2>
    ${nodeHostTable(content)}
          </section>
          <section>
    <h2>Clusters <span class="count">${clusters.length}</span></h2>
    ${clusterTable(clusters, silentAfterMs)}
          </section>
        </main>
      </body>
    </html>
  `;
  return page.toString();
}

function nodeHostTable({ nodeHosts, silentAfterMs }: PageContent): Html {
  if (nodeHosts.length === 0) {
    return html`
      <p
        class="empty">No NodeHost has reported yet. Open one with this master's URL in
      <code>masterServers</code> and <code>httpMasterClient()</code> as its <code>masterClientFactory</code>.</p>
    `;
  }
  return html`
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>State</th>
            <th>Address</th>
            <th>Region</th>
            <th>NodeHost</th>
            <th class="number">Clusters</th>
            <th class="number">Leads</th>
            <th class="number">Last heard</th>
          </tr>
        </thead>
        <tbody>
    ${nodeHosts.map((host) => nodeHostRow(host, silentAfterMs))}
        </tbody>
      </table>
    </div>
  `;
}

function nodeHostRow(host: NodeHostSummary, silentAfterMs: number): Html {
  const state = host.replacedBy !== undefined
    ? "replaced"
    : host.ageMs > silentAfterMs
    ? "silent"
    : "ok";
  return html`
    <tr>
      <td data-label="State"><span class="state ${state}">${state}</span></td>
      <td data-label="Address"><code>${host.nodeHostAddress}</code></td>
      <td data-label="Region">${host.region || "–"}</td>
      <td data-label="NodeHost"><code class="id">${host.nodeHostId}</code></td>
      <td data-label="Clusters" class="number">${host.clusters.length}</td>
      <td data-label="Leads" class="number">${host.leaders.length}</td>
      <td data-label="Last heard" class="number">${ageText(host.ageMs)}</td>
    </tr>
  `;
}

function clusterTable(
  clusters: readonly ClusterSummary[],
  silentAfterMs: number,
): Html {
  if (clusters.length === 0) {
    return html`<p class="empty">No cluster has been reported yet.</p>`;
  }
  const more = clusters.length - shownClusters;
  return html`
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th class="number">Cluster</th>
            <th>State</th>
            <th>Leader</th>
            <th>Members</th>
            <th class="number">Changed at</th>
          </tr>
        </thead>
        <tbody>
    ${clusters.slice(0, shownClusters)
      .map((cluster) => clusterRow(cluster, silentAfterMs))}
        </tbody>
      </table>
    </div>
    ${more > 0 ? html`<p class="empty">and ${more} more</p>` : ""}
  `;
}

function clusterRow(cluster: ClusterSummary, silentAfterMs: number): Html {
  const { leader, members } = cluster;
  const shown = Object.entries(members).map(([nodeId, address]) => {
    const isHeard = cluster.nodes.some((node) =>
      node.nodeId === Number(nodeId) && node.ageMs <= silentAfterMs
    );
    return memberItem(`${nodeId} at ${address}`, isHeard);
  });
  const leaderText = leader === null
    ? "none"
    : members[leader.nodeId] ?? `node ${leader.nodeId}`;
  const changed = cluster.configChangeIndex === 0
    ? ""
    : String(cluster.configChangeIndex);
  return html`
    <tr>
      <td data-label="Cluster" class="number">${cluster.clusterId}</td>
      <td data-label="State">
        <span class="state ${cluster.life}">${cluster.life}</span>
      </td>
      <td data-label="Leader"><code>${leaderText}</code></td>
      <td data-label="Members">
        <ul>${shown.length > 0 ? shown : "not reported yet"}</ul>
      </td>
      <td data-label="Changed at" class="number">${changed}</td>
    </tr>
  `;
}

/** A member; nobody has heard lately of the NodeHost that carries one that is silent. */
function memberItem(text: string, isHeard: boolean): Html {
  return isHeard
    ? html`<li>${text}</li>`
    : html`<li>${text} <span class="state silent">silent</span></li>`;
}

function ageText(ageMs: number): string {
  const seconds = Math.round(ageMs / 1_000);
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

/** The page's style sheet. */
export const styleSheet = `:root {
  color-scheme: light dark;
  --ink: light-dark(#1d2733, #e4e9ef);
  --soft: light-dark(#5c6b7a, #93a1b0);
  --line: light-dark(#dde3ea, #2c3742);
  --paper: light-dark(#ffffff, #1b232b);
  --ground: light-dark(#f3f6f9, #12181e);
  --good: light-dark(#0b7a4b, #4fd19a);
  --bad: light-dark(#b3261e, #ff8a80);
}
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); }
header, main { max-width: 72rem; margin: 0 auto; padding: 1.25rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 0 2rem; padding-bottom: 0; }
h1 { font-size: 1.5rem; margin: 0; letter-spacing: .01em; }
h2 { font-size: 1.05rem; margin: 0 0 .75rem; }
header p, .count, .empty { color: var(--soft); }
.count { font-weight: 400; margin-left: .25rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem 1.25rem; margin-bottom: 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 500; font-size: .85rem; color: var(--soft); }
th, td { padding: .4rem 1rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }
ul { list-style: none; margin: 0; padding: 0; overflow-wrap: anywhere; }
.id { color: var(--soft); }
.state { white-space: nowrap; }
.state::before { content: ""; display: inline-block; width: .55em; height: .55em; border-radius: 50%; margin-right: .45em; background: var(--soft); }
.ok::before { background: var(--good); }
.silent, .quarantine { color: var(--bad); }
.silent::before, .quarantine::before { background: var(--bad); }
@media (max-width: 48rem) {
  header, main { padding: .75rem; }
  section { padding: .75rem; }
  thead { display: none; }
  table, tbody, tr { display: block; }
  tr { padding: .5rem 0; border-bottom: 1px solid var(--line); }
  tbody tr:last-child { border-bottom: 0; }
  td, .number { display: flex; justify-content: space-between; gap: 1rem; padding: .15rem 0; border: 0; text-align: right; white-space: normal; }
  td::before { content: attr(data-label); color: var(--soft); flex: none; }
  td > * { min-width: 0; }
  td:empty { display: none; }
}
`;
