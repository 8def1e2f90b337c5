/** Pushes and pops a carrier: the header that a funneled packet shows in place of its own. */

import type { Transport } from "../rules/types.ts";
import {
  checksumOfSum,
  onesComplementSum,
  pseudoHeader,
  subtractSum,
  updateChecksum,
} from "./checksum.ts";
import {
  type Addresses,
  type Flow,
  type Packet,
  PROTOCOL,
  TRANSPORT_HEADER_LENGTH,
  viewOf,
} from "./frame.ts";

/** Bytes that a carrier adds to a packet. It never has options. */
export const OVERHEAD: Readonly<Record<Transport, number>> = TRANSPORT_HEADER_LENGTH;

/** Fields of a TCP carrier that are always the same; they tell it from a real connection. */
const TCP_CARRIER = {
  sequence: 0xcafebabe,
  acknowledgment: 0xbabecafe,
  /** Data offset 5 in the high half, reserved bits 0. */
  dataOffset: 0x50,
  /** SYN and nothing else. */
  flags: 0x02,
  window: 1024,
} as const;

/** Bits of the flags byte of a TCP header. */
const SYN = 0x02;
const SYN_AND_ACK = 0x12;

/** Where the checksum field of a header is. */
const CHECKSUM_OFFSET: Readonly<Record<Transport, number>> = { tcp: 16, udp: 6 };

/** Both addresses of the inner pseudo header on the way: NAT cannot know of the inner checksum. */
const UNSPECIFIED: Addresses = { source: new Uint8Array(4), destination: new Uint8Array(4) };

/** What the carrier of a packet shows. */
export interface Carrier {
  readonly transport: Transport;
  readonly sport: number;
  readonly dport: number;
}

/** The flow's own header and payload, as found behind a carrier. */
export interface Inner {
  readonly transport: Transport;
  readonly bytes: Uint8Array;
  /** The flow without its carrier, between the addresses that the packet has now. */
  readonly flow: Flow;
  /** Whether this is a TCP SYN without ACK. */
  readonly begins: boolean;
}

/** The packet with a carrier between its IP header and its own. The caller has seen that it fits. */
export function push(packet: Packet, carrier: Carrier): Uint8Array {
  const { flow } = packet;
  const inner = readdress(packet.transport, flow.transport, packet.addresses, UNSPECIFIED);
  const header = carrierHeader(carrier, inner.length);
  setChecksum(header, carrier.transport, carrierChecksum(packet, carrier, header, inner));
  const ip = reframe(packet.ip, carrier.transport, packet.totalLength + header.length);
  return join(packet.ethernet, ip, header, inner, packet.padding);
}

/**
 * What a carrier carries, if the packet is one. The carrier's checksum is not looked at: the
 * inner one protects the same bytes, and NICs may leave the outer one to be filled in later.
 */
export function readCarrier(packet: Packet, transport: Transport): Inner | undefined {
  if (packet.flow.transport === "tcp" && !hasCarrierFields(packet.transport)) return undefined;
  const bytes = packet.transport.slice(OVERHEAD[packet.flow.transport]);
  if (!isWholeHeader(bytes, transport)) return undefined;
  const view = viewOf(bytes);
  const flow = { ...packet.flow, transport, sport: view.getUint16(0), dport: view.getUint16(2) };
  const begins = transport === "tcp" && (view.getUint8(13) & SYN_AND_ACK) === SYN;
  return { transport, bytes, flow, begins };
}

/** The packet without its carrier, as a packet between the addresses that it has now. */
export function pop(packet: Packet, inner: Inner): Uint8Array {
  const { flow } = packet;
  const transport = readdress(inner.bytes, inner.transport, UNSPECIFIED, packet.addresses);
  const overhead = OVERHEAD[flow.transport];
  const ip = reframe(packet.ip, inner.transport, packet.totalLength - overhead);
  return join(packet.ethernet, ip, transport, packet.padding);
}

/** Where the ports of a TCP or UDP header are. */
const PORT_OFFSET = { sport: 0, dport: 2 } as const;

/** A TCP or UDP packet with another port in it, its checksum updated. */
export function withPort(
  bytes: Uint8Array,
  transport: Transport,
  field: keyof typeof PORT_OFFSET,
  port: number,
): Uint8Array {
  const rewritten = bytes.slice();
  const offset = PORT_OFFSET[field];
  viewOf(rewritten).setUint16(offset, port);
  if (!hasChecksum(bytes, transport)) return rewritten;
  const checksum = viewOf(bytes).getUint16(CHECKSUM_OFFSET[transport]);
  const changed = (header: Uint8Array) => header.slice(offset, offset + 2);
  setChecksum(rewritten, transport, updateChecksum(checksum, changed(bytes), changed(rewritten)));
  return rewritten;
}

/** A carrier's header with its checksum field still zero. */
function carrierHeader(carrier: Carrier, innerLength: number): Uint8Array {
  const header = new Uint8Array(OVERHEAD[carrier.transport]);
  const view = viewOf(header);
  view.setUint16(0, carrier.sport);
  view.setUint16(2, carrier.dport);
  if (carrier.transport === "tcp") {
    view.setUint32(4, TCP_CARRIER.sequence);
    view.setUint32(8, TCP_CARRIER.acknowledgment);
    view.setUint8(12, TCP_CARRIER.dataOffset);
    view.setUint8(13, TCP_CARRIER.flags);
    view.setUint16(14, TCP_CARRIER.window);
  } else {
    view.setUint16(4, header.length + innerLength);
  }
  return header;
}

/**
 * Really sums every byte, then takes out the error of the inner checksum. The kernel program
 * does not look at the payload (local checksum offload): it trusts the inner checksum, so a
 * wrong one leaves the carrier's wrong by the same amount, and the model has to show that too.
 */
function carrierChecksum(
  packet: Packet,
  carrier: Carrier,
  header: Uint8Array,
  inner: Uint8Array,
): number {
  const { flow } = packet;
  const outerPseudoHeader = pseudoHeader(
    packet.addresses,
    PROTOCOL[carrier.transport],
    header.length + inner.length,
  );
  const sum = onesComplementSum(outerPseudoHeader, header, inner);
  if (!hasChecksum(inner, flow.transport)) return checksumOfSum(sum);

  const innerPseudoHeader = pseudoHeader(UNSPECIFIED, PROTOCOL[flow.transport], inner.length);
  // 0xffff, ones' complement's other zero, where the checksum is right.
  const innerError = onesComplementSum(innerPseudoHeader, inner);
  return checksumOfSum(subtractSum(sum, innerError));
}

/** Whether a TCP header of at least 20 bytes is a carrier's. */
function hasCarrierFields(header: Uint8Array): boolean {
  const view = viewOf(header);
  return (
    view.getUint32(4) === TCP_CARRIER.sequence &&
    view.getUint32(8) === TCP_CARRIER.acknowledgment &&
    view.getUint8(12) === TCP_CARRIER.dataOffset &&
    view.getUint8(13) === TCP_CARRIER.flags &&
    view.getUint16(14) === TCP_CARRIER.window
  );
}

/** Whether the bytes behind a carrier begin with a header whose length fits them. */
function isWholeHeader(bytes: Uint8Array, transport: Transport): boolean {
  if (bytes.length < TRANSPORT_HEADER_LENGTH[transport]) return false;
  const view = viewOf(bytes);
  if (transport === "udp") return view.getUint16(4) === bytes.length;
  const headerLength = (view.getUint8(12) >> 4) * 4;
  return headerLength >= TRANSPORT_HEADER_LENGTH.tcp && headerLength <= bytes.length;
}

/** A TCP or UDP packet whose checksum was for the addresses `before`, for those of `after`. */
function readdress(
  bytes: Uint8Array,
  transport: Transport,
  before: Addresses,
  after: Addresses,
): Uint8Array {
  const readdressed = bytes.slice();
  if (!hasChecksum(bytes, transport)) return readdressed;
  const checksum = viewOf(bytes).getUint16(CHECKSUM_OFFSET[transport]);
  const updated = updateChecksum(
    checksum,
    join(before.source, before.destination),
    join(after.source, after.destination),
  );
  setChecksum(readdressed, transport, updated);
  return readdressed;
}

/** An IP header for another protocol and length. */
function reframe(ip: Uint8Array, transport: Transport, totalLength: number): Uint8Array {
  const reframed = ip.slice();
  const view = viewOf(reframed);
  view.setUint8(9, PROTOCOL[transport]);
  view.setUint16(2, totalLength);
  // The words that changed: total length, and TTL with protocol.
  const changed = (header: Uint8Array) => join(header.slice(2, 4), header.slice(8, 10));
  view.setUint16(10, updateChecksum(view.getUint16(10), changed(ip), changed(reframed)));
  return reframed;
}

/** A UDP checksum of zero says that the sender computed none (RFC 768). */
function hasChecksum(bytes: Uint8Array, transport: Transport): boolean {
  return transport === "tcp" || viewOf(bytes).getUint16(CHECKSUM_OFFSET.udp) !== 0;
}

/** Zero is taken in UDP ("none"), so a computed zero goes out as its other form (RFC 768). */
function setChecksum(bytes: Uint8Array, transport: Transport, checksum: number): void {
  const field = transport === "udp" && checksum === 0 ? 0xffff : checksum;
  viewOf(bytes).setUint16(CHECKSUM_OFFSET[transport], field);
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
