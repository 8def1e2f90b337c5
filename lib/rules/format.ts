import { formatPrefix } from "./address.ts";
import { formatDuration } from "./carrier-source.ts";
import { formatComment } from "./comment.ts";
import { formatPortRange, formatPorts } from "./ports.ts";
import type { Action, AddressMatch, CarrierSourcePort, Match, PortMatch, Rule } from "./types.ts";
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
  const { family, saddr, daddr, transport, sport, dport, port } = match;
  let text = family === undefined ? "" : `${family} `;
  if (saddr !== undefined) text += `${writeAddresses("saddr", saddr)} `;
  if (daddr !== undefined) text += `${writeAddresses("daddr", daddr)} `;
  text += transport;
  if (sport !== undefined) text += ` ${writePorts("sport", sport)}`;
  if (dport !== undefined) text += ` ${writePorts("dport", dport)}`;
  if (port !== undefined) text += ` ${writePorts("port", port)}`;
  return text;
}

/** One rule as `formatRule` does it, for data that are known to be valid. */
export function writeRule(rule: Rule): string {
  const text = `${writeMatch(rule.match)} actions ${writeAction(rule.action)}`;
  return rule.comment === undefined ? text : `${text} comment ${formatComment(rule.comment)}`;
}

function writeAddresses(word: string, { negate, prefixes }: AddressMatch): string {
  const [only] = prefixes;
  const value =
    prefixes.length === 1 && only !== undefined
      ? formatPrefix(only)
      : `{ ${prefixes.map(formatPrefix).join(", ")} }`;
  return negate ? `${word} != ${value}` : `${word} ${value}`;
}

function writePorts(word: string, { negate, ranges }: PortMatch): string {
  return negate ? `${word} != ${formatPorts(ranges)}` : `${word} ${formatPorts(ranges)}`;
}

function writeAction(action: Action): string {
  switch (action.kind) {
    case "accept":
    case "drop":
      return action.kind;
    case "funnel":
      return action.mode === "translate"
        ? `funnel translate tcp dport ${action.dport}`
        : `funnel ${action.over} dport ${action.dport} sport ${writeCarrierSource(action.sport)}`;
    case "unfunnel": {
      const mode = action.mode === "translate" ? "translate " : "";
      const allow = action.allow === undefined ? "" : ` allow ${formatPorts(action.allow)}`;
      return `unfunnel ${mode}${action.inner}${allow}`;
    }
  }
}

function writeCarrierSource(source: CarrierSourcePort): string {
  switch (source.kind) {
    case "keep":
      return "keep";
    case "fixed":
      return `${source.port}`;
    case "range": {
      // A range of one port keeps its hyphen: without it, it would be read as a fixed port.
      const range =
        source.first === source.last ? `${source.first}-${source.last}` : formatPortRange(source);
      return source.every === undefined ? range : `${range} every ${formatDuration(source.every)}`;
    }
  }
}
