/**
 * Where a rule is to be found: prefixes of both addresses and both ports that hold all flows of its match.
 * Whatever prefixes cannot say (negations, either port, the form of a packet) is left to the look at the
 * rule itself, which every search ends with.
 */
import { ADDRESS_WORDS, type AddressPrefixes } from "./addresses.ts";
import { WORDS } from "./hash.ts";
import { type PortPrefix, portLength, portOf } from "./hull.ts";
import { DPORT, FIELDS, SPORT } from "./mask.ts";

/** The rule matches all flows of the entry. */
export const WHOLE = 1;
/** It would, if it asked for no ports. */
export const WHOLE_BUT_PORTS = 2;
/** There are entries of narrower ports to be had in its place. */
export const COARSE = 4;
/** Other rules may be about the same addresses. */
export const SHARED = 8;

const PORTS = 2 * ADDRESS_WORDS;

/** Entries of one group (family and transport): one row in each array. */
export class Entries {
  count = 0;
  /** Index of the rule. */
  rules: Uint32Array;
  /** What flows have to show: {@link WORDS} an entry. */
  words: Int32Array;
  /** How many bits of it: {@link FIELDS} an entry. */
  lengths: Uint8Array;
  /** {@link WHOLE} and so on. */
  flags: Uint8Array;

  /** @param expected how many there may be; there is room for more. */
  constructor(expected: number) {
    this.rules = new Uint32Array(expected);
    this.words = new Int32Array(expected * WORDS);
    this.lengths = new Uint8Array(expected * FIELDS);
    this.flags = new Uint8Array(expected);
  }

  /** An entry for one of the prefixes of either address. */
  add(
    rule: number,
    saddrs: AddressPrefixes,
    saddr: number,
    daddrs: AddressPrefixes,
    daddr: number,
    sport: PortPrefix,
    dport: PortPrefix,
    flags: number,
  ): void {
    const entry = this.#next(rule, flags);
    const { words, lengths } = this;
    const word = entry * WORDS;
    for (let index = 0; index < ADDRESS_WORDS; index++) {
      words[word + index] = saddrs.words[saddr * ADDRESS_WORDS + index] as number;
      words[word + ADDRESS_WORDS + index] = daddrs.words[daddr * ADDRESS_WORDS + index] as number;
    }
    lengths[entry * FIELDS] = saddrs.lengths[saddr] as number;
    lengths[entry * FIELDS + 1] = daddrs.lengths[daddr] as number;
    this.#setPorts(entry, sport, dport);
  }

  /** Another entry of the rule of one, for the same addresses. */
  addPorts(like: number, sport: PortPrefix, dport: PortPrefix, flags: number): number {
    const entry = this.#next(this.rules[like] as number, flags);
    this.words.copyWithin(entry * WORDS, like * WORDS, like * WORDS + PORTS);
    this.lengths.copyWithin(entry * FIELDS, like * FIELDS, like * FIELDS + SPORT);
    this.#setPorts(entry, sport, dport);
    return entry;
  }

  #next(rule: number, flags: number): number {
    if (this.count === this.rules.length) this.#grow();
    this.rules[this.count] = rule;
    this.flags[this.count] = flags;
    return this.count++;
  }

  #setPorts(entry: number, sport: PortPrefix, dport: PortPrefix): void {
    this.words[entry * WORDS + PORTS] = (portOf(sport) << 16) | portOf(dport);
    this.lengths[entry * FIELDS + SPORT] = portLength(sport);
    this.lengths[entry * FIELDS + DPORT] = portLength(dport);
  }

  #grow(): void {
    const size = Math.max(16, 2 * this.rules.length);
    const rules = new Uint32Array(size);
    const words = new Int32Array(size * WORDS);
    const lengths = new Uint8Array(size * FIELDS);
    const flags = new Uint8Array(size);
    rules.set(this.rules);
    words.set(this.words);
    lengths.set(this.lengths);
    flags.set(this.flags);
    Object.assign(this, { rules, words, lengths, flags });
  }
}
