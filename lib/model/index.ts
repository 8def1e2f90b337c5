/**
 * `sfunnel/model`: what the rules do to a packet, in plain TypeScript. It is written from the
 * wire format, not from the BPF program, so that each can be tested against the other.
 */

export type { Direction, Ruleset } from "../rules/types.ts";
export type { SimulateOptions } from "./hook.ts";
export { OUTCOMES, type Outcome } from "./outcome.ts";
export type { Simulation } from "./result.ts";
export { Simulator, simulate } from "./simulate.ts";
