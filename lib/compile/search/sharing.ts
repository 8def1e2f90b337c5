/** How many entries are about the same addresses, as far as tables tell addresses apart. */
import { inParts, type Sliced } from "../../rules/sliced.ts";
import { ADDRESS_WORDS } from "./addresses.ts";
import type { Entries } from "./entries.ts";
import { FACTORS, mixed, WORDS } from "./hash.ts";
import { addressMask, DADDR, FIELDS, SADDR } from "./mask.ts";
import { ADDRESS_FLOORS } from "./steps.ts";

/** Entries between two chances to leave. */
const PART = 512;
/** More are counted as so many. */
const MANY = 255;

/**
 * Counts by hash alone, and not by addresses: the counts are small, and lie in a cache of the CPU. Addresses
 * of one hash only count as shared, for which there is more work than need be.
 */
export class Sharing {
  readonly #hashes: Int32Array;
  readonly #bits: number;
  /** By the first bits of a hash. */
  readonly #times: Uint8Array;
  /** Of those that are not alone there, by the last bits. */
  readonly #others: Uint8Array;

  private constructor(count: number) {
    this.#bits = 2 + Math.ceil(Math.log2(count + 1));
    this.#hashes = new Int32Array(count);
    this.#times = new Uint8Array(2 ** this.#bits);
    this.#others = new Uint8Array(2 ** this.#bits);
  }

  static *of(entries: Entries): Sliced<Sharing> {
    const { count } = entries;
    const sharing = new Sharing(count);
    yield* inParts(count, PART, (from, to) => {
      for (let entry = from; entry < to; entry++) sharing.#add(entries, entry);
    });
    yield* inParts(count, PART, (from, to) => {
      for (let entry = from; entry < to; entry++) sharing.#addAgain(entry);
    });
    return sharing;
  }

  #add({ words, lengths }: Entries, entry: number): void {
    const saddr = ADDRESS_FLOORS[lengths[entry * FIELDS + SADDR] as number] as number;
    const daddr = ADDRESS_FLOORS[lengths[entry * FIELDS + DADDR] as number] as number;
    const sum =
      addressHash(words, entry * WORDS, saddr, 0) +
      addressHash(words, entry * WORDS + ADDRESS_WORDS, daddr, ADDRESS_WORDS) +
      Math.imul(saddr * 256 + daddr, FACTORS[2 * ADDRESS_WORDS] as number);
    const hash = mixed(sum | 0);
    this.#hashes[entry] = hash;
    count(this.#times, hash >>> (32 - this.#bits));
  }

  #addAgain(entry: number): void {
    const hash = this.#hashes[entry] as number;
    if ((this.#times[hash >>> (32 - this.#bits)] as number) > 1) {
      count(this.#others, hash & (this.#others.length - 1));
    }
  }

  /** Of how many entries this is one. */
  times(entry: number): number {
    const hash = this.#hashes[entry] as number;
    const times = this.#times[hash >>> (32 - this.#bits)] as number;
    if (times === 1) return 1;
    return Math.min(times, this.#others[hash & (this.#others.length - 1)] as number);
  }
}

function count(times: Uint8Array, slot: number): void {
  const before = times[slot] as number;
  if (before < MANY) times[slot] = before + 1;
}

/** Of the first bits of an address. */
function addressHash(words: Int32Array, at: number, length: number, factor: number): number {
  if (length === 0) return 0;
  const mask = addressMask(length);
  let hash = 0;
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    const bits = (words[at + word] as number) & (mask[word] as number);
    hash = (hash + Math.imul(bits, FACTORS[factor + word] as number)) | 0;
  }
  return hash;
}
