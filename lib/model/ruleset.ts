/** Checks a ruleset before any packet meets it. */

import { SfunnelError } from "../errors.ts";
import { checkOptionNames } from "../rules/options.ts";
import type {
  Action,
  Direction,
  FunnelTranslate,
  Rule,
  UnfunnelTranslate,
} from "../rules/types.ts";
import { normaliseRules } from "../rules/validate.ts";

/** What the datapath can do today. */
export type SupportedAction = Exclude<Action, FunnelTranslate | UnfunnelTranslate>;

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
    supportedAction(operation, action, `${direction} rule ${index}`);
  }
  if (isObject && isFrozenThroughout(list)) checkedLists.set(list, rules);
  return rules;
}

function isFrozenThroughout(data: unknown): boolean {
  if (typeof data !== "object" || data === null) return true;
  return Object.isFrozen(data) && Object.values(data).every(isFrozenThroughout);
}

/** @throws SfunnelError `SFUNNEL_NOT_SUPPORTED` for one that is not. */
export function supportedAction(operation: string, action: Action, where: string): SupportedAction {
  const refuse = (what: string) =>
    new SfunnelError("SFUNNEL_NOT_SUPPORTED", `${where}: ${what} is not supported yet`, {
      operation,
    });
  if (action.kind === "accept" || action.kind === "drop") return action;
  if (action.mode === "translate") throw refuse(`"${action.kind} translate"`);
  if (action.kind === "funnel" && action.sport.kind === "range" && action.sport.every !== undefined)
    throw refuse('a source port range with "every"');
  return action;
}
