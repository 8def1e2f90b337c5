/**
 * The index by which the program finds the first rule that matches a flow: tables and buckets, as
 * `struct sfunnel_search_table` in bpf/abi.h describes them.
 */
import type { Sliced } from "../../rules/sliced.ts";
import type { Rule } from "../../rules/types.ts";
import { Collector } from "./collector.ts";
import { distinctEntries } from "./distinct.ts";
import { Group } from "./group.ts";
import { IndexWriter } from "./writer.ts";

/** An index, cell by cell. */
export interface SearchIndex {
  readonly bytes: Uint8Array;
  readonly cells: number;
  /** The most cells that one search can come by. */
  readonly steps: number;
}

/** Rules between two chances to leave. */
const PART = 256;

/** Makes the index of a list of rules, from what they say one after the other. */
export class IndexBuilder {
  readonly #rules: readonly Rule[];
  readonly #collector: Collector;

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
    this.#collector = new Collector(rules);
  }

  /** Adds the rule of this number; all of them come, in their order. */
  add(index: number): void {
    this.#collector.add(index);
  }

  *build(): Sliced<SearchIndex> {
    const collected = yield* this.#collector.collected();
    const writer = new IndexWriter();
    // The first table of each group lies in the cell of the group's number.
    const first = writer.allot(collected.length);
    let steps = 1;
    for (const [group, each] of collected.entries()) {
      const list = yield* distinctEntries(each, this.#rules);
      const longest = yield* new Group(each.entries, writer).write(first + group, list);
      steps = Math.max(steps, longest);
    }
    return { bytes: writer.bytes(), cells: writer.cells, steps };
  }
}

/** The same in one go. */
export function* buildIndex(rules: readonly Rule[]): Sliced<SearchIndex> {
  const builder = new IndexBuilder(rules);
  for (let index = 0; index < rules.length; index++) {
    if (index % PART === PART - 1) yield;
    builder.add(index);
  }
  return yield* builder.build();
}
