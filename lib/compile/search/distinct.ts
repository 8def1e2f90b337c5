/** Which entries of a group can be the first to match anything at all. */
import { inParts, type Sliced } from "../../rules/sliced.ts";
import type { Rule } from "../../rules/types.ts";
import type { Collected } from "./collector.ts";
import { conditionHash, isSameCondition } from "./conditions.ts";
import { type Entries, SHARED, WHOLE } from "./entries.ts";
import { searchHash, WORDS } from "./hash.ts";
import { FIELDS, type Lengths, maskOf } from "./mask.ts";

/** Entries between two chances to leave. */
const PART = 256;

/** Looks at all bits. */
const ALL = maskOf([128, 128, 16, 16] satisfies Lengths);

/**
 * Those of a list, by rule, of which no earlier one says the same and decides: of rules that stand twice, or
 * of the same ports in many sets. Only entries that share their addresses with others are looked at.
 */
export function* distinctEntries(
  { entries, list }: Collected,
  rules: readonly Rule[],
): Sliced<Uint32Array> {
  const { flags } = entries;
  let shared = 0;
  yield* inParts(list.length, PART, (from, to) => {
    for (let index = from; index < to; index++) {
      if (((flags[list[index] as number] as number) & SHARED) !== 0) shared++;
    }
  });
  if (shared === 0) return list;
  const seen = new SeenEntries(entries, rules, shared);
  const kept = new Uint32Array(list.length);
  let length = 0;
  yield* inParts(list.length, PART, (from, to) => {
    for (let index = from; index < to; index++) {
      const entry = list[index] as number;
      if (((flags[entry] as number) & SHARED) === 0 || seen.add(entry)) kept[length++] = entry;
    }
  });
  return kept.subarray(0, length);
}

/** A hash table of entries by what they say, and by what else their rule asks for. */
class SeenEntries {
  readonly #entries: Entries;
  readonly #rules: readonly Rule[];
  readonly #bits: number;
  /** Number of the entry and one more; 0: empty. */
  readonly #slots: Uint32Array;
  /** Of the entry, and of the condition of its rule. */
  readonly #hashes: Int32Array;

  constructor(entries: Entries, rules: readonly Rule[], most: number) {
    this.#entries = entries;
    this.#rules = rules;
    this.#bits = 1 + Math.ceil(Math.log2(most + 1));
    this.#slots = new Uint32Array(2 ** this.#bits);
    this.#hashes = new Int32Array(2 ** this.#bits);
  }

  /** Adds it; false if there is one already that decides about all of its flows. */
  add(entry: number): boolean {
    const { words, lengths, flags, rules } = this.#entries;
    const hash =
      searchHash(words, entry * WORDS, ALL) ^
      Math.imul(
        (lengths[entry * FIELDS] as number) + 256 * (lengths[entry * FIELDS + 1] as number),
        0x85ebca6b,
      );
    let slot = this.#find(entry, hash, true);
    if (this.#slots[slot] !== 0) return false;
    let key = hash;
    if (((flags[entry] as number) & WHOLE) === 0) {
      key ^= conditionHash(this.#rules[rules[entry] as number] as Rule);
      slot = this.#find(entry, key, false);
      if (this.#slots[slot] !== 0) return false;
    }
    this.#slots[slot] = entry + 1;
    this.#hashes[slot] = key;
    return true;
  }

  /** Place of one that says the same, and is whole or of a rule of the same condition; else an empty one. */
  #find(entry: number, hash: number, isWhole: boolean): number {
    const slots = this.#slots;
    let slot = Math.imul(hash, 0x9e3779b1) >>> (32 - this.#bits);
    for (;;) {
      const other = (slots[slot] as number) - 1;
      if (other === -1) return slot;
      if (this.#hashes[slot] === (hash | 0) && this.#isSame(entry, other, isWhole)) return slot;
      slot = (slot + 1) & (slots.length - 1);
    }
  }

  #isSame(one: number, other: number, isWhole: boolean): boolean {
    const { words, lengths, flags, rules } = this.#entries;
    if ((((flags[other] as number) & WHOLE) !== 0) !== isWhole) return false;
    for (let field = 0; field < FIELDS; field++) {
      if (lengths[one * FIELDS + field] !== lengths[other * FIELDS + field]) return false;
    }
    for (let word = 0; word < WORDS; word++) {
      if (words[one * WORDS + word] !== words[other * WORDS + word]) return false;
    }
    if (isWhole) return true;
    const [here, there] = [rules[one] as number, rules[other] as number];
    return here === there || isSameCondition(this.#rules[here] as Rule, this.#rules[there] as Rule);
  }
}
