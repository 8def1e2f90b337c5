import { addressBits, familyOf } from "./address.ts";
import { formatDuration } from "./carrier-source.ts";
import { formatComment } from "./comment.ts";
import { StringSink, type TextSink } from "./text-sink.ts";
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

/** The same, to wherever it is to go. */
export function addRule(sink: TextSink, { match, action, comment }: Rule): void {
  addMatch(sink, match);
  sink.add(" actions ");
  addAction(sink, action);
  if (comment === undefined) return;
  sink.add(" comment ");
  sink.addAny(formatComment(comment));
}

function addMatch(sink: TextSink, match: Match): void {
  const { family, saddr, daddr, transport, sport, dport, port } = match;
  if (family !== undefined) {
    sink.add(family);
    sink.add(" ");
  }
  if (saddr !== undefined) addAddresses(sink, "saddr", saddr);
  if (daddr !== undefined) addAddresses(sink, "daddr", daddr);
  sink.add(transport);
  if (sport !== undefined) addPortMatch(sink, " sport ", sport);
  if (dport !== undefined) addPortMatch(sink, " dport ", dport);
  if (port !== undefined) addPortMatch(sink, " port ", port);
}

function addAddresses(sink: TextSink, word: string, { negate, prefixes }: AddressMatch): void {
  sink.add(word);
  sink.add(negate ? " != " : " ");
  if (prefixes.length > 1) sink.add("{ ");
  for (let index = 0; index < prefixes.length; index++) {
    const prefix = prefixes[index] as Prefix;
    if (index > 0) sink.add(", ");
    sink.add(prefix.address);
    if (prefix.length === addressBits(familyOf(prefix))) continue;
    sink.add("/");
    sink.addNumber(prefix.length);
  }
  sink.add(prefixes.length > 1 ? " } " : " ");
}

function addPortMatch(sink: TextSink, word: string, { negate, ranges }: PortMatch): void {
  sink.add(word);
  if (negate) sink.add("!= ");
  addPorts(sink, ranges);
}

function addPorts(sink: TextSink, ranges: readonly PortRange[]): void {
  if (ranges.length > 1) sink.add("{ ");
  for (let index = 0; index < ranges.length; index++) {
    const { first, last } = ranges[index] as PortRange;
    if (index > 0) sink.add(", ");
    sink.addNumber(first);
    if (first !== last) addLast(sink, last);
  }
  if (ranges.length > 1) sink.add(" }");
}

function addLast(sink: TextSink, last: number): void {
  sink.add("-");
  sink.addNumber(last);
}

function addAction(sink: TextSink, action: Action): void {
  sink.add(action.kind);
  switch (action.kind) {
    case "funnel":
      sink.add(action.mode === "translate" ? " translate " : " ");
      sink.add(action.over);
      sink.add(" dport ");
      sink.addNumber(action.dport);
      if (action.mode === "encap") addCarrierSource(sink, action.sport);
      break;
    case "unfunnel":
      sink.add(action.mode === "translate" ? " translate " : " ");
      sink.add(action.inner);
      if (action.allow === undefined) return;
      sink.add(" allow ");
      addPorts(sink, action.allow);
  }
}

function addCarrierSource(sink: TextSink, source: CarrierSourcePort): void {
  sink.add(" sport ");
  switch (source.kind) {
    case "keep":
      sink.add("keep");
      break;
    case "fixed":
      sink.addNumber(source.port);
      break;
    case "range":
      sink.addNumber(source.first);
      // A range of one port keeps its hyphen: without it, it would be read as a fixed port.
      addLast(sink, source.last);
      if (source.every === undefined) return;
      sink.add(" every ");
      sink.add(formatDuration(source.every));
  }
}
