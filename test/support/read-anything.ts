/** What has to hold when any input at all is read as rules. For tests, and for `npm run fuzz`. */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import {
  checkRules,
  formatRules,
  normaliseRules,
  parseRules,
  type Rule,
  RuleError,
  validateRules,
} from "../../lib/rules/index.ts";

/** The rules, or the error: anything else that is thrown goes on. */
function read(work: () => readonly Rule[]): readonly Rule[] | RuleError {
  try {
    return work();
  } catch (error) {
    if (error instanceof RuleError) return error;
    throw error;
  }
}

/** Throws unless a text gives rules or a RuleError that points into it, and checkRules agrees. */
export function checkTextRead(text: string): void {
  const errors = checkRules(text).filter(({ severity }) => severity === "error");
  const rules = read(() => parseRules(text));
  if (!(rules instanceof RuleError)) {
    deepStrictEqual(errors, []);
    validateRules(rules);
    deepStrictEqual(parseRules(formatRules(rules)), rules);
    return;
  }
  const { line = 0, column = 0, source, caret, rule, message, reason } = rules;
  const lines = text.split("\n");
  ok(line >= 1 && line <= lines.length, `line ${line} of ${lines.length}`);
  const width = (lines[line - 1] ?? "").length;
  ok(column >= 1 && column <= width + 1, `column ${column} of ${width}`);
  ok(message.startsWith(`line ${line}, column ${column}: `), message);
  strictEqual(message, `${message.split("\n")[0]}\n  ${source}\n  ${caret}`);
  const [first] = errors;
  deepStrictEqual(
    { line: first?.line, column: first?.column, rule: first?.rule, code: first?.code },
    { line, column, rule, code: reason },
  );
}

/** The same for data, which has no lines. */
export function checkDataRead(data: unknown): void {
  // The types say rules; people who write JavaScript need not.
  const input = data as readonly Rule[];
  if (typeof data === "string") {
    checkTextRead(data);
    return;
  }
  const errors = checkRules(input).filter(({ severity }) => severity === "error");
  const rules = read(() => normaliseRules(input));
  if (rules instanceof RuleError) {
    strictEqual(errors[0]?.code, rules.reason);
    return;
  }
  deepStrictEqual(errors, []);
  deepStrictEqual(parseRules(formatRules(rules)), rules);
}
