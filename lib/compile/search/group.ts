/** The tables of one family and transport. */
import { inParts, type Sliced } from "../../rules/sliced.ts";
import { Search } from "../abi.gen.ts";
import type { Entries } from "./entries.ts";
import { searchHash, WORDS } from "./hash.ts";
import { type Lengths, maskOf, NOTHING } from "./mask.ts";
import { Refiner } from "./refine.ts";
import { type Continuation, END, IN_ONE, type IndexWriter, NO_RULE } from "./writer.ts";

/** Entries between two chances to leave. */
const PART = 256;
/** Tables behind one bucket: what they leave lies in the bucket. */
const MOST_TABLES = 16;
/** Fewer entries than this in one bucket are no reason for another table. */
const FEW = IN_ONE + 1;

/** A bucket with more in it than it holds: it is still to be filled. */
interface Job {
  readonly cell: number;
  /** Entries in the order of their rules. */
  readonly list: Uint32Array;
  /** What the table that it is of looks at. */
  readonly lengths: Lengths;
  readonly behind: Continuation;
  /** Number of that table. */
  readonly table: number;
  /** Once it is filled: how many cells it takes itself, and the tables behind it, by number. */
  steps: number;
  tables: readonly number[];
}

/** Entries for tables of their own, by their first rule, and those that no table takes. */
interface Split {
  readonly tables: readonly { readonly lengths: Lengths; readonly list: Uint32Array }[];
  readonly rest: Uint32Array;
}

export class Group {
  readonly #entries: Entries;
  readonly #writer: IndexWriter;
  readonly #refiner: Refiner;
  readonly #jobs: Job[] = [];
  /** By number of a table: the most cells that a search comes by in it and behind its buckets. */
  readonly #longest: number[] = [];

  constructor(entries: Entries, writer: IndexWriter) {
    this.#entries = entries;
    this.#writer = writer;
    this.#refiner = new Refiner(entries);
  }

  /**
   * Writes all of a list of entries, its first table at `cell`. Gives the most cells that a search comes
   * by.
   */
  *write(cell: number, list: Uint32Array): Sliced<number> {
    const split = yield* this.#split(list, NOTHING);
    const [first, ...others] = split.tables;
    let tables: number[] = [];
    let steps = 0;
    if (first !== undefined && split.rest.length === 0) {
      const { then, numbers } = yield* this.#writeTables(others, END);
      tables = [yield* this.#table(cell, first.lengths, first.list, then), ...numbers];
    } else {
      // One bucket for all flows, and behind it what looks at them more closely.
      const bucket = this.#writer.allot(1);
      this.#writer.table(cell, maskOf(NOTHING), bucket, 1, this.#firstRule(list), END);
      const job = { cell: bucket, list, lengths: NOTHING, behind: END, table: 0, steps, tables };
      yield* this.#fill(job, split);
      ({ steps, tables } = job);
    }
    for (let job = 0; job < this.#jobs.length; job++) {
      const next = this.#jobs[job] as Job;
      yield* this.#fill(next, yield* this.#split(next.list, next.lengths));
    }
    return this.#countSteps(steps, tables);
  }

  #firstRule(list: Uint32Array): number {
    return list.length === 0 ? NO_RULE : (this.#entries.rules[list[0] as number] as number);
  }

  /** What of a bucket is worth tables of its own. */
  *#split(list: Uint32Array, lengths: Lengths): Sliced<Split> {
    const tables: { readonly lengths: Lengths; readonly list: Uint32Array }[] = [];
    let rest = list;
    while (rest.length >= FEW && tables.length < MOST_TABLES) {
      const refinement = yield* this.#refiner.refine(rest, lengths);
      if (refinement === undefined) break;
      tables.push(refinement);
      rest = refinement.rest;
    }
    tables.sort((one, other) => this.#firstRule(one.list) - this.#firstRule(other.list));
    return { tables, rest };
  }

  /** Fills a bucket, and writes the tables behind it. */
  *#fill(job: Job, { tables, rest }: Split): Sliced<void> {
    const { then, numbers } = yield* this.#writeTables(tables, job.behind);
    job.tables = numbers;
    yield* this.#chain(job, rest, then);
  }

  /** Tables one behind the other; gives the way to the first, and their numbers. */
  *#writeTables(tables: Split["tables"], behind: Continuation) {
    let then = behind;
    const numbers: number[] = [];
    // From the last one on, as each has to know what comes behind it.
    for (const { lengths, list } of [...tables].reverse()) {
      const cell = this.#writer.allot(1);
      numbers.push(yield* this.#table(cell, lengths, list, then));
      const firstRule = Math.min(this.#firstRule(list), then.firstRule);
      then = { next: cell | Search.SEARCH_TABLE, firstRule };
    }
    return { then, numbers };
  }

  /**
   * A table of these entries, and its buckets; those with too much in them are left for later. Gives
   * its number.
   */
  *#table(cell: number, lengths: Lengths, list: Uint32Array, then: Continuation): Sliced<number> {
    const { words } = this.#entries;
    const mask = maskOf(lengths);
    const number = this.#longest.push(1) - 1;
    const count = 2 ** Math.ceil(Math.log2(Math.max(1, list.length / 3)));
    const buckets = this.#writer.allot(count);
    this.#writer.table(cell, mask, buckets, count, this.#firstRule(list), then);

    // Sorted by bucket; within one, entries stay in the order of their rules.
    const hashes = new Uint32Array(list.length);
    const ends = new Uint32Array(count + 1);
    yield* inParts(list.length, PART, (from, to) => {
      for (let index = from; index < to; index++) {
        const hash = searchHash(words, (list[index] as number) * WORDS, mask);
        hashes[index] = hash;
        const bucket = (hash & (count - 1)) + 1;
        ends[bucket] = (ends[bucket] as number) + 1;
      }
    });
    yield* inParts(count, 8 * PART, (from, to) => {
      for (let bucket = from; bucket < to; bucket++) {
        ends[bucket + 1] = (ends[bucket + 1] as number) + (ends[bucket] as number);
      }
    });
    const places = ends.slice();
    const sorted = new Uint32Array(list.length);
    const sortedHashes = new Uint32Array(list.length);
    yield* inParts(list.length, 2 * PART, (from, to) => {
      for (let index = from; index < to; index++) {
        const hash = hashes[index] as number;
        const bucket = hash & (count - 1);
        const place = places[bucket] as number;
        places[bucket] = place + 1;
        sorted[place] = list[index] as number;
        sortedHashes[place] = hash;
      }
    });
    yield* inParts(count, PART, (first, end) => {
      for (let bucket = first; bucket < end; bucket++) {
        const from = ends[bucket] as number;
        const to = ends[bucket + 1] as number;
        const at = buckets + bucket;
        if (to - from < FEW) {
          this.#writer.bucket(at, this.#entries.rules, sorted, sortedHashes, from, to, then);
        } else {
          const part = { list: sorted.slice(from, to), lengths, behind: then, table: number };
          this.#jobs.push({ ...part, cell: at, steps: 1, tables: [] });
        }
      }
    });
    return number;
  }

  /** Lays entries into a bucket, and into as many behind it as they need. */
  *#chain(job: Job, list: Uint32Array, behind: Continuation): Sliced<void> {
    const { rules, words } = this.#entries;
    const mask = maskOf(job.lengths);
    const hashes = list.map((entry) => searchHash(words, entry * WORDS, mask));
    const more = Math.max(0, Math.ceil(list.length / IN_ONE) - 1);
    const others = more === 0 ? 0 : this.#writer.allot(more);
    let then = behind;
    for (let bucket = more; bucket >= 0; bucket--) {
      if (bucket % PART === PART - 1) yield;
      const from = bucket * IN_ONE;
      const to = Math.min(list.length, from + IN_ONE);
      const cell = bucket === 0 ? job.cell : others + bucket - 1;
      this.#writer.bucket(cell, rules, list, hashes, from, to, then);
      const first = from < to ? (rules[list[from] as number] as number) : NO_RULE;
      then = { next: cell, firstRule: Math.min(first, then.firstRule) };
    }
    job.steps = 1 + more;
  }

  /** The most cells that a search comes by, given those of the first bucket and the tables behind it. */
  #countSteps(first: number, tables: readonly number[]): number {
    const sum = (numbers: readonly number[]) =>
      numbers.reduce((all, number) => all + (this.#longest[number] as number), 0);
    // What is behind a bucket was made after it, so it is known before it here.
    for (const job of this.#jobs.toReversed()) {
      const steps = job.steps + sum(job.tables);
      this.#longest[job.table] = Math.max(this.#longest[job.table] as number, steps);
    }
    return first + sum(tables);
  }
}
