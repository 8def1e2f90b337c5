import { addressBytes, familyOf } from "./address.ts";
import { HIGHEST_PORT } from "./ports.ts";
import type { AddressMatch, Match, PortMatch, PortRange, Prefix } from "./types.ts";

/** The work that comparing rules may still take, and what is kept to make it less. */
export class Comparison {
  #stepsLeft: number;
  readonly #bytes = new Map<Prefix, Uint8Array>();

  /** @param steps number of elements (ranges, prefixes, rules) that may be looked at. */
  constructor(steps: number) {
    this.#stepsLeft = steps;
  }

  /** Whether there are steps left; takes them. */
  take(steps: number): boolean {
    this.#stepsLeft -= steps;
    return this.#stepsLeft >= 0;
  }

  /** The 16 bytes of a prefix's address, read once. */
  bytesOf(prefix: Prefix): Uint8Array {
    let bytes = this.#bytes.get(prefix);
    if (bytes === undefined) {
      bytes = addressBytes(prefix.address);
      this.#bytes.set(prefix, bytes);
    }
    return bytes;
  }
}

/**
 * Whether `earlier` matches every packet that `later` matches. A "yes" is always right; some
 * cases that would take a union of several prefixes or several terms to prove are a "no", and
 * so is everything once the comparison has no steps left.
 */
export function coversMatch(earlier: Match, later: Match, comparison: Comparison): boolean {
  return (
    earlier.transport === later.transport &&
    (earlier.family === undefined || earlier.family === later.family) &&
    coversAddresses(earlier.saddr, later.saddr, comparison) &&
    coversAddresses(earlier.daddr, later.daddr, comparison) &&
    coversPorts(earlier.sport, later, "sport", comparison) &&
    coversPorts(earlier.dport, later, "dport", comparison) &&
    coversEitherPort(earlier.port, later, comparison)
  );
}

function coversAddresses(
  earlier: AddressMatch | undefined,
  later: AddressMatch | undefined,
  comparison: Comparison,
): boolean {
  if (earlier === undefined) {
    return true;
  }
  if (!comparison.take(earlier.prefixes.length)) {
    return false;
  }
  if (!earlier.negate) {
    if (earlier.prefixes.some(({ length }) => length === 0)) {
      // All addresses of the family, which was compared already.
      return true;
    }
    return (
      later !== undefined &&
      !later.negate &&
      later.prefixes.every((inside) =>
        earlier.prefixes.some((outside) => contains(outside, inside, comparison)),
      )
    );
  }
  if (later === undefined) {
    return false;
  }
  return earlier.prefixes.every((excluded) =>
    later.negate
      ? later.prefixes.some((outside) => contains(outside, excluded, comparison))
      : later.prefixes.every((inside) => disjoint(inside, excluded, comparison)),
  );
}

/** Whether all addresses of `inside` are in `outside`; no without steps left. */
function contains(outside: Prefix, inside: Prefix, comparison: Comparison): boolean {
  return (
    comparison.take(1) &&
    outside.length <= inside.length &&
    commonBits(outside, inside, comparison) === outside.length
  );
}

/** Whether the two share no address; no without steps left. */
function disjoint(one: Prefix, other: Prefix, comparison: Comparison): boolean {
  return (
    comparison.take(1) && commonBits(one, other, comparison) < Math.min(one.length, other.length)
  );
}

/** Leading bits that two prefixes of one family share, up to the length of the shorter. */
function commonBits(one: Prefix, other: Prefix, comparison: Comparison): number {
  const left = comparison.bytesOf(one);
  const right = comparison.bytesOf(other);
  const shorter = Math.min(one.length, other.length);
  let common = 0;
  // Behind the 12 bytes that all IPv4 addresses have in common in this form.
  for (let index = familyOf(one) === "ip" ? 12 : 0; common < shorter; index++) {
    const differing = (left[index] ?? 0) ^ (right[index] ?? 0);
    if (differing !== 0) {
      // Math.clz32 counts from bit 31, and a byte begins at bit 7.
      return Math.min(shorter, common + Math.clz32(differing) - 24);
    }
    common += 8;
  }
  return shorter;
}

/** What a rule says about one port of its packets: the port is in each of these sets. */
function portSets(
  match: Match,
  which: "sport" | "dport",
  comparison: Comparison,
): readonly (readonly PortRange[])[] {
  const own = match[which];
  const sets: (readonly PortRange[])[] = [];
  if (own !== undefined) {
    sets.push(positive(own, comparison));
  }
  if (match.port?.negate === true) {
    // Neither of the two ports is in the ranges.
    sets.push(positive(match.port, comparison));
  }
  return sets;
}

function coversPorts(
  earlier: PortMatch | undefined,
  later: Match,
  which: "sport" | "dport",
  comparison: Comparison,
): boolean {
  if (earlier === undefined) {
    return true;
  }
  const wide = positive(earlier, comparison);
  return portSets(later, which, comparison).some((narrow) => includes(wide, narrow, comparison));
}

function coversEitherPort(
  earlier: PortMatch | undefined,
  later: Match,
  comparison: Comparison,
): boolean {
  if (earlier === undefined) {
    return true;
  }
  const wide = positive(earlier, comparison);
  const inside = (narrow: readonly PortRange[]) => includes(wide, narrow, comparison);
  const source = portSets(later, "sport", comparison);
  const destination = portSets(later, "dport", comparison);
  if (earlier.negate) {
    return source.some(inside) && destination.some(inside);
  }
  const either = later.port?.negate === false ? [later.port.ranges] : [];
  return [...source, ...destination, ...either].some(inside);
}

/** Whether all ports of `narrow` are in `wide`; both are normalised. */
function includes(
  wide: readonly PortRange[],
  narrow: readonly PortRange[],
  comparison: Comparison,
): boolean {
  if (!comparison.take(wide.length + narrow.length)) {
    return false;
  }
  let index = 0;
  return narrow.every(({ first, last }) => {
    while (index < wide.length && (wide[index]?.last ?? 0) < first) {
      index++;
    }
    const range = wide[index];
    return range !== undefined && range.first <= first && range.last >= last;
  });
}

/** The ports that a match lets through, 0 included where it is negated. */
function positive(match: PortMatch, comparison: Comparison): readonly PortRange[] {
  if (!match.negate) {
    return match.ranges;
  }
  comparison.take(match.ranges.length);
  const others: PortRange[] = [];
  let next = 0;
  for (const { first, last } of match.ranges) {
    if (first > next) {
      others.push({ first: next, last: first - 1 });
    }
    next = last + 1;
  }
  if (next <= HIGHEST_PORT) {
    others.push({ first: next, last: HIGHEST_PORT });
  }
  return others;
}
