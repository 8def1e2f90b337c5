import { Outcome } from "./abi.gen.ts";

/** What became of a packet: the names of the counters, as bpf/abi.h explains them. */
export type OutcomeName = Lowercase<Exclude<keyof typeof Outcome, "OUTCOMES">>;

/** All outcomes in the order of their counters. */
export const outcomeNames: readonly OutcomeName[] = Object.freeze(
  Object.keys(Outcome)
    .filter((name) => name !== "OUTCOMES")
    .map((name) => name.toLowerCase() as OutcomeName),
);
