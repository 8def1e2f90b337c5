/** A list as long as one likes, of rules of many kinds, made in little time. */
import type {
  Action,
  AddressMatch,
  Match,
  PortMatch,
  Prefix,
  Rule,
} from "../../lib/rules/types.ts";
import { overlappingRules } from "./overlapping-rules.ts";
import type { Random } from "./random.ts";

/** Rules of those that overlap in all ways, one of so many. */
const OVERLAPPING_EVERY = 400;

/** So many rules: few addresses and ports are in more than a handful, and some rules are about many. */
export function mixedRules(random: Random, count: number): readonly Rule[] {
  const overlapping = overlappingRules(random, Math.floor(count / OVERLAPPING_EVERY));
  return Array.from({ length: count }, (_, index) => {
    const other = overlapping[index / OVERLAPPING_EVERY];
    if (other) return other;
    const match = MATCHES[index % MATCHES.length] as (random: Random) => Match;
    return { match: match(random), action: ACTIONS[index % ACTIONS.length] as Action };
  });
}

const ACTIONS: readonly Action[] = [
  { kind: "accept" },
  { kind: "drop" },
  { kind: "funnel", mode: "encap", over: "udp", dport: 179, sport: { kind: "fixed", port: 540 } },
];

const ip = (random: Random, length: number): Prefix => {
  // 32,768 addresses, 128 networks of 24 bits.
  const host = length > 24 ? (random.below(256) >>> (32 - length)) << (32 - length) : 0;
  return { address: `10.1.${random.below(128)}.${host}`, length };
};

const ip6 = (random: Random, length: number): Prefix => {
  const network = `2001:db8:0:${random.between(1, 4095).toString(16)}::`;
  return { address: length > 64 ? `${network}${random.between(1, 15)}` : network, length };
};

const of = (...prefixes: readonly Prefix[]): AddressMatch => ({ negate: false, prefixes });
const not = <Value extends AddressMatch | PortMatch>(match: Value): Value => ({
  ...match,
  negate: true,
});

const port = (random: Random): PortMatch => {
  const one = random.between(1, 4000);
  return { negate: false, ranges: [{ first: one, last: one }] };
};

/** Ranges that cross each other. */
const range = (random: Random): PortMatch => {
  const first = random.between(1, 60_000);
  return { negate: false, ranges: [{ first, last: first + random.between(1, 500) }] };
};

const ports = (random: Random): PortMatch => {
  const first = random.between(1, 4000);
  // In the rule itself, or a set.
  const places = random.chance(50) ? [0, 2, 9] : [0, 2, 5, 9];
  const ranges = places.map((place) => ({ first: first + place, last: first + place }));
  return { negate: false, ranges };
};

const four = (match: Omit<Match, "family" | "transport">): Match => ({
  family: "ip",
  transport: "udp",
  ...match,
});
const six = (match: Omit<Match, "family" | "transport">): Match => ({
  family: "ip6",
  transport: "tcp",
  ...match,
});

/** All kinds of them in turn. */
const MATCHES: readonly ((random: Random) => Match)[] = [
  (random) => four({ saddr: of(ip(random, 32)), dport: port(random) }),
  (random) => four({ daddr: of(ip(random, 32)), sport: range(random) }),
  (random) => ({ ...four({ saddr: of(ip(random, 32)), dport: ports(random) }), transport: "tcp" }),
  (random) => six({ saddr: of(ip6(random, 64)), dport: port(random) }),
  (random) => four({ saddr: of(ip(random, 24)), daddr: of(ip(random, 32)), port: port(random) }),
  (random) => six({ daddr: of(ip6(random, 128)), sport: range(random), dport: ports(random) }),
  (random) => four({ saddr: of(ip(random, 31)), dport: port(random), sport: not(range(random)) }),
  (random) => four({ saddr: of(ip(random, 32), ip(random, 30)), port: range(random) }),
  (random) => six({ saddr: of(ip6(random, 128)), daddr: not(of(ip6(random, 64))) }),
  (random) => ({ ...six({ daddr: of(ip6(random, 128)), port: port(random) }), transport: "udp" }),
  (random) => ({ transport: "udp", sport: port(random), dport: range(random) }),
  (random) => ({
    transport: "tcp",
    dport: port(random),
    port: not(range(random)),
    sport: port(random),
  }),
];
