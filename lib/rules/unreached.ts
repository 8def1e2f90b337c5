/** Which rules of a list are never reached, because earlier ones decide about all their packets. */
import { Comparison, coversMatch } from "./cover.ts";
import { CoverIndex } from "./cover-index.ts";
import { writeMatch } from "./format.ts";
import type { Rule } from "./types.ts";

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
  const earlier = new CoverIndex(comparison);
  for (const [index, rule] of rules.entries()) {
    const text = writeMatch(rule.match);
    const same = sameMatch.get(text) ?? [];
    sameMatch.set(text, same);
    const deciding =
      leaveNothing(rules, rule, same) ??
      leaveNothing(rules, rule, covering(rules, rule, earlier, comparison));
    if (deciding !== undefined) {
      unreached.set(index, deciding);
    } else {
      // What earlier rules leave nothing of decides about nothing itself.
      same.push(index);
      earlier.add(index, rule.match);
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

/** Earlier rules that match every packet that this one matches. */
function* covering(
  rules: readonly Rule[],
  later: Rule,
  earlier: CoverIndex,
  comparison: Comparison,
) {
  for (const index of earlier.candidates(later.match)) {
    const rule = rules[index];
    if (!comparison.take(1)) {
      return;
    }
    if (rule !== undefined && coversMatch(rule.match, later.match, comparison)) {
      yield index;
    }
  }
}
