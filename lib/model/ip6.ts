/**
 * The IPv6 header (RFC 8200). Not in use yet: `simulate` passes what is not IPv4 untouched, and
 * asks {@link readFrame6} once the kernel program reads IPv6 as well.
 */

import { viewOf } from "./bytes.ts";
import { flowOf, type Packet, TRANSPORT_HEADER_LENGTH, transportOf } from "./frame.ts";
import { type Addresses, ETHERNET_LENGTH } from "./ip.ts";
import type { Outcome } from "./outcome.ts";
import { hasChecksum } from "./transport.ts";

/** It never has options; what IPv4 has as options are headers of their own. */
export const IPV6_HEADER_LENGTH = 40;

const ETHERTYPE_IPV6 = 0x86dd;
const PAYLOAD_LENGTH_OFFSET = 4;
const NEXT_HEADER_OFFSET = 6;

/** Numbers of the headers that may stand between this one and the transport's (RFC 7045). */
const EXTENSION_HEADERS: ReadonlySet<number> = new Set([
  0, // Hop-by-hop options.
  43, // Routing.
  44, // Fragment.
  50, // Encapsulating security payload.
  51, // Authentication.
  60, // Destination options.
  135, // Mobility.
  139, // Host identity protocol.
  140, // Shim6.
  253, // For experiments.
  254,
]);

/** Why a frame holds no IPv6 packet that rules could look at. */
export type Unreadable6 =
  | Extract<Outcome, "malformed" | "not_tcp_udp">
  | "extension_header"
  /** Not IPv6 either. */
  | "not_ip";

/** Takes apart a frame of at least an Ethernet header. The parts are copies. */
export function readFrame6(frame: Uint8Array): Packet | Unreadable6 {
  const view = viewOf(frame);
  if (view.getUint16(12) !== ETHERTYPE_IPV6) return "not_ip";

  const headerEnd = ETHERNET_LENGTH + IPV6_HEADER_LENGTH;
  if (frame.length < headerEnd) return "malformed";
  if (view.getUint8(ETHERNET_LENGTH) >> 4 !== 6) return "malformed";
  const length = view.getUint16(ETHERNET_LENGTH + PAYLOAD_LENGTH_OFFSET);
  if (frame.length < headerEnd + length) return "malformed";

  const nextHeader = view.getUint8(ETHERNET_LENGTH + NEXT_HEADER_OFFSET);
  if (EXTENSION_HEADERS.has(nextHeader)) return "extension_header";
  const transport = transportOf(nextHeader);
  if (transport === undefined) return "not_tcp_udp";

  const part = (start: number, end: number) => new Uint8Array(frame.subarray(start, end));
  const content = part(headerEnd, headerEnd + length);
  if (length < TRANSPORT_HEADER_LENGTH[transport]) return "malformed";
  if (transport === "udp") {
    if (viewOf(content).getUint16(4) !== length) return "malformed";
    // Unlike over IPv4, the checksum is not optional (RFC 8200 section 8.1).
    if (!hasChecksum(content, transport)) return "malformed";
  }

  const ip = part(ETHERNET_LENGTH, headerEnd);
  const addresses = addressesOf6(ip);
  return {
    ethernet: part(0, ETHERNET_LENGTH),
    ip,
    transport: content,
    padding: part(headerEnd + length, frame.length),
    totalLength: IPV6_HEADER_LENGTH + length,
    addresses,
    flow: flowOf(addresses, transport, content),
  };
}

function addressesOf6(ip: Uint8Array): Addresses {
  return { source: ip.slice(8, 24), destination: ip.slice(24, 40) };
}

/** A header for another protocol and length. There is no checksum over it. */
export function reframe6(ip: Uint8Array, protocol: number, totalLength: number): Uint8Array {
  const reframed = ip.slice();
  const view = viewOf(reframed);
  view.setUint8(NEXT_HEADER_OFFSET, protocol);
  view.setUint16(PAYLOAD_LENGTH_OFFSET, totalLength - IPV6_HEADER_LENGTH);
  return reframed;
}
