/**
 * Rules in a document: they parse, load, and cause no warning, except where a comment behind
 * the rule tells the reader so:
 *
 *   # warns: port-matches-either        the code of a warning, or several with commas
 *   # refused: bad-port                 the rule is malformed, with this reason
 */
import { checkRules } from "../../lib/rules/check.ts";
import { readRules } from "../../lib/rules/parse.ts";
import { Source } from "../../lib/rules/source.ts";

/** What is said about a line, in the words of the marks above. */
type Findings = Map<number, Set<string>>;

function add(findings: Findings, line: number, finding: string): void {
  findings.set(line, (findings.get(line) ?? new Set()).add(finding));
}

function toldIn(text: string): Findings {
  const told: Findings = new Map();
  for (const [index, line] of text.split("\n").entries()) {
    const mark = /#\s*(warns|refused):\s*(.*?)\s*$/.exec(line);
    if (!mark) continue;
    const [, kind = "", codes = ""] = mark;
    for (const code of codes.split(/[\s,]+/)) add(told, index + 1, `${kind}: ${code}`);
  }
  return told;
}

function trueOf(text: string): Findings {
  const found: Findings = new Map();
  for (const { severity, code, line } of checkRules(text)) {
    add(found, line ?? 0, `${severity === "error" ? "refused" : "warns"}: ${code}`);
  }
  return found;
}

/** What is wrong with rules in a document, a line each; undefined if nothing is. */
export function problemOfRules(text: string): string | undefined {
  const told = toldIn(text);
  const found = trueOf(text);
  const problems: string[] = [];
  for (const line of new Set([...told.keys(), ...found.keys()])) {
    for (const finding of found.get(line) ?? []) {
      if (!told.get(line)?.has(finding)) problems.push(`line ${line}: untold: "${finding}"`);
    }
    for (const finding of told.get(line) ?? []) {
      if (!found.get(line)?.has(finding)) problems.push(`line ${line}: untrue: "${finding}"`);
    }
  }
  if (readRules(new Source(text)).rules.length === 0 && problems.length === 0 && told.size === 0) {
    problems.push("there is no rule in it");
  }
  return problems.length === 0 ? undefined : problems.join("\n");
}
