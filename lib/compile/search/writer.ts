/** The cells of an index, as bpf/abi.h lays them out. */
import { Limit, layout, Search } from "../abi.gen.ts";
import type { Words } from "./hash.ts";

const CELL_WORDS = layout.searchTable.size / 4;
const TABLE = wordPlaces(layout.searchTable.fields);
const BUCKET = wordPlaces(layout.searchBucket.fields);

/** Entries of one bucket. */
export const IN_ONE: number = Limit.BUCKET_RULES;
/** Above the number of any rule. */
export const NO_RULE: number = Search.NO_RULE;

function wordPlaces<Name extends string>(
  fields: {
    readonly [name in Name]: { readonly offset: number };
  },
): { readonly [name in Name]: number } {
  const places = Object.entries<{ readonly offset: number }>(fields);
  return Object.fromEntries(places.map(([name, { offset }]) => [name, offset / 4])) as {
    readonly [name in Name]: number;
  };
}

/** Where a search goes on. */
export interface Continuation {
  /** Cell, and whether it is a table. */
  readonly next: number;
  /** The first rule that may still be found from there on. */
  readonly firstRule: number;
}

export const END: Continuation = { next: 0, firstRule: NO_RULE };

/** Cells, as many as there are needed. */
export class IndexWriter {
  cells = 0;
  #words = new Uint32Array(64 * CELL_WORDS);

  /** The first of so many new cells. */
  allot(count: number): number {
    const first = this.cells;
    this.cells += count;
    let size = this.#words.length;
    while (size < this.cells * CELL_WORDS) size *= 2;
    if (size > this.#words.length) {
      const words = new Uint32Array(size);
      words.set(this.#words);
      this.#words = words;
    }
    return first;
  }

  /** A table of so many buckets, its first rule, and where searches go on behind all that belongs to it. */
  table(
    cell: number,
    mask: Words,
    buckets: number,
    count: number,
    first: number,
    then: Continuation,
  ) {
    const at = cell * CELL_WORDS;
    const words = this.#words;
    for (let index = 0; index < 4; index++) {
      words[at + TABLE.saddrMask + index] = mask[index] as number;
      words[at + TABLE.daddrMask + index] = mask[4 + index] as number;
    }
    words[at + TABLE.portsMask] = mask[8] as number;
    words[at + TABLE.buckets] = buckets;
    words[at + TABLE.bucketMask] = count - 1;
    words[at + TABLE.firstRule] = first;
    words[at + TABLE.next] = then.next;
    words[at + TABLE.laterFirstRule] = then.firstRule;
  }

  /** A bucket of the entries `from` to `to` of a list, and where its searches go on. */
  bucket(
    cell: number,
    rules: Uint32Array,
    list: Uint32Array,
    hashes: Uint32Array,
    from: number,
    to: number,
    then: Continuation,
  ) {
    const at = cell * CELL_WORDS;
    const words = this.#words;
    words[at + BUCKET.next] = then.next;
    words[at + BUCKET.laterFirstRule] = then.firstRule;
    let place = at + BUCKET.entries;
    for (let index = from; index < from + IN_ONE; index++, place += 2) {
      const isThere = index < to;
      words[place] = isThere ? (hashes[index] as number) : 0;
      words[place + 1] = isThere ? (rules[list[index] as number] as number) : NO_RULE;
    }
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.#words.buffer, 0, this.cells * CELL_WORDS * 4);
  }
}
