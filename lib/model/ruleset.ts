/** Checks a ruleset before any packet meets it. */

import { checkOptionNames } from "../rules/options.ts";
import type { Direction, Rule } from "../rules/types.ts";
import { normaliseRules } from "../rules/validate.ts";

/**
 * Checks both lists, as loading them would: a rule that the kernel program would never get is
 * refused here too, rather than when a packet meets it.
 */
export function readRuleset(
  operation: string,
  ruleset: unknown,
): Record<Direction, readonly Rule[]> {
  checkOptionNames(operation, ruleset, ["ingress", "egress"]);
  const read = (direction: Direction) => readRules(ruleset[direction] ?? []);
  return { ingress: read("ingress"), egress: read("egress") };
}

/** Lists that were checked before and can never change: what parsers and builders make. */
const checkedLists = new WeakMap<object, readonly Rule[]>();

function readRules(list: unknown): readonly Rule[] {
  const isObject = typeof list === "object" && list !== null;
  const checked = isObject ? checkedLists.get(list) : undefined;
  if (checked !== undefined) return checked;

  const rules = normaliseRules(list);
  if (isObject && isFrozenThroughout(list)) checkedLists.set(list, rules);
  return rules;
}

function isFrozenThroughout(data: unknown): boolean {
  if (typeof data !== "object" || data === null) return true;
  return Object.isFrozen(data) && Object.values(data).every(isFrozenThroughout);
}
