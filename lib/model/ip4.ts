/** The IPv4 header (RFC 791): what is read of it, and what is written. */

import { join, viewOf } from "./bytes.ts";
import { checksumOfSum, onesComplementSum, updateChecksum } from "./checksum.ts";
import type { Addresses, IpVersion } from "./ip-version.ts";
import { transportOf } from "./protocol.ts";

/** Length of a header without options. */
const HEADER_LENGTH = 20;
/** What every link must carry (RFC 791 section 3.2), so that nobody may be told to send less. */
export const LOWEST_MTU4 = 68;

/** MF and the 13 bits of the offset; DF and the reserved bit do not make a fragment. */
const FRAGMENT_BITS = 0x3fff;
const DONT_FRAGMENT = 0x4000;
/** Version 4, and five words of header: no options. */
const PLAIN = 0x45;
/** What hosts commonly send with (RFC 1700). */
const TIME_TO_LIVE = 64;

export const IPV4: IpVersion = {
  family: "ip",
  etherType: 0x0800,
  headerLength: HEADER_LENGTH,
  longestPacket: 0xffff,

  measure(bytes) {
    if (bytes.length < HEADER_LENGTH) return undefined;
    const view = viewOf(bytes);
    const header = (view.getUint8(0) & 0x0f) * 4;
    const packet = view.getUint16(2);
    const fits = HEADER_LENGTH <= header && header <= packet && packet <= bytes.length;
    return view.getUint8(0) >> 4 === 4 && fits ? { header, packet } : undefined;
  },

  beginsPlainly: (bytes) => bytes[0] === PLAIN,

  transportOf(header) {
    const transport = transportOf(protocolOf(header));
    return transport !== undefined && isFragment(header)
      ? "fragment"
      : (transport ?? "not_tcp_udp");
  },

  isFragment,

  protocolOf,

  packetLengthOf: (header) => viewOf(header).getUint16(2),

  addressesOf,

  reframe(header, protocol, packetLength) {
    const reframed = header.slice();
    const view = viewOf(reframed);
    view.setUint8(9, protocol);
    view.setUint16(2, packetLength);
    // The words that changed: total length, and TTL with protocol.
    const changed = (all: Uint8Array) => join(all.slice(2, 4), all.slice(8, 10));
    const checksum = updateChecksum(view.getUint16(10), changed(header), changed(reframed));
    view.setUint16(10, checksum);
    return reframed;
  },

  header(addresses, protocol, packetLength) {
    const header = new Uint8Array(HEADER_LENGTH);
    const view = viewOf(header);
    view.setUint8(0, PLAIN);
    view.setUint16(2, packetLength);
    view.setUint8(8, TIME_TO_LIVE);
    view.setUint8(9, protocol);
    header.set(addresses.source, 12);
    header.set(addresses.destination, 16);
    view.setUint16(10, checksumOfSum(onesComplementSum(header)));
    return header;
  },

  answer(header, protocol, packetLength) {
    const { source, destination } = addressesOf(header);
    const back = { source: destination, destination: source };
    const answer = IPV4.header(back, protocol, packetLength);
    const view = viewOf(answer);
    view.setUint8(1, viewOf(header).getUint8(1));
    view.setUint16(6, DONT_FRAGMENT);
    view.setUint16(10, 0);
    view.setUint16(10, checksumOfSum(onesComplementSum(answer)));
    return answer;
  },
};

function addressesOf(header: Uint8Array): Addresses {
  return { source: header.slice(12, 16), destination: header.slice(16, 20) };
}

function protocolOf(header: Uint8Array): number {
  return viewOf(header).getUint8(9);
}

function isFragment(header: Uint8Array): boolean {
  return (viewOf(header).getUint16(6) & FRAGMENT_BITS) !== 0;
}

/** Whether its sender wants to be told rather than have it taken to pieces. */
export function hasDontFragment(header: Uint8Array): boolean {
  return (viewOf(header).getUint16(6) & DONT_FRAGMENT) !== 0;
}
