/** What the translating rules of a list say about packets that they do not match. */

import { portsInclude } from "../rules/ports.ts";
import type { Action, FunnelTranslate, Rule, UnfunnelTranslate } from "../rules/types.ts";

export function isTranslating(action: Action): action is FunnelTranslate | UnfunnelTranslate {
  return (action.kind === "funnel" || action.kind === "unfunnel") && action.mode === "translate";
}

/**
 * Whether translated connections go on to this port. A real connection to it has to be known, or the
 * answers to the two could not be told apart.
 */
export function leadTo(rules: readonly Rule[], port: number): boolean {
  return rules.some(({ action }) => {
    if (!isTranslating(action)) return false;
    return action.kind === "funnel" ? action.dport === port : portsInclude(action.allow, port);
  });
}
