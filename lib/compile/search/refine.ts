/** Chooses which bits to look at next, where many entries lie in one bucket. */
import { inParts, type Sliced } from "../../rules/sliced.ts";
import type { Entries } from "./entries.ts";
import { searchHash, WORDS, type Words } from "./hash.ts";
import { DADDR, FIELDS, type Lengths, maskOf, SADDR } from "./mask.ts";
import { ADDRESS_FLOORS, LONGEST, PORT_FLOORS } from "./steps.ts";
import { IN_ONE } from "./writer.ts";

/** Entries that are looked at between two chances to leave. */
const PART = 512;
/** Of lists beyond this some keys are looked at. */
const MOST_JUDGED = 4096;
/** What it costs to look into a table, in looks at a rule. */
const TABLE_COST = 2;
/** What a table has to spare, in looks at a rule. */
const WORTH = 1;

/** Entries that a table is made for, and the bits that it looks at. */
export interface Refinement {
  readonly lengths: Lengths;
  readonly list: Uint32Array;
  /** The others, for which it would ask too much. */
  readonly rest: Uint32Array;
}

interface Candidate {
  readonly lengths: Lengths;
  readonly list: Uint32Array;
  /** Looks at rules that a flow pays in this bucket and in its table. */
  readonly cost: number;
}

/** Where the lengths of a field begin in a row of counts. */
const FIELD_SIZE = LONGEST + 1;

export class Refiner {
  readonly #entries: Entries;
  /** A table of hashes, and how many entries had each. */
  #met = new Uint32Array(0);
  #times = new Uint32Array(0);
  /** Of the entries of a list, how many have a length, by field. */
  readonly #counts = new Uint32Array(FIELDS * FIELD_SIZE);

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  /** The table that makes the most of a list of entries; undefined if none is worth its price. */
  *refine(list: Uint32Array, current: Lengths): Sliced<Refinement | undefined> {
    // What has no more in common than the bucket is told apart by its hash; it takes more cells, though.
    const cost = (yield* this.#crowd(list, maskOf(current))) + (list.length - 1) / IN_ONE;
    const start: Candidate = { lengths: current, list, cost };
    let best = start;
    for (;;) {
      const better = yield* this.#better(list, best);
      if (better === undefined) break;
      best = better;
    }
    if (best === start) return undefined;
    const rest = best.list.length === list.length ? list.subarray(0, 0) : without(list, best.list);
    return { lengths: best.lengths, list: best.list, rest };
  }

  /** A candidate that looks at more bits of one field than this one, and costs less. */
  *#better(all: Uint32Array, than: Candidate): Sliced<Candidate | undefined> {
    yield* this.#count(than.list);
    let best: Candidate | undefined;
    for (let field = 0; field < FIELDS; field++) {
      // Entries with at least so many bits: from the longest one down, all.
      let asking = than.list.length;
      const first = (than.lengths[field] as number) + 1;
      for (let length = 0; length < first; length++) asking -= this.#having(field, length);
      for (let length = first; asking > 0 && length < FIELD_SIZE; length++) {
        const having = this.#having(field, length);
        if (having === 0) continue;
        const least = all.length - asking + 1 + TABLE_COST;
        const count = asking;
        asking -= having;
        if (least >= (best ?? than).cost - WORTH) continue;
        const list =
          count === than.list.length
            ? than.list
            : yield* this.#asking(than.list, field, length, count);
        const lengths = than.lengths.with(field, length) as unknown as Lengths;
        const cost = least - 1 + (yield* this.#crowd(list, maskOf(lengths)));
        if (cost < (best ?? than).cost - WORTH) best = { lengths, list, cost };
      }
    }
    return best;
  }

  #having(field: number, length: number): number {
    return this.#counts[field * FIELD_SIZE + length] as number;
  }

  /** Counts lengths, as far as masks tell them apart. */
  *#count(list: Uint32Array): Sliced<void> {
    const has = this.#entries.lengths;
    const counts = this.#counts;
    counts.fill(0);
    yield* inParts(list.length, PART, (from, to) => {
      for (let index = from; index < to; index++) {
        const at = (list[index] as number) * FIELDS;
        for (let field = 0; field < FIELDS; field++) {
          const floors = field === SADDR || field === DADDR ? ADDRESS_FLOORS : PORT_FLOORS;
          const place = field * FIELD_SIZE + (floors[has[at + field] as number] as number);
          counts[place] = (counts[place] as number) + 1;
        }
      }
    });
  }

  /** Entries that have so many bits in a field, so that they can lie in a table that asks for them. */
  *#asking(list: Uint32Array, field: number, length: number, count: number): Sliced<Uint32Array> {
    const has = this.#entries.lengths;
    const found = new Uint32Array(count);
    let place = 0;
    yield* inParts(list.length, 4 * PART, (from, to) => {
      for (let index = from; index < to; index++) {
        const entry = list[index] as number;
        if ((has[entry * FIELDS + field] as number) >= length) found[place++] = entry;
      }
    });
    return found;
  }

  /** How many entries have the key of one, itself included, on average over them. */
  *#crowd(list: Uint32Array, mask: Words): Sliced<number> {
    // Of a long list one key in so many, each with all that share it.
    const share = 2 ** Math.max(0, Math.ceil(Math.log2(list.length / MOST_JUDGED)));
    const bits = 2 + Math.ceil(Math.log2(Math.min(list.length, MOST_JUDGED)));
    this.#clear(2 ** bits);
    const [met, times, words] = [this.#met, this.#times, this.#entries.words];
    let judged = 0;
    let pairs = 0;
    yield* inParts(list.length, PART, (from, to) => {
      for (let index = from; index < to; index++) {
        const hash = searchHash(words, (list[index] as number) * WORDS, mask);
        if ((hash & (share - 1)) !== 0) continue;
        let slot = Math.imul(hash, 0x9e3779b1) >>> (32 - bits);
        let looks = 0;
        while (times[slot] !== 0 && met[slot] !== hash && looks < MOST_LOOKS) {
          slot = (slot + 1) & ((1 << bits) - 1);
          looks++;
        }
        // By bad luck there are more keys than expected; those that found room tell enough.
        if (looks === MOST_LOOKS) continue;
        const before = times[slot] as number;
        met[slot] = hash;
        times[slot] = before + 1;
        judged++;
        // (n + 1)^2 - n^2
        pairs += 2 * before + 1;
      }
    });
    return judged === 0 ? list.length : pairs / judged;
  }

  #clear(size: number): void {
    if (this.#met.length < size) {
      this.#met = new Uint32Array(size);
      this.#times = new Uint32Array(size);
    } else {
      this.#times.fill(0, 0, size);
    }
  }
}

const MOST_LOOKS = 64;

/** What of a list is not in a part of it, both in the same order. */
function without(list: Uint32Array, part: Uint32Array): Uint32Array {
  const rest = new Uint32Array(list.length - part.length);
  let taken = 0;
  let count = 0;
  for (const entry of list) {
    if (part[taken] === entry) taken++;
    else rest[count++] = entry;
  }
  return rest;
}
