/** What people and scripts read: results on stdout, problems on stderr. */
import { KernelError, OptionError, SfunnelError } from "../errors.ts";

/** Exit codes, as --help and docs/container.md tell them. */
export const exitCodes = {
  done: 0,
  /** It could not be done, or `check` found something. */
  failed: 1,
  /** The command line or the environment asks for nothing that can be done. */
  misuse: 2,
} as const;

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** A problem or a warning. */
export function complain(text: string): void {
  process.stderr.write(`sfunnel: ${text}\n`);
}

/** Tells what is being done where DEBUG asks for it. */
export type Tell = (step: string) => void;

export function stepsTo(debug: boolean): Tell {
  return debug ? (step) => complain(`debug: ${step}`) : () => undefined;
}

/** Reports what was thrown, and gives the exit code for it. */
export function report(error: unknown, debug: boolean): number {
  if (!(error instanceof SfunnelError)) {
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
    complain(`internal error: ${words}`);
    return exitCodes.failed;
  }
  complain(withoutOperation(error));
  if (error instanceof KernelError && error.verifierLog !== undefined) {
    if (debug) process.stderr.write(`${error.verifierLog}\n`);
    else if (error.code === "SFUNNEL_KERNEL") {
      process.stderr.write("  DEBUG=1 prints the kernel's reasons\n");
    }
  }
  return error instanceof OptionError ? exitCodes.misuse : exitCodes.failed;
}

/** The name of the function that failed says nothing to who has called a command. */
export function withoutOperation({ message, operation }: SfunnelError): string {
  const prefix = `${operation}: `;
  return message.startsWith(prefix) ? message.slice(prefix.length) : message;
}

/** "1 rule", "2 rules" */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** Rows below each other; the first column stands on the left, the others, numbers, on the right. */
export function table(rows: readonly (readonly (string | number)[])[], indent = "  "): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, String(cell).length);
    }
  }
  return rows
    .map((row) => {
      const cells = row.map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? String(cell).padEnd(width) : String(cell).padStart(width);
      });
      return `${indent}${cells.join("  ")}`.trimEnd();
    })
    .join("\n");
}
