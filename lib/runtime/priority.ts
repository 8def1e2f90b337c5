/** Where on a clsact hook a filter goes: lower priorities run first. */
import type { NativeFilter } from "../native/binding.ts";
import type { Direction } from "../rules/types.ts";
import { directionIndex } from "./directions.ts";

/** The kernel numbers filters without a priority from 49152 downwards. */
const USUAL_FIRST = 10;
const USUAL_LAST = 50_000;
const HIGHEST = 65_535;

/** ETH_P_ALL, of ours. */
const ALL_PROTOCOLS = 3;

/**
 * A priority ahead of all filters of others, or behind them; where one stands at the very edge,
 * as near to it as there is room. Those in other chains than ours are met only by who is sent
 * there. Filters of one priority must be of one kind and protocol.
 */
export function choosePriority(
  filters: readonly NativeFilter[],
  direction: Direction,
  order: "first" | "last",
): number {
  const index = directionIndex(direction);
  const taken = filters.filter((filter) => filter.direction === index && filter.chain === 0);
  const priorities = new Set(taken.map(({ priority }) => priority));
  if (order === "last") {
    const highest = Math.max(USUAL_LAST - 1, ...priorities);
    if (highest < HIGHEST) return highest + 1;
    let free = HIGHEST;
    while (priorities.has(free)) free--;
    return free;
  }
  const lowest = Math.min(USUAL_FIRST + 1, ...priorities);
  if (lowest > 1) return lowest - 1;
  // A program that comes later to the same priority runs first.
  const edge = taken.filter(({ priority }) => priority === 1);
  if (edge.every(({ kind, protocol }) => kind === "bpf" && protocol === ALL_PROTOCOLS)) return 1;
  let free = 2;
  while (priorities.has(free)) free++;
  return free;
}
