/** Filters that the original sfunnel, or a tool like it, has left on a clsact hook. */
import { binding, isFailure } from "../native/binding.ts";
import type { Direction } from "../rules/types.ts";
import { directionIndex } from "./directions.ts";
import type { Place } from "./place.ts";
import { PROGRAM_NAMES } from "./predecessor.ts";

export interface OriginalFilter {
  readonly direction: Direction;
  readonly priority: number;
  readonly handle: number;
  /** TCA_BPF_NAME: `tc` puts the names of the object file and of the section here. */
  readonly name: string;
}

/**
 * The bpf filters in these directions that are called something with "funnel" and are not ours.
 * Only looks; what cannot be listed has none. They return TC_ACT_OK for every packet, so
 * nothing behind them on the hook ever runs.
 */
export async function findOriginals(
  place: Place,
  directions: readonly Direction[],
): Promise<OriginalFilter[]> {
  const qdisc = await binding().qdisc(place.netns, place.ifindex);
  if (isFailure(qdisc)) return [];
  return directions.flatMap((direction) =>
    qdisc.filters
      .filter(
        (filter) =>
          filter.direction === directionIndex(direction) &&
          filter.kind === "bpf" &&
          /funnel/i.test(filter.name) &&
          !PROGRAM_NAMES.some((ours) => filter.name.startsWith(ours)),
      )
      .map(({ priority, handle, name }) => ({ direction, priority, handle, name })),
  );
}
