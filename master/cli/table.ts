/** Tables for a terminal. */

/** A cell. */
export type Cell = string | number | undefined;

/** Texts come from NodeHosts: what is not printable would command the terminal. */
export function plain(text: string): string {
  return text.replace(/\p{C}/gu, "?");
}

/** Rows under a header; columns of numbers are aligned to the right. */
export function table(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
): string {
  const texts = [
    header.map((name) => name.toUpperCase()),
    ...rows.map((row) => row.map((cell) => plain(String(cell ?? "")) || "-")),
  ];
  const columns = header.map((_, i) => ({
    width: Math.max(...texts.map((row) => [...row[i] ?? ""].length)),
    isNumber: rows.length > 0 &&
      rows.every((row) => typeof row[i] === "number"),
  }));
  return texts.map((row) =>
    row.map((text, i) => {
      const { width, isNumber } = columns[i]!;
      const space = " ".repeat(width - [...text].length);
      return isNumber ? space + text : text + space;
    }).join("  ").trimEnd()
  ).join("\n");
}

/** One line per fact; those without a value are left out. */
export function facts(pairs: readonly (readonly [string, Cell])[]): string {
  const known = pairs.filter(([, value]) => value !== undefined);
  const width = Math.max(...known.map(([name]) => name.length));
  return known.map(([name, value]) =>
    `${name.padEnd(width)}  ${plain(String(value))}`.trimEnd()
  ).join("\n");
}

/** How long ago. */
export function ageText(ageMs: number): string {
  const seconds = Math.round(ageMs / 1_000);
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}
