/** Frames at random, well-formed and damaged, for comparing two implementations with each other. */

import type { Family, Transport } from "../../lib/rules/types.ts";
import {
  arp,
  type Checksum,
  ETHERTYPE,
  ethernet,
  extensionHeader,
  FLAG,
  type Ipv4Fields,
  type Ipv6Fields,
  icmp,
  ipv4,
  ipv6,
  type Layer,
  pad,
  TCP_CARRIER_FIELDS,
  type TcpFields,
  type TransportChecksum,
  tcp,
  tcpCarrier,
  udp,
  udpCarrier,
  vlan,
} from "./packet.ts";
import type { Random } from "./random.ts";
import { damaged } from "./random-damage.ts";
import { randomTcpOptions } from "./random-options.ts";
import { ADDRESSES, DESTINATIONS, FAMILIES, PORTS, TRANSPORTS } from "./random-pools.ts";

/**
 * One frame of 14 to some 3500 bytes. Most are IP with TCP or UDP, half of each family, two thirds of
 * those carriers; about a third is then damaged.
 */
export function randomFrame(random: Random): Uint8Array {
  const family = random.pick(FAMILIES);
  const frame = random.chance(8)
    ? otherFrame(random, family)
    : ipFrame(random, family, randomLayer(random));
  return damaged(random, tagged(random, padded(random, frame)));
}

/** An IP packet with this in it, between any addresses unless told which. */
export function ipFrame(
  random: Random,
  family: Family,
  layer: Layer,
  addresses: { readonly src?: string; readonly dst?: string } = {},
): Uint8Array {
  return family === "ip"
    ? ipv4({ ...randomIpv4Fields(random), ...addresses }, layer)
    : ipv6({ ...randomIpv6Fields(random), ...addresses }, withExtension(random, layer));
}

/** Now and then with bytes behind the packet, as Ethernet has behind short ones. */
export function padded(random: Random, frame: Uint8Array): Uint8Array {
  return random.chance(15) ? pad(frame, random.between(1, 18), random.below(256)) : frame;
}

/** Now and then with VLAN tags, of which three are too many. */
export function tagged(random: Random, frame: Uint8Array): Uint8Array {
  if (random.chance(85)) return frame;
  const count = random.pick([1, 1, 1, 1, 2, 2, 2, 3]);
  return Array.from({ length: count }).reduce<Uint8Array>(
    (inner) =>
      vlan(inner, {
        id: random.below(4096),
        priority: random.below(8),
        etherType: random.pick([ETHERTYPE.vlan, ETHERTYPE.serviceVlan]),
      }),
    frame,
  );
}

/** Anything but a packet of TCP or UDP, or one that says it is something else. */
function otherFrame(random: Random, family: Family): Uint8Array {
  const flow = () => randomFlowLayer(random, random.pick(TRANSPORTS));
  switch (random.below(4)) {
    case 0:
      return arp();
    case 1:
      return ipFrame(random, family, icmp({}, random.bytes(random.below(64))));
    case 2:
      return family === "ip"
        ? ipv4({ ...randomIpv4Fields(random), protocol: random.below(256) }, flow())
        : ipv6({ ...randomIpv6Fields(random), nextHeader: random.below(256) }, flow());
    default: {
      const etherType = random.pick([ETHERTYPE.ipv4, ETHERTYPE.ipv6, random.below(0x10000)]);
      return ethernet({ etherType }, random.bytes(random.below(80)));
    }
  }
}

export function randomIpv4Fields(random: Random): Ipv4Fields {
  return {
    ...randomStations(random),
    src: random.pick(ADDRESSES.ip),
    dst: random.pick(DESTINATIONS.ip),
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

export function randomIpv6Fields(random: Random): Ipv6Fields {
  return {
    ...randomStations(random),
    src: random.pick(ADDRESSES.ip6),
    dst: random.pick(DESTINATIONS.ip6),
    hopLimit: random.pick([0, 1, 64, 255]),
    trafficClass: random.pick([0, 0xb8, 0xff]),
    flowLabel: random.pick([0, 0xfffff, random.below(0x100000)]),
  };
}

/** Now and then to all stations, or to a group of them. */
function randomStations(random: Random): { dstMac?: string } {
  if (random.chance(95)) return {};
  return { dstMac: random.pick(["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb", "33:33:00:00:00:fb"]) };
}

/** Of IPv6 packets, every now and then one has another header in between: a fragment's, or any. */
function withExtension(random: Random, layer: Layer): Layer {
  if (random.chance(94)) return layer;
  const header = random.pick([44, 44, 0, 43, 50, 51, 60, 135, 139, 140, 253, 254]);
  return extensionHeader(header, layer, random.bytes(random.pick([6, 14])));
}

/** A flow, or a flow behind a carrier. */
function randomLayer(random: Random): Layer {
  const inner = randomFlowLayer(random, random.pick(TRANSPORTS));
  if (random.chance(45)) return inner;
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
      ...(random.chance(40) ? { options: randomTcpOptions(random) } : {}),
      ...(random.chance(20) ? { flags: FLAG.syn, ...randomMark(random) } : {}),
      ...(random.chance(6) ? { dataOffset: random.pick([0, 4, 5, 6, 15]) } : {}),
    },
    content,
  );
}

/** The fields of a SYN that was funneled by translation; every now and then one of them is wrong. */
export function randomMark(random: Random): TcpFields {
  const port = randomPort(random);
  const right = { ack: 0x5f0e0000 + port, urgent: 0xffff ^ port };
  if (random.chance(85)) return right;
  return {
    ...right,
    ...random.pick([{ ack: 0x5f0f0000 + port }, { urgent: port }, { urgent: 0 }]),
  };
}

function randomPorts(random: Random): { sport: number; dport: number } {
  return { sport: randomPort(random), dport: randomPort(random) };
}

export function randomPort(random: Random): number {
  return random.chance(4) ? random.below(0x10000) : random.pick(PORTS);
}

/** Mostly short: what matters are the lengths around nothing and odd ones. */
export function randomPayloadLength(random: Random): number {
  if (random.chance(65)) return random.below(24);
  if (random.chance(80)) return random.below(200);
  return random.chance(95) ? random.between(1300, 1460) : random.between(1461, 3300);
}

export function randomChecksum(random: Random): Checksum {
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
