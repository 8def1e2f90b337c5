/** Checks a ruleset before any packet meets it. */

import { SfunnelError } from "../errors.ts";
import { checkOptionNames } from "../rules/options.ts";
import type { Action, Direction, Rule } from "../rules/types.ts";
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
  const read = (direction: Direction) => readRules(operation, ruleset[direction] ?? [], direction);
  return { ingress: read("ingress"), egress: read("egress") };
}

/** Lists that were checked before and can never change: what parsers and builders make. */
const checkedLists = new WeakMap<object, readonly Rule[]>();

function readRules(operation: string, list: unknown, direction: Direction): readonly Rule[] {
  const isObject = typeof list === "object" && list !== null;
  const checked = isObject ? checkedLists.get(list) : undefined;
  if (checked !== undefined) return checked;

  const rules = normaliseRules(list);
  for (const [index, { action }] of rules.entries()) {
    refuseUnsupported(operation, action, `${direction} rule ${index}`);
  }
  if (isObject && isFrozenThroughout(list)) checkedLists.set(list, rules);
  return rules;
}

function isFrozenThroughout(data: unknown): boolean {
  if (typeof data !== "object" || data === null) return true;
  return Object.isFrozen(data) && Object.values(data).every(isFrozenThroughout);
}

/** @throws SfunnelError `SFUNNEL_NOT_SUPPORTED` for what the datapath cannot do today. */
function refuseUnsupported(operation: string, action: Action, where: string): void {
  if (action.kind !== "funnel" || action.mode !== "encap") return;
  if (action.sport.kind !== "range" || action.sport.every === undefined) return;
  const what = 'a source port range with "every"';
  throw new SfunnelError("SFUNNEL_NOT_SUPPORTED", `${where}: ${what} is not supported yet`, {
    operation,
  });
}
