/** Rulesets at random: all that a match can say, and all that can be done. */

import type {
  Action,
  AddressMatch,
  CarrierSourcePort,
  Family,
  Match,
  PortMatch,
  PortRange,
  Rule,
  Ruleset,
  Transport,
} from "../../lib/rules/types.ts";
import { normaliseRules } from "../../lib/rules/validate.ts";
import type { Random } from "./random.ts";
import { FAMILIES, PORTS, PREFIXES, TRANSPORTS } from "./random-pools.ts";

/** 0 to 12 rules a direction. Frozen. */
export function randomRuleset(random: Random): Ruleset {
  const rules = () =>
    normaliseRules(Array.from({ length: random.below(13) }, () => randomRule(random)));
  return { ingress: rules(), egress: rules() };
}

/** One rule; about one in three matches on nothing but its transport and one more term. */
function randomRule(random: Random): Rule {
  const match = randomMatch(random);
  const translates = random.chance(30);
  return translates
    ? { match: { ...match, transport: "tcp" }, action: randomTranslation(random) }
    : { match, action: randomAction(random) };
}

function randomMatch(random: Random): Match {
  // A rule of many terms hardly ever hits; most have few.
  const percent = random.pick([10, 25, 50]);
  const family = random.pick(FAMILIES);
  const addresses = {
    ...(random.chance(percent) ? { saddr: randomAddressMatch(random, family) } : {}),
    ...(random.chance(percent) ? { daddr: randomAddressMatch(random, family) } : {}),
  };
  const hasFamily = Object.keys(addresses).length > 0 || random.chance(30);
  return {
    ...(hasFamily ? { family } : {}),
    transport: random.pick(TRANSPORTS),
    ...addresses,
    ...(random.chance(percent) ? { sport: randomPortMatch(random) } : {}),
    ...(random.chance(percent) ? { dport: randomPortMatch(random) } : {}),
    ...(random.chance(percent / 2) ? { port: randomPortMatch(random) } : {}),
  };
}

function randomAddressMatch(random: Random, family: Family): AddressMatch {
  const pool = PREFIXES[family];
  const count = random.chance(60) ? 1 : random.between(2, 4);
  const chosen = new Set(Array.from({ length: count }, () => random.pick(pool)));
  // In the pool's order, which is that of their bytes.
  const prefixes = pool.filter((prefix) => chosen.has(prefix));
  return { negate: random.chance(30), prefixes };
}

function randomPortMatch(random: Random): PortMatch {
  return { negate: random.chance(30), ranges: randomRanges(random) };
}

/** Sorted, neither overlapping nor adjacent, as rules hold them. */
function randomRanges(random: Random): PortRange[] {
  const count = random.chance(60) ? 1 : random.between(2, 5);
  const ranges = Array.from({ length: count }, () => {
    const one = random.pick(PORTS);
    const other = random.chance(60) ? one : random.pick(PORTS);
    return { first: Math.min(one, other), last: Math.max(one, other) };
  }).sort((a, b) => a.first - b.first);
  const merged: { first: number; last: number }[] = [];
  for (const range of ranges) {
    const previous = merged.at(-1);
    if (previous !== undefined && range.first <= previous.last + 1) {
      previous.last = Math.max(previous.last, range.last);
    } else {
      merged.push({ ...range });
    }
  }
  return merged;
}

/** What may be done with packets of a transport. */
export function randomActionOf(random: Random, transport: Transport): Action {
  return transport === "tcp" && random.chance(30)
    ? randomTranslation(random)
    : randomAction(random);
}

function randomAction(random: Random): Action {
  const kind = random.below(100);
  if (kind < 8) return { kind: "accept" };
  if (kind < 16) return { kind: "drop" };
  if (kind < 58) {
    return {
      kind: "funnel",
      mode: "encap",
      over: random.pick(TRANSPORTS),
      dport: random.pick(PORTS),
      sport: randomSourcePort(random),
    };
  }
  return {
    kind: "unfunnel",
    mode: "decap",
    inner: random.pick(TRANSPORTS),
    ...(random.chance(40) ? { allow: randomRanges(random) } : {}),
  };
}

function randomTranslation(random: Random): Action {
  return random.chance(50)
    ? { kind: "funnel", mode: "translate", over: "tcp", dport: random.pick(PORTS) }
    : { kind: "unfunnel", mode: "translate", inner: "tcp", allow: randomRanges(random) };
}

function randomSourcePort(random: Random): CarrierSourcePort {
  switch (random.below(3)) {
    case 0:
      return { kind: "fixed", port: random.pick(PORTS) };
    case 1:
      return { kind: "keep" };
    default:
      return random.pick<CarrierSourcePort>([
        { kind: "range", first: 540, last: 549 },
        { kind: "range", first: 1, last: 65535 },
        { kind: "range", first: 65534, last: 65535 },
        { kind: "range", first: 32768, last: 60999 },
      ]);
  }
}
