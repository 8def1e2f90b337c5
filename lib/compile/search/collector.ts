/**
 * Makes the entries of rules: one for each combination of prefixes of both addresses and both ports that
 * together hold all flows of the match. For sets of ports in two steps: first there is one prefix around all
 * of a set. Only where several rules are about the same addresses they get entries for each member in its
 * place: elsewhere the addresses tell rules apart, and more entries would be more to make, and more memory.
 */

import { NumberList } from "../../rules/number-list.ts";
import { inParts, type Sliced } from "../../rules/sliced.ts";
import type { Family, Match, PortMatch, Rule } from "../../rules/types.ts";
import { Form, Search } from "../abi.gen.ts";
import { AddressPrefixes } from "./addresses.ts";
import { COARSE, Entries, SHARED, WHOLE, WHOLE_BUT_PORTS } from "./entries.ts";
import { formPassedOver } from "./form.ts";
import { isExactPort, PortPrefixes } from "./hull.ts";
import { Sharing } from "./sharing.ts";

/** Entries of all rules of a list together, as far as it is in our hands. */
const MOST_ENTRIES = 400_000;
/** Entries of one rule: never fewer, and never more, than these. */
const FEWEST_OF_ONE = 4;
const MOST_OF_ONE = 256;
/** So many rules about the same addresses are looked at one after the other. */
const FEW_RULES = 2;
/** Entries between two chances to leave. */
const PART = 512;

const BOTH: readonly Family[] = ["ip", "ip6"];
const FAMILIES: { readonly [family in Family]: readonly Family[] } = { ip: ["ip"], ip6: ["ip6"] };

/** Entries of one group, and which of them count. */
export interface Collected {
  readonly entries: Entries;
  /** By rule. */
  readonly list: Uint32Array;
}

/** Number of the group whose flows a match is about. */
function groupOf(match: Match, family: Family): number {
  return (
    (family === "ip6" ? Search.SEARCH_IPV6 : 0) |
    (match.transport === "udp" ? Search.SEARCH_UDP : 0)
  );
}

/** Whether `port` stands for one of the two ports, which are not said otherwise. */
function isOfEitherPort({ port, sport, dport }: Match): boolean {
  return port !== undefined && !port.negate && sport === undefined && dport === undefined;
}

function isSet(match: PortMatch | undefined): boolean {
  return match !== undefined && !match.negate && match.ranges.length > 1;
}

export class Collector {
  readonly #rules: readonly Rule[];
  readonly #groups: Entries[] = [];
  /** Entries that one rule may have. */
  readonly #most: number;
  readonly #saddrs: AddressPrefixes;
  readonly #daddrs: AddressPrefixes;
  readonly #sports: PortPrefixes;
  readonly #dports: PortPrefixes;

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
    const share = Math.floor(MOST_ENTRIES / Math.max(1, rules.length));
    this.#most = Math.min(MOST_OF_ONE, Math.max(FEWEST_OF_ONE, share));
    this.#saddrs = new AddressPrefixes(this.#most);
    this.#daddrs = new AddressPrefixes(this.#most);
    this.#sports = new PortPrefixes(this.#most);
    this.#dports = new PortPrefixes(this.#most);
    for (let group = 0; group < Search.SEARCH_GROUPS; group++) this.#groups.push(new Entries(0));
  }

  /** Adds the rule of this number; they come in their order. */
  add(index: number): void {
    const rule = this.#rules[index] as Rule;
    const { match } = rule;
    for (const family of match.family === undefined ? BOTH : FAMILIES[match.family]) {
      this.#add(this.#groups[groupOf(match, family)] as Entries, index, rule, family);
    }
  }

  #add(entries: Entries, index: number, rule: Rule, family: Family): void {
    const { match } = rule;
    const [saddrs, daddrs] = [this.#saddrs, this.#daddrs];
    const [sports, dports] = [this.#sports, this.#dports];
    this.#setAddresses(match, family);
    const beside =
      match.port === undefined &&
      formPassedOver(rule) === Form.PLAIN &&
      saddrs.isExact &&
      daddrs.isExact
        ? WHOLE_BUT_PORTS
        : 0;
    const isCoarse = isOfEitherPort(match) || isSet(match.sport) || isSet(match.dport);
    if (isCoarse) this.#setPortHulls(match);
    else
      this.#setPorts(
        match.sport,
        match.dport,
        Math.floor(this.#most / (saddrs.count * daddrs.count)),
      );
    for (let saddr = 0; saddr < saddrs.count; saddr++) {
      for (let daddr = 0; daddr < daddrs.count; daddr++) {
        for (let sport = 0; sport < sports.count; sport++) {
          for (let dport = 0; dport < dports.count; dport++) {
            const [source, destination] = [
              sports.all[sport] as number,
              dports.all[dport] as number,
            ];
            const isWhole = beside !== 0 && isExactPort(source) && isExactPort(destination);
            const flags = beside | (isCoarse ? COARSE : 0) | (isWhole ? WHOLE : 0);
            entries.add(index, saddrs, saddr, daddrs, daddr, source, destination, flags);
          }
        }
      }
    }
  }

  /** What is said of either port is said of none. */
  #setPortHulls(match: Match): void {
    this.#sports.setHull(match.sport);
    this.#dports.setHull(match.dport);
  }

  /** Too many together: what has the most of them is held by one prefix around all. */
  #setAddresses(match: Match, family: Family): void {
    const [saddrs, daddrs] = [this.#saddrs, this.#daddrs];
    saddrs.set(match.saddr, family, this.#most);
    daddrs.set(match.daddr, family, this.#most);
    if (saddrs.count * daddrs.count <= this.#most) return;
    if (saddrs.count >= daddrs.count) saddrs.set(match.saddr, family, 1);
    else daddrs.set(match.daddr, family, 1);
  }

  /** What has come together, group by group. */
  *collected(): Sliced<readonly Collected[]> {
    const collected: Collected[] = [];
    for (const entries of this.#groups) {
      collected.push({ entries, list: yield* this.#narrowed(entries) });
    }
    return collected;
  }

  /** The entries that count: narrower ones in the place of those that share their addresses with others. */
  *#narrowed(entries: Entries): Sliced<Uint32Array> {
    const sharing = yield* Sharing.of(entries);
    const { count } = entries;
    const list = new NumberList();
    /** End of the entries of a rule, and how many narrower ones each of them may have. */
    let end = 0;
    let most = 0;
    yield* inParts(count, PART, (from, to) => {
      for (let entry = from; entry < to; entry++) {
        if (entry === end) {
          while (end < count && entries.rules[end] === entries.rules[entry]) end++;
          most = Math.max(1, Math.floor(this.#most / (end - entry)));
        }
        const shared = sharing.times(entry);
        const flags = entries.flags[entry] as number;
        if (shared > 1) entries.flags[entry] = flags | SHARED;
        if (shared <= FEW_RULES || (flags & COARSE) === 0) {
          list.push(entry);
          continue;
        }
        const first = entries.count;
        this.#addNarrow(entries, entry, most);
        for (let added = first; added < entries.count; added++) list.push(added);
      }
    });
    return list.numbers;
  }

  #addNarrow(entries: Entries, entry: number, most: number): void {
    const { match } = this.#rules[entries.rules[entry] as number] as Rule;
    if (isOfEitherPort(match)) {
      // Once by the one, once by the other.
      const half = Math.max(1, most >> 1);
      this.#addPorts(entries, entry, match.port, undefined, half);
      this.#addPorts(entries, entry, undefined, match.port, half);
    } else {
      this.#addPorts(entries, entry, match.sport, match.dport, most);
    }
  }

  #addPorts(
    entries: Entries,
    entry: number,
    sport: PortMatch | undefined,
    dport: PortMatch | undefined,
    most: number,
  ): void {
    const [sports, dports] = [this.#sports, this.#dports];
    this.#setPorts(sport, dport, most);
    const flags = (entries.flags[entry] as number) & (SHARED | WHOLE_BUT_PORTS);
    for (let one = 0; one < sports.count; one++) {
      for (let other = 0; other < dports.count; other++) {
        const [source, destination] = [sports.all[one] as number, dports.all[other] as number];
        const isWhole =
          (flags & WHOLE_BUT_PORTS) !== 0 && isExactPort(source) && isExactPort(destination);
        entries.addPorts(entry, source, destination, isWhole ? flags | WHOLE : flags);
      }
    }
  }

  /** As with addresses. */
  #setPorts(sport: PortMatch | undefined, dport: PortMatch | undefined, most: number): void {
    const [sports, dports] = [this.#sports, this.#dports];
    sports.set(sport, most);
    dports.set(dport, most);
    while (sports.count * dports.count > most) {
      if (sports.count >= dports.count) sports.setHull(sport);
      else dports.setHull(dport);
    }
  }
}
