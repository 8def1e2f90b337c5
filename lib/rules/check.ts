import { formatPrefix, parsePrefix } from "./address.ts";
import { Comparison, coversMatch } from "./cover.ts";
import { writeMatch } from "./format.ts";
import { type RulePlaces, readRules } from "./parse.ts";
import { formatPorts } from "./ports.ts";
import { quoteText } from "./quote.ts";
import { describeProblem, RuleError, type RuleErrorReason, type RulePlace } from "./rule-error.ts";
import { Source } from "./source.ts";
import type { Rule } from "./types.ts";
import { normaliseRule, readRuleList } from "./validate.ts";

/** What a warning is about. */
export type RuleWarningCode =
  /** `port` matches the source port as well; `dport` was probably meant. */
  | "port-matches-either"
  /** An unfunnel without `allow`: who reaches the service port reaches every port of the pod. */
  | "unfunnel-without-allow"
  /** An unfunnel of TCP carriers that matches `sport`, which a NAT on the way may change. */
  | "unfunnel-matches-sport"
  /** A funnel that matches `sport` and no destination: a reply rule, which is not needed. */
  | "reply-rule"
  /** A prefix with host bits set, such as 10.0.0.1/8; they are ignored. */
  | "host-bits"
  /** An earlier rule decides about every packet that this one matches. */
  | "never-reached";

/** One finding of `checkRules`. */
export interface RuleDiagnostic {
  readonly severity: "error" | "warning";
  /** A stable word for programs: the `reason` of a RuleError, or the name of a warning. */
  readonly code: RuleErrorReason | RuleWarningCode;
  /** A sentence, without the place. */
  readonly message: string;
  /** Index of the rule, malformed ones counted, from 0; undefined if the input is no list. */
  readonly rule: number | undefined;
  /** Line from 1; undefined if the input was data and not text. */
  readonly line: number | undefined;
  /** Column from 1 in UTF-16 code units; undefined if the input was data and not text. */
  readonly column: number | undefined;
  /** The line of the text, shortened around the place if it is long. */
  readonly source: string | undefined;
  /** White space and a `^`, to be printed under `source`. */
  readonly caret: string | undefined;
}

/** Rules behind this one are only compared with earlier ones of exactly the same match. */
const COMPARED_RULES = 1000;
/** Steps that comparing may take: a few rules with huge sets would take minutes otherwise. */
const COMPARING_STEPS = 5_000_000;

/**
 * Everything that is wrong (errors) or probably not meant (warnings) in rules given as text or
 * as data, in the order of the text. Never throws; a text with an error in it would be refused
 * whole by `parseRules`. Of each malformed rule the first error is reported.
 */
export function checkRules(input: string | readonly Rule[]): readonly RuleDiagnostic[] {
  const diagnostics = typeof input === "string" ? checkText(input) : checkData(input);
  // A stable sort: findings at the same place stay in the order in which they were made.
  diagnostics.sort(
    (one, other) =>
      (one.rule ?? -1) - (other.rule ?? -1) ||
      (one.line ?? 0) - (other.line ?? 0) ||
      (one.column ?? 0) - (other.column ?? 0),
  );
  return Object.freeze(diagnostics.map((diagnostic) => Object.freeze(diagnostic)));
}

/**
 * A finding as text for people: place, severity, sentence and code on one line; the source line
 * and a caret below where there are any.
 */
export function formatDiagnostic(diagnostic: RuleDiagnostic): string {
  const { severity, code, message, rule, line, column, source, caret } = diagnostic;
  const place =
    line !== undefined
      ? `line ${line}, column ${column}: `
      : rule !== undefined
        ? `rule ${rule}: `
        : "";
  const sentence = `${place}${severity}: ${message} [${code}]`;
  return source === undefined ? sentence : `${sentence}\n  ${source}\n  ${caret}`;
}

/** What the warnings need to know of a rule. */
interface CheckedRule {
  readonly rule: Rule;
  readonly index: number;
  readonly places?: RulePlaces;
}

function checkText(text: string): RuleDiagnostic[] {
  const source = new Source(text);
  const { rules, errors } = readRules(source);
  return [...errors.map(errorDiagnostic), ...warnings(rules, source)];
}

function checkData(input: unknown): RuleDiagnostic[] {
  const rules: CheckedRule[] = [];
  const errors: RuleDiagnostic[] = [];
  const attempt = (place: RulePlace, work: () => void) => {
    try {
      work();
    } catch (error) {
      // Anything else comes from a getter or a proxy in the data; it is no less an error in them.
      errors.push(
        errorDiagnostic(
          error instanceof RuleError
            ? error
            : new RuleError({ reason: "bad-data", problem: "the data cannot be read" }, place),
        ),
      );
    }
  };
  attempt({}, () => {
    for (const [index, rule] of readRuleList(input).entries()) {
      attempt({ rule: index }, () => {
        rules.push({ rule: normaliseRule(rule, index), index });
      });
    }
  });
  return [...errors, ...warnings(rules, undefined)];
}

function errorDiagnostic(error: RuleError): RuleDiagnostic {
  const { reason, rule, line, column, source, caret } = error;
  const message = describeProblem(error);
  return { severity: "error", code: reason, message, rule, line, column, source, caret };
}

function warnings(rules: readonly CheckedRule[], source: Source | undefined): RuleDiagnostic[] {
  const found: RuleDiagnostic[] = [];
  const warn: Warn = (checked, code, message, offset) => {
    const place =
      source === undefined || offset === undefined ? {} : source.place(offset, checked.index);
    found.push({
      severity: "warning",
      code,
      message,
      rule: checked.index,
      line: place.line,
      column: place.column,
      source: place.source,
      caret: place.caret,
    });
  };
  for (const checked of rules) {
    warnOfMatch(checked, warn);
    warnOfFunnel(checked, warn);
    warnOfUnfunnel(checked, warn);
  }
  warnOfUnreached(rules, source, warn);
  return found;
}

type Warn = (
  checked: CheckedRule,
  code: RuleWarningCode,
  message: string,
  offset: number | undefined,
) => void;

function warnOfMatch(checked: CheckedRule, warn: Warn): void {
  const { rule, places } = checked;
  if (rule.match.port !== undefined) {
    const message =
      '"port" matches the source port as well as the destination port; ' +
      'write "dport" if the port of the service is meant';
    warn(checked, "port-matches-either", message, places?.port);
  }
  for (const { offset, written } of places?.hostBits ?? []) {
    const parsed = parsePrefix(written);
    if (!("problem" in parsed)) {
      const message =
        `${quoteText(written)} has bits set behind its prefix length; ` +
        `they are ignored: it means ${formatPrefix(parsed.prefix)}`;
      warn(checked, "host-bits", message, offset);
    }
  }
}

function warnOfFunnel(checked: CheckedRule, warn: Warn): void {
  const { match, action } = checked.rule;
  const isReply =
    action.kind === "funnel" &&
    match.sport !== undefined &&
    !match.sport.negate &&
    match.dport === undefined &&
    match.port === undefined;
  if (isReply) {
    const message =
      `this funnels all that leaves port ${formatPorts(match.sport.ranges)}, answers to flows ` +
      "that came unfunneled included; if it is meant for replies, leave it out: replies to " +
      "funneled flows follow by themselves";
    warn(checked, "reply-rule", message, checked.places?.sport);
  }
}

function warnOfUnfunnel(checked: CheckedRule, warn: Warn): void {
  const { match, action } = checked.rule;
  if (action.kind !== "unfunnel") {
    return;
  }
  if (action.allow === undefined) {
    const message =
      "whoever reaches the service port can reach every port behind it through this rule; " +
      `name the ports that may pass, for instance: unfunnel ${action.inner} allow 2055`;
    warn(checked, "unfunnel-without-allow", message, checked.places?.action);
  }
  // UDP carriers have no fixed fields, so there the source port does tell something.
  if (match.transport === "tcp" && match.sport !== undefined) {
    const message =
      action.mode === "translate"
        ? "a translated flow keeps the client's own source port, which a NAT on the way may " +
          "change; leave sport out"
        : "a NAT on the way may change the source port of a carrier, and its fixed fields tell " +
          "it from other traffic anyway; leave sport out";
    warn(checked, "unfunnel-matches-sport", message, checked.places?.sport);
  }
}

function warnOfUnreached(
  rules: readonly CheckedRule[],
  source: Source | undefined,
  warn: Warn,
): void {
  const comparison = new Comparison(COMPARING_STEPS);
  const firstOfMatch = new Map<string, CheckedRule>();
  for (const [position, later] of rules.entries()) {
    const text = writeMatch(later.rule.match);
    const same = firstOfMatch.get(text);
    if (same === undefined) {
      firstOfMatch.set(text, later);
    }
    const earlier = same ?? findCovering(rules, position, comparison);
    if (earlier !== undefined) {
      const name =
        source === undefined || earlier.places === undefined
          ? `rule ${earlier.index}`
          : `the rule at ${source.describe(earlier.places.start)}`;
      const message = `this rule is never reached: ${name} decides about all of its packets`;
      warn(later, "never-reached", message, later.places?.start);
    }
  }
}

/** An earlier rule that leaves nothing for the one at `position`. */
function findCovering(
  rules: readonly CheckedRule[],
  position: number,
  comparison: Comparison,
): CheckedRule | undefined {
  const later = rules[position];
  if (later === undefined || position >= COMPARED_RULES) {
    return undefined;
  }
  return rules
    .slice(0, position)
    .find(
      (earlier) =>
        comparison.take(1) && coversMatch(earlier.rule.match, later.rule.match, comparison),
    );
}
