/** Where on a clsact hook a filter goes: lower priorities run first. */
import type { NativeFilter } from "../native/binding.ts";
import type { Direction } from "../rules/types.ts";
import { directionIndex } from "./tables.ts";

/** The kernel numbers filters without a priority from 49152 downwards. */
const USUAL_FIRST = 10;
const USUAL_LAST = 50_000;
const HIGHEST = 65_535;

/**
 * A priority ahead of all filters of others, or behind them. A priority that already stands
 * alone at the edge is shared only if its filters are of our kind (the kernel refuses others).
 */
export function choosePriority(
  filters: readonly NativeFilter[],
  direction: Direction,
  order: "first" | "last",
): number {
  const index = directionIndex(direction);
  const taken = filters.filter((filter) => filter.direction === index);
  const priorities = taken.map(({ priority }) => priority);
  if (order === "last") {
    return Math.min(HIGHEST, Math.max(USUAL_LAST, ...priorities.map((priority) => priority + 1)));
  }
  const lowest = Math.min(...priorities, USUAL_FIRST + 1);
  if (lowest > 1) return lowest - 1;
  const first = taken.find(({ priority }) => priority === 1);
  if (first?.kind === "bpf") return 1;
  // Priority 1 belongs to a filter of another kind: the next free one is as early as it gets.
  let free = 2;
  while (priorities.includes(free)) free++;
  return free;
}
