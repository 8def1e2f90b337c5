/**
 * Finds the few rules among many thousand that may match all that another one does. A rule is kept
 * under what it asks for: a prefix of each address, one port. What matches all of its packets asks for
 * a shorter prefix of the same addresses, or for nothing; so it lies under one of a few keys.
 */
import { familyOf } from "./address.ts";
import type { Comparison } from "./cover.ts";
import type { AddressMatch, Match, Prefix } from "./types.ts";

/** Sets beyond this are kept as if they asked for nothing: one key more for whoever looks. */
const MOST_PREFIXES = 16;
const ADDRESS_BITS = 128;
const IPV4_BITS = 32;

/** How many bits of each address keys have, or undefined for nothing, and whether they have a port. */
interface Shape {
  readonly saddr: number | undefined;
  readonly daddr: number | undefined;
  readonly hasPort: boolean;
}

/** An address as a number, to cut it to any length. */
interface AddressNumber {
  readonly number: bigint;
  readonly length: number;
}

const NOTHING = "*";

export class CoverIndex {
  readonly #comparison: Comparison;
  readonly #rules = new Map<string, number[]>();
  /** Shapes that keys have. */
  readonly #shapes = new Map<string, Shape>();

  constructor(comparison: Comparison) {
    this.#comparison = comparison;
  }

  add(index: number, match: Match): void {
    const ports = match.dport === undefined || match.dport.negate ? [] : match.dport.ranges;
    const [only] = ports;
    const port = ports.length === 1 && only?.first === only?.last ? only?.first : undefined;
    for (const saddr of this.#askedFor(match.saddr)) {
      for (const daddr of this.#askedFor(match.daddr)) {
        const shape = { saddr: saddr?.length, daddr: daddr?.length, hasPort: port !== undefined };
        this.#shapes.set(`${shape.saddr} ${shape.daddr} ${shape.hasPort}`, shape);
        const key = keyOf(match, match.family, saddr, daddr, port);
        const rules = this.#rules.get(key);
        if (rules === undefined) {
          this.#rules.set(key, [index]);
        } else if (rules.at(-1) !== index) {
          rules.push(index);
        }
      }
    }
  }

  /** Rules that were added and may match all that this one does, in their order. */
  candidates(match: Match): readonly number[] {
    const saddr = this.#oneOf(match.saddr);
    const daddr = this.#oneOf(match.daddr);
    const port = match.dport?.negate === false ? match.dport.ranges[0]?.first : undefined;
    const found = new Set<number>();
    for (const shape of this.#shapes.values()) {
      const source = shortened(saddr, shape.saddr);
      const destination = shortened(daddr, shape.daddr);
      if (source === null || destination === null || (shape.hasPort && port === undefined)) {
        continue;
      }
      const asked = shape.hasPort ? port : undefined;
      for (const family of match.family === undefined ? [undefined] : [match.family, undefined]) {
        const rules = this.#rules.get(keyOf(match, family, source, destination, asked)) ?? [];
        for (const rule of rules) found.add(rule);
      }
    }
    return [...found].sort((one, other) => one - other);
  }

  /** The prefixes, one of which an address has to be in; undefined stands for nothing asked. */
  #askedFor(match: AddressMatch | undefined): readonly (AddressNumber | undefined)[] {
    if (match === undefined || match.negate || match.prefixes.length > MOST_PREFIXES) {
      return [undefined];
    }
    if (match.prefixes.some(({ length }) => length === 0)) {
      return [undefined];
    }
    return match.prefixes.map((prefix) => this.#numberOf(prefix));
  }

  /** Some prefix of a match: whoever matches all of it matches that. */
  #oneOf(match: AddressMatch | undefined): AddressNumber | undefined {
    const [first] = match === undefined || match.negate ? [] : match.prefixes;
    return first && this.#numberOf(first);
  }

  #numberOf(prefix: Prefix): AddressNumber {
    const hex = Buffer.from(this.#comparison.bytesOf(prefix)).toString("hex");
    const before = familyOf(prefix) === "ip" ? ADDRESS_BITS - IPV4_BITS : 0;
    return { number: BigInt(`0x${hex}`), length: prefix.length + before };
  }
}

/** The prefix cut to a length; null where it is shorter than that. */
function shortened(
  address: AddressNumber | undefined,
  length: number | undefined,
): AddressNumber | undefined | null {
  if (length === undefined) return undefined;
  if (address === undefined || address.length < length) return null;
  return { number: address.number, length };
}

function keyOf(
  { transport }: Match,
  family: Match["family"],
  saddr: AddressNumber | undefined,
  daddr: AddressNumber | undefined,
  port: number | undefined,
): string {
  const source = textOf(saddr);
  return `${transport} ${family ?? NOTHING} ${source} ${textOf(daddr)} ${port ?? NOTHING}`;
}

function textOf(address: AddressNumber | undefined): string {
  if (address === undefined) return NOTHING;
  const { number, length } = address;
  return `${(number >> BigInt(ADDRESS_BITS - length)).toString(36)}/${length}`;
}
