/** Addresses of rules as words, read many thousand times in a row. */
import type { AddressMatch, Family, Prefix } from "../../rules/types.ts";
import { wordOf } from "./mask.ts";

/** The first `length` bits of an address in its 16-byte form. */
export interface AddressPrefix {
  /** As they lie in memory. */
  readonly words: readonly [number, number, number, number];
  readonly length: number;
}

/** Words of an address. */
export const ADDRESS_WORDS = 4;

/** Third word of ::ffff:a.b.c.d. */
const MAPPED = wordOf(0, 0, 0xff, 0xff);
const MAPPED_BITS = 96;
const ZERO = 0x30;
const NINE = 0x39;
const LETTERS = 0x61 - 10;
const DOT = 0x2e;
const COLON = 0x3a;

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

const GROUPS = 8;
/** Of one address after the other. */
const groups = new Uint16Array(GROUPS);

/** Reads the groups of canonical text. There are no dots in it: no rule is about mapped addresses. */
function readGroups(text: string): void {
  groups.fill(0);
  let count = 0;
  let group = 0;
  /** Groups before "::". */
  let head = -1;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code !== COLON) {
      group = (group << 4) | (code - (code <= NINE ? ZERO : LETTERS));
      continue;
    }
    if (text.charCodeAt(at + 1) === COLON) {
      if (at > 0) groups[count++] = group;
      head = count;
      at++;
    } else {
      groups[count++] = group;
    }
    group = 0;
  }
  // Behind "::" at the end there is none.
  if (text.charCodeAt(text.length - 1) !== COLON) groups[count++] = group;
  if (head >= 0) {
    groups.copyWithin(GROUPS - (count - head), head, count);
    groups.fill(0, head, GROUPS - (count - head));
  }
}

/**
 * Writes a prefix in its 16-byte form as words from `at` on, and gives its length. `prefix` is canonical
 * (rules/types.ts), and nothing is allocated for it.
 */
export function writeAddress(
  { address, length }: Prefix,
  family: Family,
  words: Int32Array,
  at: number,
): number {
  if (family === "ip") {
    words[at] = 0;
    words[at + 1] = 0;
    words[at + 2] = MAPPED;
    words[at + 3] = ipv4Word(address);
    return length + MAPPED_BITS;
  }
  readGroups(address);
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    const first = groups[2 * word] as number;
    const second = groups[2 * word + 1] as number;
    words[at + word] = wordOf(first >> 8, first & 0xff, second >> 8, second & 0xff);
  }
  return length;
}

const scratch = new Int32Array(ADDRESS_WORDS);

/** A prefix in its 16-byte form. */
export function addressPrefix(prefix: Prefix, family: Family): AddressPrefix {
  const length = writeAddress(prefix, family, scratch, 0);
  const [first, second, third, fourth] = scratch as unknown as AddressPrefix["words"];
  return { words: [first, second, third, fourth], length };
}

/** Host order of a word, to compare bits from the left: the same turn, back. */
function swapped(word: number): number {
  return wordOf(word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff);
}

/** Prefixes of the addresses of one match after the other, none where it helps nothing to look at them. */
export class AddressPrefixes {
  /** {@link ADDRESS_WORDS} each. */
  readonly words: Int32Array;
  readonly lengths: Uint8Array;
  count = 0;
  /** Whether they hold nothing but what the match is about. */
  isExact = true;

  /** @param most of one match. */
  constructor(most: number) {
    this.words = new Int32Array(ADDRESS_WORDS * most);
    this.lengths = new Uint8Array(most);
  }

  /** Those that hold all addresses of a match; `most` of them, or else one around all. */
  set(match: AddressMatch | undefined, family: Family, most: number): void {
    this.count = 1;
    this.isExact = match === undefined;
    if (match === undefined || match.negate) {
      this.#setNothing(0);
      return;
    }
    const { prefixes } = match;
    if (prefixes.length > most) {
      this.#setHull(prefixes, family);
      return;
    }
    this.isExact = true;
    this.count = prefixes.length;
    for (let index = 0; index < prefixes.length; index++) {
      this.#setPrefix(index, prefixes[index] as Prefix, family);
    }
  }

  #setNothing(index: number): void {
    this.lengths[index] = 0;
    this.words.fill(0, ADDRESS_WORDS * index, ADDRESS_WORDS * (index + 1));
  }

  #setPrefix(index: number, prefix: Prefix, family: Family): void {
    // All addresses of a family: nothing to look at, flows of the other one are elsewhere.
    if (prefix.length === 0) this.#setNothing(index);
    else this.lengths[index] = writeAddress(prefix, family, this.words, ADDRESS_WORDS * index);
  }

  #setHull(prefixes: readonly Prefix[], family: Family): void {
    this.#setPrefix(0, prefixes[0] as Prefix, family);
    let length = this.lengths[0] as number;
    for (const prefix of prefixes) {
      if (prefix.length === 0) {
        length = 0;
        break;
      }
      length = Math.min(length, writeAddress(prefix, family, scratch, 0));
      length = this.#commonBits(length);
    }
    const isOfAll = family === "ip" ? length <= MAPPED_BITS : length === 0;
    if (isOfAll) this.#setNothing(0);
    else this.lengths[0] = length;
  }

  /** Leading bits that the first address and the one of `scratch` have in common, up to `most`. */
  #commonBits(most: number): number {
    for (let word = 0; word < ADDRESS_WORDS; word++) {
      const differing = swapped((this.words[word] as number) ^ (scratch[word] as number));
      if (differing !== 0) return Math.min(most, word * 32 + Math.clz32(differing));
    }
    return most;
  }
}
