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

/** Hands out set numbers and collects what is to be written under them. */
export class SetWriter {
  /** Ends at the last number handed out. */
  nextSet: number;
  readonly #members: { set: number; member: Member }[] = [];

  constructor(firstSet: number) {
    this.nextSet = firstSet;
  }

  /** The number of a new set with these members. */
  add(members: readonly Member[]): number {
    const set = this.nextSet++;
    for (const member of members) this.#members.push({ set, member });
    return set;
  }

  get count(): number {
    return this.#members.length;
  }

  /** Keys of the map `sets`, one after the other. */
  keys(): Uint8Array {
    const { size, fields } = layout.setKey;
    const keys = new Uint8Array(this.count * size);
    for (const [index, { set, member }] of this.#members.entries()) {
      const record = new Record(keys, index * size);
      record.set(fields.prefixLength, SET_NUMBER_BITS + member.length);
      record.set(fields.set, set);
      record.setBytes(fields.member, member.bytes);
    }
    return keys;
  }
}
