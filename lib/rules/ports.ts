import type { PortRange } from "./types.ts";

export const LOWEST_PORT = 1;
export const HIGHEST_PORT = 65535;

/** How messages name what a single port may be. */
export const PORT_WORDS = `a port (${LOWEST_PORT} to ${HIGHEST_PORT})`;

/** Whether `value` is a whole number from 1 to 65535. */
export function isPort(value: unknown): value is number {
  return (
    typeof value === "number" &&
    Number.isInteger(value) &&
    value >= LOWEST_PORT &&
    value <= HIGHEST_PORT
  );
}

/**
 * Reads a port as plain decimal text; undefined for anything else. A leading zero is refused
 * because some readers would take it as octal.
 */
export function parsePort(text: string): number | undefined {
  if (text.length === 0 || text.length > 5 || text.charCodeAt(0) === 0x30) {
    return undefined;
  }
  let port = 0;
  for (let index = 0; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) {
      return undefined;
    }
    port = port * 10 + digit;
  }
  return port <= HIGHEST_PORT ? port : undefined;
}

/** The same ports in the fewest ranges: sorted, overlapping and adjacent ones merged. */
export function normalisePorts(ranges: readonly PortRange[]): PortRange[] {
  const sorted = ranges.map(({ first, last }) => ({ first, last }));
  if (sorted.length === 1) {
    return sorted;
  }
  sorted.sort((one, other) => one.first - other.first);
  const merged: { first: number; last: number }[] = [];
  for (const range of sorted) {
    const previous = merged.at(-1);
    if (previous !== undefined && range.first <= previous.last + 1) {
      previous.last = Math.max(previous.last, range.last);
    } else {
      merged.push(range);
    }
  }
  return merged;
}

/** "80" or "80-90". */
export function formatPortRange(range: PortRange): string {
  return range.first === range.last ? `${range.first}` : `${range.first}-${range.last}`;
}

/** "80", "80-90" or "{ 80, 90-99 }". */
export function formatPorts(ranges: readonly PortRange[]): string {
  const [only] = ranges;
  if (ranges.length === 1 && only !== undefined) return formatPortRange(only);
  return `{ ${ranges.map(formatPortRange).join(", ")} }`;
}

/** Whether one of the normalised ranges holds `port`. */
export function portsInclude(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some((range) => port >= range.first && port <= range.last);
}
