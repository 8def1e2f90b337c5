/**
 * Prefixes around ports: few of them, and not much larger than what they hold. A prefix is one number, as
 * there are many thousands of them: the port, whether it holds nothing else, and its length.
 */
import type { PortMatch, PortRange } from "../../rules/types.ts";

/** The ports whose first `portLength` bits are those of `portOf`. */
export type PortPrefix = number;

const PORT_BITS = 16;
const EXACT = 1 << PORT_BITS;
const LENGTH_SHIFT = PORT_BITS + 1;

const ANY_PORT: PortPrefix = EXACT;
/** Of what prefixes do not say. */
const NO_HELP: PortPrefix = 0;

export function portOf(prefix: PortPrefix): number {
  return prefix & 0xffff;
}

export function portLength(prefix: PortPrefix): number {
  return prefix >>> LENGTH_SHIFT;
}

/** Whether it holds nothing but what it was made for. */
export function isExactPort(prefix: PortPrefix): boolean {
  return (prefix & EXACT) !== 0;
}

/** The longest prefix around two ports. */
function around(first: number, last: number): PortPrefix {
  const free = 32 - Math.clz32(first ^ last);
  const size = 1 << free;
  const exact = last - first + 1 === size ? EXACT : 0;
  return ((PORT_BITS - free) << LENGTH_SHIFT) | exact | (first & ~(size - 1));
}

/** One prefix around all that a match holds for. */
function portHull(match: PortMatch | undefined): PortPrefix {
  if (match === undefined) return ANY_PORT;
  if (match.negate) return NO_HELP;
  const { ranges } = match;
  const { first } = ranges[0] as PortRange;
  const { last } = ranges[ranges.length - 1] as PortRange;
  const hull = around(first, last);
  return ranges.length === 1 ? hull : hull & ~EXACT;
}

/** The prefixes of one match after the other. */
export class PortPrefixes {
  readonly all: Uint32Array;
  count = 0;

  /** @param most of one match that {@link set} is asked for. */
  constructor(most: number) {
    // The last range may take one more than there is room for.
    this.all = new Uint32Array(most + 2);
  }

  /** Those that hold all ports of a match; `most` of them, or else one around all. */
  set(match: PortMatch | undefined, most: number): void {
    this.count = 0;
    if (match === undefined || match.negate) {
      this.#add(portHull(match));
      return;
    }
    for (const range of match.ranges) {
      this.#addRange(range);
      if (this.count > most) {
        this.setHull(match);
        return;
      }
    }
  }

  setHull(match: PortMatch | undefined): void {
    this.all[0] = portHull(match);
    this.count = 1;
  }

  #add(prefix: PortPrefix): void {
    this.all[this.count++] = prefix;
  }

  /**
   * One or two prefixes around a range. It is cut at the border between the two halves of the smallest prefix
   * around it: either part lies at that border, so that the prefix around it is less than twice as large.
   */
  #addRange({ first, last }: PortRange): void {
    const whole = around(first, last);
    if (isExactPort(whole)) {
      this.#add(whole);
      return;
    }
    const half = 1 << (PORT_BITS - portLength(whole) - 1);
    const middle = last & ~(half - 1);
    this.#add(around(first, middle - 1));
    this.#add(around(middle, last));
  }
}
