/** Sets of addresses or ports, as prefixes in the longest-prefix trie of the datapath. */

import type { PortRange } from "../rules/types.ts";
import { layout } from "./abi.gen.ts";
import { Record } from "./record.ts";

const SET_NUMBER_BITS = 32;
const PORT_BITS = 16;

/** Bits, and how many of them count, from the left. */
export interface Member {
  /** 16 bytes of an address (IPv4 mapped), or 2 bytes of a port, network order. */
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** The fewest prefixes that cover exactly the ports of a range. */
export function portPrefixes(range: PortRange): Member[] {
  const members: Member[] = [];
  let first = range.first;
  while (first <= range.last) {
    // The largest aligned block that begins here and ends within the range.
    let bits = 0;
    while (bits < PORT_BITS) {
      const size = 2 ** (bits + 1);
      if (first % size !== 0 || first + size - 1 > range.last) break;
      bits++;
    }
    members.push({ bytes: Uint8Array.of(first >> 8, first & 0xff), length: PORT_BITS - bits });
    first += 2 ** bits;
  }
  return members;
}

/** What says the same is one set. */
export function portSetName(ranges: readonly PortRange[]): string {
  let name = "";
  for (const { first, last } of ranges) name += `${first}-${last},`;
  return name;
}

/** A set under its number. */
export interface NumberedSet {
  readonly number: number;
  readonly members: readonly Member[];
}

/** Sets by what they hold. */
export type Sets = ReadonlyMap<string, NumberedSet>;

/**
 * Hands out set numbers. Sets that were there before keep theirs, and the same ones in several rules
 * are one.
 */
export class SetWriter {
  /** Ends at the last number handed out. */
  nextSet: number;
  /** Prefixes of all sets that are used. */
  count = 0;
  readonly #before: Sets;
  readonly #used = new Map<string, NumberedSet>();
  readonly #fresh: NumberedSet[] = [];

  constructor(firstSet: number, before: Sets = new Map()) {
    this.nextSet = firstSet;
    this.#before = before;
  }

  /** The number of the set of this name. Its members are asked for where it is a new one. */
  add(name: string, members: () => readonly Member[]): number {
    let set = this.#used.get(name);
    if (set === undefined) {
      set = this.#before.get(name) ?? this.#new(members());
      this.#used.set(name, set);
      this.count += set.members.length;
    }
    return set.number;
  }

  #new(members: readonly Member[]): NumberedSet {
    const set = { number: this.nextSet++, members };
    this.#fresh.push(set);
    return set;
  }

  get used(): Sets {
    return this.#used;
  }

  /** Those that were not there before. */
  get fresh(): readonly NumberedSet[] {
    return this.#fresh;
  }

  /** Those that were there before, and are used no more. */
  get unused(): readonly NumberedSet[] {
    const unused: NumberedSet[] = [];
    for (const [name, set] of this.#before) {
      if (!this.#used.has(name)) unused.push(set);
    }
    return unused;
  }
}

/** Keys of the map `sets`, one after the other, in parts of at most so many. */
export function* setKeys(
  sets: readonly NumberedSet[],
  most: number,
): Generator<{ readonly keys: Uint8Array; readonly count: number }, void> {
  const { size, fields } = layout.setKey;
  let keys = new Uint8Array(0);
  let count = 0;
  for (const { number, members } of sets) {
    for (const { bytes, length } of members) {
      if (count === 0) keys = new Uint8Array(most * size);
      const record = new Record(keys, count * size);
      record.set(fields.prefixLength, SET_NUMBER_BITS + length);
      record.set(fields.set, number);
      record.setBytes(fields.member, bytes);
      if (++count < most) continue;
      yield { keys, count };
      count = 0;
    }
  }
  if (count > 0) yield { keys: keys.subarray(0, count * size), count };
}
