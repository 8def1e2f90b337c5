import { OptionError } from "../errors.ts";
import { commentProblem, readQuoted } from "./comment.ts";
import { Cursor } from "./cursor.ts";
import { normalList, normalRule } from "./normal.ts";
import { quoteValue } from "./quote.ts";
import { readAction } from "./read-action.ts";
import { type LocatedMatch, readMatch } from "./read-match.ts";
import { RuleError } from "./rule-error.ts";
import { atOnce, type Sliced } from "./sliced.ts";
import { Source } from "./source.ts";
import type { Rule } from "./types.ts";
import { ACTION_WORDS, RULE_START_WORDS } from "./words.ts";

/** A rule that was read from text, and where its parts were: offsets into the text. */
export interface LocatedRule {
  readonly rule: Rule;
  /** Index among all rules of the text, malformed ones included, from 0. */
  readonly index: number;
  readonly places: RulePlaces;
}

export interface RulePlaces extends Omit<LocatedMatch, "match"> {
  readonly start: number;
  readonly action: number;
}

/**
 * Reads rules, one a line or separated by `;`. The result is deeply frozen and canonical:
 * ports sorted and merged, host bits of prefixes cleared.
 *
 * @throws RuleError at the first rule that is malformed. No rules are returned then.
 */
export function parseRules(text: string): readonly Rule[] {
  if (typeof text !== "string") {
    throw new OptionError("text", `expected the rules as a string, found ${quoteValue(text)}`, {
      operation: "parse",
    });
  }
  return atOnce(parseRulesInSlices(text));
}

/** Rules between two chances to leave. */
const PART = 32;

/** The same in slices. */
export function* parseRulesInSlices(text: string): Sliced<readonly Rule[]> {
  const cursor = new Cursor(new Source(text));
  const rules: Rule[] = [];
  while (cursor.enterRule()) {
    if (rules.length % PART === PART - 1) {
      yield;
    }
    rules.push(readRule(cursor).rule);
  }
  return normalList(rules);
}

/** Reads all rules of a text and goes on behind each malformed one. */
export function readRules(source: Source): {
  readonly rules: readonly LocatedRule[];
  readonly errors: readonly RuleError[];
} {
  const cursor = new Cursor(source);
  const rules: LocatedRule[] = [];
  const errors: RuleError[] = [];
  while (cursor.enterRule()) {
    try {
      rules.push(readRule(cursor));
    } catch (error) {
      if (!(error instanceof RuleError)) {
        throw error;
      }
      errors.push(error);
      cursor.skipRule();
    }
  }
  return { rules, errors };
}

function readRule(cursor: Cursor): LocatedRule {
  const start = cursor.token.offset;
  const { match, ...places } = readMatch(cursor);
  const actionOffset = cursor.token.offset;
  const action = readAction(cursor, match);
  const comment = readComment(cursor);
  expectEndOfRule(cursor);
  const rule: Rule = comment === undefined ? { match, action } : { match, action, comment };
  return {
    rule: normalRule(rule),
    index: cursor.rule,
    places: { ...places, start, action: actionOffset },
  };
}

function readComment(cursor: Cursor): string | undefined {
  if (!cursor.isWord("comment")) {
    return undefined;
  }
  cursor.advance();
  const token = cursor.token;
  if (token.kind !== "string") {
    throw cursor.unexpected('a comment in quotes ("...")', "bad-string");
  }
  const read = readQuoted(token.text);
  if ("problem" in read) {
    throw cursor.error(read.problem, { offset: token.offset + read.offset });
  }
  const problem = commentProblem(read.text);
  if (problem !== undefined) {
    throw cursor.error(problem, token);
  }
  cursor.advance();
  if (cursor.isWord("comment")) {
    throw cursor.error({
      reason: "repeated",
      problem: "a rule has one comment at most",
      expected: "the end of the rule",
      found: 'a second "comment"',
    });
  }
  return read.text;
}

function expectEndOfRule(cursor: Cursor): void {
  const { word } = cursor;
  if (cursor.isEndOfRule()) {
    return;
  }
  if (ACTION_WORDS.includes(word) || word === "dnat" || word === "actions") {
    throw cursor.error({
      reason: "several-actions",
      problem: `a rule has one action, and "${word}" would be its second`,
      expected: "the end of the rule",
      found: `"${word}"`,
      hint: "separate rules by a new line or a ;",
    });
  }
  const hint = RULE_START_WORDS.has(word)
    ? 'matches stand before "actions"; a new rule starts on a new line or behind a ;'
    : cursor.wordHint(["comment", "allow", "every"]);
  throw cursor.unexpected('"comment" or the end of the rule', "unexpected", hint);
}
