/** Chooses which bits to look at next, where many entries lie in one bucket. */
import type { Sliced } from "../../rules/sliced.ts";
import type { Entries } from "./entries.ts";
import { searchHash, WORDS, type Words } from "./hash.ts";
import { DADDR, FIELDS, type Lengths, maskOf, SADDR } from "./mask.ts";

/** Lengths that masks have; an entry of one in between lies in a table of the next shorter one. */
const ADDRESS_STEPS = [
  16, 24, 32, 40, 48, 52, 56, 60, 64, 72, 80, 96, 104, 108, 112, 116, 120, 124, 128,
];
const PORT_STEPS = [4, 8, 10, 12, 14, 16];

/** The longest of the steps that is not above a length, for each length. */
function floors(steps: readonly number[], longest: number): Uint8Array {
  return Uint8Array.from({ length: longest + 1 }, (_, length) =>
    steps.reduce((found, step) => (step <= length ? step : found), 0),
  );
}

const ADDRESS_FLOORS = floors(ADDRESS_STEPS, 128);
const PORT_FLOORS = floors(PORT_STEPS, 16);

/** Entries that are looked at between two chances to leave. */
const PART = 2048;
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

export class Refiner {
  readonly #entries: Entries;
  /** A table of hashes, and how many entries had each. */
  #met = new Uint32Array(0);
  #times = new Uint32Array(0);

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  /** The table that makes the most of a list of entries; undefined if none is worth its price. */
  *refine(list: Uint32Array, current: Lengths): Sliced<Refinement | undefined> {
    const start: Candidate = { lengths: current, list, cost: list.length };
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
    let best: Candidate | undefined;
    for (let field = 0; field < FIELDS; field++) {
      for (const length of yield* this.#lengthsOf(than, field)) {
        const list = yield* this.#asking(than.list, field, length);
        const least = all.length - list.length + 1 + TABLE_COST;
        if (least >= (best ?? than).cost - WORTH) continue;
        const lengths = than.lengths.with(field, length) as unknown as Lengths;
        const cost = least - 1 + (yield* this.#crowd(list, maskOf(lengths)));
        if (cost < (best ?? than).cost - WORTH) best = { lengths, list, cost };
      }
    }
    return best;
  }

  /** Lengths beyond that of the mask which make a difference to its entries. */
  *#lengthsOf({ lengths, list }: Candidate, field: number): Sliced<readonly number[]> {
    const floorOf = field === SADDR || field === DADDR ? ADDRESS_FLOORS : PORT_FLOORS;
    const has = this.#entries.lengths;
    const found = new Uint8Array(129);
    for (let index = 0; index < list.length; index++) {
      found[floorOf[has[(list[index] as number) * FIELDS + field] as number] as number] = 1;
      if (index % (8 * PART) === 8 * PART - 1) yield;
    }
    const distinct: number[] = [];
    for (let length = (lengths[field] as number) + 1; length < found.length; length++) {
      if (found[length] === 1) distinct.push(length);
    }
    return distinct;
  }

  /** Entries that have so many bits in a field, so that they can lie in a table that asks for them. */
  *#asking(list: Uint32Array, field: number, length: number): Sliced<Uint32Array> {
    const has = this.#entries.lengths;
    const found = new Uint32Array(list.length);
    let count = 0;
    for (let index = 0; index < list.length; index++) {
      const entry = list[index] as number;
      found[count] = entry;
      if ((has[entry * FIELDS + field] as number) >= length) count++;
      if (index % (8 * PART) === 8 * PART - 1) yield;
    }
    return count === list.length ? list : found.subarray(0, count);
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
    for (let index = 0; index < list.length; index++) {
      if (index % PART === PART - 1) yield;
      const hash = searchHash(words, (list[index] as number) * WORDS, mask);
      if ((hash & (share - 1)) !== 0) continue;
      let slot = Math.imul(hash, 0x9e3779b1) >>> (32 - bits);
      let looks = 0;
      while (times[slot] !== 0 && met[slot] !== hash && looks < MOST_LOOKS) {
        slot = (slot + 1) & (2 ** bits - 1);
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
