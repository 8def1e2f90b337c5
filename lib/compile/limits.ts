/** All limits in one place: what the datapath holds, and what options may ask for. */
import { SfunnelError } from "../errors.ts";
import { Limit } from "./abi.gen.ts";

/** More of something than the datapath holds. */
export class LimitError extends SfunnelError {
  /** What there is too much of, e.g. "egress rules". */
  readonly what: string;
  readonly limit: number;
  readonly found: number;

  constructor(what: string, limit: number, found: number, hint: string) {
    super("SFUNNEL_LIMIT", `load: at most ${limit} ${what}, found ${found}`, {
      operation: "load",
      hint,
    });
    this.what = what;
    this.limit = limit;
    this.found = found;
  }
}

/** The limits of sfunnel. Those of the compiled datapath are from bpf/abi.h. */
export const limits = {
  /** Rules in one direction. */
  rules: Limit.MAX_RULES,
  /** Prefixes that all different sets of addresses and ports take together, in both directions. */
  setPrefixes: Limit.MAX_SET_PREFIXES / 2,
  /**
   * Steps that the search for the rule of one packet may take, in the worst case. 100,000 hosts take two,
   * as many prefixes of all lengths seven to nine; rules that differ in what they exclude alone one for each seven.
   */
  searchSteps: Limit.MAX_STEPS,
  /** The same before Linux 5.17. */
  searchStepsBefore517: Limit.MAX_STEPS_WITHOUT_LOOP,
  /** Interfaces and directions that one Funnel is attached to. */
  attachments: Limit.MAX_ATTACHMENTS,
  /** Routes with an MTU of their own that are known, and those inside them without. */
  routes: Limit.MAX_ROUTES,
  /** Bytes of an IP packet in its carrier. */
  packetBytes: Limit.LARGEST_PACKET,
  /** The least and the most that the options `flows` and `connections` of `Funnel.load` take. */
  tableSize: { least: 128, most: 2 ** 24 },
} as const;

const JOIN_RULES = "join rules with sets, such as dport { 2055, 4739 }";

/** Throws {@link LimitError} if `found` is above `limit`. */
export function assertWithin(what: string, limit: number, found: number, hint = JOIN_RULES): void {
  if (found > limit) throw new LimitError(what, limit, found, hint);
}
