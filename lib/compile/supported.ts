/** What the grammar knows and the datapath does not do yet. Refused, never ignored. */
import { SfunnelError } from "../errors.ts";
import type { Direction, Rule } from "../rules/types.ts";

/** A valid rule that this version cannot carry out. */
export class NotSupportedError extends SfunnelError {
  /** Which list the rule stands in. */
  readonly direction: Direction;
  /** Index of the rule in that list, from 0. */
  readonly rule: number;
  /** The feature, e.g. "sport ... every". */
  readonly feature: string;

  constructor(direction: Direction, rule: number, feature: string, hint: string) {
    super(
      "SFUNNEL_NOT_SUPPORTED",
      `load: ${direction} rule ${rule + 1} needs ${feature}, which is not supported yet`,
      { operation: "load", hint },
    );
    this.direction = direction;
    this.rule = rule;
    this.feature = feature;
  }
}

function missingFeature(rule: Rule): { feature: string; hint: string } | undefined {
  const { action } = rule;
  if (action.kind === "funnel" && action.mode === "encap" && action.sport.kind === "range") {
    if (action.sport.every !== undefined) {
      return { feature: "sport ... every", hint: "leave out `every`" };
    }
  }
  return undefined;
}

/** Throws {@link NotSupportedError} for the first rule that the datapath cannot carry out. */
export function assertSupported(rules: readonly Rule[], direction: Direction): void {
  for (const [index, rule] of rules.entries()) {
    const missing = missingFeature(rule);
    if (missing) throw new NotSupportedError(direction, index, missing.feature, missing.hint);
  }
}
