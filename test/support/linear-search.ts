/**
 * The first rule that matches, one after the other, as lib/model does it, but with all addresses read
 * beforehand: the model reads them anew for each packet, which takes too long for 100,000 rules.
 */
import type { Flow } from "../../lib/model/frame.ts";
import type { Form } from "../../lib/model/mark.ts";
import { addressBits, familyOf, prefixBytes } from "../../lib/rules/index.ts";
import type {
  Action,
  AddressMatch,
  Family,
  PortMatch,
  Prefix,
  Rule,
} from "../../lib/rules/types.ts";

/** First and last address, IPv4 among them as those of IPv6 that stand for them. */
type Addresses = readonly (readonly [first: bigint, last: bigint])[];

interface Sides<Value> {
  readonly negate: boolean;
  readonly ranges: Value;
}

interface ReadRule {
  readonly family: Family | undefined;
  readonly isTcp: boolean;
  readonly saddr: Sides<Addresses> | undefined;
  readonly daddr: Sides<Addresses> | undefined;
  readonly sport: PortMatch | undefined;
  readonly dport: PortMatch | undefined;
  readonly port: PortMatch | undefined;
  readonly passesOver: Form;
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function readPrefix(prefix: Prefix): readonly [bigint, bigint] {
  const family = familyOf(prefix);
  const first = numberOf(prefixBytes(prefix, family).address);
  return [first, first + (1n << BigInt(addressBits(family) - prefix.length)) - 1n];
}

function readAddresses(match: AddressMatch | undefined): Sides<Addresses> | undefined {
  return match && { negate: match.negate, ranges: match.prefixes.map(readPrefix) };
}

/** What a packet may not show, for the rule to match it; nothing else is "plain". */
function passedOver(action: Action): Form {
  if (action.kind === "accept" || action.kind === "drop") return "plain";
  if (action.mode === "translate") return "carrier";
  return action.kind === "unfunnel" ? "marked" : "plain";
}

function read({ match, action }: Rule): ReadRule {
  const { family, transport, saddr, daddr, sport, dport, port } = match;
  return {
    family,
    isTcp: transport === "tcp",
    saddr: readAddresses(saddr),
    daddr: readAddresses(daddr),
    sport,
    dport,
    port,
    passesOver: passedOver(action),
  };
}

function holdsPort({ ranges }: PortMatch, port: number): boolean {
  for (const { first, last } of ranges) if (first <= port && port <= last) return true;
  return false;
}

function fits(match: Sides<Addresses> | undefined, address: bigint): boolean {
  if (match === undefined) return true;
  for (const [first, last] of match.ranges) {
    if (first <= address && address <= last) return !match.negate;
  }
  return match.negate;
}

/** What rules are asked about. */
interface Asked {
  readonly family: Family;
  readonly isTcp: boolean;
  readonly saddr: bigint;
  readonly daddr: bigint;
  readonly sport: number;
  readonly dport: number;
  readonly form: Form;
}

function ask({ family, transport, saddr, daddr, sport, dport }: Flow, form: Form): Asked {
  const addresses = { saddr: numberOf(saddr), daddr: numberOf(daddr) };
  return { family, isTcp: transport === "tcp", ...addresses, sport, dport, form };
}

function matches(rule: ReadRule, { family, isTcp, saddr, daddr, sport, dport, form }: Asked) {
  const { port } = rule;
  if (rule.isTcp !== isTcp || (rule.family ?? family) !== family) return false;
  if (rule.dport && holdsPort(rule.dport, dport) === rule.dport.negate) return false;
  if (rule.sport && holdsPort(rule.sport, sport) === rule.sport.negate) return false;
  if (port && (holdsPort(port, sport) || holdsPort(port, dport)) === port.negate) return false;
  if (form !== "plain" && rule.passesOver === form) return false;
  return fits(rule.saddr, saddr) && fits(rule.daddr, daddr);
}

export class LinearSearch {
  readonly #rules: readonly ReadRule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules.map(read);
  }

  /** Index of the first rule that matches, or undefined. */
  find(flow: Flow, form: Form): number | undefined {
    const asked = ask(flow, form);
    const index = this.#rules.findIndex((rule) => matches(rule, asked));
    return index === -1 ? undefined : index;
  }

  /** Whether a rule matches, whatever comes before it. */
  holds(rule: number, flow: Flow, form: Form): boolean {
    return matches(this.#rules[rule] as ReadRule, ask(flow, form));
  }
}
