/** Reads an Ethernet frame with an IPv4 packet in it into the fields that rules look at. */

import type { Family, Transport } from "../rules/types.ts";
import type { Outcome } from "./outcome.ts";

/** IP protocol numbers. */
export const PROTOCOL: Readonly<Record<Transport, number>> = { tcp: 6, udp: 17 };

/** Length of an Ethernet header. */
export const ETHERNET_LENGTH = 14;
/** Length of a TCP header without options, and of a UDP header. */
export const TRANSPORT_HEADER_LENGTH: Readonly<Record<Transport, number>> = { tcp: 20, udp: 8 };
/** The most that IPv4's total length field can say. */
export const MAX_TOTAL_LENGTH = 0xffff;

const ETHERTYPE_IPV4 = 0x0800;
const MIN_IPV4_HEADER_LENGTH = 20;
/** MF and the 13 bits of the offset; DF and the reserved bit do not make a fragment. */
const FRAGMENT_BITS = 0x3fff;

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

/** Source and destination address of a packet, 4 bytes each. */
export interface Addresses {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** A frame taken apart. The four byte arrays laid end to end are the frame again. */
export interface Packet {
  readonly ethernet: Uint8Array;
  /** IPv4 header with its options. */
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
export type Unreadable = Extract<Outcome, "not_ipv4" | "malformed" | "not_tcp_udp" | "fragment">;

/** A view for reading and writing big-endian fields of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function transportOf(protocol: number): Transport | undefined {
  if (protocol === PROTOCOL.tcp) return "tcp";
  if (protocol === PROTOCOL.udp) return "udp";
  return undefined;
}

/** An IPv4 address in its mapped form. */
function mapped(address: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set([0xff, 0xff], 10);
  bytes.set(address, 12);
  return bytes;
}

/** Takes apart a frame of at least {@link ETHERNET_LENGTH} bytes. The parts are copies. */
export function readFrame(frame: Uint8Array): Packet | Unreadable {
  const view = viewOf(frame);
  if (view.getUint16(12) !== ETHERTYPE_IPV4) return "not_ipv4";

  if (frame.length < ETHERNET_LENGTH + MIN_IPV4_HEADER_LENGTH) return "malformed";
  const versionAndLength = view.getUint8(ETHERNET_LENGTH);
  const ipLength = (versionAndLength & 0x0f) * 4;
  const totalLength = view.getUint16(ETHERNET_LENGTH + 2);
  if (versionAndLength >> 4 !== 4) return "malformed";
  if (ipLength < MIN_IPV4_HEADER_LENGTH) return "malformed";
  if (frame.length < ETHERNET_LENGTH + ipLength) return "malformed";
  if (totalLength < ipLength) return "malformed";
  if (frame.length < ETHERNET_LENGTH + totalLength) return "malformed";

  const transport = transportOf(view.getUint8(ETHERNET_LENGTH + 9));
  if (transport === undefined) return "not_tcp_udp";

  // Only the first fragment shows ports. To funnel that one alone would split the packet over
  // two protocols, and whoever reassembles it would drop it whole.
  if ((view.getUint16(ETHERNET_LENGTH + 6) & FRAGMENT_BITS) !== 0) return "fragment";

  const transportStart = ETHERNET_LENGTH + ipLength;
  const transportEnd = ETHERNET_LENGTH + totalLength;
  const transportLength = totalLength - ipLength;
  if (transportLength < TRANSPORT_HEADER_LENGTH[transport]) return "malformed";
  if (transport === "udp" && view.getUint16(transportStart + 4) !== transportLength) {
    return "malformed";
  }

  const part = (start: number, end: number) => new Uint8Array(frame.subarray(start, end));
  const addresses = {
    source: part(ETHERNET_LENGTH + 12, ETHERNET_LENGTH + 16),
    destination: part(ETHERNET_LENGTH + 16, ETHERNET_LENGTH + 20),
  };
  return {
    ethernet: part(0, ETHERNET_LENGTH),
    ip: part(ETHERNET_LENGTH, transportStart),
    transport: part(transportStart, transportEnd),
    padding: part(transportEnd, frame.length),
    totalLength,
    addresses,
    flow: {
      family: "ip",
      transport,
      saddr: mapped(addresses.source),
      daddr: mapped(addresses.destination),
      sport: view.getUint16(transportStart),
      dport: view.getUint16(transportStart + 2),
    },
  };
}
