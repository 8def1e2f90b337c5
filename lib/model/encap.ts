/** Pushes and pops a carrier. */

import type { Transport } from "../rules/types.ts";
import { join, viewOf } from "./bytes.ts";
import { type Carrier, carrierHeader, hasCarrierFields, OVERHEAD, unspecified } from "./carrier.ts";
import { checksumOfSum, onesComplementSum, pseudoHeader, subtractSum } from "./checksum.ts";
import type { Flow, Packet } from "./frame.ts";
import { PROTOCOL, TRANSPORT_HEADER_LENGTH } from "./protocol.ts";
import { hasChecksum, isFirstSyn, readChecksum, readdress, setChecksum } from "./transport.ts";

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
  const { flow, addresses } = packet;
  const inner = readdress(completed(packet), flow.transport, addresses, unspecified(addresses));
  const header = carrierHeader(carrier, inner.length);
  setChecksum(header, carrier.transport, carrierChecksum(packet, carrier, header, inner));
  const length = packet.length + header.length;
  const ip = packet.version.reframe(packet.ip, PROTOCOL[carrier.transport], length);
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
  return { transport, bytes, flow, begins: isFirstSyn(bytes, transport) };
}

/** The packet without its carrier, as a packet between the addresses that it has now. */
export function pop(packet: Packet, inner: Inner): Uint8Array {
  const { flow, addresses } = packet;
  const transport = readdress(inner.bytes, inner.transport, unspecified(addresses), addresses);
  const length = packet.length - OVERHEAD[flow.transport];
  const ip = packet.version.reframe(packet.ip, PROTOCOL[inner.transport], length);
  return join(packet.ethernet, ip, transport, packet.padding);
}

/**
 * A sender may leave the sum to its device, and only that of the pseudo header in the field. What
 * looks like that is completed; a packet does not tell it from the one wrong checksum in 65536
 * that looks the same.
 */
function completed({ flow, addresses, transport }: Packet): Uint8Array {
  const pseudo = pseudoHeader(addresses, PROTOCOL[flow.transport], transport.length);
  if (!hasChecksum(transport, flow.transport)) return transport;
  const field = readChecksum(transport, flow.transport);
  const seed = onesComplementSum(pseudo);
  // Both zeros of ones' complement are the same number.
  if (field % 0xffff !== seed % 0xffff) return transport;
  const whole = transport.slice();
  setChecksum(whole, flow.transport, checksumOfSum(onesComplementSum(transport)));
  return whole;
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
  const { flow, addresses } = packet;
  const outerPseudoHeader = pseudoHeader(
    addresses,
    PROTOCOL[carrier.transport],
    header.length + inner.length,
  );
  const sum = onesComplementSum(outerPseudoHeader, header, inner);
  if (!hasChecksum(inner, flow.transport)) return checksumOfSum(sum);

  const innerPseudoHeader = pseudoHeader(
    unspecified(addresses),
    PROTOCOL[flow.transport],
    inner.length,
  );
  // 0xffff, ones' complement's other zero, where the checksum is right.
  const innerError = onesComplementSum(innerPseudoHeader, inner);
  return checksumOfSum(subtractSum(sum, innerError));
}

/** Whether the bytes behind a carrier begin with a header whose length fits them. */
function isWholeHeader(bytes: Uint8Array, transport: Transport): boolean {
  if (bytes.length < TRANSPORT_HEADER_LENGTH[transport]) return false;
  const view = viewOf(bytes);
  if (transport === "udp") return view.getUint16(4) === bytes.length;
  const headerLength = (view.getUint8(12) >> 4) * 4;
  return headerLength >= TRANSPORT_HEADER_LENGTH.tcp && headerLength <= bytes.length;
}
