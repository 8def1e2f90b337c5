import { deepFreeze } from "./freeze.ts";
import type { Rule } from "./types.ts";

/** Rules that are frozen and canonical, because they were made here: nobody need look at them again. */
const normalRules = new WeakSet<object>();

/** Freezes a rule that is canonical already. */
export function normalRule(rule: Rule): Rule {
  const frozen = deepFreeze(rule);
  normalRules.add(frozen);
  return frozen;
}

/** Frozen lists of such rules. */
const normalLists = new WeakSet<object>();

/** Freezes a list of rules that are frozen and canonical. */
export function normalList(rules: Rule[]): readonly Rule[] {
  normalLists.add(rules);
  return Object.freeze(rules);
}

/** Whether `value` is a list that cannot be anything but valid. */
export function isNormalList(value: unknown): value is readonly Rule[] {
  return typeof value === "object" && value !== null && normalLists.has(value);
}

/** Whether `value` is a rule that cannot be anything but valid. */
export function isNormalRule(value: unknown): value is Rule {
  return typeof value === "object" && value !== null && normalRules.has(value);
}
