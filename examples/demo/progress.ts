/** How far the demo is: a line that is drawn over and over on a terminal, plain lines now and then elsewhere. */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console

const terminalPeriodMs = 100;
const plainPeriodMs = 2_000;
const barWidth = 24;

/** Where the work stands. */
export interface Standing {
  /** Bytes done. */
  readonly doneBytes: number;
  /** Bytes in all. */
  readonly totalBytes: number;
  /** More words. */
  readonly note: string;
}

let isDrawing = false;

/** Prints a line of the story; a progress line that is being drawn makes way for it. */
export function say(text: string): void {
  if (isDrawing) write("\r\x1b[K");
  console.log(text);
}

/** Shows progress until the returned function is called, which leaves one last line. */
export function showProgress(
  label: string,
  standing: () => Standing,
): () => void {
  const isTerminal = Deno.stdout.isTerminal();
  const draw = () => {
    const line = lineOf(label, standing());
    // A line that wraps could not be drawn over.
    if (isTerminal) write(`\r\x1b[K${line.slice(0, widthOfTerminal() - 1)}`);
    else console.log(line);
  };
  const timer = setInterval(
    draw,
    isTerminal ? terminalPeriodMs : plainPeriodMs,
  );
  isDrawing = isTerminal;
  return () => {
    clearInterval(timer);
    say(lineOf(label, standing()));
    isDrawing = false;
  };
}

/** `1.5 MiB`. */
export function sizeOf(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

function lineOf(label: string, { doneBytes, totalBytes, note }: Standing) {
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes;
  const filled = Math.round(share * barWidth);
  const bar = "#".repeat(filled) + "-".repeat(barWidth - filled);
  const percent = String(Math.floor(share * 100)).padStart(3);
  return `${label} [${bar}] ${percent} %  ${sizeOf(doneBytes)} of ${
    sizeOf(totalBytes)
  }, ${note}`;
}

function widthOfTerminal(): number {
  try {
    return Deno.consoleSize().columns || 80; // Some terminals say 0.
  } catch {
    return 80; // The terminal is gone.
  }
}

function write(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}
