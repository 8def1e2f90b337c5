import { addressBits, familyOf } from "./address.ts";
import { formatDuration } from "./carrier-source.ts";
import { formatComment } from "./comment.ts";
import { StringSink, type TextSink, Word } from "./text-sink.ts";
import type {
  Action,
  AddressMatch,
  CarrierSourcePort,
  Match,
  PortMatch,
  PortRange,
  Prefix,
  Rule,
} from "./types.ts";
import { normaliseRule, normaliseRules } from "./validate.ts";

/**
 * The rules as text, one a line, in the one canonical spelling; `parseRules` reads the same
 * data back. The last line has no end of line.
 *
 * @throws RuleError if the data are not valid rules.
 */
export function formatRules(rules: readonly Rule[]): string {
  return normaliseRules(rules).map(writeRule).join("\n");
}

/**
 * One rule as a line of text, without the end of the line.
 *
 * @throws RuleError if the data are not a valid rule.
 */
export function formatRule(rule: Rule): string {
  return writeRule(normaliseRule(rule));
}

/** The part of a rule before "actions", for data that are known to be valid. */
export function writeMatch(match: Match): string {
  const sink = new StringSink();
  addMatch(sink, match);
  return sink.text;
}

/** One rule as `formatRule` does it, for data that are known to be valid. */
export function writeRule(rule: Rule): string {
  const sink = new StringSink();
  addRule(sink, rule);
  return sink.text;
}

/** What stands around words and numbers in it. */
const WORDS = {
  ip: new Word("ip "),
  ip6: new Word("ip6 "),
  tcp: new Word("tcp"),
  udp: new Word("udp"),
  saddr: new Word("saddr "),
  daddr: new Word("daddr "),
  sport: new Word(" sport "),
  dport: new Word(" dport "),
  port: new Word(" port "),
  not: new Word("!= "),
  opening: new Word("{ "),
  closing: new Word(" }"),
  comma: new Word(", "),
  slash: new Word("/"),
  hyphen: new Word("-"),
  space: new Word(" "),
  actions: new Word(" actions "),
  comment: new Word(" comment "),
  accept: new Word("accept"),
  drop: new Word("drop"),
  funnel: new Word("funnel "),
  unfunnel: new Word("unfunnel "),
  translate: new Word("translate "),
  keep: new Word("keep"),
  every: new Word(" every "),
  allow: new Word(" allow "),
} as const;

/** The same, to wherever it is to go. */
export function addRule(sink: TextSink, { match, action, comment }: Rule): void {
  addMatch(sink, match);
  sink.addWord(WORDS.actions);
  addAction(sink, action);
  if (comment === undefined) return;
  sink.addWord(WORDS.comment);
  sink.addAny(formatComment(comment));
}

function addMatch(sink: TextSink, match: Match): void {
  const { family, saddr, daddr, transport, sport, dport, port } = match;
  if (family !== undefined) sink.addWord(WORDS[family]);
  if (saddr !== undefined) addAddresses(sink, WORDS.saddr, saddr);
  if (daddr !== undefined) addAddresses(sink, WORDS.daddr, daddr);
  sink.addWord(WORDS[transport]);
  if (sport !== undefined) addPortMatch(sink, WORDS.sport, sport);
  if (dport !== undefined) addPortMatch(sink, WORDS.dport, dport);
  if (port !== undefined) addPortMatch(sink, WORDS.port, port);
}

function addAddresses(sink: TextSink, word: Word, { negate, prefixes }: AddressMatch): void {
  sink.addWord(word);
  if (negate) sink.addWord(WORDS.not);
  if (prefixes.length > 1) sink.addWord(WORDS.opening);
  for (let index = 0; index < prefixes.length; index++) {
    const prefix = prefixes[index] as Prefix;
    if (index > 0) sink.addWord(WORDS.comma);
    sink.add(prefix.address);
    if (prefix.length === addressBits(familyOf(prefix))) continue;
    sink.addWord(WORDS.slash);
    sink.addNumber(prefix.length);
  }
  if (prefixes.length > 1) sink.addWord(WORDS.closing);
  sink.addWord(WORDS.space);
}

function addPortMatch(sink: TextSink, word: Word, { negate, ranges }: PortMatch): void {
  sink.addWord(word);
  if (negate) sink.addWord(WORDS.not);
  addPorts(sink, ranges);
}

function addPorts(sink: TextSink, ranges: readonly PortRange[]): void {
  if (ranges.length > 1) sink.addWord(WORDS.opening);
  for (let index = 0; index < ranges.length; index++) {
    const { first, last } = ranges[index] as PortRange;
    if (index > 0) sink.addWord(WORDS.comma);
    sink.addNumber(first);
    if (first !== last) addLast(sink, last);
  }
  if (ranges.length > 1) sink.addWord(WORDS.closing);
}

function addLast(sink: TextSink, last: number): void {
  sink.addWord(WORDS.hyphen);
  sink.addNumber(last);
}

function addAction(sink: TextSink, action: Action): void {
  sink.addWord(WORDS[action.kind]);
  switch (action.kind) {
    case "funnel":
      if (action.mode === "translate") sink.addWord(WORDS.translate);
      sink.addWord(WORDS[action.over]);
      sink.addWord(WORDS.dport);
      sink.addNumber(action.dport);
      if (action.mode === "encap") addCarrierSource(sink, action.sport);
      break;
    case "unfunnel":
      if (action.mode === "translate") sink.addWord(WORDS.translate);
      sink.addWord(WORDS[action.inner]);
      if (action.allow === undefined) return;
      sink.addWord(WORDS.allow);
      addPorts(sink, action.allow);
  }
}

function addCarrierSource(sink: TextSink, source: CarrierSourcePort): void {
  sink.addWord(WORDS.sport);
  switch (source.kind) {
    case "keep":
      sink.addWord(WORDS.keep);
      break;
    case "fixed":
      sink.addNumber(source.port);
      break;
    case "range":
      sink.addNumber(source.first);
      // A range of one port keeps its hyphen: without it, it would be read as a fixed port.
      addLast(sink, source.last);
      if (source.every === undefined) return;
      sink.addWord(WORDS.every);
      sink.add(formatDuration(source.every));
  }
}
