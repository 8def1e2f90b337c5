import { OptionError } from "../errors.ts";
import { distinctPrefixes, familyOf, PREFIX_WORDS, parsePrefix } from "./address.ts";
import { DURATION_WORDS, everyProblem, parseDuration } from "./carrier-source.ts";
import { commentProblem, readQuoted } from "./comment.ts";
import { deepFreeze } from "./freeze.ts";
import { makeMatch } from "./match.ts";
import { nearestWord } from "./nearest.ts";
import { normalisePorts, PORT_WORDS, parsePort } from "./ports.ts";
import { listWords, quoteText, quoteValue } from "./quote.ts";
import {
  expectedButFound,
  RuleError,
  type RuleErrorReason,
  type RuleProblem,
} from "./rule-error.ts";
import { Source } from "./source.ts";
import { describeToken, type Token, Tokenizer } from "./tokens.ts";
import type {
  Action,
  AddressMatch,
  CarrierSourcePort,
  Family,
  Match,
  PortMatch,
  PortRange,
  Prefix,
  Rule,
  Transport,
} from "./types.ts";

/** A rule that was read from text, and where its parts were: offsets into the text. */
export interface LocatedRule {
  readonly rule: Rule;
  /** Index among all rules of the text, malformed ones included, from 0. */
  readonly index: number;
  readonly offset: number;
  readonly places: RulePlaces;
}

export interface RulePlaces {
  readonly action: number;
  readonly sport: number | undefined;
  readonly port: number | undefined;
  /** Prefixes that were written with host bits set. */
  readonly hostBits: readonly HostBits[];
}

interface HostBits {
  readonly offset: number;
  readonly written: string;
}

const NO_HOST_BITS: readonly HostBits[] = [];

const TERM_WORDS = ["ip", "ip6", "saddr", "daddr", "tcp", "udp", "sport", "dport", "port"];
const ACTION_WORDS = ["funnel", "unfunnel", "accept", "drop"];
const RULE_START_WORDS = new Set([...TERM_WORDS, "actions"]);

/** Words of other tools, and what they are here. */
const FOREIGN_WORDS: Readonly<Record<string, string>> = {
  action: "actions",
  allowed: "allow",
  decapsulate: "decap",
  destination: "daddr",
  dst: "daddr",
  encapsulate: "encap",
  ipv4: "ip",
  ipv6: "ip6",
  pass: "accept",
  reject: "drop",
  source: "saddr",
  src: "saddr",
};

const TERM_EXPECTED = `a match (${listWords(TERM_WORDS)}) or "actions"`;
const ACTION_EXPECTED = `an action (${listWords(ACTION_WORDS)})`;
const PORTS_EXPECTED = `${PORT_WORDS}, a range or a set`;
const CARRIER_SOURCE_EXPECTED = `${PORT_WORDS}, a range such as 540-549, or "keep"`;

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
  const parser = new RuleParser(new Source(text));
  const rules: Rule[] = [];
  for (let next = parser.next(); next !== undefined; next = parser.next()) {
    rules.push(next.rule);
  }
  return Object.freeze(rules);
}

/** Reads all rules of a text and goes on behind each malformed one. */
export function readRules(source: Source): {
  readonly rules: readonly LocatedRule[];
  readonly errors: readonly RuleError[];
} {
  const parser = new RuleParser(source);
  const rules: LocatedRule[] = [];
  const errors: RuleError[] = [];
  for (;;) {
    try {
      const next = parser.next();
      if (next === undefined) {
        return { rules, errors };
      }
      rules.push(next);
    } catch (error) {
      if (!(error instanceof RuleError)) {
        throw error;
      }
      errors.push(error);
      parser.recover();
    }
  }
}

/** A choice that the rule has made, and the token that made it. */
interface Choice<T> {
  readonly value: T;
  readonly token: Token;
}

/** What is known of a rule's match while it is read. */
interface Draft {
  family?: Choice<Family>;
  transport?: Choice<Transport>;
  saddr?: Choice<AddressMatch>;
  daddr?: Choice<AddressMatch>;
  sport?: Choice<PortMatch>;
  dport?: Choice<PortMatch>;
  port?: Choice<PortMatch>;
  hostBits?: HostBits[];
}

/** A range as it was written: "80" is no range, though first and last are the same. */
interface WrittenPorts extends PortRange {
  readonly isRange: boolean;
}

/** Recursive descent without recursion: the only thing that nests are sets, and those loop. */
class RuleParser {
  readonly #source: Source;
  readonly #tokenizer: Tokenizer;
  #token: Token;
  /** Whether the current token is the first of its line. */
  #startsLine = true;
  /** Braces open at the current token. */
  #depth = 0;
  /** Index of the current rule. */
  #rule = -1;

  constructor(source: Source) {
    this.#source = source;
    this.#tokenizer = new Tokenizer(source.text);
    this.#token = this.#tokenizer.next();
  }

  /** The next rule; undefined at the end of the text. */
  next(): LocatedRule | undefined {
    while (this.#token.kind === "newline" || this.#isMark(";")) {
      this.#advance();
    }
    if (this.#token.kind === "end") {
      return undefined;
    }
    this.#rule++;
    return this.#readRule();
  }

  /** After an error: goes on to where the next rule most likely starts. */
  recover(): void {
    for (; this.#token.kind !== "end"; this.#advance()) {
      if (this.#isMark(";") || (this.#token.kind === "newline" && this.#depth === 0)) {
        break;
      }
      if (this.#depth > 0 && this.#startsLine && RULE_START_WORDS.has(this.#token.text)) {
        // A set that was never closed; it must not swallow the rules below it.
        break;
      }
      if (this.#isMark("{")) {
        this.#depth++;
      } else if (this.#isMark("}") && this.#depth > 0) {
        this.#depth--;
      }
    }
    this.#depth = 0;
  }

  #readRule(): LocatedRule {
    const index = this.#rule;
    const { offset } = this.#token;
    const draft: Draft = {};
    while (!this.#isWord("actions")) {
      this.#readTerm(draft);
    }
    const match = this.#finishMatch(draft);
    this.#advance();
    const actionOffset = this.#token.offset;
    const action = this.#readAction(match);
    const comment = this.#readComment();
    this.#expectEndOfRule();
    const rule: Rule = comment === undefined ? { match, action } : { match, action, comment };
    return {
      rule: deepFreeze(rule),
      index,
      offset,
      places: {
        action: actionOffset,
        sport: draft.sport?.token.offset,
        port: draft.port?.token.offset,
        hostBits: draft.hostBits ?? NO_HOST_BITS,
      },
    };
  }

  // Matches: what stands before "actions".

  #readTerm(draft: Draft): void {
    const token = this.#token;
    const word = token.kind === "atom" ? token.text : "";
    switch (word) {
      case "ip":
      case "ip6":
        this.#chooseFamily(draft, word, token);
        this.#advance();
        return;
      case "tcp":
      case "udp":
        this.#chooseTransport(draft, word, token);
        this.#advance();
        return;
      case "saddr":
      case "daddr":
        this.#expectFirst(word, draft[word]);
        this.#advance();
        draft[word] = { value: this.#readAddressMatch(draft), token };
        return;
      case "sport":
      case "dport":
      case "port":
        this.#expectFirst(word, draft[word]);
        this.#advance();
        draft[word] = { value: this.#readPortMatch(), token };
        return;
      default:
        throw this.#notATerm();
    }
  }

  #chooseFamily(draft: Draft, family: Family, token: Token): void {
    const earlier = draft.family;
    if (earlier === undefined) {
      draft.family = { value: family, token };
    } else if (earlier.value !== family) {
      throw this.#error(
        {
          reason: "mixed-families",
          problem:
            `a rule is about IPv4 or IPv6, not both: ${describeToken(token)} contradicts ` +
            `${describeToken(earlier.token)} at ${this.#source.describe(earlier.token.offset)}`,
          expected: earlier.value === "ip" ? "IPv4" : "IPv6",
          found: describeToken(token),
          hint: "write two rules",
        },
        token,
      );
    }
  }

  #chooseTransport(draft: Draft, transport: Transport, token: Token): void {
    const earlier = draft.transport;
    if (earlier === undefined) {
      draft.transport = { value: transport, token };
    } else if (earlier.value !== transport) {
      throw this.#error(
        {
          reason: "both-transports",
          problem:
            `a rule matches either tcp or udp, not both: ${describeToken(token)} contradicts ` +
            `${describeToken(earlier.token)} at ${this.#source.describe(earlier.token.offset)}`,
          expected: `only "${earlier.value}"`,
          found: describeToken(token),
          hint: "write two rules",
        },
        token,
      );
    }
  }

  #finishMatch(draft: Draft): Match {
    if (draft.transport === undefined) {
      throw this.#error({
        reason: "no-transport",
        problem: 'a rule matches either tcp or udp, and this one names neither before "actions"',
        expected: '"tcp" or "udp"',
        found: describeToken(this.#token),
      });
    }
    return makeMatch({
      family: draft.family?.value,
      transport: draft.transport.value,
      saddr: draft.saddr?.value,
      daddr: draft.daddr?.value,
      sport: draft.sport?.value,
      dport: draft.dport?.value,
      port: draft.port?.value,
    });
  }

  #readAddressMatch(draft: Draft): AddressMatch {
    const negate = this.#takeMark("!=");
    const prefixes: Prefix[] = [];
    const readPrefix = () => {
      prefixes.push(this.#readPrefix(draft));
    };
    if (this.#isMark("{")) {
      this.#readSet(PREFIX_WORDS, false, readPrefix);
    } else {
      readPrefix();
    }
    return { negate, prefixes: distinctPrefixes(prefixes) };
  }

  #readPrefix(draft: Draft): Prefix {
    const token = this.#token;
    if (token.kind !== "atom") {
      throw this.#unexpected(PREFIX_WORDS);
    }
    const parsed = parsePrefix(token.text);
    if ("problem" in parsed) {
      const hint = parsed.problem ?? wordHint(token.text, []);
      throw this.#error(
        expectedButFound("bad-address", PREFIX_WORDS, describeToken(token), hint),
        token,
      );
    }
    this.#chooseFamily(draft, familyOf(parsed.prefix), token);
    if (parsed.hostBits) {
      draft.hostBits ??= [];
      draft.hostBits.push({ offset: token.offset, written: token.text });
    }
    this.#advance();
    return parsed.prefix;
  }

  #readPortMatch(): PortMatch {
    const negate = this.#takeMark("!=");
    return { negate, ranges: this.#readPorts() };
  }

  /** A port, a range or a set of them, normalised. */
  #readPorts(): PortRange[] {
    const ranges: PortRange[] = [];
    const readRange = () => {
      const { first, last } = this.#readRange(PORTS_EXPECTED);
      ranges.push({ first, last });
    };
    if (this.#isMark("{")) {
      this.#readSet(PORTS_EXPECTED, true, readRange);
    } else {
      readRange();
    }
    return normalisePorts(ranges);
  }

  #readRange(expected: string): WrittenPorts {
    const start = this.#token;
    const first = this.#readPort(expected);
    if (!this.#takeMark("-")) {
      return { first, last: first, isRange: false };
    }
    const last = this.#readPort(`the last port of the range (${first} to 65535)`);
    if (last < first) {
      throw this.#error(
        expectedButFound(
          "bad-range",
          "a range from the lower to the higher port",
          `"${first}-${last}"`,
          `write ${last}-${first}`,
        ),
        start,
      );
    }
    return { first, last, isRange: true };
  }

  #readPort(expected: string): number {
    const token = this.#token;
    const port = token.kind === "atom" ? parsePort(token.text) : undefined;
    if (port === undefined) {
      const isNumber = token.kind === "atom" && /^[0-9]/.test(token.text);
      throw this.#unexpected(expected, isNumber ? "bad-port" : "unexpected");
    }
    this.#advance();
    return port;
  }

  /**
   * Reads "{ element, element }" over as many lines as it takes. Sets of ports may nest, as the
   * grammar has it; this loops instead of recursing so that no input exhausts the stack.
   */
  #readSet(expected: string, nests: boolean, readElement: () => void): void {
    const outermost = this.#token;
    this.#open();
    let opened = outermost;
    for (;;) {
      this.#skipNewlines();
      if (nests && this.#isMark("{")) {
        opened = this.#token;
        this.#open();
        continue;
      }
      if (this.#isMark("}")) {
        throw this.#noElement(opened, expected);
      }
      this.#expectSetGoesOn(outermost, expected);
      readElement();
      this.#skipNewlines();
      while (this.#isMark("}")) {
        this.#depth--;
        this.#advance();
        if (this.#depth === 0) {
          return;
        }
        this.#skipNewlines();
      }
      this.#expectSetGoesOn(outermost, '"," or "}"');
      opened = this.#token;
      if (!this.#takeMark(",")) {
        throw this.#unexpected('"," or "}"');
      }
    }
  }

  #open(): void {
    this.#depth++;
    this.#advance();
  }

  /** A "}" where an element should be: right behind the "{", or behind a comma. */
  #noElement(before: Token, expected: string): RuleError {
    if (before.text === "{") {
      return this.#error(
        expectedButFound("empty-set", expected, "an empty set", "an empty set matches nothing"),
        before,
      );
    }
    return this.#error(
      expectedButFound("unexpected", expected, '"}"', "leave out the comma before it"),
    );
  }

  /** Says where the set began if the text, or another rule, begins in the middle of it. */
  #expectSetGoesOn(outermost: Token, expected: string): void {
    const ended =
      this.#token.kind === "end" || this.#isMark(";") || RULE_START_WORDS.has(this.#token.text);
    if (ended) {
      const where = this.#source.describe(outermost.offset);
      throw this.#unexpected(expected, "unexpected", `the set from ${where} is not closed`);
    }
  }

  // Actions: what stands behind "actions".

  #readAction(match: Match): Action {
    const word = this.#token.kind === "atom" ? this.#token.text : "";
    switch (word) {
      case "funnel":
        this.#advance();
        return this.#readFunnel(match);
      case "unfunnel":
        this.#advance();
        return this.#readUnfunnel(match);
      case "accept":
      case "drop":
        this.#advance();
        return { kind: word };
      case "dnat":
        throw this.#error({
          reason: "unknown-action",
          problem: "dnat is not supported: sfunnel leaves IP addresses as they are",
          expected: ACTION_EXPECTED,
          found: '"dnat"',
          hint: "let nftables or the service do it",
        });
      default: {
        const reason = this.#token.kind === "atom" ? "unknown-action" : "no-action";
        throw this.#unexpected(ACTION_EXPECTED, reason, this.#wordHint(ACTION_WORDS));
      }
    }
  }

  #readFunnel(match: Match): Action {
    const translate = this.#isWord("translate");
    if (translate) {
      this.#expectTranslatable(match);
    }
    const named = translate || this.#isWord("encap");
    if (named) {
      this.#advance();
    }
    const over = this.#readTransport(named ? [] : ["encap", "translate"], translate);
    let dport: number | undefined;
    let sport: CarrierSourcePort | undefined;
    for (;;) {
      const token = this.#token;
      if (this.#isWord("dport")) {
        this.#expectFirstOfCarrier("dport", dport);
        this.#advance();
        dport = this.#readPort(PORT_WORDS);
      } else if (this.#isWord("sport")) {
        if (translate) {
          throw this.#error(
            {
              reason: "translate-only-tcp",
              problem: "funnel translate takes no sport: the flow keeps its own source port",
              expected: dport === undefined ? '"dport"' : "the end of the rule",
              found: '"sport"',
            },
            token,
          );
        }
        this.#expectFirstOfCarrier("sport", sport);
        this.#advance();
        sport = this.#readCarrierSource();
      } else {
        break;
      }
    }
    if (translate) {
      if (dport === undefined) {
        throw this.#missingCarrierPort("dport", "funnel translate tcp dport 80");
      }
      return { kind: "funnel", mode: "translate", over: "tcp", dport };
    }
    const example = `funnel ${over} dport 179 sport 540`;
    if (dport === undefined) {
      throw this.#missingCarrierPort("dport", example);
    }
    if (sport === undefined) {
      throw this.#missingCarrierPort("sport", example);
    }
    return { kind: "funnel", mode: "encap", over, dport, sport };
  }

  #readCarrierSource(): CarrierSourcePort {
    if (this.#isWord("keep")) {
      this.#advance();
      this.#refuseEvery();
      return { kind: "keep" };
    }
    const { first, last, isRange } = this.#readRange(CARRIER_SOURCE_EXPECTED);
    if (!isRange) {
      this.#refuseEvery();
      return { kind: "fixed", port: first };
    }
    if (!this.#isWord("every")) {
      return { kind: "range", first, last };
    }
    this.#advance();
    const token = this.#token;
    const every = token.kind === "atom" ? parseDuration(token.text) : undefined;
    if (every === undefined) {
      throw this.#unexpected(`${DURATION_WORDS}, a day at most`, "bad-duration");
    }
    const problem = everyProblem({ first, last }, every);
    if (problem !== undefined) {
      throw this.#error(problem);
    }
    this.#advance();
    return { kind: "range", first, last, every };
  }

  #refuseEvery(): void {
    if (this.#isWord("every")) {
      throw this.#error({
        reason: "every-without-range",
        problem: '"every" moves through a range of source ports, and there is none before it',
        expected: "a range such as 540-549 before it",
        found: '"every"',
      });
    }
  }

  #readUnfunnel(match: Match): Action {
    const translate = this.#isWord("translate");
    if (translate) {
      this.#expectTranslatable(match);
    }
    const named = translate || this.#isWord("decap");
    if (named) {
      this.#advance();
    }
    const inner = this.#readTransport(named ? [] : ["decap", "translate"], translate);
    let allow: PortRange[] | undefined;
    if (this.#isWord("allow")) {
      this.#advance();
      allow = this.#readPorts();
    }
    if (!translate) {
      const action = { kind: "unfunnel", mode: "decap", inner } as const;
      return allow === undefined ? action : { ...action, allow };
    }
    if (allow === undefined) {
      throw this.#unexpected(
        '"allow" and ports',
        "no-allow",
        "unfunnel translate names the ports that may be put back",
      );
    }
    return { kind: "unfunnel", mode: "translate", inner: "tcp", allow };
  }

  #readTransport(modes: readonly string[], onlyTcp: boolean): Transport {
    const { kind, text } = this.#token;
    if (kind !== "atom" || (text !== "tcp" && text !== "udp")) {
      const words = ["tcp", "udp", ...modes];
      const expected = onlyTcp ? '"tcp"' : listWords(words.map((word) => `"${word}"`));
      throw this.#unexpected(expected, "unexpected", this.#wordHint(words));
    }
    if (onlyTcp && text === "udp") {
      throw this.#error({
        reason: "translate-only-tcp",
        problem: "only TCP can be translated, and only over TCP",
        expected: '"tcp"',
        found: '"udp"',
        hint: "encap takes UDP too",
      });
    }
    this.#advance();
    return text;
  }

  /** At the word "translate". */
  #expectTranslatable(match: Match): void {
    if (match.transport !== "tcp") {
      throw this.#error({
        reason: "translate-only-tcp",
        problem: "only TCP can be translated, and this rule matches udp",
        expected: 'a rule that matches "tcp"',
        found: '"udp"',
        hint: "encap takes UDP too",
      });
    }
  }

  #expectFirstOfCarrier(word: string, earlier: unknown): void {
    if (earlier !== undefined) {
      throw this.#error({
        reason: "repeated",
        problem: `"${word}" of the carrier is named twice`,
        expected: `"${word}" once`,
        found: `a second "${word}"`,
      });
    }
  }

  #missingCarrierPort(word: string, example: string): RuleError {
    const sentence = example.startsWith("funnel translate")
      ? `write for instance: ${example}`
      : `a funnel names both ports of its carrier: ${example}`;
    const hint = this.#token.kind === "atom" ? this.#wordHint([word]) : undefined;
    return this.#unexpected(`"${word}" and a port`, "no-carrier-port", hint ?? sentence);
  }

  // The end of a rule.

  #readComment(): string | undefined {
    if (!this.#isWord("comment")) {
      return undefined;
    }
    this.#advance();
    const token = this.#token;
    if (token.kind !== "string") {
      throw this.#unexpected('a comment in quotes ("...")', "bad-string");
    }
    const read = readQuoted(token.text);
    if ("problem" in read) {
      throw this.#error(read.problem, { ...token, offset: token.offset + read.offset });
    }
    const problem = commentProblem(read.text);
    if (problem !== undefined) {
      throw this.#error(problem, token);
    }
    this.#advance();
    if (this.#isWord("comment")) {
      throw this.#error({
        reason: "repeated",
        problem: "a rule has one comment at most",
        expected: "the end of the rule",
        found: 'a second "comment"',
      });
    }
    return read.text;
  }

  #expectEndOfRule(): void {
    const { kind, text } = this.#token;
    if (kind === "end" || kind === "newline" || this.#isMark(";")) {
      return;
    }
    if (kind === "atom" && (ACTION_WORDS.includes(text) || text === "dnat" || text === "actions")) {
      throw this.#error({
        reason: "several-actions",
        problem: `a rule has one action, and "${text}" would be its second`,
        expected: "the end of the rule",
        found: `"${text}"`,
        hint: "separate rules by a new line or a ;",
      });
    }
    const hint = RULE_START_WORDS.has(text)
      ? 'matches stand before "actions"; a new rule starts on a new line or behind a ;'
      : this.#wordHint(["comment", "allow", "every"]);
    throw this.#unexpected('"comment" or the end of the rule', "unexpected", hint);
  }

  // Errors.

  #notATerm(): RuleError {
    const { kind, text } = this.#token;
    if (kind === "end" || kind === "newline" || this.#isMark(";")) {
      return this.#unexpected(
        TERM_EXPECTED,
        "no-action",
        kind === "newline" ? "a rule stands on one line" : undefined,
      );
    }
    if (kind === "atom" && (ACTION_WORDS.includes(text) || text === "dnat")) {
      return this.#unexpected(TERM_EXPECTED, "no-action", `write "actions" before "${text}"`);
    }
    return this.#unexpected(TERM_EXPECTED, "unexpected", this.#termHint());
  }

  #termHint(): string | undefined {
    const { kind, text } = this.#token;
    if (kind === "mark" && text === "-") {
      return "a range of addresses is written as prefixes";
    }
    if (kind === "mark" && text === ",") {
      return "several ports or addresses are written { a, b }";
    }
    if (kind === "mark" && text === "!=") {
      return '"!=" stands behind saddr, daddr, sport, dport or port';
    }
    if (kind !== "atom") {
      return undefined;
    }
    if (parsePort(text) !== undefined) {
      return "a port stands behind sport or dport, several are written { 80, 443 }";
    }
    if (!("problem" in parsePrefix(text))) {
      return "an address stands behind saddr or daddr, several are written { a, b }";
    }
    return text === "comment" ? "a comment stands behind the action" : this.#wordHint(TERM_WORDS);
  }

  #wordHint(words: readonly string[]): string | undefined {
    return this.#token.kind === "atom"
      ? wordHint(this.#token.text, words === TERM_WORDS ? [...words, "actions"] : words)
      : undefined;
  }

  #expectFirst(word: string, earlier: Choice<unknown> | undefined): void {
    if (earlier !== undefined) {
      throw this.#error({
        reason: "repeated",
        problem:
          `"${word}" stands twice in this rule, first at ` +
          this.#source.describe(earlier.token.offset),
        expected: `"${word}" once`,
        found: `a second "${word}"`,
        hint: "several values are written { a, b }",
      });
    }
  }

  /** Not the token that the grammar has here. */
  #unexpected(expected: string, reason: RuleErrorReason = "unexpected", hint?: string): RuleError {
    const found = describeToken(this.#token);
    return this.#error(expectedButFound(reason, expected, found, hint ?? this.#foreignHint()));
  }

  /** What people bring along from shells and other languages. */
  #foreignHint(): string | undefined {
    const { kind, text } = this.#token;
    if (kind === "stray" && text === "\\") {
      return "a rule stands on one line; only a shell joins lines at a backslash";
    }
    if (kind === "stray" && (text === "=" || text === "!")) {
      return 'equality needs no sign, its opposite is "!="';
    }
    if (kind === "stray" && text === "<") {
      return "put your own value in the place of <...>";
    }
    return kind === "atom" && text === "not" ? 'write "!="' : undefined;
  }

  #error(problem: RuleProblem, token: Token = this.#token): RuleError {
    return new RuleError(problem, this.#source.place(token.offset, this.#rule));
  }

  // Tokens.

  #advance(): void {
    this.#startsLine = this.#token.kind === "newline";
    this.#token = this.#tokenizer.next();
  }

  #skipNewlines(): void {
    while (this.#token.kind === "newline") {
      this.#advance();
    }
  }

  #isWord(word: string): boolean {
    return this.#token.kind === "atom" && this.#token.text === word;
  }

  #isMark(mark: string): boolean {
    return this.#token.kind === "mark" && this.#token.text === mark;
  }

  #takeMark(mark: string): boolean {
    const taken = this.#isMark(mark);
    if (taken) {
      this.#advance();
    }
    return taken;
  }
}

/** "did you mean ...?" for a word that is near one of `words`. */
function wordHint(word: string, words: readonly string[]): string | undefined {
  const foreign = Object.hasOwn(FOREIGN_WORDS, word) ? FOREIGN_WORDS[word] : undefined;
  const meant =
    foreign !== undefined && words.includes(foreign) ? foreign : nearestWord(word, words);
  return meant === undefined || meant === word ? undefined : `did you mean ${quoteText(meant)}?`;
}
