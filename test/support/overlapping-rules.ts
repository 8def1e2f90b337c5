/**
 * Long lists of rules at random, built to overlap: nested prefixes, crossing ranges, sets, negations of
 * every field, either port, rules that stand twice, and rules that differ from another in little.
 */
import { formatAddress, formatPrefix, maskAddress } from "../../lib/rules/index.ts";
import type {
  AddressMatch,
  Family,
  Match,
  PortMatch,
  PortRange,
  Prefix,
  Rule,
} from "../../lib/rules/types.ts";
import { normaliseRule } from "../../lib/rules/validate.ts";
import type { Random } from "./random.ts";
import { FAMILIES, TRANSPORTS } from "./random-pools.ts";
import { randomActionOf } from "./random-rulesets.ts";

/** Rules before the one that is made now, of which it may repeat one. */
const NEAR = 64;

/** So many rules, as canonical as loading makes them. */
export function overlappingRules(random: Random, count: number): readonly Rule[] {
  const rules: Rule[] = [];
  for (let index = 0; index < count; index++) {
    const before = rules.slice(-NEAR);
    const rule =
      before.length > 0 && random.chance(14)
        ? likeOneBefore(random, before)
        : freshRule(random, isBroadAt(random, index, count));
    rules.push(normaliseRule(rule));
  }
  return rules;
}

/** In a long list, rules that match much would hide most of what follows: so they are rare, but at its end. */
function isBroadAt(random: Random, index: number, count: number): boolean {
  if (count <= 40) return random.chance(40);
  return random.below(1000) < 1 + 150 * (index / count) ** 12;
}

function freshRule(random: Random, isBroad: boolean): Rule {
  const match = isBroad ? broadMatch(random) : narrowMatch(random);
  return { match, action: randomActionOf(random, match.transport) };
}

/** The same as another one, or different in what it does, or in one negation alone. */
function likeOneBefore(random: Random, before: readonly Rule[]): Rule {
  const rule = random.pick(before);
  if (random.chance(33)) return rule;
  const match = random.chance(50) ? rule.match : withOneNegated(random, rule.match);
  return { match, action: randomActionOf(random, match.transport) };
}

const FIELDS = ["saddr", "daddr", "sport", "dport", "port"] as const;

/** The same match, but for one of its negations. */
function withOneNegated(random: Random, match: Match): Match {
  const fields = FIELDS.filter((field) => match[field] !== undefined);
  if (fields.length === 0) return match;
  const field = random.pick(fields);
  const of = match[field] as AddressMatch | PortMatch;
  return { ...match, [field]: { ...of, negate: !of.negate } };
}

/** Asks for little. */
function broadMatch(random: Random): Match {
  const family = random.pick(FAMILIES);
  const addresses = () => randomAddresses(random, family, random.chance(30));
  const ports = () => randomPorts(random, random.chance(30));
  const saddr = random.chance(30) ? addresses() : undefined;
  const daddr = random.chance(30) ? addresses() : undefined;
  return {
    ...(saddr || daddr || random.chance(30) ? { family } : {}),
    transport: random.pick(TRANSPORTS),
    ...(saddr ? { saddr } : {}),
    ...(daddr ? { daddr } : {}),
    ...(random.chance(20) ? { sport: ports() } : {}),
    ...(random.chance(30) ? { dport: ports() } : {}),
    ...(random.chance(15) ? { port: ports() } : {}),
  };
}

/** Says of two fields at least what they are, and of others now and then what they are or are not. */
function narrowMatch(random: Random): Match {
  const family = random.pick(FAMILIES);
  const [one, other] = random.pick(TWO_OF_THEM);
  const has = (field: (typeof FIELDS)[number]) => field === one || field === other;
  const addresses = (field: "saddr" | "daddr") =>
    has(field)
      ? { [field]: { ...randomAddresses(random, family, true), negate: false } }
      : random.chance(20)
        ? { [field]: randomAddresses(random, family, random.chance(50)) }
        : {};
  const ports = (field: "sport" | "dport" | "port") =>
    has(field)
      ? { [field]: { ...randomPorts(random, true), negate: false } }
      : random.chance(20)
        ? { [field]: randomPorts(random, random.chance(50)) }
        : {};
  const terms: Omit<Match, "transport"> = {
    ...addresses("saddr"),
    ...addresses("daddr"),
    ...ports("sport"),
    ...ports("dport"),
    ...ports("port"),
  };
  return {
    ...(terms.saddr || terms.daddr || random.chance(30) ? { family } : {}),
    transport: random.pick(TRANSPORTS),
    ...terms,
  };
}

const TWO_OF_THEM = [
  ["saddr", "daddr"],
  ["saddr", "daddr"],
  ["saddr", "dport"],
  ["saddr", "dport"],
  ["daddr", "dport"],
  ["daddr", "sport"],
  ["daddr", "port"],
  ["sport", "dport"],
] as const;

/** How many there are in a set: mostly one, seldom so many that they are not held one by one. */
function randomCount(random: Random): number {
  if (random.chance(70)) return 1;
  return random.chance(97) ? random.between(2, 9) : random.between(40, 300);
}

const NEGATED = 12;

function randomAddresses(random: Random, family: Family, isNear: boolean): AddressMatch {
  const prefixes = new Map<string, Prefix>();
  for (let left = randomCount(random); left > 0; left--) {
    const prefix = randomPrefix(random, family, isNear);
    prefixes.set(formatPrefix(prefix), prefix);
  }
  return { negate: random.chance(NEGATED), prefixes: [...prefixes.values()] };
}

const BYTES = [0, 1, 2, 127, 128, 255] as const;
const FIRST_BYTES = [0, 10, 10, 10, 172, 192] as const;
const LENGTHS: Readonly<Record<Family, readonly number[]>> = {
  ip: [0, 1, 7, 8, 9, 12, 15, 16, 17, 20, 23, 24, 25, 28, 31, 32],
  ip6: [0, 1, 16, 31, 32, 33, 47, 48, 56, 63, 64, 65, 96, 100, 112, 127, 128],
};
/** Those that hold little. */
const LONG: Readonly<Record<Family, readonly number[]>> = {
  ip: [22, 24, 24, 25, 26, 28, 30, 31, 32, 32, 32],
  ip6: [48, 56, 64, 64, 65, 80, 96, 112, 126, 127, 128, 128],
};

/** Of few networks, so that they lie in each other. */
function randomPrefix(random: Random, family: Family, isNear: boolean): Prefix {
  const length = random.pick((isNear ? LONG : LENGTHS)[family]);
  return { address: formatAddress(maskAddress(randomAddress(random, family), length)), length };
}

function randomAddress(random: Random, family: Family): Uint8Array {
  const byte = () => (random.chance(50) ? random.pick(BYTES) : random.below(64));
  if (family === "ip") return Uint8Array.of(random.pick(FIRST_BYTES), byte(), byte(), byte());
  const address = new Uint8Array(16);
  // Never what begins with ::ffff:0:0/96, which rules refuse.
  if (random.chance(80)) address.set([0x20, 0x01, 0x0d, 0xb8, 0, byte(), byte(), byte()]);
  else address[0] = random.pick([0xfd, 0xfe, 0x20]);
  address.set([byte(), 0, 0, byte()], 12);
  return address;
}

/** About these ports ranges are laid. */
const CORNERS = [1, 80, 179, 1000, 1023, 1024, 2055, 4096, 8191, 16384, 32768, 65535] as const;
const LARGEST = 65535;

function randomPorts(random: Random, isNear: boolean): PortMatch {
  const ranges = Array.from({ length: randomCount(random) }, () => randomRange(random, isNear));
  return { negate: random.chance(NEGATED), ranges };
}

function randomRange(random: Random, isNear: boolean): PortRange {
  const corner = random.chance(30) ? random.between(1, LARGEST) : random.pick(CORNERS);
  const one = Math.min(LARGEST, Math.max(1, corner + random.between(-3, 3)));
  if (random.chance(50)) return { first: one, last: one };
  const size = isNear ? random.below(64) : random.below(20_000);
  // A block of its own size, or any range; both cross others.
  const first = random.chance(30) ? Math.max(1, one - (one % (size + 1))) : one;
  return { first, last: Math.min(LARGEST, first + size) };
}
