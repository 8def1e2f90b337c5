import { setImmediate } from "node:timers/promises";
import type { Sliced } from "../rules/sliced.ts";

/**
 * Milliseconds that a slice may take before others get their turn. What comes between two looks at the
 * clock, and the collection of garbage, comes on top.
 */
const SLICE = 1;

/** Runs long work to its end, and lets the event loop turn after each slice. */
export async function inSlices<Result>(work: Sliced<Result>): Promise<Result> {
  let begun = performance.now();
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
    if (performance.now() - begun < SLICE) continue;
    await setImmediate();
    begun = performance.now();
  }
}
