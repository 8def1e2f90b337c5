/** The header that a funneled packet shows in place of its own. */

import type { Transport } from "../rules/types.ts";
import { viewOf } from "./bytes.ts";
import type { Addresses } from "./ip-version.ts";
import { TRANSPORT_HEADER_LENGTH } from "./protocol.ts";

/** Bytes that a carrier adds to a packet. It never has options. */
export const OVERHEAD: Readonly<Record<Transport, number>> = TRANSPORT_HEADER_LENGTH;

/**
 * Both addresses of the inner pseudo header on the way, 0.0.0.0 or `::` as the packet's are: NAT
 * cannot know of the inner checksum.
 */
export function unspecified({ source, destination }: Addresses): Addresses {
  return {
    source: new Uint8Array(source.length),
    destination: new Uint8Array(destination.length),
  };
}

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

/** What the carrier of a packet shows. */
export interface Carrier {
  readonly transport: Transport;
  readonly sport: number;
  readonly dport: number;
  /**
   * Of a TCP carrier that moves from port to port (`every`): whose flow this is, 1 to 65535, in the urgent
   * pointer. The service side would take each move for another client.
   */
  readonly flowId?: number;
}

/** Offset in a TCP header. */
const URGENT_POINTER = 18;

/** The carrier that a packet shows, its headers being as they are. */
export function shownCarrier(flow: Carrier, header: Uint8Array): Carrier {
  const { transport, sport, dport } = flow;
  if (transport === "udp") return { transport, sport, dport };
  const flowId = viewOf(header).getUint16(URGENT_POINTER);
  return { transport, sport, dport, ...(flowId === 0 ? {} : { flowId }) };
}

/** The carrier of the other direction. */
export function turnedRound({ transport, sport, dport }: Carrier): Carrier {
  return { transport, sport: dport, dport: sport };
}

export function isSameCarrier(one: Carrier, other: Carrier): boolean {
  return (
    one.transport === other.transport && one.sport === other.sport && one.dport === other.dport
  );
}

/** Whether packets are of one flow, under this carrier or after a move. */
export function isOfSameFlow(one: Carrier, other: Carrier): boolean {
  return (
    isSameCarrier(one, other) ||
    (one.flowId !== undefined &&
      one.flowId === other.flowId &&
      one.dport === other.dport &&
      one.transport === other.transport)
  );
}

/** A carrier's header with its checksum field still zero. */
export function carrierHeader(carrier: Carrier, innerLength: number): Uint8Array {
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
    view.setUint16(URGENT_POINTER, carrier.flowId ?? 0);
  } else {
    view.setUint16(4, header.length + innerLength);
  }
  return header;
}

/** Whether a TCP header of at least 8 bytes begins like a carrier's. */
export function hasCarrierSequence(header: Uint8Array): boolean {
  return viewOf(header).getUint32(4) === TCP_CARRIER.sequence;
}

/** Whether a TCP header of at least 20 bytes is a carrier's. */
export function hasCarrierFields(header: Uint8Array): boolean {
  const view = viewOf(header);
  return (
    view.getUint32(4) === TCP_CARRIER.sequence &&
    view.getUint32(8) === TCP_CARRIER.acknowledgment &&
    view.getUint8(12) === TCP_CARRIER.dataOffset &&
    view.getUint8(13) === TCP_CARRIER.flags &&
    view.getUint16(14) === TCP_CARRIER.window
  );
}
