/** What became of a packet. */

import type { Outcome } from "./outcome.ts";

/** What became of a simulated frame. */
export interface Simulation {
  readonly verdict: "pass" | "drop";
  /**
   * The bytes that leave; where the verdict is "drop", the frame as it came, or what its sender gets:
   * an ICMP error (`too_big_reported`) or a reset (`translate_not_allowed`, `translate_lost`). Always a
   * copy.
   */
  readonly frame: Uint8Array;
  /** Name of the counter that the kernel program would have counted up. */
  readonly outcome: Outcome;
  /** Index of the rule that matched in its direction's list. */
  readonly rule: number | undefined;
}

/** What became of a packet, and the bytes to go on with if they are new. */
export interface Result {
  readonly outcome: Outcome;
  readonly frame?: Uint8Array;
}

const DROPPED: ReadonlySet<Outcome> = new Set<Outcome>([
  "dropped",
  "not_allowed",
  "no_free_port",
  "too_big",
  "too_big_reported",
  "translate_not_allowed",
  "translate_lost",
]);

/** The whole answer, for a frame that came. */
export function finish(came: Uint8Array, result: Result, rule?: number): Simulation {
  return {
    verdict: DROPPED.has(result.outcome) ? "drop" : "pass",
    // Not slice(): a Buffer's shares memory with its source.
    frame: result.frame ?? new Uint8Array(came),
    outcome: result.outcome,
    rule,
  };
}
