import { SfunnelError } from "../errors.ts";

/** What is wrong with a rule, as a stable word for programs. */
export type RuleErrorReason =
  /** A token that cannot stand where it stands, a misspelt word included. */
  | "unexpected"
  /** Not a port: 0, above 65535, or not a plain decimal number. */
  | "bad-port"
  /** A range whose first port is above its last. */
  | "bad-range"
  /** Not an address or prefix, or one of the wrong family. */
  | "bad-address"
  /** Not a duration in whole seconds, minutes or hours. */
  | "bad-duration"
  /** A string without its closing quote, or with a character that may not be in it. */
  | "bad-string"
  /** `{}`, or an empty list in plain data. */
  | "empty-set"
  /** IPv4 and IPv6 in one rule. */
  | "mixed-families"
  /** Both tcp and udp in one rule's match. */
  | "both-transports"
  /** Neither tcp nor udp in a rule's match. */
  | "no-transport"
  /** A term that may stand once stands twice. */
  | "repeated"
  /** No `actions`, or nothing after it. */
  | "no-action"
  /** A second action. */
  | "several-actions"
  /** An action that sfunnel does not have, such as dnat. */
  | "unknown-action"
  /** A funnel without the ports of its carrier. */
  | "no-carrier-port"
  /** `translate` of anything but TCP over TCP, or with a source port. */
  | "translate-only-tcp"
  /** `unfunnel translate` without `allow`. */
  | "no-allow"
  /** `every` without a range of ports to walk through. */
  | "every-without-range"
  /** `every` walks through its range faster than conntrack forgets. */
  | "every-too-fast"
  /** Plain data of the wrong shape: a missing, unknown or mistyped property. */
  | "bad-data";

/** What is wrong, without the place where. */
export interface RuleProblem {
  readonly reason: RuleErrorReason;
  /** A sentence without a full stop, e.g. `expected a port (1 to 65535), found "0"`. */
  readonly problem: string;
  readonly expected?: string | undefined;
  readonly found?: string | undefined;
  readonly hint?: string | undefined;
}

/** Where a problem is. Text has all of it; plain data has the index of the rule at most. */
export interface RulePlace {
  /** Line of the text, from 1. */
  readonly line?: number;
  /** Column of the text in UTF-16 code units, from 1. */
  readonly column?: number;
  /** Index of the rule in its list, from 0. */
  readonly rule?: number;
  /** The line of the text, cut to about 100 columns around the place if it is longer. */
  readonly source?: string;
  /** White space and a `^`, to be printed under `source`. */
  readonly caret?: string;
}

/**
 * A rule that does not parse or cannot mean anything. The first line of the message is a
 * whole sentence; where the rule came from text, the source line and a caret follow.
 */
export class RuleError extends SfunnelError {
  readonly reason: RuleErrorReason;
  /** What is wrong, without place and hint. */
  readonly problem: string;
  /** Line of the text, from 1; undefined where the rule was plain data. */
  readonly line: number | undefined;
  /** Column of the text in UTF-16 code units, from 1; undefined where the rule was plain data. */
  readonly column: number | undefined;
  /** Index of the rule in its list, from 0. */
  readonly rule: number | undefined;
  /** What would have been right there, in words. */
  readonly expected: string | undefined;
  /** What stands there, as the message shows it: text in quotes, or words such as "end of line". */
  readonly found: string | undefined;
  readonly source: string | undefined;
  readonly caret: string | undefined;
  // The hint belongs into the first line of the message, before the source line, so it is not
  // handed to the base class, which would put it after the caret.
  override readonly hint: string | undefined;

  constructor(problem: RuleProblem, place: RulePlace = {}, operation = "parse") {
    super("SFUNNEL_RULE", messageOf(problem, place), { operation });
    this.reason = problem.reason;
    this.problem = problem.problem;
    this.hint = problem.hint;
    this.expected = problem.expected;
    this.found = problem.found;
    this.line = place.line;
    this.column = place.column;
    this.rule = place.rule;
    this.source = place.source;
    this.caret = place.caret;
  }
}

/** The problem with its hint, without the place. */
export function describeProblem(problem: Pick<RuleProblem, "problem" | "hint">): string {
  return problem.hint === undefined ? problem.problem : `${problem.problem} (${problem.hint})`;
}

/** The usual sentence, with both parts as fields. */
export function expectedButFound(
  reason: RuleErrorReason,
  expected: string,
  found: string,
  hint?: string,
): RuleProblem {
  return { reason, problem: `expected ${expected}, found ${found}`, expected, found, hint };
}

function messageOf(problem: RuleProblem, place: RulePlace): string {
  const sentence = describeProblem(problem);
  if (place.line !== undefined) {
    const where = `line ${place.line}, column ${place.column}: ${sentence}`;
    return place.source === undefined
      ? where
      : `${where}\n  ${place.source}\n  ${place.caret ?? ""}`;
  }
  return place.rule === undefined ? sentence : `rule ${place.rule}: ${sentence}`;
}
