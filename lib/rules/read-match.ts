import { distinctPrefixes, familyOf, PREFIX_WORDS, parsePrefix } from "./address.ts";
import type { Cursor } from "./cursor.ts";
import { makeMatch } from "./match.ts";
import { parsePort } from "./ports.ts";
import { listWords } from "./quote.ts";
import { readPorts, readSet } from "./read-ports.ts";
import { expectedButFound, type RuleError } from "./rule-error.ts";
import { describeToken, type Token } from "./tokens.ts";
import type { AddressMatch, Family, Match, PortMatch, Prefix, Transport } from "./types.ts";
import { ACTION_WORDS, TERM_WORDS } from "./words.ts";

const TERM_EXPECTED = `a match (${listWords(TERM_WORDS)}) or "actions"`;

/** A match, and where those of its parts are that a warning may be about: offsets. */
export interface LocatedMatch {
  readonly match: Match;
  readonly sport: number | undefined;
  readonly port: number | undefined;
  /** Prefixes that were written with host bits set. */
  readonly hostBits: readonly HostBits[];
}

export interface HostBits {
  readonly offset: number;
  readonly written: string;
}

const NO_HOST_BITS: readonly HostBits[] = [];

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

/** Reads the terms of a rule up to, and with, the word "actions". */
export function readMatch(cursor: Cursor): LocatedMatch {
  const draft: Draft = {};
  while (!cursor.isWord("actions")) {
    readTerm(cursor, draft);
  }
  const match = finishMatch(cursor, draft);
  cursor.advance();
  return {
    match,
    sport: draft.sport?.token.offset,
    port: draft.port?.token.offset,
    hostBits: draft.hostBits ?? NO_HOST_BITS,
  };
}

function readTerm(cursor: Cursor, draft: Draft): void {
  const { token, word } = cursor;
  switch (word) {
    case "ip":
    case "ip6":
      chooseFamily(cursor, draft, word, token);
      cursor.advance();
      return;
    case "tcp":
    case "udp":
      chooseTransport(cursor, draft, word, token);
      cursor.advance();
      return;
    case "saddr":
    case "daddr":
      expectFirst(cursor, word, draft[word]);
      cursor.advance();
      draft[word] = { value: readAddressMatch(cursor, draft), token };
      return;
    case "sport":
    case "dport":
    case "port":
      expectFirst(cursor, word, draft[word]);
      cursor.advance();
      draft[word] = { value: readPortMatch(cursor), token };
      return;
    default:
      throw notATerm(cursor);
  }
}

function chooseFamily(cursor: Cursor, draft: Draft, family: Family, token: Token): void {
  const earlier = draft.family;
  if (earlier === undefined) {
    draft.family = { value: family, token };
  } else if (earlier.value !== family) {
    throw cursor.error(
      {
        reason: "mixed-families",
        problem:
          `a rule is about IPv4 or IPv6, not both: ${describeToken(token)} contradicts ` +
          `${describeToken(earlier.token)} at ${cursor.source.describe(earlier.token.offset)}`,
        expected: earlier.value === "ip" ? "IPv4" : "IPv6",
        found: describeToken(token),
        hint: "write two rules",
      },
      token,
    );
  }
}

function chooseTransport(cursor: Cursor, draft: Draft, transport: Transport, token: Token): void {
  const earlier = draft.transport;
  if (earlier === undefined) {
    draft.transport = { value: transport, token };
  } else if (earlier.value !== transport) {
    throw cursor.error(
      {
        reason: "both-transports",
        problem:
          `a rule matches either tcp or udp, not both: ${describeToken(token)} contradicts ` +
          `${describeToken(earlier.token)} at ${cursor.source.describe(earlier.token.offset)}`,
        expected: `only "${earlier.value}"`,
        found: describeToken(token),
        hint: "write two rules",
      },
      token,
    );
  }
}

function finishMatch(cursor: Cursor, draft: Draft): Match {
  if (draft.transport === undefined) {
    throw cursor.error({
      reason: "no-transport",
      problem: 'a rule matches either tcp or udp, and this one names neither before "actions"',
      expected: '"tcp" or "udp"',
      found: describeToken(cursor.token),
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

function readAddressMatch(cursor: Cursor, draft: Draft): AddressMatch {
  const negate = cursor.takeMark("!=");
  const prefixes: Prefix[] = [];
  const readElement = () => {
    prefixes.push(readPrefix(cursor, draft));
  };
  if (cursor.isMark("{")) {
    readSet(cursor, PREFIX_WORDS, false, readElement);
  } else {
    readElement();
  }
  return { negate, prefixes: distinctPrefixes(prefixes) };
}

function readPrefix(cursor: Cursor, draft: Draft): Prefix {
  const token = cursor.token;
  if (token.kind !== "atom") {
    throw cursor.unexpected(PREFIX_WORDS);
  }
  const parsed = parsePrefix(token.text);
  if ("problem" in parsed) {
    throw cursor.error(
      expectedButFound("bad-address", PREFIX_WORDS, describeToken(token), parsed.problem),
    );
  }
  chooseFamily(cursor, draft, familyOf(parsed.prefix), token);
  if (parsed.hostBits) {
    draft.hostBits ??= [];
    draft.hostBits.push({ offset: token.offset, written: token.text });
  }
  cursor.advance();
  return parsed.prefix;
}

function readPortMatch(cursor: Cursor): PortMatch {
  const negate = cursor.takeMark("!=");
  return { negate, ranges: readPorts(cursor) };
}

function expectFirst(cursor: Cursor, word: string, earlier: Choice<unknown> | undefined): void {
  if (earlier !== undefined) {
    throw cursor.error({
      reason: "repeated",
      problem:
        `"${word}" stands twice in this rule, first at ` +
        cursor.source.describe(earlier.token.offset),
      expected: `"${word}" once`,
      found: `a second "${word}"`,
      hint: "several values are written { a, b }",
    });
  }
}

function notATerm(cursor: Cursor): RuleError {
  const { token, word } = cursor;
  if (cursor.isEndOfRule()) {
    const hint = token.kind === "newline" ? "a rule stands on one line" : undefined;
    return cursor.unexpected(TERM_EXPECTED, "no-action", hint);
  }
  if (ACTION_WORDS.includes(word) || word === "dnat") {
    return cursor.unexpected(TERM_EXPECTED, "no-action", `write "actions" before "${word}"`);
  }
  return cursor.unexpected(TERM_EXPECTED, "unexpected", termHint(cursor));
}

function termHint(cursor: Cursor): string | undefined {
  const { word } = cursor;
  if (cursor.isMark("-")) {
    return "a range of addresses is written as prefixes";
  }
  if (cursor.isMark(",")) {
    return "several ports or addresses are written { a, b }";
  }
  if (cursor.isMark("!=")) {
    return '"!=" stands behind saddr, daddr, sport, dport or port';
  }
  if (parsePort(word) !== undefined) {
    return "a port stands behind sport or dport, several are written { 80, 443 }";
  }
  if (!("problem" in parsePrefix(word))) {
    return "an address stands behind saddr or daddr, several are written { a, b }";
  }
  return word === "comment"
    ? "a comment stands behind the action"
    : cursor.wordHint([...TERM_WORDS, "actions"]);
}
