import { readRules } from "./parse.ts";
import { describeProblem, RuleError, type RuleErrorReason, type RulePlace } from "./rule-error.ts";
import { Source } from "./source.ts";
import type { Rule } from "./types.ts";
import { normaliseRule, readRuleList } from "./validate.ts";
import { type CheckedRule, warnings } from "./warnings.ts";

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
  /** A UDP carrier that moves from port to port: each move looks like another client. */
  | "every-over-udp"
  /** A funnel that translates its own service port, which the service side does not expect. */
  | "translates-service-port"
  /** A prefix with host bits set, such as 10.0.0.1/8; they are ignored. */
  | "host-bits"
  /** `port` contradicts `sport` or `dport`: the rule matches no packet at all. */
  | "matches-nothing"
  /** Earlier rules decide about every packet that this one matches. */
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
