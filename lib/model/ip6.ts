/** The IPv6 header (RFC 8200): what is read of it, and what is written. */

import { viewOf } from "./bytes.ts";
import type { Addresses, IpVersion } from "./ip-version.ts";
import { transportOf } from "./protocol.ts";

/** It never has options; what IPv4 has as options are headers of their own. */
const HEADER_LENGTH = 40;
/** What every link must carry (RFC 8200 section 5); nobody heeds less (RFC 8201 section 4). */
export const LOWEST_MTU6 = 1280;

const PAYLOAD_LENGTH_OFFSET = 4;
const NEXT_HEADER_OFFSET = 6;
const FRAGMENT_HEADER = 44;
/** What else may stand between this header and the transport's (RFC 7045). */
const EXTENSION_HEADERS: ReadonlySet<number> = new Set([
  0, // Hop-by-hop options.
  43, // Routing.
  50, // Encapsulating security payload.
  51, // Authentication.
  60, // Destination options.
  135, // Mobility.
  139, // Host identity protocol.
  140, // Shim6.
  253, // For experiments.
  254,
]);
/** What hosts commonly send with. */
const HOP_LIMIT = 64;

export const IPV6: IpVersion = {
  family: "ip6",
  etherType: 0x86dd,
  headerLength: HEADER_LENGTH,
  longestPacket: HEADER_LENGTH + 0xffff,

  measure(bytes) {
    if (bytes.length < HEADER_LENGTH || versionOf(bytes) !== 6) return undefined;
    const packet = packetLengthOf(bytes);
    return packet <= bytes.length ? { header: HEADER_LENGTH, packet } : undefined;
  },

  beginsPlainly: (bytes) => versionOf(bytes) === 6,

  transportOf(header) {
    const next = protocolOf(header);
    if (next === FRAGMENT_HEADER) return "fragment";
    if (EXTENSION_HEADERS.has(next)) return "extension_header";
    return transportOf(next) ?? "not_tcp_udp";
  },

  isFragment: (header) => protocolOf(header) === FRAGMENT_HEADER,

  protocolOf,

  packetLengthOf,

  addressesOf,

  /** There is no checksum over it. */
  reframe(header, protocol, packetLength) {
    const reframed = header.slice();
    const view = viewOf(reframed);
    view.setUint8(NEXT_HEADER_OFFSET, protocol);
    view.setUint16(PAYLOAD_LENGTH_OFFSET, packetLength - HEADER_LENGTH);
    return reframed;
  },

  header(addresses, protocol, packetLength) {
    const header = new Uint8Array(HEADER_LENGTH);
    const view = viewOf(header);
    view.setUint8(0, 6 << 4);
    view.setUint16(PAYLOAD_LENGTH_OFFSET, packetLength - HEADER_LENGTH);
    view.setUint8(NEXT_HEADER_OFFSET, protocol);
    view.setUint8(7, HOP_LIMIT);
    header.set(addresses.source, 8);
    header.set(addresses.destination, 24);
    return header;
  },

  answer(header, protocol, packetLength) {
    const { source, destination } = addressesOf(header);
    const back = { source: destination, destination: source };
    const answer = IPV6.header(back, protocol, packetLength);
    // Version, class, and the label: routers that tell flows apart by it take the answer for the same.
    answer.set(header.subarray(0, 4));
    return answer;
  },
};

function addressesOf(header: Uint8Array): Addresses {
  return { source: header.slice(8, 24), destination: header.slice(24, 40) };
}

function versionOf(header: Uint8Array): number {
  return viewOf(header).getUint8(0) >> 4;
}

function protocolOf(header: Uint8Array): number {
  return viewOf(header).getUint8(NEXT_HEADER_OFFSET);
}

function packetLengthOf(header: Uint8Array): number {
  return HEADER_LENGTH + viewOf(header).getUint16(PAYLOAD_LENGTH_OFFSET);
}
