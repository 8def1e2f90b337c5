/** Reads an Ethernet frame with an IPv4 packet in it into the fields that rules look at. */

import type { Family, Transport } from "../rules/types.ts";
import { viewOf } from "./bytes.ts";
import {
  type Addresses,
  addressesOf,
  isFragment,
  protocolOf,
  readIp,
  totalLengthOf,
} from "./ip.ts";
import type { Outcome } from "./outcome.ts";

/** IP protocol numbers. */
export const PROTOCOL: Readonly<Record<Transport, number>> = { tcp: 6, udp: 17 };

/** Length of a TCP header without options, and of a UDP header. */
export const TRANSPORT_HEADER_LENGTH: Readonly<Record<Transport, number>> = { tcp: 20, udp: 8 };

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
  readonly ethernet: Uint8Array;
  /** IP header; IPv4's with its options. */
  readonly ip: Uint8Array;
  /** TCP or UDP header and all that follows it, as far as IP's total length goes. */
  readonly transport: Uint8Array;
  /** What follows the IP packet: Ethernet pads short frames. */
  readonly padding: Uint8Array;
  readonly totalLength: number;
  /** As they are in the packet: what pseudo headers sum. */
  readonly addresses: Addresses;
  readonly flow: Flow;
}

/** Why a frame holds no packet that rules could look at. */
export type Unreadable = Extract<Outcome, "not_ip" | "malformed" | "not_tcp_udp" | "fragment">;

/** Takes apart a frame of at least an Ethernet header. The parts are copies. */
export function readFrame(frame: Uint8Array): Packet | Unreadable {
  const packet = readIp(frame);
  if (typeof packet === "string") return packet;
  const { ethernet, ip, content, padding } = packet;

  const transport = transportOf(protocolOf(ip));
  if (transport === undefined) return "not_tcp_udp";

  // Only the first fragment shows ports. To funnel that one alone would split the packet over
  // two protocols, and whoever reassembles it would drop it whole.
  if (isFragment(ip)) return "fragment";

  if (content.length < TRANSPORT_HEADER_LENGTH[transport]) return "malformed";
  if (transport === "udp" && viewOf(content).getUint16(4) !== content.length) return "malformed";

  const addresses = addressesOf(ip);
  return {
    ethernet,
    ip,
    transport: content,
    padding,
    totalLength: totalLengthOf(ip),
    addresses,
    flow: flowOf(addresses, transport, content),
  };
}

/** The transport of an IP protocol number. */
export function transportOf(protocol: number): Transport | undefined {
  if (protocol === PROTOCOL.tcp) return "tcp";
  if (protocol === PROTOCOL.udp) return "udp";
  return undefined;
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

/** An address as keys hold it: IPv4 in its mapped form, IPv6 as it is. */
function mapped(address: Uint8Array): Uint8Array {
  if (address.length !== IPV4_LENGTH) return address;
  const bytes = new Uint8Array(16);
  bytes.set([0xff, 0xff], 10);
  bytes.set(address, 12);
  return bytes;
}
