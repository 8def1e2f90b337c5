/** Reads an Ethernet frame with an IP packet in it into the fields that rules look at. */

import type { Family, Transport } from "../rules/types.ts";
import { join, viewOf } from "./bytes.ts";
import { readIp } from "./ip.ts";
import type { Addresses, IpVersion, NoTransport } from "./ip-version.ts";
import type { Outcome } from "./outcome.ts";
import { TRANSPORT_HEADER_LENGTH } from "./protocol.ts";

/** Bytes of an IPv4 address. */
const IPV4_LENGTH = 4;

/** The five fields that rules look at. */
export interface Flow {
  readonly family: Family;
  readonly transport: Transport;
  /** 16 bytes; IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), as the kernel's keys hold it. */
  readonly saddr: Uint8Array;
  readonly daddr: Uint8Array;
  readonly sport: number;
  readonly dport: number;
}

/** A frame taken apart. The four byte arrays laid end to end are the frame again. */
export interface Packet {
  readonly version: IpVersion;
  /** With its VLAN tags. */
  readonly ethernet: Uint8Array;
  /** IP header; IPv4's with its options. */
  readonly ip: Uint8Array;
  /** TCP or UDP header and all that follows it, as far as IP's length goes. */
  readonly transport: Uint8Array;
  /** What follows the IP packet: Ethernet pads short frames. */
  readonly padding: Uint8Array;
  /** Bytes of the IP packet, its header included. */
  readonly length: number;
  /** As they are in the packet: what pseudo headers sum. */
  readonly addresses: Addresses;
  readonly flow: Flow;
}

/** Why a frame holds no packet that rules could look at. */
export type Unreadable = NoTransport | Extract<Outcome, "not_ip" | "malformed">;

/** Takes apart a frame of at least an Ethernet header. The parts are copies. */
export function readFrame(frame: Uint8Array): Packet | Unreadable {
  const packet = readIp(frame);
  if (typeof packet === "string") return packet;
  const { version, ethernet, ip, content, padding } = packet;

  // Of a packet in fragments only the first one shows ports. To funnel that one alone would split
  // the packet over two protocols, and whoever reassembles it would drop it whole.
  const transport = version.transportOf(ip);
  if (transport !== "tcp" && transport !== "udp") return transport;

  if (content.length < TRANSPORT_HEADER_LENGTH[transport]) return "malformed";
  if (transport === "udp" && viewOf(content).getUint16(4) !== content.length) return "malformed";

  const addresses = version.addressesOf(ip);
  return {
    version,
    ethernet,
    ip,
    transport: content,
    padding,
    length: version.packetLengthOf(ip),
    addresses,
    flow: flowOf(addresses, transport, content),
  };
}

/** The flow of a TCP or UDP header, of which the ports are enough, between two addresses. */
export function flowOf(addresses: Addresses, transport: Transport, header: Uint8Array): Flow {
  const view = viewOf(header);
  return {
    family: addresses.source.length === IPV4_LENGTH ? "ip" : "ip6",
    transport,
    saddr: mapped(addresses.source),
    daddr: mapped(addresses.destination),
    sport: view.getUint16(0),
    dport: view.getUint16(2),
  };
}

/** The flow of what answers a packet of this one. */
export function answering(flow: Flow): Flow {
  const { saddr, daddr, sport, dport } = flow;
  return { ...flow, saddr: daddr, daddr: saddr, sport: dport, dport: sport };
}

/** The frame of a packet with another TCP or UDP header and payload of the same length. */
export function withTransport(packet: Packet, transport: Uint8Array): Uint8Array {
  return join(packet.ethernet, packet.ip, transport, packet.padding);
}

/** An address as keys hold it: IPv4 in its mapped form, IPv6 as it is. */
function mapped(address: Uint8Array): Uint8Array {
  if (address.length !== IPV4_LENGTH) return address;
  const bytes = new Uint8Array(16);
  bytes.set([0xff, 0xff], 10);
  bytes.set(address, 12);
  return bytes;
}
