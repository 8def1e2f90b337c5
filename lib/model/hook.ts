/** What is told of the hook that a frame passes. */

import { checkOptionNames, optionError } from "../rules/options.ts";
import { quoteValue } from "../rules/quote.ts";
import type { Direction } from "../rules/types.ts";
import { LOWEST_MTU4 } from "./ip4.ts";

/** How `simulate` is to look at a frame. */
export interface SimulateOptions {
  /** The hook that the frame passes: which of the two rule lists applies. */
  readonly direction: Direction;
  /**
   * Bytes that the largest IP packet of the interface has, at egress those of the route if they
   * are less. Default: 65536, as loopback has, on which `testRun` runs. A packet in a carrier never
   * has more than 16000, whatever the interface takes.
   */
  readonly mtu?: number;
  /**
   * Seconds on the kernel's monotonic clock, by which `every` moves carriers. Default: 0. That of
   * this machine is `process.hrtime()[0]`.
   */
  readonly time?: number;
}

/** The options with nothing left out. */
export type Hook = Required<SimulateOptions>;

const LOOPBACK_MTU = 65_536;

/** The other hook of the same interface, which answers pass. */
export function opposite(direction: Direction): Direction {
  return direction === "ingress" ? "egress" : "ingress";
}

/** @throws OptionError for a missing or misspelt option. */
export function readHook(operation: string, options: unknown): Hook {
  checkOptionNames(operation, options, ["direction", "mtu", "time"]);
  const { direction, mtu = LOOPBACK_MTU, time = 0 } = options;
  if (direction !== "ingress" && direction !== "egress") {
    const problem = `expected "ingress" or "egress", found ${quoteValue(direction)}`;
    throw optionError(operation, "direction", problem);
  }
  if (typeof mtu !== "number" || !Number.isSafeInteger(mtu) || mtu < LOWEST_MTU4) {
    const problem = `expected a whole number from ${LOWEST_MTU4}, found ${quoteValue(mtu)}`;
    throw optionError(operation, "mtu", problem);
  }
  if (typeof time !== "number" || !(time >= 0 && time <= Number.MAX_SAFE_INTEGER)) {
    const problem = `expected seconds, 0 or more, found ${quoteValue(time)}`;
    throw optionError(operation, "time", problem);
  }
  return { direction, mtu, time };
}
