import { Direction as DirectionIndex } from "../compile/abi.gen.ts";
import type { Direction } from "../rules/types.ts";

export type ByDirection<Value> = { readonly [direction in Direction]: Value };

/** In the order of their indexes. */
export const directions: readonly Direction[] = ["ingress", "egress"];

/** Index of a direction in the maps. */
export function directionIndex(direction: Direction): 0 | 1 {
  return direction === "ingress" ? DirectionIndex.INGRESS : DirectionIndex.EGRESS;
}
