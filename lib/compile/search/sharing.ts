/** How many entries are about the same addresses, as far as tables tell addresses apart. */
import type { Sliced } from "../../rules/sliced.ts";
import { ADDRESS_WORDS } from "./addresses.ts";
import type { Entries } from "./entries.ts";
import { FACTORS, mixed, WORDS } from "./hash.ts";
import { addressMask, DADDR, FIELDS, SADDR } from "./mask.ts";
import { ADDRESS_FLOORS } from "./steps.ts";

/** Entries between two chances to leave. */
const PART = 2048;
/** More are counted as so many. */
const MANY = 255;

/**
 * Counts by hash alone: it is small, and lies in a cache of the CPU. Two addresses of one hash only count as
 * shared, for which there is more work than need be.
 */
export class Sharing {
  readonly #slots: Uint32Array;
  readonly #times: Uint8Array;
  readonly #bits: number;

  private constructor(count: number) {
    this.#bits = 3 + Math.ceil(Math.log2(count + 1));
    this.#slots = new Uint32Array(count);
    this.#times = new Uint8Array(2 ** this.#bits);
  }

  static *of(entries: Entries): Sliced<Sharing> {
    const { count } = entries;
    const sharing = new Sharing(count);
    for (let entry = 0; entry < count; entry++) {
      if (entry % PART === PART - 1) yield;
      sharing.#add(entries, entry);
    }
    return sharing;
  }

  #add({ words, lengths }: Entries, entry: number): void {
    const saddr = ADDRESS_FLOORS[lengths[entry * FIELDS + SADDR] as number] as number;
    const daddr = ADDRESS_FLOORS[lengths[entry * FIELDS + DADDR] as number] as number;
    const hash =
      addressHash(words, entry * WORDS, saddr, 0) +
      addressHash(words, entry * WORDS + ADDRESS_WORDS, daddr, ADDRESS_WORDS) +
      Math.imul(saddr * 256 + daddr, FACTORS[2 * ADDRESS_WORDS] as number);
    const slot = mixed(hash | 0) >>> (32 - this.#bits);
    this.#slots[entry] = slot;
    const times = this.#times[slot] as number;
    if (times < MANY) this.#times[slot] = times + 1;
  }

  /** Of how many entries this is one. */
  times(entry: number): number {
    return this.#times[this.#slots[entry] as number] as number;
  }
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
