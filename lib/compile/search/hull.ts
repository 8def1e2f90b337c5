/** Prefixes around ports: few of them, and not much larger than what they hold. */
import type { PortRange } from "../../rules/types.ts";

/** The ports whose first `length` bits are those of `port`. */
export interface PortPrefix {
  readonly port: number;
  readonly length: number;
  /** Whether it holds nothing else. */
  readonly isExact: boolean;
}

const PORT_BITS = 16;
export const ANY_PORT: PortPrefix = { port: 0, length: 0, isExact: true };
/** Of what prefixes do not say. */
export const NO_HELP: PortPrefix = { ...ANY_PORT, isExact: false };

/** The longest prefix around two ports. */
function around(first: number, last: number): PortPrefix {
  const length = PORT_BITS - (32 - Math.clz32(first ^ last));
  return { port: first, length, isExact: last - first + 1 === 2 ** (PORT_BITS - length) };
}

/**
 * One or two prefixes around a range. It is cut at the border between the two halves of the smallest prefix
 * around it: either part lies at that border, so that the prefix around it is less than twice as large.
 */
function aroundRange({ first, last }: PortRange, prefixes: PortPrefix[]): void {
  const whole = around(first, last);
  if (whole.isExact) {
    prefixes.push(whole);
    return;
  }
  const size = 2 ** (PORT_BITS - whole.length);
  const middle = last - (last % (size / 2));
  prefixes.push(around(first, middle - 1), around(middle, last));
}

/** Prefixes that hold all ports of these ranges; `most` of them, or else one around all. */
export function portPrefixesAround(ranges: readonly PortRange[], most: number): PortPrefix[] {
  const prefixes: PortPrefix[] = [];
  for (const range of ranges) aroundRange(range, prefixes);
  if (prefixes.length <= most) return prefixes;
  const hull = around(ranges[0]?.first ?? 0, ranges.at(-1)?.last ?? 0);
  return [{ ...hull, isExact: false }];
}
