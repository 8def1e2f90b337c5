/**
 * Where a rule is to be found: one entry for each combination of prefixes that together hold all flows
 * of its match. Whatever prefixes cannot say (negations, either port, the form of a packet) is left
 * to the look at the rule itself, which every search ends with.
 */
import { writeMatch } from "../../rules/format.ts";
import type { Family, Match, Rule } from "../../rules/types.ts";
import { Search } from "../abi.gen.ts";
import { type AddressPrefix, ANY_ADDRESS, addressPrefixesAround } from "./addresses.ts";
import { WORDS } from "./hash.ts";
import { ANY_PORT, NO_HELP, type PortPrefix, portPrefixesAround } from "./hull.ts";
import { FIELDS } from "./mask.ts";

/** Entries of one group (family and transport), by rule. */
export class Entries {
  count = 0;
  /** Index of the rule. */
  rules = new Uint32Array(16);
  /** What flows have to show: {@link WORDS} an entry. */
  words = new Int32Array(16 * WORDS);
  /** How many bits of it: {@link FIELDS} an entry. */
  lengths = new Uint8Array(16 * FIELDS);
  /**
   * What else the rule wants of a flow that shows this: 0 nothing, any other number the same as all rules
   * of this number.
   */
  conditions = new Uint32Array(16);

  add(
    rule: number,
    condition: number,
    saddr: AddressPrefix,
    daddr: AddressPrefix,
    sport: PortPrefix,
    dport: PortPrefix,
  ): void {
    if (this.count === this.rules.length) this.#grow();
    const { words, lengths } = this;
    this.rules[this.count] = rule;
    this.conditions[this.count] = condition;
    const word = this.count * WORDS;
    for (let index = 0; index < 4; index++) {
      words[word + index] = saddr.words[index] as number;
      words[word + 4 + index] = daddr.words[index] as number;
    }
    words[word + 8] = (sport.port << 16) | dport.port;
    const length = this.count * FIELDS;
    lengths[length] = saddr.length;
    lengths[length + 1] = daddr.length;
    lengths[length + 2] = sport.length;
    lengths[length + 3] = dport.length;
    this.count++;
  }

  #grow(): void {
    const size = 2 * this.rules.length;
    const rules = new Uint32Array(size);
    const words = new Int32Array(size * WORDS);
    const lengths = new Uint8Array(size * FIELDS);
    const conditions = new Uint32Array(size);
    conditions.set(this.conditions);
    rules.set(this.rules);
    words.set(this.words);
    lengths.set(this.lengths);
    Object.assign(this, { rules, words, lengths, conditions });
  }
}

/** Entries of all rules of a list together, as far as it is in our hands. */
const MOST_ENTRIES = 400_000;
/** Entries of one rule: never fewer, and never more, than these. */
const FEWEST_OF_ONE = 4;
const MOST_OF_ONE = 256;

/** Number of the group whose flows a match is about. */
function groupOf(match: Match, family: Family): number {
  return (
    (family === "ip6" ? Search.SEARCH_IPV6 : 0) |
    (match.transport === "udp" ? Search.SEARCH_UDP : 0)
  );
}

const BOTH: readonly Family[] = ["ip", "ip6"];
const FAMILIES: { readonly [family in Family]: readonly Family[] } = { ip: ["ip"], ip6: ["ip6"] };

/** Whether a rule passes over no form of a packet (enum sfunnel_form). */
function takesAnyForm({ match, action }: Rule): boolean {
  if (match.transport === "udp" || action.kind === "accept" || action.kind === "drop") return true;
  return action.kind === "funnel" && action.mode === "encap";
}

/** Collects the entries of a list of rules. */
export class Collector {
  readonly groups: readonly Entries[] = Array.from(
    { length: Search.SEARCH_GROUPS },
    () => new Entries(),
  );
  /** Entries that one rule may have. */
  readonly #most: number;
  /** Numbers of what prefixes do not say. */
  readonly #conditions = new Map<string, number>();

  /** @param rules how many of them there are. */
  constructor(rules: number) {
    const share = Math.floor(MOST_ENTRIES / Math.max(1, rules));
    this.#most = Math.min(MOST_OF_ONE, Math.max(FEWEST_OF_ONE, share));
  }

  add(index: number, rule: Rule): void {
    const { match } = rule;
    for (const family of match.family === undefined ? BOTH : FAMILIES[match.family]) {
      const entries = this.groups[groupOf(match, family)] as Entries;
      const { port } = match;
      if (port === undefined || port.negate || match.sport || match.dport) {
        this.#addPrefixes(entries, index, rule, match, family, this.#most);
        continue;
      }
      // Either of the two: once by the one, once by the other.
      const half = this.#most >> 1;
      this.#addPrefixes(entries, index, rule, { ...match, sport: port }, family, half);
      this.#addPrefixes(entries, index, rule, { ...match, dport: port }, family, half);
    }
  }

  #addPrefixes(
    entries: Entries,
    index: number,
    rule: Rule,
    match: Match,
    family: Family,
    most: number,
  ): void {
    let saddrs = addressesOf(match.saddr, family, most);
    let daddrs = addressesOf(match.daddr, family, most);
    let sports = portsOf(match.sport, most);
    let dports = portsOf(match.dport, most);
    // Too many together: what has the most of them is held by one prefix around all.
    while (saddrs.length * daddrs.length * sports.length * dports.length > most) {
      const largest = Math.max(saddrs.length, daddrs.length, sports.length, dports.length);
      if (sports.length === largest) sports = portsOf(match.sport, 1);
      else if (dports.length === largest) dports = portsOf(match.dport, 1);
      else if (saddrs.length === largest) saddrs = addressesOf(match.saddr, family, 1);
      else daddrs = addressesOf(match.daddr, family, 1);
    }
    const isWhole =
      match.port === undefined &&
      takesAnyForm(rule) &&
      areExact(saddrs) &&
      areExact(daddrs) &&
      areExact(sports) &&
      areExact(dports);
    const condition = isWhole ? 0 : this.#conditionOf(rule);
    for (const saddr of saddrs) {
      for (const daddr of daddrs) {
        for (const sport of sports) {
          for (const dport of dports) entries.add(index, condition, saddr, daddr, sport, dport);
        }
      }
    }
  }

  #conditionOf(rule: Rule): number {
    const { action } = rule;
    const form = takesAnyForm(rule) || !("mode" in action) ? "" : `${action.kind} ${action.mode}`;
    const text = `${writeMatch(rule.match)} ${form}`;
    let number = this.#conditions.get(text);
    if (number === undefined) {
      number = this.#conditions.size + 1;
      this.#conditions.set(text, number);
    }
    return number;
  }
}

const ANY_ADDRESSES: readonly AddressPrefix[] = [ANY_ADDRESS];
const ANY_PORTS: readonly PortPrefix[] = [ANY_PORT];
const NO_PORTS: readonly PortPrefix[] = [NO_HELP];

function areExact(prefixes: readonly { readonly isExact: boolean }[]): boolean {
  return prefixes.every(({ isExact }) => isExact);
}

function addressesOf(match: Match["saddr"], family: Family, most: number) {
  return match === undefined ? ANY_ADDRESSES : addressPrefixesAround(match, family, most);
}

function portsOf(match: Match["sport"], most: number) {
  if (match === undefined) return ANY_PORTS;
  return match.negate ? NO_PORTS : portPrefixesAround(match.ranges, most);
}
