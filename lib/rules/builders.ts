import { distinctPrefixes, PREFIX_WORDS, parsePrefix } from "./address.ts";
import { everyProblem, isEvery, LONGEST_EVERY } from "./carrier-source.ts";
import { commentProblem } from "./comment.ts";
import { makeMatch } from "./match.ts";
import { normalRule } from "./normal.ts";
import { checkOptionNames, optionError } from "./options.ts";
import { isPort, normalisePorts, PORT_WORDS, parsePort } from "./ports.ts";
import { quoteValue } from "./quote.ts";
import { describeProblem } from "./rule-error.ts";
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

/** Ports: `80`, `"8000-8099"`, or an array of both. */
export type PortsInput = number | string | readonly (number | string)[];

/** Addresses or prefixes: `"10.0.0.0/8"`, or an array of such of one family. */
export type AddressesInput = string | readonly string[];

/** Everything except what is inside. */
export interface Not<T> {
  readonly not: T;
}

/** Which packets a rule is about; what is left out matches anything. */
export interface MatchInput {
  /** "ip" or "ip6". Addresses say it already; without both, a rule is about either. */
  readonly family?: Family;
  readonly saddr?: AddressesInput | Not<AddressesInput>;
  readonly daddr?: AddressesInput | Not<AddressesInput>;
  readonly sport?: PortsInput | Not<PortsInput>;
  readonly dport?: PortsInput | Not<PortsInput>;
  /** Source or destination port. `dport` is what most rules mean. */
  readonly port?: PortsInput | Not<PortsInput>;
}

export interface CommentInput {
  /** Stays with the rule, in its text form too. One line, no control characters. */
  readonly comment?: string;
}

/**
 * Source port of a carrier: one port, the flow's own ("keep"), or a range over which flows are
 * spread. With `every` (seconds) the range is walked through with time.
 */
export type CarrierSourceInput =
  | number
  | string
  | { readonly first: number; readonly last: number; readonly every?: number };

export interface FunnelEncapInput extends CommentInput {
  readonly mode?: "encap";
  /** Protocol of the carrier. */
  readonly over: Transport;
  /** The service port. */
  readonly dport: number;
  readonly sport: CarrierSourceInput;
}

export interface FunnelTranslateInput extends CommentInput {
  readonly mode: "translate";
  readonly over?: "tcp";
  /** The service port. */
  readonly dport: number;
}

export interface UnfunnelDecapInput extends CommentInput {
  readonly mode?: "decap";
  /** Protocol of the flow inside the carrier. */
  readonly inner: Transport;
  /** Inner destination ports that may pass; without it every port of the pod is reachable. */
  readonly allow?: PortsInput;
}

export interface UnfunnelTranslateInput extends CommentInput {
  readonly mode: "translate";
  readonly inner?: "tcp";
  /** The ports that may be put back. */
  readonly allow: PortsInput;
}

/** A match that waits for its action. Each method makes a frozen rule; all may be called again. */
export interface UdpFlow {
  /** @throws OptionError for an option that is misspelt, missing or out of range. */
  funnel(options: FunnelEncapInput): Rule;
  /** @throws OptionError for an option that is misspelt, missing or out of range. */
  unfunnel(options: UnfunnelDecapInput): Rule;
  /** Leave the packet alone and look at no further rule. */
  accept(options?: CommentInput): Rule;
  drop(options?: CommentInput): Rule;
}

export interface TcpFlow extends UdpFlow {
  /** @throws OptionError for an option that is misspelt, missing or out of range. */
  funnel(options: FunnelEncapInput | FunnelTranslateInput): Rule;
  /** @throws OptionError for an option that is misspelt, missing or out of range. */
  unfunnel(options: UnfunnelDecapInput | UnfunnelTranslateInput): Rule;
}

/**
 * Starts a rule about TCP packets.
 *
 * @example tcp({ dport: 8080 }).funnel({ mode: "translate", dport: 80 })
 * @throws OptionError for an option that is misspelt or out of range.
 */
export function tcp(match: MatchInput = {}): TcpFlow {
  return flow("tcp", match);
}

/**
 * Starts a rule about UDP packets.
 *
 * @example udp({ dport: [2055, 4739] }).funnel({ over: "tcp", dport: 179, sport: 540 })
 * @throws OptionError for an option that is misspelt or out of range.
 */
export function udp(match: MatchInput = {}): UdpFlow {
  return flow("udp", match);
}

type Options = Readonly<Record<string, unknown>>;

const PORTS_WORDS = `${PORT_WORDS}, a range such as "8000-8099", or an array of those`;
const SOURCE_WORDS = `${PORT_WORDS}, "keep", a range such as "540-549", or { first, last, every }`;

function flow(transport: Transport, input: MatchInput): TcpFlow {
  const match = buildMatch(transport, input);
  const rule = (operation: string, options: Options, action: Action): Rule =>
    normalRule({ match, action, ...buildComment(operation, options) });
  return Object.freeze({
    funnel(options: FunnelEncapInput | FunnelTranslateInput): Rule {
      const operation = `${transport}().funnel`;
      return rule(operation, { ...options }, buildFunnel(operation, transport, options));
    },
    unfunnel(options: UnfunnelDecapInput | UnfunnelTranslateInput): Rule {
      const operation = `${transport}().unfunnel`;
      return rule(operation, { ...options }, buildUnfunnel(operation, transport, options));
    },
    accept(options: CommentInput = {}): Rule {
      const operation = `${transport}().accept`;
      checkOptionNames(operation, options, ["comment"]);
      return rule(operation, options, { kind: "accept" });
    },
    drop(options: CommentInput = {}): Rule {
      const operation = `${transport}().drop`;
      checkOptionNames(operation, options, ["comment"]);
      return rule(operation, options, { kind: "drop" });
    },
  });
}

function buildMatch(transport: Transport, input: unknown): Match {
  const known = ["family", "saddr", "daddr", "sport", "dport", "port"];
  checkOptionNames(transport, input, known);
  const written = input.family;
  if (written !== undefined && written !== "ip" && written !== "ip6") {
    throw expected(transport, "family", '"ip" or "ip6"', written);
  }
  const saddr = buildAddresses(transport, "saddr", input.saddr, written);
  const daddr = buildAddresses(transport, "daddr", input.daddr, saddr?.family ?? written);
  const family: Family | undefined = written ?? saddr?.family ?? daddr?.family;
  const sport = buildPortMatch(transport, "sport", input.sport);
  const dport = buildPortMatch(transport, "dport", input.dport);
  const port = buildPortMatch(transport, "port", input.port);
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

function buildAddresses(
  operation: string,
  option: string,
  input: unknown,
  family: Family | undefined,
): { match: AddressMatch; family: Family } | undefined {
  if (input === undefined) {
    return undefined;
  }
  const { negate, values } = takeNot(operation, option, input);
  let common = family;
  const prefixes = values.map((value): Prefix => {
    const parsed = typeof value === "string" ? parsePrefix(value) : { problem: undefined };
    if ("problem" in parsed) {
      throw expected(operation, option, PREFIX_WORDS, value, parsed.problem);
    }
    if (common !== undefined && parsed.family !== common) {
      const words = common === "ip" ? "an IPv4 address" : "an IPv6 address";
      throw expected(operation, option, words, value, "a rule is about one family; make two rules");
    }
    common = parsed.family;
    return parsed.prefix;
  });
  // takeNot refuses an empty array, so that the family is known.
  return { match: { negate, prefixes: distinctPrefixes(prefixes) }, family: common ?? "ip" };
}

function buildPortMatch(operation: string, option: string, input: unknown): PortMatch | undefined {
  if (input === undefined) {
    return undefined;
  }
  const { negate, values } = takeNot(operation, option, input);
  return { negate, ranges: buildRanges(operation, option, values) };
}

/** Takes `{ not: ... }` apart, and makes an array of a single value. */
function takeNot(
  operation: string,
  option: string,
  input: unknown,
): { negate: boolean; values: readonly unknown[] } {
  const negate = typeof input === "object" && input !== null && !Array.isArray(input);
  if (negate) {
    checkOptionNames(`${operation}: ${option}`, input, ["not"]);
  }
  const value = negate ? (input as Options).not : input;
  return { negate, values: listOf(operation, negate ? `${option}.not` : option, value) };
}

function listOf(operation: string, option: string, value: unknown): readonly unknown[] {
  const values: readonly unknown[] = Array.isArray(value) ? [...value] : [value];
  if (values.length === 0) {
    throw optionError(operation, option, "an empty array matches nothing", "leave the option out");
  }
  return values;
}

/**
 * Ports as callers write them, normalised.
 *
 * @throws OptionError naming `option` if they are none, or an empty array.
 */
export function readPortsInput(operation: string, option: string, input: unknown): PortRange[] {
  return buildRanges(operation, option, listOf(operation, option, input));
}

function buildRanges(operation: string, option: string, values: readonly unknown[]): PortRange[] {
  return normalisePorts(
    values.map((value) => {
      const range = readRange(value);
      if (range === undefined) {
        throw expected(operation, option, PORTS_WORDS, value);
      }
      return checkRange(operation, option, range);
    }),
  );
}

/** A port as a number or text, or "80-90"; undefined for anything else. */
function readRange(value: unknown): PortRange | undefined {
  if (isPort(value)) {
    return { first: value, last: value };
  }
  if (typeof value !== "string") {
    return undefined;
  }
  const hyphen = value.indexOf("-");
  const first = parsePort((hyphen === -1 ? value : value.slice(0, hyphen)).trim());
  const last = hyphen === -1 ? first : parsePort(value.slice(hyphen + 1).trim());
  return first === undefined || last === undefined ? undefined : { first, last };
}

function checkRange(operation: string, option: string, range: PortRange): PortRange {
  const { first, last } = range;
  if (last < first) {
    const words = "a range from the lower to the higher port";
    throw expected(operation, option, words, `${first}-${last}`, `write ${last}-${first}`);
  }
  return range;
}

function buildFunnel(operation: string, transport: Transport, options: unknown): Action {
  checkOptionNames(operation, options, ["mode", "over", "dport", "sport", "comment"]);
  const { mode, dport, over } = options;
  if (mode !== undefined && mode !== "encap" && mode !== "translate") {
    throw expected(operation, "mode", '"encap" or "translate"', mode);
  }
  if (!isPort(dport)) {
    throw expected(operation, "dport", `${PORT_WORDS}, the service port`, dport);
  }
  if (mode === "translate") {
    checkTranslate(operation, transport, "over", over);
    if (options.sport !== undefined) {
      const problem = "translate takes no sport: the flow keeps its own source port";
      throw optionError(operation, "sport", problem, "leave it out");
    }
    return { kind: "funnel", mode, over: "tcp", dport };
  }
  if (over !== "tcp" && over !== "udp") {
    throw expected(operation, "over", '"tcp" or "udp"', over);
  }
  const sport = buildCarrierSource(operation, options.sport);
  return { kind: "funnel", mode: "encap", over, dport, sport };
}

/** @throws OptionError for what is no source port of a carrier. */
export function buildCarrierSource(operation: string, input: unknown): CarrierSourcePort {
  if (input === "keep") {
    return { kind: "keep" };
  }
  if (isPort(input)) {
    return { kind: "fixed", port: input };
  }
  if (typeof input === "string") {
    const range = readRange(input);
    if (range === undefined) {
      throw expected(operation, "sport", SOURCE_WORDS, input);
    }
    checkRange(operation, "sport", range);
    return input.includes("-") ? { kind: "range", ...range } : { kind: "fixed", port: range.first };
  }
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw expected(operation, "sport", SOURCE_WORDS, input);
  }
  checkOptionNames(`${operation}: sport`, input, ["first", "last", "every"]);
  const { first, last, every } = input;
  if (!isPort(first)) {
    throw expected(operation, "sport.first", PORT_WORDS, first);
  }
  if (!isPort(last)) {
    throw expected(operation, "sport.last", PORT_WORDS, last);
  }
  const range = checkRange(operation, "sport", { first, last });
  if (every === undefined) {
    return { kind: "range", ...range };
  }
  if (!isEvery(every)) {
    const words = `a whole number of seconds (1 to ${LONGEST_EVERY})`;
    throw expected(operation, "sport.every", words, every);
  }
  const problem = everyProblem(range, every);
  if (problem !== undefined) {
    throw optionError(operation, "sport.every", describeProblem(problem));
  }
  return { kind: "range", ...range, every };
}

function buildUnfunnel(operation: string, transport: Transport, options: unknown): Action {
  checkOptionNames(operation, options, ["mode", "inner", "allow", "comment"]);
  const { mode, inner, allow } = options;
  if (mode !== undefined && mode !== "decap" && mode !== "translate") {
    throw expected(operation, "mode", '"decap" or "translate"', mode);
  }
  const ranges =
    allow === undefined
      ? undefined
      : buildRanges(operation, "allow", listOf(operation, "allow", allow));
  if (mode === "translate") {
    checkTranslate(operation, transport, "inner", inner);
    if (ranges === undefined) {
      throw expected(operation, "allow", "the ports that may be put back", allow);
    }
    return { kind: "unfunnel", mode, inner: "tcp", allow: ranges };
  }
  if (inner !== "tcp" && inner !== "udp") {
    throw expected(operation, "inner", '"tcp" or "udp"', inner);
  }
  const action = { kind: "unfunnel", mode: "decap", inner } as const;
  return ranges === undefined ? action : { ...action, allow: ranges };
}

function checkTranslate(
  operation: string,
  transport: Transport,
  option: string,
  other: unknown,
): void {
  const problem = "only TCP can be translated, and only over TCP";
  if (transport !== "tcp") {
    throw optionError(operation, "mode", problem, "start with tcp(), or take encap and decap");
  }
  if (other !== undefined && other !== "tcp") {
    throw optionError(operation, option, problem, 'write "tcp" or leave it out');
  }
}

function buildComment(operation: string, options: Options): { comment?: string } {
  const { comment } = options;
  if (comment === undefined) {
    return {};
  }
  if (typeof comment !== "string") {
    throw expected(operation, "comment", "a string", comment);
  }
  const problem = commentProblem(comment);
  if (problem !== undefined) {
    throw optionError(operation, "comment", describeProblem(problem));
  }
  return { comment };
}

function expected(operation: string, option: string, words: string, found: unknown, hint?: string) {
  const shown = found === undefined ? "nothing" : quoteValue(found);
  return optionError(operation, option, `expected ${words}, found ${shown}`, hint);
}
