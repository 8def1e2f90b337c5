/**
 * Rules by what they say. Texts are kept as bytes, all of a list in one piece, and found by hash: many
 * thousand strings would cost more to keep than to make.
 */
import { writeRule } from "../rules/format.ts";
import type { Sliced } from "../rules/sliced.ts";
import type { Rule } from "../rules/types.ts";

/** Rules whose texts are encoded together. */
const PART = 64;
/** Ends each text; none has one inside. */
const NEWLINE = 0x0a;
const encoder = new TextEncoder();

/** FNV-1a, 32 bits. */
const HASH_START = 0x811c9dc5;
const HASH_FACTOR = 0x01000193;

/** The texts of a list of rules, in UTF-8. */
export class RuleTexts {
  readonly count: number;
  /** One behind the other, each with a line feed at its end. */
  bytes: Uint8Array;
  /** Where each begins, and where the last one ends. */
  readonly #starts: Uint32Array;
  readonly #hashes: Uint32Array;
  /** How many rules before this one say the same. */
  readonly #repeats: Uint32Array;
  /** Number of the rule and one more, by hash; 0: empty. */
  readonly #slots: Uint32Array;
  readonly #bits: number;

  private constructor(count: number) {
    this.count = count;
    this.bytes = new Uint8Array(64 * count);
    this.#starts = new Uint32Array(count + 1);
    this.#hashes = new Uint32Array(count);
    this.#repeats = new Uint32Array(count);
    this.#bits = 1 + Math.ceil(Math.log2(count + 1));
    this.#slots = new Uint32Array(2 ** this.#bits);
  }

  static *of(rules: readonly Rule[]): Sliced<RuleTexts> {
    const texts = new RuleTexts(rules.length);
    for (let first = 0; first < rules.length; first += PART) {
      let text = "";
      const end = Math.min(rules.length, first + PART);
      for (let index = first; index < end; index++) text += `${writeRule(rules[index] as Rule)}\n`;
      texts.#add(first, end, text);
      yield;
    }
    texts.bytes = texts.bytes.subarray(0, texts.#starts[rules.length]);
    return texts;
  }

  #add(first: number, end: number, text: string): void {
    const start = this.#starts[first] as number;
    // A code unit takes at most three bytes.
    const needed = start + 3 * text.length;
    if (needed > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(needed, Math.ceil(1.5 * this.bytes.length)));
      bytes.set(this.bytes.subarray(0, start));
      this.bytes = bytes;
    }
    encoder.encodeInto(text, this.bytes.subarray(start));
    let at = start;
    for (let index = first; index < end; index++) {
      let hash = HASH_START;
      for (; this.bytes[at] !== NEWLINE; at++) {
        hash = Math.imul(hash ^ (this.bytes[at] as number), HASH_FACTOR);
      }
      this.#starts[index + 1] = ++at;
      this.#hashes[index] = hash;
      this.#insert(index);
    }
  }

  /** Of rules that say the same each gets a place of its own, told from the others by their number. */
  #insert(index: number): void {
    const hash = this.#hashes[index] as number;
    let slot = this.#find(this, index, hash, 0);
    const other = this.#slots[slot] as number;
    if (other !== 0) {
      // The first of them knows how many there are.
      const repeats = this.#latest.get(other - 1) ?? 0;
      this.#latest.set(other - 1, repeats + 1);
      this.#repeats[index] = repeats + 1;
      slot = this.#find(this, index, hash, repeats + 1);
    }
    this.#slots[slot] = index + 1;
  }

  readonly #latest = new Map<number, number>();

  /** The rule here that says the same as one of other texts, the n-th as the n-th; -1: none does. */
  indexOf(texts: RuleTexts, index: number): number {
    const hash = texts.#hashes[index] as number;
    return (
      (this.#slots[this.#find(texts, index, hash, texts.#repeats[index] as number)] as number) - 1
    );
  }

  #find(texts: RuleTexts, index: number, hash: number, repeats: number): number {
    const slots = this.#slots;
    let slot = Math.imul(hash ^ Math.imul(repeats, 0x85ebca6b), 0x9e3779b1) >>> (32 - this.#bits);
    for (;;) {
      const other = (slots[slot] as number) - 1;
      if (other === -1) return slot;
      const isSame =
        this.#hashes[other] === hash >>> 0 &&
        this.#repeats[other] === repeats &&
        this.#saysSame(other, texts, index);
      if (isSame) return slot;
      slot = (slot + 1) & (slots.length - 1);
    }
  }

  #saysSame(one: number, texts: RuleTexts, other: number): boolean {
    const [here, there] = [this.#starts[one] as number, texts.#starts[other] as number];
    const length = (this.#starts[one + 1] as number) - here;
    if ((texts.#starts[other + 1] as number) - there !== length) return false;
    for (let at = 0; at < length; at++) {
      if (this.bytes[here + at] !== texts.bytes[there + at]) return false;
    }
    return true;
  }
}
