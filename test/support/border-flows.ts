/** Flows made from the borders of rules: just inside and just outside of each prefix and range. */
import type { Flow } from "../../lib/model/frame.ts";
import { addressBytes, formatAddress, parseAddress } from "../../lib/rules/index.ts";
import type {
  AddressMatch,
  Family,
  Match,
  PortMatch,
  Prefix,
  Rule,
  Transport,
} from "../../lib/rules/types.ts";
import type { Random } from "./random.ts";
import { FAMILIES, TRANSPORTS } from "./random-pools.ts";

/** A flow at the borders of one of the rules, or of several. */
export function borderFlow(random: Random, rules: readonly Rule[]): Flow {
  if (rules.length === 0) return flowAt(random, () => ({ transport: random.pick(TRANSPORTS) }));
  const { match } = random.pick(rules);
  // Mostly all that one rule says, so that it is met; else of each field what any rule says.
  const isMixed = random.chance(20);
  return flowAt(random, () => (isMixed ? random.pick(rules).match : match));
}

function flowAt(random: Random, next: () => Match): Flow {
  const about = next();
  const usual = about.family ?? random.pick(FAMILIES);
  const family = random.chance(97) ? usual : random.pick(FAMILIES);
  const transport: Transport = random.chance(97) ? about.transport : random.pick(TRANSPORTS);
  let [sport, dport] = [next().sport, next().dport].map((match) => portAt(random, match)) as [
    number,
    number,
  ];
  const either = next().port;
  if (either) {
    if (random.chance(50)) sport = portAt(random, either);
    else dport = portAt(random, either);
  }
  return {
    family,
    transport,
    saddr: addressAt(random, family, next().saddr),
    daddr: addressAt(random, family, next().daddr),
    sport,
    dport,
  };
}

const LARGEST_PORT = 65535;
const USUAL_PORTS = [0, 1, 80, 1023, 1024, 2055, 32768, LARGEST_PORT] as const;

function portAt(random: Random, match: PortMatch | undefined): number {
  if (match === undefined || random.chance(5)) return random.pick(USUAL_PORTS);
  const { first, last } = random.pick(match.ranges);
  // What is negated is matched outside.
  const isInside = random.chance(80) !== match.negate;
  const choices = isInside
    ? [first, last, (first + last) >> 1]
    : [first - 1, last + 1, random.below(LARGEST_PORT + 1)];
  return Math.min(LARGEST_PORT, Math.max(0, random.pick(choices)));
}

/** Addresses of flows that no rule says anything about. */
const USUAL_ADDRESSES: Readonly<Record<Family, readonly string[]>> = {
  ip: ["10.0.0.1", "0.0.0.0", "255.255.255.255", "192.0.2.1"],
  // Two of them are what the kernel's keys make of two of IPv4.
  ip6: ["2001:db8::1", "::", "::1", "::ffff:a00:1", "::ffff:0:0", "fd00::1"],
};

function addressAt(random: Random, family: Family, match: AddressMatch | undefined): Uint8Array {
  if (match === undefined || random.chance(5)) {
    return addressBytes(random.pick(USUAL_ADDRESSES[family]));
  }
  const prefix = random.pick(match.prefixes);
  const isInside = random.chance(80) !== match.negate;
  const address = inKeys(borderOf(random, prefix, isInside));
  const isIpv4 = !prefix.address.includes(":");
  if (isIpv4 === (family === "ip")) return address;
  // Of the other family: the address of IPv6 that looks like it in the kernel's keys, which must not be
  // taken for it; of IPv4 there is none.
  return isIpv4 ? address : addressBytes(random.pick(USUAL_ADDRESSES.ip));
}

/** As flows hold addresses: 16 bytes, IPv4 as ::ffff:a.b.c.d. */
function inKeys(address: Uint8Array): Uint8Array {
  if (address.length === 16) return address;
  return Uint8Array.of(...new Uint8Array(10), 0xff, 0xff, ...address);
}

/** The first or last address of a prefix, or the one before the first or behind the last. */
function borderOf(random: Random, { address, length }: Prefix, isInside: boolean): Uint8Array {
  const bytes = (parseAddress(address)?.bytes ?? new Uint8Array()).slice();
  const isLast = random.chance(50);
  if (isLast) setHostBits(bytes, length);
  if (!isInside) count(bytes, isLast ? 1 : -1);
  return bytes;
}

function setHostBits(bytes: Uint8Array, length: number): void {
  for (let bit = length; bit < 8 * bytes.length; bit++) {
    bytes[bit >> 3] = (bytes[bit >> 3] as number) | (0x80 >> (bit & 7));
  }
}

/** One up or down; behind the very last address comes the first. */
function count(bytes: Uint8Array, step: 1 | -1): void {
  for (let index = bytes.length - 1; index >= 0; index--) {
    const next = (bytes[index] as number) + step;
    bytes[index] = next;
    if (next >= 0 && next <= 255) return;
  }
}

/** Its two addresses, as a packet of its family has them. */
export function addressesOf({ family, saddr, daddr }: Flow): {
  readonly src: string;
  readonly dst: string;
} {
  const own = (address: Uint8Array) => formatAddress(family === "ip" ? address.slice(12) : address);
  return { src: own(saddr), dst: own(daddr) };
}
