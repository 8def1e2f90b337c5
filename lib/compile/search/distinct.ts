/** Which entries of a group can be the first to match anything at all. */
import type { Sliced } from "../../rules/sliced.ts";
import type { Entries } from "./entries.ts";
import { searchHash, WORDS } from "./hash.ts";
import { FIELDS, type Lengths, maskOf } from "./mask.ts";

/** Entries between two chances to leave. */
const PART = 1024;

/** Looks at all bits. */
const ALL = maskOf([128, 128, 16, 16] satisfies Lengths);

/**
 * All entries, by rule, but those of which an earlier one says the same and decides: of rules that
 * stand twice, or of the same addresses in many sets.
 */
export function* distinctEntries(entries: Entries): Sliced<Uint32Array> {
  const { count, conditions } = entries;
  const seen = new SeenEntries(entries);
  const kept = new Uint32Array(count);
  let length = 0;
  for (let entry = 0; entry < count; entry++) {
    if (entry % PART === PART - 1) yield;
    const condition = conditions[entry] as number;
    if (condition !== 0 && seen.has(entry, 0)) continue;
    if (seen.add(entry, condition)) kept[length++] = entry;
  }
  return kept.subarray(0, length);
}

/** A hash table of entries by what they say, and by their condition. */
class SeenEntries {
  readonly #entries: Entries;
  readonly #bits: number;
  /** Number of the entry and one more; 0: empty. */
  readonly #slots: Uint32Array;

  constructor(entries: Entries) {
    this.#entries = entries;
    this.#bits = 1 + Math.ceil(Math.log2(entries.count + 1));
    this.#slots = new Uint32Array(2 ** this.#bits);
  }

  /** Whether one that says the same as this entry was added with the condition. */
  has(entry: number, condition: number): boolean {
    return this.#slots[this.#find(entry, condition)] !== 0;
  }

  /** Adds it; false if there is one already. */
  add(entry: number, condition: number): boolean {
    const slot = this.#find(entry, condition);
    if (this.#slots[slot] !== 0) return false;
    this.#slots[slot] = entry + 1;
    return true;
  }

  #find(entry: number, condition: number): number {
    const { words, lengths, conditions } = this.#entries;
    const slots = this.#slots;
    const hash = searchHash(words, entry * WORDS, ALL) ^ Math.imul(condition, 0x85ebca6b);
    const length =
      (lengths[entry * FIELDS] as number) + 256 * (lengths[entry * FIELDS + 1] as number);
    let slot = Math.imul(hash + length, 0x9e3779b1) >>> (32 - this.#bits);
    for (;;) {
      const other = (slots[slot] as number) - 1;
      if (other === -1) return slot;
      if (conditions[other] === condition && isSame(words, lengths, entry, other)) return slot;
      slot = (slot + 1) & (slots.length - 1);
    }
  }
}

function isSame(words: Int32Array, lengths: Uint8Array, one: number, other: number): boolean {
  for (let field = 0; field < FIELDS; field++) {
    if (lengths[one * FIELDS + field] !== lengths[other * FIELDS + field]) return false;
  }
  for (let word = 0; word < WORDS; word++) {
    if (words[one * WORDS + word] !== words[other * WORDS + word]) return false;
  }
  return true;
}
