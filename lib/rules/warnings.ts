/** What is probably not meant in rules that are valid. */
import { formatPrefix, parsePrefix } from "./address.ts";
import type { RuleDiagnostic, RuleWarningCode } from "./check.ts";
import { Comparison, coversMatch } from "./cover.ts";
import { writeMatch } from "./format.ts";
import type { RulePlaces } from "./parse.ts";
import { formatPorts, portsInclude } from "./ports.ts";
import { listWords, quoteText } from "./quote.ts";
import type { Source } from "./source.ts";
import type { Match, PortMatch, Rule, Transport } from "./types.ts";
import { type Form, findUnreached } from "./unreached.ts";

/** Steps that comparing a rule with those before it may take, for all rules together. */
const COMPARING_STEPS = 1_000_000;

/** What the warnings need to know of a rule. */
export interface CheckedRule {
  readonly rule: Rule;
  readonly index: number;
  readonly places?: RulePlaces;
}

/** All warnings, in no particular order. `source`: the text that the rules were read from. */
export function warnings(
  rules: readonly CheckedRule[],
  source: Source | undefined,
): RuleDiagnostic[] {
  const found: RuleDiagnostic[] = [];
  const warn: Warn = (checked, code, message, offset) => {
    const place =
      source === undefined || offset === undefined ? {} : source.place(offset, checked.index);
    found.push({
      severity: "warning",
      code,
      message,
      rule: checked.index,
      line: place.line,
      column: place.column,
      source: place.source,
      caret: place.caret,
    });
  };
  const comparison = new Comparison(COMPARING_STEPS);
  const apart = innerProtocols(rules);
  for (const [position, checked] of rules.entries()) {
    warnOfMatch(checked, warn);
    warnOfFunnel(checked, warn);
    warnOfTranslatedService(rules, position, comparison, warn);
    warnOfUnfunnel(checked, apart, warn);
  }
  warnOfUnreached(rules, source, warn);
  return found;
}

type Warn = (
  checked: CheckedRule,
  code: RuleWarningCode,
  message: string,
  offset: number | undefined,
) => void;

function warnOfMatch(checked: CheckedRule, warn: Warn): void {
  const { rule, places } = checked;
  if (rule.match.port !== undefined) {
    const message =
      '"port" matches the source port as well as the destination port; ' +
      'write "dport" if the port of the service is meant';
    warn(checked, "port-matches-either", message, places?.port);
  }
  if (matchesNothing(rule.match)) {
    const message = "no packet has ports for which all terms of this rule hold";
    warn(checked, "matches-nothing", message, places?.start);
  }
  for (const { offset, written } of places?.hostBits ?? []) {
    const parsed = parsePrefix(written);
    if (!("problem" in parsed)) {
      const message =
        `${quoteText(written)} has bits set behind its prefix length; ` +
        `they are ignored: it means ${formatPrefix(parsed.prefix)}`;
      warn(checked, "host-bits", message, offset);
    }
  }
}

/** Whether `port` contradicts the terms about one of the two. */
function matchesNothing({ sport, dport, port }: Match): boolean {
  if (port === undefined) {
    return false;
  }
  const inside = (match: PortMatch | undefined) =>
    match === undefined || match.negate ? undefined : match.ranges;
  const [source, destination] = [inside(sport), inside(dport)];
  if (port.negate) {
    return [source, destination].some((ranges) =>
      ranges?.every(({ first, last }) =>
        port.ranges.some((range) => range.first <= first && last <= range.last),
      ),
    );
  }
  return [source, destination].every((ranges) =>
    ranges?.every(({ first, last }) =>
      port.ranges.every((range) => range.last < first || last < range.first),
    ),
  );
}

function warnOfFunnel(checked: CheckedRule, warn: Warn): void {
  const { match, action } = checked.rule;
  const isReply =
    action.kind === "funnel" &&
    match.sport !== undefined &&
    !match.sport.negate &&
    match.dport === undefined &&
    match.port === undefined;
  if (isReply) {
    const message =
      `this funnels all that leaves port ${formatPorts(match.sport.ranges)}, answers to flows ` +
      "that came unfunneled included; if it is meant for replies, leave it out: replies to " +
      "funneled flows follow by themselves";
    warn(checked, "reply-rule", message, checked.places?.sport);
  }
  const isMoving =
    action.kind === "funnel" &&
    action.mode === "encap" &&
    action.over === "udp" &&
    action.sport.kind === "range" &&
    action.sport.every !== undefined;
  if (isMoving) {
    const message =
      "the service side takes a UDP carrier that moves for another client, and kube-proxy forgets " +
      "the dead backends of UDP itself; leave `every` out, or take a TCP carrier";
    warn(checked, "every-over-udp", message, checked.places?.action);
  }
}

/** What is in carriers of TCP that match the same but for their source port. */
function innerProtocols(rules: readonly CheckedRule[]): ReadonlyMap<string, Set<Transport>> {
  const protocols = new Map<string, Set<Transport>>();
  for (const { rule } of rules) {
    const { match, action } = rule;
    if (action.kind === "unfunnel" && action.mode === "decap" && match.transport === "tcp") {
      const text = withoutSourcePort(match);
      protocols.set(text, (protocols.get(text) ?? new Set()).add(action.inner));
    }
  }
  return protocols;
}

function withoutSourcePort(match: Match): string {
  const { sport: _, ...others } = match;
  return writeMatch(others);
}

function warnOfUnfunnel(
  checked: CheckedRule,
  apart: ReadonlyMap<string, Set<Transport>>,
  warn: Warn,
): void {
  const { match, action } = checked.rule;
  if (action.kind !== "unfunnel") {
    return;
  }
  if (action.allow === undefined) {
    const message =
      "whoever reaches the service port can reach every port behind it through this rule; " +
      `name the ports that may pass, for instance: unfunnel ${action.inner} allow 2055`;
    warn(checked, "unfunnel-without-allow", message, checked.places?.action);
  }
  // UDP carriers have no fixed fields, so there the source port does tell something.
  if (match.transport === "tcp" && match.sport !== undefined) {
    const needed = (apart.get(withoutSourcePort(match))?.size ?? 0) > 1;
    const message =
      action.mode === "translate"
        ? "a translated flow keeps the client's own source port, which a NAT on the way may " +
          "change; leave sport out"
        : needed
          ? "a NAT on the way may change the source port of a carrier, by which this tells what " +
            "is inside; let none do so, or take another service port for one of the two"
          : "a NAT on the way may change the source port of a carrier, and its fixed fields tell " +
            "it from other traffic anyway; leave sport out";
    warn(checked, "unfunnel-matches-sport", message, checked.places?.sport);
  }
}

/**
 * A rule that translates its own service port as well: such a flow would have arrived as it is,
 * and the service side takes it for one that it does not allow.
 */
function warnOfTranslatedService(
  rules: readonly CheckedRule[],
  position: number,
  comparison: Comparison,
  warn: Warn,
): void {
  const checked = rules[position];
  if (checked === undefined) {
    return;
  }
  const { match, action } = checked.rule;
  if (action.kind !== "funnel" || action.mode !== "translate") {
    return;
  }
  const { port, sport, dport } = match;
  const service = { negate: false, ranges: [{ first: action.dport, last: action.dport }] };
  const itself = { ...match, dport: service };
  const matched =
    port === undefined &&
    sport === undefined &&
    (dport === undefined || portsInclude(dport.ranges, action.dport) !== dport.negate);
  if (!matched) {
    return;
  }
  let decided = false;
  for (let earlier = 0; earlier < position && !decided && comparison.take(1); earlier++) {
    const other = rules[earlier];
    decided = other !== undefined && coversMatch(other.rule.match, itself, comparison);
  }
  if (!decided) {
    const message =
      `this translates port ${action.dport} to itself, and the service side would refuse such ` +
      "flows; name the other ports alone";
    warn(checked, "translates-service-port", message, checked.places?.action);
  }
}

/** What an earlier rule may leave. */
const LEFT_WORDS: Readonly<Record<Form, string>> = {
  plain: "common packets",
  carrier: "carriers",
  marked: "SYNs of translated flows",
};

function warnOfUnreached(
  rules: readonly CheckedRule[],
  source: Source | undefined,
  warn: Warn,
): void {
  const nameOf = ({ index, places }: CheckedRule) =>
    source === undefined || places === undefined
      ? `rule ${index}`
      : `the rule at ${source.describe(places.start)}`;
  for (const [position, unreached] of findUnreached(rules.map(({ rule }) => rule))) {
    const later = rules[position];
    if (later === undefined) {
      continue;
    }
    const { deciding, except } = unreached;
    const names = deciding.flatMap((earlier) => rules[earlier] ?? []).map(nameOf);
    const decide = names.length === 1 ? "decides" : "together decide";
    const left = except.map((form) => LEFT_WORDS[form]);
    const but = left.length === 0 ? "" : `, ${listWords(left, "and")} excepted`;
    const message =
      `this rule is never reached: ${listWords(names, "and")} ${decide} ` +
      `about all of its packets${but}`;
    warn(later, "never-reached", message, later.places?.start);
  }
}
