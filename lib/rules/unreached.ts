/** Which rules of a list are never reached, because earlier ones decide about all their packets. */
import { Comparison, coversMatch } from "./cover.ts";
import { writeMatch } from "./format.ts";
import type { Rule } from "./types.ts";

/** Rules behind this one are only compared with earlier ones of exactly the same match. */
const COMPARED_RULES = 1000;
/** Steps that comparing may take: a few rules with huge sets would take minutes otherwise. */
const COMPARING_STEPS = 5_000_000;

/**
 * What a packet is to rules that unfunnel: a carrier by its fixed fields, a SYN with the mark of
 * a translated flow, or neither.
 */
export type Form = "plain" | "carrier" | "marked";

/**
 * The forms that a rule takes of the packets that it matches. Each kind of unfunneling leaves to
 * later rules what the other one is for, so that both may stand for one service port.
 */
function formsOf({ match, action }: Rule): readonly Form[] {
  if (match.transport === "udp") {
    return ["plain"];
  }
  if (action.kind !== "unfunnel") {
    return ["plain", "carrier", "marked"];
  }
  return action.mode === "decap" ? ["plain", "carrier"] : ["plain", "marked"];
}

/** Why a rule is never reached. */
export interface Unreached {
  /** Earlier rules that decide about its packets: one, or two that unfunnel in different ways. */
  readonly deciding: readonly number[];
  /** What they leave after all. It is nothing that anybody writes a rule for. */
  readonly except: readonly Form[];
}

/** The rules that are never reached, by index. */
export function findUnreached(rules: readonly Rule[]): ReadonlyMap<number, Unreached> {
  const comparison = new Comparison(COMPARING_STEPS);
  const unreached = new Map<number, Unreached>();
  const sameMatch = new Map<string, number[]>();
  for (const [index, rule] of rules.entries()) {
    const text = writeMatch(rule.match);
    const same = sameMatch.get(text) ?? [];
    sameMatch.set(text, same);
    const deciding =
      leaveNothing(rules, rule, same) ??
      leaveNothing(rules, rule, covering(rules, index, comparison));
    if (deciding !== undefined) {
      unreached.set(index, deciding);
    } else {
      // What earlier rules leave nothing of decides about nothing itself.
      same.push(index);
    }
  }
  return unreached;
}

/**
 * Whether nothing is left for `later` by the rules at `earlier`, which match all that it does. A
 * rule that unfunnels is there for one form; any other is written with common packets in mind.
 */
function leaveNothing(
  rules: readonly Rule[],
  later: Rule,
  earlier: Iterable<number>,
): Unreached | undefined {
  let left = formsOf(later);
  const deciding: number[] = [];
  for (const index of earlier) {
    const rule = rules[index];
    const taken = rule === undefined ? [] : formsOf(rule);
    const still = left.filter((form) => !taken.includes(form));
    if (still.length < left.length) {
      deciding.push(index);
      left = still;
    }
    if (left.length === 0) {
      break;
    }
  }
  const forNothing = later.action.kind === "unfunnel" ? left.length === 0 : !left.includes("plain");
  return forNothing ? { deciding, except: left } : undefined;
}

/** Earlier rules that match every packet that the one at `index` matches. */
function* covering(rules: readonly Rule[], index: number, comparison: Comparison) {
  const later = rules[index];
  if (later === undefined || index >= COMPARED_RULES) {
    return;
  }
  for (let earlier = 0; earlier < index; earlier++) {
    const rule = rules[earlier];
    if (
      rule !== undefined &&
      comparison.take(1) &&
      coversMatch(rule.match, later.match, comparison)
    ) {
      yield earlier;
    }
  }
}
