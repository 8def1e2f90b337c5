/** All that keeps a text of rules from being loaded, and all that is probably not meant. */
import { encodeRules } from "../compile/encode.ts";
import { assertWithin, LimitError, limits } from "../compile/limits.ts";
import { buildIndex } from "../compile/search/index.ts";
import { SetWriter } from "../compile/sets.ts";
import { SfunnelError } from "../errors.ts";
import { checkRules, type RuleDiagnostic } from "../rules/check.ts";
import { type LocatedRule, readRules } from "../rules/parse.ts";
import { atOnce } from "../rules/sliced.ts";
import { Source } from "../rules/source.ts";
import type { RulesetText } from "./env.ts";

/** One finding: of the grammar, or of what can be loaded. */
export type Diagnostic = Omit<RuleDiagnostic, "code"> & {
  readonly code: RuleDiagnostic["code"] | "too-many";
};

export interface Diagnosis {
  readonly source: string;
  /** How many rules there are, malformed ones included. */
  readonly rules: number;
  readonly diagnostics: readonly Diagnostic[];
}

export function diagnose({ source, text }: Pick<RulesetText, "source" | "text">): Diagnosis {
  const { rules, errors } = readRules(new Source(text));
  // What cannot be loaded in any case is not looked at for what is probably not meant.
  const diagnostics: Diagnostic[] =
    errors.length === 0 && rules.length > limits.rules ? [] : [...checkRules(text)];
  const loadable = !diagnostics.some(({ severity }) => severity === "error");
  if (loadable) diagnostics.push(...tooMany(rules));
  diagnostics.sort(
    (one, other) => (one.line ?? 0) - (other.line ?? 0) || (one.column ?? 0) - (other.column ?? 0),
  );
  return { source, rules: rules.length + errors.length, diagnostics };
}

/**
 * The rules, if they can be loaded.
 *
 * @throws SfunnelError (SFUNNEL_RULE) with the first error, its line, column and caret.
 */
export function assertLoadable(diagnosis: Diagnosis): void {
  const { source, rules, diagnostics } = diagnosis;
  const error = diagnostics.find(({ severity }) => severity === "error");
  if (error) throw new SfunnelError("SFUNNEL_RULE", describe(source, error), operation);
  if (rules > 0) return;
  throw new SfunnelError("SFUNNEL_RULE", `no ruleset: ${source} holds no rule`, operation);
}

const operation = { operation: "parse" };

/** `source: line 1, column 2: message` and, where the place is known, the line with its caret. */
export function describe(
  name: string,
  { line, column, message, source, caret }: Diagnostic,
  label = "",
): string {
  const place = line === undefined ? "" : `line ${line}, column ${column}: `;
  const sentence = `${name}: ${place}${label}${message}`;
  return source === undefined ? sentence : `${sentence}\n  ${source}\n  ${caret}`;
}

function tooMany(rules: readonly LocatedRule[]): Diagnostic[] {
  try {
    assertWithin("rules in one direction", limits.rules, rules.length);
    const sets = new SetWriter(1);
    const list = rules.map(({ rule }) => rule);
    atOnce(encodeRules(list, [], sets));
    assertWithin("prefixes in sets", limits.setPrefixes, sets.count);
    const { steps } = atOnce(buildIndex(list));
    assertWithin("steps in the search for a rule", limits.searchSteps, steps);
    return [];
  } catch (error) {
    if (!(error instanceof LimitError)) throw error;
    const message = `at most ${error.limit} ${error.what}, found ${error.found} (${error.hint})`;
    const nowhere = {
      ...{ rule: undefined, line: undefined, column: undefined },
      ...{ source: undefined, caret: undefined },
    };
    return [{ severity: "error", code: "too-many", message, ...nowhere }];
  }
}
