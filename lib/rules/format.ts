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
  const words: string[] = [];
  if (match.family !== undefined) {
    words.push(match.family);
  }
  words.push(...writeAddresses("saddr", match.saddr), ...writeAddresses("daddr", match.daddr));
  words.push(match.transport);
  words.push(...writePorts("sport", match.sport), ...writePorts("dport", match.dport));
  words.push(...writePorts("port", match.port));
  return words.join(" ");
}

function writeRule(rule: Rule): string {
  const text = `${writeMatch(rule.match)} actions ${writeAction(rule.action)}`;
  return rule.comment === undefined ? text : `${text} comment ${formatComment(rule.comment)}`;
}

function writeAddresses(word: string, match: AddressMatch | undefined): string[] {
  if (match === undefined) {
    return [];
  }
  const texts = match.prefixes.map(formatPrefix);
  const value = texts.length === 1 ? texts : [`{ ${texts.join(", ")} }`];
  return [word, ...(match.negate ? ["!="] : []), ...value];
}

function writePorts(word: string, match: PortMatch | undefined): string[] {
  return match === undefined
    ? []
    : [word, ...(match.negate ? ["!="] : []), formatPorts(match.ranges)];
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
