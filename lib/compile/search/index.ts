/**
 * The index by which the program finds the first rule that matches a flow: tables and buckets, as
 * `struct sfunnel_search_table` in bpf/abi.h describes them.
 */
import type { Sliced } from "../../rules/sliced.ts";
import type { Rule } from "../../rules/types.ts";
import { Collector } from "./entries.ts";
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

/** Makes the index of a list of rules. */
export function* buildIndex(rules: readonly Rule[]): Sliced<SearchIndex> {
  const collector = new Collector(rules.length);
  for (const [index, rule] of rules.entries()) {
    if (index % PART === PART - 1) yield;
    collector.add(index, rule);
  }
  const { groups } = collector;
  const writer = new IndexWriter();
  // The first table of each group lies in the cell of the group's number.
  const first = writer.allot(groups.length);
  let steps = 1;
  for (const [group, entries] of groups.entries()) {
    steps = Math.max(steps, yield* new Group(entries, writer).write(first + group));
  }
  return { bytes: writer.bytes(), cells: writer.cells, steps };
}
