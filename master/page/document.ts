/** The page's document and icon. It holds no data: the script asks for it. */

/** A longship under sail. */
export const iconText =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
  <rect width="32" height="32" rx="8" fill="#0f3d47"/>
  <path d="M16 5.5v15" stroke="#f2b661" stroke-width="1.8" stroke-linecap="round"/>
  <path d="M8.5 8.2c5-1.3 10-1.3 15 0 .9 3 .9 6 0 9-5 1.3-10 1.3-15 0-.9-3-.9-6 0-9z" fill="#f4efe6"/>
  <path d="M12.4 7.5c-.7 3.4-.7 7 0 10.4M19.6 7.5c.7 3.4.7 7 0 10.4" stroke="#c8493a" stroke-width="2.2"/>
  <path d="M3.6 15.8c-.5 5.8 3.6 10 12.4 10s12.9-4.2 12.4-10c-1.6 3.3-5 5.1-12.4 5.1S5.2 19.1 3.6 15.8z" fill="#f2b661"/>
</svg>
`;

/** The document. */
export const documentText = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Drakkar</title>
<link rel="icon" href="icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page.css">
<script src="page.js" defer></script>
</head>
<body>
<div id="app">
<main class="gate"><p class="quiet">Looking for the master…</p></main>
</div>
<noscript>
<p class="noscript">This page needs scripts to show what changes. The command line tells the same:
<code>deno task drakkar status</code></p>
</noscript>
</body>
</html>
`;
