/** Addresses of rules as words, read many thousand times in a row. */
import { addressBytes } from "../../rules/address.ts";
import type { AddressMatch, Family, Prefix } from "../../rules/types.ts";
import { wordOf } from "./mask.ts";

/** The first `length` bits of an address in its 16-byte form. */
export interface AddressPrefix {
  /** As they lie in memory. */
  readonly words: readonly [number, number, number, number];
  readonly length: number;
  /** Whether it holds nothing else. */
  readonly isExact: boolean;
}

export const ANY_ADDRESS: AddressPrefix = { words: [0, 0, 0, 0], length: 0, isExact: true };
const NO_HELP: AddressPrefix = { ...ANY_ADDRESS, isExact: false };

/** Third word of ::ffff:a.b.c.d. */
const MAPPED = wordOf(0, 0, 0xff, 0xff);
const MAPPED_BITS = 96;
const ZERO = 0x30;
const DOT = 0x2e;

/** The last word of a mapped address. `text` is canonical: four numbers, and dots between them. */
function ipv4Word(text: string): number {
  let address = 0;
  let number = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === DOT) {
      address = (address << 8) | number;
      number = 0;
    } else {
      number = number * 10 + code - ZERO;
    }
  }
  return wordOf(address >>> 16, (address >>> 8) & 0xff, address & 0xff, number);
}

/** A prefix in its 16-byte form. */
export function addressPrefix({ address, length }: Prefix, family: Family): AddressPrefix {
  if (family === "ip") {
    return {
      words: [0, 0, MAPPED, ipv4Word(address)],
      length: length + MAPPED_BITS,
      isExact: true,
    };
  }
  const bytes = addressBytes(address);
  const word = (at: number) =>
    wordOf(
      bytes[at] as number,
      bytes[at + 1] as number,
      bytes[at + 2] as number,
      bytes[at + 3] as number,
    );
  return { words: [word(0), word(4), word(8), word(12)], length, isExact: true };
}

/** Host order of a word, to compare bits from the left. */
function swapped(word: number): number {
  const [first, second, third, fourth] = new Uint8Array(Int32Array.of(word).buffer);
  return (
    ((first as number) << 24) |
    ((second as number) << 16) |
    ((third as number) << 8) |
    (fourth as number)
  );
}

/** Leading bits that two addresses have in common, up to `most`. */
function commonBits(one: AddressPrefix, other: AddressPrefix, most: number): number {
  for (let word = 0; word < 4; word++) {
    const differing = swapped((one.words[word] as number) ^ (other.words[word] as number));
    if (differing !== 0) return Math.min(most, word * 32 + Math.clz32(differing));
  }
  return most;
}

/** Prefixes that hold all addresses of a match; `most` of them, or else one around all. */
export function addressPrefixesAround(
  match: AddressMatch,
  family: Family,
  most: number,
): AddressPrefix[] {
  if (match.negate) return [NO_HELP];
  // All addresses of a family: nothing to look at, flows of the other one are elsewhere.
  const prefixes = match.prefixes.map((prefix) =>
    prefix.length === 0 ? ANY_ADDRESS : addressPrefix(prefix, family),
  );
  if (prefixes.length <= most) return prefixes;
  const [first = ANY_ADDRESS] = prefixes;
  const length = prefixes.reduce(
    (least, other) => commonBits(first, other, Math.min(least, other.length)),
    first.length,
  );
  const isOfAll = family === "ip" ? length <= MAPPED_BITS : length === 0;
  return [isOfAll ? NO_HELP : { words: first.words, length, isExact: false }];
}
