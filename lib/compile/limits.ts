import { SfunnelError } from "../errors.ts";
import { Limit } from "./abi.gen.ts";

/** More of something than the datapath holds. */
export class LimitError extends SfunnelError {
  /** What there is too much of, e.g. "egress rules". */
  readonly what: string;
  readonly limit: number;
  readonly found: number;

  constructor(what: string, limit: number, found: number) {
    super("SFUNNEL_LIMIT", `load: at most ${limit} ${what}, found ${found}`, {
      operation: "load",
      hint: "join rules with sets, such as dport { 2055, 4739 }",
    });
    this.what = what;
    this.limit = limit;
    this.found = found;
  }
}

/** The limits of the compiled datapath, from bpf/abi.h. */
export const limits = {
  /** Rules in one direction. */
  rules: Limit.MAX_RULES,
  /** Prefixes that all address and port sets take together, old and new rules side by side. */
  setPrefixes: Limit.MAX_SET_PREFIXES / 2,
} as const;

/** Throws {@link LimitError} if `found` is above `limit`. */
export function assertWithin(what: string, limit: number, found: number): void {
  if (found > limit) throw new LimitError(what, limit, found);
}
