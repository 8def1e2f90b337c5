import {
  type AddressProblem,
  addressBits,
  distinctPrefixes,
  familyOf,
  parseAddress,
  parsePrefix,
} from "./address.ts";
import { everyProblem, isEvery, LONGEST_EVERY } from "./carrier-source.ts";
import { commentProblem } from "./comment.ts";
import { makeMatch } from "./match.ts";
import { nearestWord } from "./nearest.ts";
import { isNormalList, isNormalRule, normalList, normalRule } from "./normal.ts";
import { isPort, normalisePorts, PORT_WORDS } from "./ports.ts";
import { listWords, quoteText, quoteValue } from "./quote.ts";
import {
  expectedButFound,
  RuleError,
  type RuleErrorReason,
  type RuleProblem,
} from "./rule-error.ts";
import { atOnce, type Sliced } from "./sliced.ts";
import type {
  Action,
  AddressMatch,
  CarrierSourcePort,
  Family,
  FunnelEncap,
  FunnelTranslate,
  Match,
  PortMatch,
  PortRange,
  Prefix,
  Rule,
  Transport,
  UnfunnelDecap,
  UnfunnelTranslate,
} from "./types.ts";

/**
 * Checks data that did not come from `parseRules` or a builder: shape, values, and the
 * canonical form that `types.ts` promises (ports sorted and merged, host bits zero, family set
 * where addresses are).
 *
 * @throws RuleError naming the rule's index and the property that is wrong.
 */
export function validateRules(rules: unknown): asserts rules is readonly Rule[] {
  for (const [index, rule] of readRuleList(rules).entries()) {
    readRule(rule, { index, strict: true });
  }
}

/**
 * A frozen copy of the rules in canonical form: what `validateRules` would refuse only for its
 * form is put right, everything else is refused. Later changes to the input do no harm.
 *
 * @throws RuleError naming the rule's index and the property that is wrong.
 */
export function normaliseRules(rules: unknown): readonly Rule[] {
  return atOnce(normaliseRulesInSlices(rules));
}

/** Rules between two chances to leave. */
const PART = 64;

/** The same in slices. The list is copied at once; rules of it must not change until this has ended. */
export function normaliseRulesInSlices(rules: unknown): Sliced<readonly Rule[]> {
  return normalise(isNormalList(rules) ? rules : [...readRuleList(rules)]);
}

function* normalise(rules: unknown[] | readonly Rule[]): Sliced<readonly Rule[]> {
  if (isNormalList(rules)) return rules;
  for (let index = 0; index < rules.length; index++) {
    if (index % PART === PART - 1) yield;
    rules[index] = normaliseRule(rules[index], index);
  }
  return normalList(rules as Rule[]);
}

/**
 * One rule as `normaliseRules` does it; `index` is what an error calls it.
 *
 * @throws RuleError naming the property that is wrong.
 */
export function normaliseRule(rule: unknown, index?: number): Rule {
  return isNormalRule(rule) ? rule : normalRule(readRule(rule, { index, strict: false }));
}

interface Context {
  readonly index: number | undefined;
  /** Refuse what is not canonical, instead of making it so. */
  readonly strict: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws RuleError if the rules are not an array. */
export function readRuleList(rules: unknown): readonly unknown[] {
  if (!Array.isArray(rules)) {
    throw new RuleError(
      expectedButFound("bad-data", "an array of rules", quoteValue(rules), stringHint(rules)),
      {},
      "validate",
    );
  }
  return rules;
}

function readRule(value: unknown, context: Context): Rule {
  const fields = readFields(value, "", ["match", "action", "comment"], context);
  const match = readMatch(fields.match, context);
  const action = readAction(fields.action, match, context);
  const comment = fields.comment;
  if (comment === undefined) {
    return { match, action };
  }
  if (typeof comment !== "string") {
    throw wrong("comment", "a string", comment, context);
  }
  const problem = commentProblem(comment);
  if (problem !== undefined) {
    throw failure("comment", problem, context);
  }
  return { match, action, comment };
}

function readMatch(value: unknown, context: Context): Match {
  const known = ["family", "transport", "saddr", "daddr", "sport", "dport", "port"];
  const fields = readFields(value, "match", known, context);
  const written = readFamily(fields.family, context);
  const transport = readTransport(fields.transport, "match.transport", context);
  const saddr = readAddresses(fields.saddr, "match.saddr", written, context);
  const daddr = readAddresses(fields.daddr, "match.daddr", saddr?.family ?? written, context);
  const family = written ?? saddr?.family ?? daddr?.family;
  if (context.strict && family !== written) {
    throw wrong("match.family", `"${family}", as the addresses are`, undefined, context);
  }
  const sport = readPortMatch(fields.sport, "match.sport", context);
  const dport = readPortMatch(fields.dport, "match.dport", context);
  const port = readPortMatch(fields.port, "match.port", context);
  return makeMatch({
    family,
    transport,
    saddr: saddr?.match,
    daddr: daddr?.match,
    sport,
    dport,
    port,
  });
}

function readFamily(value: unknown, context: Context): Family | undefined {
  if (value === undefined || value === "ip" || value === "ip6") {
    return value;
  }
  throw wrong("match.family", '"ip" or "ip6"', value, context);
}

function readTransport(value: unknown, path: string, context: Context): Transport {
  if (value === "tcp" || value === "udp") {
    return value;
  }
  const reason = path === "match.transport" ? "no-transport" : "bad-data";
  throw wrong(path, '"tcp" or "udp"', value, context, reason);
}

function readAddresses(
  value: unknown,
  path: string,
  family: Family | undefined,
  context: Context,
): { match: AddressMatch; family: Family } | undefined {
  if (value === undefined) {
    return undefined;
  }
  const fields = readFields(value, path, ["negate", "prefixes"], context);
  const negate = readNegate(fields.negate, path, context);
  let common = family;
  const prefixes = readList(fields.prefixes, `${path}.prefixes`, context).map((item, index) => {
    const read = readPrefix(item, `${path}.prefixes[${index}]`, common, context);
    common = read.family;
    return read.prefix;
  });
  // readList refuses an empty list, so that the family is known.
  return { match: { negate, prefixes: distinctPrefixes(prefixes) }, family: common ?? "ip" };
}

function readPrefix(
  value: unknown,
  path: string,
  family: Family | undefined,
  context: Context,
): { prefix: Prefix; family: Family } {
  const fields = readFields(value, path, ["address", "length"], context);
  const { address, length } = fields;
  if (typeof address !== "string" || address.includes("/")) {
    throw wrong(`${path}.address`, "an address as a string", address, context, "bad-address");
  }
  const notAnAddress = (read: AddressProblem) =>
    failure(
      `${path}.address`,
      expectedButFound("bad-address", "an IPv4 or IPv6 address", quoteText(address), read.problem),
      context,
    );
  const whole = parsePrefix(address);
  if ("problem" in whole && parseAddress(address) === undefined) {
    throw notAnAddress(whole);
  }
  const bits = addressBits(familyOf(address));
  if (typeof length !== "number" || !Number.isInteger(length) || length < 0 || length > bits) {
    const expected = `a prefix length (0 to ${bits})`;
    throw wrong(`${path}.length`, expected, length, context, "bad-address");
  }
  const parsed = parsePrefix(`${address}/${length}`);
  if ("problem" in parsed) {
    throw notAnAddress(parsed);
  }
  if (family !== undefined && parsed.family !== family) {
    const expected = family === "ip" ? "an IPv4 address" : "an IPv6 address";
    throw wrong(`${path}.address`, expected, address, context, "mixed-families");
  }
  if (context.strict && parsed.prefix.address !== address) {
    const expected = `"${parsed.prefix.address}", the canonical address of this prefix`;
    throw wrong(`${path}.address`, expected, address, context, "bad-address");
  }
  return parsed;
}

function readPortMatch(value: unknown, path: string, context: Context): PortMatch | undefined {
  if (value === undefined) {
    return undefined;
  }
  const fields = readFields(value, path, ["negate", "ranges"], context);
  return {
    negate: readNegate(fields.negate, path, context),
    ranges: readRanges(fields.ranges, `${path}.ranges`, context),
  };
}

function readNegate(value: unknown, path: string, context: Context): boolean {
  if (typeof value !== "boolean") {
    throw wrong(`${path}.negate`, "true or false", value, context);
  }
  return value;
}

function readRanges(value: unknown, path: string, context: Context): PortRange[] {
  const ranges = readList(value, path, context).map((item, index) => {
    const fields = readFields(item, `${path}[${index}]`, ["first", "last"], context);
    return readRange(fields, `${path}[${index}]`, context);
  });
  const normal = normalisePorts(ranges);
  // Merging never adds a range, so that the same number of ranges means none was merged.
  const same =
    normal.length === ranges.length &&
    normal.every((range, index) => range.first === ranges[index]?.first);
  if (context.strict && !same) {
    const problem = "the ranges must be sorted, with no two that overlap or adjoin";
    throw failure(path, { reason: "bad-range", problem }, context);
  }
  return normal;
}

function readRange(fields: Fields, path: string, context: Context): PortRange {
  const { first, last } = fields;
  if (!isPort(first)) {
    throw wrong(`${path}.first`, PORT_WORDS, first, context, "bad-port");
  }
  if (!isPort(last)) {
    throw wrong(`${path}.last`, PORT_WORDS, last, context, "bad-port");
  }
  if (last < first) {
    throw wrong(`${path}.last`, `a port not below ${first}`, last, context, "bad-range");
  }
  return { first, last };
}

function readAction(value: unknown, match: Match, context: Context): Action {
  if (value === undefined) {
    throw wrong("action", "an action", value, context, "no-action");
  }
  const { kind, mode } = readObject(value, "action", context);
  switch (kind) {
    case "accept":
    case "drop":
      readFields(value, "action", ["kind"], context);
      return { kind };
    case "funnel":
      if (mode === "encap") {
        return readFunnelEncap(value, context);
      }
      if (mode === "translate") {
        return readFunnelTranslate(value, match, context);
      }
      throw wrong("action.mode", '"encap" or "translate"', mode, context);
    case "unfunnel":
      if (mode === "decap") {
        return readUnfunnelDecap(value, context);
      }
      if (mode === "translate") {
        return readUnfunnelTranslate(value, match, context);
      }
      throw wrong("action.mode", '"decap" or "translate"', mode, context);
    default: {
      const kinds = listWords(['"funnel"', '"unfunnel"', '"accept"', '"drop"']);
      throw wrong("action.kind", kinds, kind, context, "unknown-action");
    }
  }
}

function readFunnelEncap(value: unknown, context: Context): FunnelEncap {
  const fields = readFields(value, "action", ["kind", "mode", "over", "dport", "sport"], context);
  return {
    kind: "funnel",
    mode: "encap",
    over: readTransport(fields.over, "action.over", context),
    dport: readCarrierPort(fields.dport, context),
    sport: readCarrierSource(fields.sport, context),
  };
}

function readFunnelTranslate(value: unknown, match: Match, context: Context): FunnelTranslate {
  const fields = readFields(value, "action", ["kind", "mode", "over", "dport"], context);
  expectTcp(match, fields.over, "action.over", context);
  const dport = readCarrierPort(fields.dport, context);
  return { kind: "funnel", mode: "translate", over: "tcp", dport };
}

function readUnfunnelDecap(value: unknown, context: Context): UnfunnelDecap {
  const fields = readFields(value, "action", ["kind", "mode", "inner", "allow"], context);
  const inner = readTransport(fields.inner, "action.inner", context);
  const action = { kind: "unfunnel", mode: "decap", inner } as const;
  return fields.allow === undefined
    ? action
    : { ...action, allow: readRanges(fields.allow, "action.allow", context) };
}

function readUnfunnelTranslate(value: unknown, match: Match, context: Context): UnfunnelTranslate {
  const fields = readFields(value, "action", ["kind", "mode", "inner", "allow"], context);
  expectTcp(match, fields.inner, "action.inner", context);
  if (fields.allow === undefined) {
    const expected = "the ports that may be put back";
    throw wrong("action.allow", expected, undefined, context, "no-allow");
  }
  const allow = readRanges(fields.allow, "action.allow", context);
  return { kind: "unfunnel", mode: "translate", inner: "tcp", allow };
}

/** Only TCP can be translated, and only over TCP. */
function expectTcp(match: Match, other: unknown, path: string, context: Context): void {
  const expected = '"tcp" (only TCP can be translated, and only over TCP)';
  if (match.transport !== "tcp") {
    throw wrong("match.transport", expected, match.transport, context, "translate-only-tcp");
  }
  if (other !== "tcp") {
    throw wrong(path, expected, other, context, "translate-only-tcp");
  }
}

function readCarrierPort(value: unknown, context: Context): number {
  if (!isPort(value)) {
    const reason = value === undefined ? "no-carrier-port" : "bad-port";
    throw wrong("action.dport", PORT_WORDS, value, context, reason);
  }
  return value;
}

function readCarrierSource(value: unknown, context: Context): CarrierSourcePort {
  const path = "action.sport";
  if (value === undefined) {
    const expected = "the source port of the carrier";
    throw wrong(path, expected, value, context, "no-carrier-port");
  }
  const { kind } = readObject(value, path, context);
  switch (kind) {
    case "keep":
      readFields(value, path, ["kind"], context);
      return { kind };
    case "fixed": {
      const { port } = readFields(value, path, ["kind", "port"], context);
      if (!isPort(port)) {
        throw wrong(`${path}.port`, PORT_WORDS, port, context, "bad-port");
      }
      return { kind, port };
    }
    case "range": {
      const fields = readFields(value, path, ["kind", "first", "last", "every"], context);
      const range = readRange(fields, path, context);
      const every = fields.every;
      if (every === undefined) {
        return { kind, ...range };
      }
      if (!isEvery(every)) {
        const expected = `a whole number of seconds (1 to ${LONGEST_EVERY})`;
        throw wrong(`${path}.every`, expected, every, context, "bad-duration");
      }
      const problem = everyProblem(range, every);
      if (problem !== undefined) {
        throw failure(`${path}.every`, problem, context);
      }
      return { kind, ...range, every };
    }
    default:
      throw wrong(`${path}.kind`, '"fixed", "keep" or "range"', kind, context);
  }
}

function readList(value: unknown, path: string, context: Context): readonly unknown[] {
  if (!Array.isArray(value)) {
    throw wrong(path, "an array", value, context);
  }
  if (value.length === 0) {
    throw wrong(path, "at least one element", "an empty array", context, "empty-set");
  }
  // map() skips the holes of a sparse array; a copy has undefined there, which is refused.
  return [...value];
}

function readObject(value: unknown, path: string, context: Context): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(path, "an object", value, context);
  }
  return value as Fields;
}

/** An object of which no other properties are set: a misspelt one would widen the rule. */
function readFields(
  value: unknown,
  path: string,
  known: readonly string[],
  context: Context,
): Fields {
  const fields = readObject(value, path, context);
  for (const name of Object.keys(fields)) {
    if (!known.includes(name) && fields[name] !== undefined) {
      const meant = nearestWord(name, known);
      throw failure(
        path,
        {
          reason: "bad-data",
          problem: `there is no property ${quoteText(name)} here`,
          expected: listWords(known),
          found: quoteText(name),
          hint: meant === undefined ? `known are ${listWords(known, "and")}` : didYouMean(meant),
        },
        context,
      );
    }
  }
  return fields;
}

function didYouMean(name: string): string {
  return `did you mean "${name}"?`;
}

function stringHint(value: unknown): string | undefined {
  return typeof value === "string" ? "parseRules reads rules from a string" : undefined;
}

function wrong(
  path: string,
  expected: string,
  value: unknown,
  context: Context,
  reason: RuleErrorReason = "bad-data",
): RuleError {
  const found =
    reason === "empty-set" ? "an empty array" : value === undefined ? "nothing" : quoteValue(value);
  return failure(
    path,
    expectedButFound(reason, expected, found, stringHintAt(path, value)),
    context,
  );
}

/** A rule in its text form where data is expected. */
function stringHintAt(path: string, value: unknown): string | undefined {
  return path === "" ? stringHint(value) : undefined;
}

function failure(path: string, problem: RuleProblem, { index }: Context): RuleError {
  const sentence = path === "" ? problem.problem : `${path}: ${problem.problem}`;
  return new RuleError(
    { ...problem, problem: sentence },
    index === undefined ? {} : { rule: index },
    "validate",
  );
}
