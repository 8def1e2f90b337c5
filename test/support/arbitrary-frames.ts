/**
 * Frames and rulesets at random, for comparing two implementations with each other: the model
 * with the kernel program, the model with itself. Frames and rules draw from the same small
 * pools, so that rules are hit often and every outcome comes up.
 */

import fc from "fast-check";
import type {
  Action,
  AddressMatch,
  CarrierSourcePort,
  Match,
  PortMatch,
  PortRange,
  Prefix,
  Rule,
  Ruleset,
  Transport,
} from "../../lib/rules/types.ts";
import { normaliseRules } from "../../lib/rules/validate.ts";
import {
  arp,
  type Checksum,
  ethernet,
  FLAG,
  ICMP,
  type Ipv4Fields,
  icmp,
  icmpError,
  ipv4,
  ipv6,
  type Layer,
  pad,
  patch,
  quote,
  TCP_CARRIER_FIELDS,
  type TcpFields,
  type TransportChecksum,
  tcp,
  tcpCarrier,
  truncate,
  udp,
  udpCarrier,
  vlan,
} from "./packet.ts";
import { type Random, seededRandom } from "./random.ts";

// ----------------------------------------------------------------------------------- pools

/** Addresses of flows: neighbours in and out of the {@link PREFIXES}, and the extremes. */
export const ADDRESSES = [
  "10.0.0.1",
  "10.0.0.2",
  "10.0.1.1",
  "10.128.0.1",
  "192.0.2.1",
  "192.0.2.128",
  "198.51.100.7",
  "0.0.0.0",
] as const;

/**
 * Broadcast only where it may stand: with all ones in both addresses a TCP checksum of 0xffff
 * has two equally valid updates, 0 and 0xffff (RFC 1624 section 3), and nothing to compare.
 */
const DESTINATIONS = [...ADDRESSES, "255.255.255.255"] as const;

/** Prefixes of rules, as canonical as the parser makes them. */
export const PREFIXES: readonly Prefix[] = [
  { address: "0.0.0.0", length: 0 },
  { address: "0.0.0.0", length: 1 },
  { address: "10.0.0.0", length: 8 },
  { address: "10.0.0.0", length: 9 },
  { address: "10.0.0.0", length: 24 },
  { address: "10.0.0.0", length: 31 },
  { address: "10.0.0.1", length: 32 },
  { address: "192.0.2.0", length: 25 },
  { address: "192.0.2.128", length: 32 },
  { address: "198.51.100.7", length: 32 },
];

/** Ports of flows, carriers and rules alike: a carrier of one rule is a flow of another. */
export const PORTS = [1, 80, 179, 540, 541, 2055, 4739, 8080, 32768, 65534, 65535] as const;

const TRANSPORTS: readonly Transport[] = ["tcp", "udp"];

// ---------------------------------------------------------------------------------- frames

/**
 * One frame of 14 to about 1600 bytes. Most are IPv4 with TCP or UDP, two thirds of those carriers;
 * about a third is then damaged: cut short, a field put to an edge, bits flipped.
 */
export function randomFrame(random: Random): Uint8Array {
  if (random.chance(8)) return damaged(random, otherFrame(random));
  const frame = ipv4(randomIpv4Fields(random), randomLayer(random));
  return damaged(
    random,
    random.chance(15) ? pad(frame, random.between(1, 18), random.below(256)) : frame,
  );
}

/**
 * An ICMP error about a packet of TCP or UDP that went by before. Half of them are sound and quote
 * what routers commonly do; of the others something is cut short, odd, or wrong.
 */
export function randomError(random: Random, about: Uint8Array): Uint8Array {
  if (random.chance(50)) {
    const length = random.pick([8, 24, 28, 36, 64, 548, Number.POSITIVE_INFINITY]);
    const layer = icmpError({ mtu: randomMtu(random) }, quote(about, length));
    return ipv4({ src: random.pick(ADDRESSES), dst: random.pick(ADDRESSES) }, layer);
  }
  const kind = random.chance(50)
    ? {}
    : { type: random.pick(ERROR_TYPES), code: random.pick([0, 1, 3, 4]) };
  const layer = icmpError(
    {
      ...kind,
      mtu: randomMtu(random),
      unused: random.pick([0, 0, 1, 2, 5, 6, 32, 251, 255, random.below(0x10000)]),
      checksum: random.chance(12) ? randomChecksum(random) : "right",
    },
    randomQuote(random, about),
  );
  const frame = ipv4(randomIpv4Fields(random), layer);
  const sent = random.chance(15) ? pad(frame, random.between(1, 18), random.below(256)) : frame;
  return random.chance(20) ? damaged(random, sent) : sent;
}

const ERROR_TYPES = [...Object.values(ICMP), 0, 4, 5, 8, 12, 13] as const;

/** Around the least that a link has, with a carrier of either kind and without, and the most. */
function randomMtu(random: Random): number {
  return random.chance(40)
    ? random.between(576, 9000)
    : random.pick([0, 1, 67, 68, 75, 76, 77, 87, 88, 89, 65515, 65516, 65527, 65528, 65535]);
}

/** The packet as a router on the way might have seen it, as far as it quotes it. */
function randomQuote(random: Random, about: Uint8Array): Uint8Array {
  const length = random.chance(60) ? random.below(64) : random.below(1500);
  const seen = quote(about, length);
  if (random.chance(80)) return seen;
  switch (random.below(5)) {
    case 0: // Less than an IP header.
      return truncate(seen, random.below(Math.min(seen.length, 28)));
    case 1: // Fewer hops to go.
      return patch(seen, 8, random.below(256));
    case 2: // A total length that need not be true.
      return patch(
        seen,
        2,
        ...random.pick([
          [0, 20],
          [0, 27],
          [0, 28],
          [0, 48],
          [255, 236],
          [255, 255],
        ]),
      );
    case 3: // Another flag, protocol or address.
      return patch(seen, random.pick([0, 6, 7, 9, 12, 19]), random.below(256));
    default: // Another port or field of the carrier, or of what is in it.
      return seen.length > 28 ? patch(seen, random.between(20, seen.length - 1), 0) : seen;
  }
}

/** Anything but an IPv4 packet of TCP or UDP. */
function otherFrame(random: Random): Uint8Array {
  const flow = () => randomFlowLayer(random, random.pick(TRANSPORTS));
  switch (random.below(6)) {
    case 0:
      return arp();
    case 1:
      return ipv6({}, flow());
    case 2:
      return vlan(ipv4(randomIpv4Fields(random), flow()));
    case 3:
      return ipv4(randomIpv4Fields(random), icmp({}, random.bytes(random.below(64))));
    case 4:
      return ipv4({ ...randomIpv4Fields(random), protocol: random.below(256) }, flow());
    default:
      return ethernet(
        { etherType: random.chance(50) ? 0x0800 : random.below(0x10000) },
        random.bytes(random.below(80)),
      );
  }
}

function randomIpv4Fields(random: Random): Ipv4Fields {
  return {
    src: random.pick(ADDRESSES),
    dst: random.pick(DESTINATIONS),
    ttl: random.pick([0, 1, 64, 255]),
    tos: random.pick([0, 0xb8, 0xff]),
    id: random.below(0x10000),
    df: random.chance(50),
    reserved: random.chance(3),
    ...(random.chance(2) ? { mf: true } : {}),
    ...(random.chance(2) ? { fragmentOffset: random.pick([1, 185, 0x1fff]) } : {}),
    ...(random.chance(15) ? { options: random.bytes(random.pick([4, 8, 20, 40])) } : {}),
    ...(random.chance(5) ? { checksum: randomChecksum(random) } : {}),
  };
}

/** A flow, or a flow behind a carrier. */
function randomLayer(random: Random): Layer {
  const inner = randomFlowLayer(random, random.pick(TRANSPORTS));
  if (random.chance(35)) return inner;
  if (random.chance(40)) return udpCarrier(randomPorts(random), inner);
  return tcpCarrier({ ...randomPorts(random), ...randomCarrierFault(random) }, inner);
}

function randomFlowLayer(random: Random, transport: Transport): Layer {
  const content = random.bytes(randomPayloadLength(random));
  const checksum = random.chance(15) ? randomTransportChecksum(random) : "right";
  if (transport === "udp") {
    const none = random.chance(15);
    const length = random.chance(3) ? { length: random.pick([0, 7, 8, 9, 0xffff]) } : {};
    return udp({ ...randomPorts(random), ...length, checksum: none ? "none" : checksum }, content);
  }
  return tcp(
    {
      ...randomPorts(random),
      seq: random.uint32(),
      ack: random.uint32(),
      flags: random.pick([FLAG.syn, FLAG.ack, FLAG.syn | FLAG.ack, FLAG.ack | FLAG.psh, FLAG.rst]),
      window: random.pick([0, 1024, 64240]),
      urgent: random.pick([0, 0, 1]),
      checksum,
      ...(random.chance(30) ? { options: random.bytes(random.pick([4, 12, 20, 40])) } : {}),
      ...(random.chance(6) ? { dataOffset: random.pick([0, 4, 5, 6, 15]) } : {}),
    },
    content,
  );
}

function randomPorts(random: Random): { sport: number; dport: number } {
  return { sport: randomPort(random), dport: randomPort(random) };
}

function randomPort(random: Random): number {
  return random.chance(4) ? random.below(0x10000) : random.pick(PORTS);
}

/** Mostly short: what matters are the lengths around nothing and odd ones. */
function randomPayloadLength(random: Random): number {
  if (random.chance(70)) return random.below(24);
  return random.chance(80) ? random.below(200) : random.between(1380, 1460);
}

function randomChecksum(random: Random): Checksum {
  return random.pick<Checksum>([
    0,
    1,
    0xffff,
    0xfffe,
    random.below(0x10000),
    { wrongBy: random.between(1, 0xfffe) },
  ]);
}

/** Mostly as {@link randomChecksum}, or what looks unfinished. */
function randomTransportChecksum(random: Random): TransportChecksum {
  return random.chance(25) ? "seed" : randomChecksum(random);
}

/** Every now and then one of the fields that make a TCP header a carrier is not as it must be. */
function randomCarrierFault(random: Random): TcpFields {
  if (random.chance(70)) return {};
  return random.pick<TcpFields>([
    { seq: TCP_CARRIER_FIELDS.seq ^ 1 },
    { seq: random.uint32() },
    { ack: (TCP_CARRIER_FIELDS.ack ^ 0x80000000) >>> 0 },
    { flags: FLAG.syn | FLAG.ack },
    { flags: 0 },
    { flags: FLAG.syn | 0x80 },
    { window: 1023 },
    { window: 0 },
    { dataOffset: 6 },
    { reserved: 1 },
    { reserved: 8 },
    // Not looked at: a carrier all the same.
    { urgent: random.below(0x10000) },
    { checksum: random.below(0x10000) },
  ]);
}

function damaged(random: Random, frame: Uint8Array): Uint8Array {
  if (random.chance(65)) return frame;
  if (random.chance(30)) return truncate(frame, random.between(14, frame.length));
  const broken = new Uint8Array(frame);
  if (random.chance(50)) {
    putEdge(random, broken);
  } else {
    // In the headers: a flipped bit of a payload only makes checksums wrong.
    for (let flips = random.between(1, 3); flips > 0; flips -= 1) {
      const at = random.between(12, Math.min(broken.length, 90) - 1);
      broken[at] = (broken[at] ?? 0) ^ (1 << random.below(8));
    }
  }
  return broken;
}

/** One length or offset field of a frame with 20 bytes of IP header, at or around its edges. */
function putEdge(random: Random, frame: Uint8Array): void {
  const read16 = (at: number) => ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
  const put8 = (at: number, value: number) => {
    if (at < frame.length) frame[at] = value & 0xff;
  };
  const put16 = (at: number, value: number) => {
    put8(at, value >> 8);
    put8(at + 1, value);
  };
  const near = (value: number) => value + random.pick([-4, -1, 0, 1, 4]);
  const totalLength = read16(16);
  switch (random.below(7)) {
    case 0: // Version and header length.
      put8(14, (random.pick([4, 4, 4, 5, 6, 0]) << 4) | random.pick([0, 4, 5, 6, 15]));
      break;
    case 1: // Total length.
      put16(16, random.pick([0, 19, 20, 27, 28, 39, 40, near(totalLength), 0xffff]));
      break;
    case 2: // Flags and fragment offset.
      put16(20, random.pick([0x8000, 0x4000, 0x2000, 0x6000, 1, 0x1fff, 0xffff]));
      break;
    case 3: // Protocol.
      put8(23, random.pick([6, 17, 1, 58, 0, 255]));
      break;
    case 4: // UDP length, or the upper half of a TCP sequence number.
      put16(38, random.pick([0, 7, 8, near(totalLength - 20), 0xffff]));
      break;
    case 5: // Length of UDP behind a UDP carrier.
      put16(46, random.pick([0, 7, 8, near(totalLength - 28), 0xffff]));
      break;
    default: // Length of UDP, or data offset of TCP, behind a TCP carrier.
      if (random.chance(50)) put16(58, random.pick([0, 7, 8, near(totalLength - 40), 0xffff]));
      else put8(66, random.below(256));
  }
}

// -------------------------------------------------------------------------------- rulesets

/** 0 to 12 rules a direction: IPv4, encap only, all that a match can say. Frozen. */
export function randomRuleset(random: Random): Ruleset {
  const rules = () =>
    normaliseRules(Array.from({ length: random.below(13) }, () => randomRule(random)));
  return { ingress: rules(), egress: rules() };
}

/** One rule; about one in three matches on nothing but its transport and one more term. */
export function randomRule(random: Random): Rule {
  return { match: randomMatch(random), action: randomAction(random) };
}

function randomMatch(random: Random): Match {
  // A rule of many terms hardly ever hits; most have few.
  const percent = random.pick([10, 25, 50]);
  const addresses = {
    ...(random.chance(percent) ? { saddr: randomAddressMatch(random) } : {}),
    ...(random.chance(percent) ? { daddr: randomAddressMatch(random) } : {}),
  };
  const family =
    Object.keys(addresses).length > 0 || random.chance(30) ? { family: "ip" as const } : {};
  return {
    ...family,
    transport: random.pick(TRANSPORTS),
    ...addresses,
    ...(random.chance(percent) ? { sport: randomPortMatch(random) } : {}),
    ...(random.chance(percent) ? { dport: randomPortMatch(random) } : {}),
    ...(random.chance(percent / 2) ? { port: randomPortMatch(random) } : {}),
  };
}

function randomAddressMatch(random: Random): AddressMatch {
  const count = random.chance(60) ? 1 : random.between(2, 4);
  const chosen = new Set(Array.from({ length: count }, () => random.pick(PREFIXES)));
  // In the pool's order, which is that of their bytes.
  const prefixes = PREFIXES.filter((prefix) => chosen.has(prefix));
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

// ----------------------------------------------------------------------------- arbitraries

/** {@link randomFrame} for fast-check; a failure names its seed instead of shrinking. */
export const arbitraryFrame: fc.Arbitrary<Uint8Array> = fc
  .noShrink(fc.nat(0xffffffff))
  .map((seed) => randomFrame(seededRandom(seed)));

/** {@link randomRuleset} for fast-check. */
export const arbitraryRuleset: fc.Arbitrary<Ruleset> = fc
  .noShrink(fc.nat(0xffffffff))
  .map((seed) => randomRuleset(seededRandom(seed)));

/** A dotted IPv4 address. */
export const arbitraryAddress: fc.Arbitrary<string> = fc.ipV4();

/** 1 to 65535. */
export const arbitraryPort: fc.Arbitrary<number> = fc.integer({ min: 1, max: 65535 });

const arbitraryPayload = fc.uint8Array({ maxLength: 80 });

const arbitraryOptions = fc
  .integer({ min: 0, max: 10 })
  .chain((words) => fc.uint8Array({ minLength: words * 4, maxLength: words * 4 }));

/** A well-formed TCP or UDP layer whose checksum is right (or none, over UDP). Shrinks. */
export const arbitraryFlowLayer: fc.Arbitrary<{ transport: Transport; layer: Layer }> = fc.oneof(
  fc
    .record({
      sport: arbitraryPort,
      dport: arbitraryPort,
      checksum: fc.constantFrom<Checksum>("right", "right", "none"),
      content: arbitraryPayload,
    })
    .map(({ content, ...fields }) => ({ transport: "udp" as const, layer: udp(fields, content) })),
  fc
    .record({
      sport: arbitraryPort,
      dport: arbitraryPort,
      seq: fc.nat(0xffffffff),
      ack: fc.nat(0xffffffff),
      flags: fc.nat(0xff),
      window: fc.nat(0xffff),
      urgent: fc.nat(0xffff),
      options: arbitraryOptions,
      content: arbitraryPayload,
    })
    .map(({ content, ...fields }) => ({ transport: "tcp" as const, layer: tcp(fields, content) })),
);

/** A well-formed frame that a rule on its transport funnels. Shrinks. */
export const arbitraryFlowFrame: fc.Arbitrary<{ transport: Transport; frame: Uint8Array }> = fc
  .record({
    src: arbitraryAddress,
    dst: arbitraryAddress,
    ttl: fc.nat(255),
    tos: fc.nat(255),
    id: fc.nat(0xffff),
    df: fc.boolean(),
    options: arbitraryOptions,
    flow: arbitraryFlowLayer,
    padding: fc.nat(6),
  })
  .map(({ flow, padding, ...fields }) => ({
    transport: flow.transport,
    frame: pad(ipv4(fields, flow.layer), padding, 0xa5),
  }));
