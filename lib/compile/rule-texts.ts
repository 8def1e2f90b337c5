/**
 * Rules by what they say. Texts are kept as bytes, many rules in one piece, and found by hash: many
 * thousand strings would cost more to keep than to make.
 */
import { addRule } from "../rules/format.ts";
import type { Sliced } from "../rules/sliced.ts";
import type { Rule } from "../rules/types.ts";
import { ByteSink } from "./byte-sink.ts";

/** Rules whose texts lie in one piece: a power of 2. */
const PIECE_BITS = 10;
const PIECE = 1 << PIECE_BITS;
/** Rules between two chances to leave. */
const PART = 64;
/** Ends each text; none has one inside. */
const NEWLINE = 0x0a;

const HASH_FACTOR = 0x9e3779b1;

/** Of some bytes; four at a time, as a multiplication takes longer than all else. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const word =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    hash = Math.imul(hash ^ word, HASH_FACTOR);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), HASH_FACTOR);
  return hash ^ (hash >>> 15);
}

/** The texts of a list of rules, in UTF-8. */
export class RuleTexts {
  readonly #rules: number;
  /** Of these there are texts so far. */
  count = 0;
  /** Whole pieces, each text with a line feed at its end. */
  readonly #pieces: Uint8Array[] = [];
  /** The last piece, until it is whole. */
  readonly #sink = new ByteSink();
  /** Where each ends in its piece. */
  readonly #ends: Uint32Array;
  readonly #hashes: Int32Array;
  /** How many rules before this one say the same. */
  readonly #repeats: Uint32Array;
  /** Number of the rule and one more, by hash; 0: empty. */
  readonly #slots: Uint32Array;
  readonly #bits: number;
  /** Of rules that say the same as later ones, by number: how many of those there are. */
  readonly #latest = new Map<number, number>();

  /** @param rules how many will be added. */
  constructor(rules: number) {
    this.#rules = rules;
    this.#ends = new Uint32Array(rules);
    this.#hashes = new Int32Array(rules);
    this.#repeats = new Uint32Array(rules);
    this.#bits = 1 + Math.ceil(Math.log2(rules + 1));
    this.#slots = new Uint32Array(2 ** this.#bits);
  }

  static *of(rules: readonly Rule[]): Sliced<RuleTexts> {
    const texts = new RuleTexts(rules.length);
    for (let index = 0; index < rules.length; index++) {
      if (index % PART === PART - 1) yield;
      texts.add(rules[index] as Rule);
    }
    return texts;
  }

  /** All texts, once they are there, in pieces. */
  get pieces(): readonly Uint8Array[] {
    return this.#pieces;
  }

  /** Adds the next rule of the list. */
  add(rule: Rule): void {
    const sink = this.#sink;
    const start = sink.length;
    addRule(sink, rule);
    const hash = hashOf(sink.bytes, start, sink.length);
    sink.addByte(NEWLINE);
    const index = this.count++;
    this.#ends[index] = sink.length;
    this.#hashes[index] = hash;
    this.#insert(index, hash);
    if (this.count % PIECE === 0 || this.count === this.#rules) this.#pieces.push(sink.take());
  }

  /** Of rules that say the same each gets a place of its own, told from the others by their number. */
  #insert(index: number, hash: number): void {
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
        this.#hashes[other] === hash &&
        this.#repeats[other] === repeats &&
        this.#saysSame(other, texts, index);
      if (isSame) return slot;
      slot = (slot + 1) & (slots.length - 1);
    }
  }

  #saysSame(one: number, texts: RuleTexts, other: number): boolean {
    const [here, there] = [this.#startOf(one), texts.#startOf(other)];
    const length = (this.#ends[one] as number) - here;
    if ((texts.#ends[other] as number) - there !== length) return false;
    const [bytes, others] = [this.#pieceOf(one), texts.#pieceOf(other)];
    for (let at = 0; at < length; at++) {
      if (bytes[here + at] !== others[there + at]) return false;
    }
    return true;
  }

  #startOf(index: number): number {
    return index % PIECE === 0 ? 0 : (this.#ends[index - 1] as number);
  }

  #pieceOf(index: number): Uint8Array {
    return this.#pieces[index >>> PIECE_BITS] ?? this.#sink.bytes;
  }
}
