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

/**
 * Addresses as 32 digits, which compare as the addresses do; IPv4 among them as those of IPv6 that stand
 * for them.
 */
interface Addresses {
  readonly negate: boolean;
  readonly ranges: readonly { readonly first: string; readonly last: string }[];
}

interface ReadRule {
  readonly family: Family | undefined;
  readonly isTcp: boolean;
  readonly saddr: Addresses | undefined;
  readonly daddr: Addresses | undefined;
  readonly sport: PortMatch | undefined;
  readonly dport: PortMatch | undefined;
  readonly port: PortMatch | undefined;
  readonly passesOver: Form;
}

function digitsOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function readPrefix(prefix: Prefix): { readonly first: string; readonly last: string } {
  const family = familyOf(prefix);
  const first = digitsOf(prefixBytes(prefix, family).address);
  const size = 1n << BigInt(addressBits(family) - prefix.length);
  return { first, last: (BigInt(`0x${first}`) + size - 1n).toString(16).padStart(32, "0") };
}

function readAddresses(match: AddressMatch | undefined): Addresses | undefined {
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

function holds<Value>(
  ranges: readonly { readonly first: Value; readonly last: Value }[],
  value: Value,
): boolean {
  for (const range of ranges) if (range.first <= value && value <= range.last) return true;
  return false;
}

/** What rules are asked about. */
interface Asked {
  readonly family: Family;
  readonly isTcp: boolean;
  readonly saddr: string;
  readonly daddr: string;
  readonly sport: number;
  readonly dport: number;
  readonly form: Form;
}

function ask({ family, transport, saddr, daddr, sport, dport }: Flow, form: Form): Asked {
  const addresses = { saddr: digitsOf(saddr), daddr: digitsOf(daddr) };
  return { family, isTcp: transport === "tcp", ...addresses, sport, dport, form };
}

function matches(rule: ReadRule, asked: Asked): boolean {
  const { sport, dport, port, saddr, daddr } = rule;
  if (rule.isTcp !== asked.isTcp || (rule.family ?? asked.family) !== asked.family) return false;
  if (asked.form !== "plain" && rule.passesOver === asked.form) return false;
  if (dport && holds(dport.ranges, asked.dport) === dport.negate) return false;
  if (sport && holds(sport.ranges, asked.sport) === sport.negate) return false;
  if (port) {
    const isEither = holds(port.ranges, asked.sport) || holds(port.ranges, asked.dport);
    if (isEither === port.negate) return false;
  }
  if (saddr && holds(saddr.ranges, asked.saddr) === saddr.negate) return false;
  return !(daddr && holds(daddr.ranges, asked.daddr) === daddr.negate);
}

/** A flow, and what a packet of it shows beside. */
export interface Probe {
  readonly flow: Flow;
  readonly form: Form;
}

export class LinearSearch {
  readonly #rules: readonly ReadRule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules.map(read);
  }

  /** Index of the first rule that matches, or undefined. */
  find(flow: Flow, form: Form): number | undefined {
    return this.findAll([{ flow, form }])[0];
  }

  /** The same of many. Each rule is asked about all of them at a time: that is how memory is fast. */
  findAll(probes: readonly Probe[]): (number | undefined)[] {
    const found = new Array<number | undefined>(probes.length).fill(undefined);
    let left = probes.map(({ flow, form }, place) => ({ ...ask(flow, form), place }));
    for (const [index, rule] of this.#rules.entries()) {
      const met = left.filter((asked) => matches(rule, asked));
      if (met.length === 0) continue;
      for (const { place } of met) found[place] = index;
      left = left.filter((asked) => !met.includes(asked));
    }
    return found;
  }

  /** Whether a rule matches, whatever comes before it. */
  holds(rule: number, flow: Flow, form: Form): boolean {
    return matches(this.#rules[rule] as ReadRule, ask(flow, form));
  }
}
