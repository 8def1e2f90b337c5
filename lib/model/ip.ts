/** The IPv4 header (RFC 791): what is read of it, and what is written. */

import { join, viewOf } from "./bytes.ts";
import { checksumOfSum, onesComplementSum, updateChecksum } from "./checksum.ts";
import type { Outcome } from "./outcome.ts";

/** Length of an Ethernet header. */
export const ETHERNET_LENGTH = 14;
/** Length of an IPv4 header without options. */
export const IPV4_HEADER_LENGTH = 20;
/** The most that IPv4's total length field can say. */
export const MAX_TOTAL_LENGTH = 0xffff;
/** What every link must carry (RFC 791 section 3.2), so that nobody may be told to send less. */
export const LOWEST_MTU = 68;

const ETHERTYPE_IPV4 = 0x0800;
/** MF and the 13 bits of the offset; DF and the reserved bit do not make a fragment. */
const FRAGMENT_BITS = 0x3fff;
const DONT_FRAGMENT = 0x4000;
/** What hosts commonly send with (RFC 1700). */
const TIME_TO_LIVE = 64;

/** Source and destination address of a packet, 4 or 16 bytes each. */
export interface Addresses {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** A frame taken apart around its IP header. The four byte arrays laid end to end are the frame. */
export interface IpPacket {
  readonly ethernet: Uint8Array;
  /** The header with its options. */
  readonly ip: Uint8Array;
  /** What follows it, as far as its total length goes. */
  readonly content: Uint8Array;
  /** What follows the IP packet: Ethernet pads short frames. */
  readonly padding: Uint8Array;
}

/** Takes apart a frame of at least {@link ETHERNET_LENGTH} bytes. The parts are copies. */
export function readIp(frame: Uint8Array): IpPacket | Extract<Outcome, "not_ip" | "malformed"> {
  const view = viewOf(frame);
  if (view.getUint16(12) !== ETHERTYPE_IPV4) return "not_ip";

  if (frame.length < ETHERNET_LENGTH + IPV4_HEADER_LENGTH) return "malformed";
  const versionAndLength = view.getUint8(ETHERNET_LENGTH);
  const headerLength = (versionAndLength & 0x0f) * 4;
  const totalLength = view.getUint16(ETHERNET_LENGTH + 2);
  if (versionAndLength >> 4 !== 4) return "malformed";
  if (headerLength < IPV4_HEADER_LENGTH) return "malformed";
  if (frame.length < ETHERNET_LENGTH + headerLength) return "malformed";
  if (totalLength < headerLength) return "malformed";
  if (frame.length < ETHERNET_LENGTH + totalLength) return "malformed";

  const part = (start: number, end: number) => new Uint8Array(frame.subarray(start, end));
  return {
    ethernet: part(0, ETHERNET_LENGTH),
    ip: part(ETHERNET_LENGTH, ETHERNET_LENGTH + headerLength),
    content: part(ETHERNET_LENGTH + headerLength, ETHERNET_LENGTH + totalLength),
    padding: part(ETHERNET_LENGTH + totalLength, frame.length),
  };
}

export function totalLengthOf(ip: Uint8Array): number {
  return viewOf(ip).getUint16(2);
}

export function protocolOf(ip: Uint8Array): number {
  return viewOf(ip).getUint8(9);
}

export function addressesOf(ip: Uint8Array): Addresses {
  return { source: ip.slice(12, 16), destination: ip.slice(16, 20) };
}

/** Whether this is a part of a packet, the first one included. */
export function isFragment(ip: Uint8Array): boolean {
  return (viewOf(ip).getUint16(6) & FRAGMENT_BITS) !== 0;
}

/** Whether its sender wants to be told rather than have it taken to pieces. */
export function hasDontFragment(ip: Uint8Array): boolean {
  return (viewOf(ip).getUint16(6) & DONT_FRAGMENT) !== 0;
}

/** A header for another protocol and length. A checksum that was wrong stays so. */
export function reframe(ip: Uint8Array, protocol: number, totalLength: number): Uint8Array {
  const reframed = ip.slice();
  const view = viewOf(reframed);
  view.setUint8(9, protocol);
  view.setUint16(2, totalLength);
  // The words that changed: total length, and TTL with protocol.
  const changed = (header: Uint8Array) => join(header.slice(2, 4), header.slice(8, 10));
  view.setUint16(10, updateChecksum(view.getUint16(10), changed(ip), changed(reframed)));
  return reframed;
}

/** A header of our own making: no options, nothing set that need not be. */
export function ipHeader(addresses: Addresses, protocol: number, totalLength: number): Uint8Array {
  const header = new Uint8Array(IPV4_HEADER_LENGTH);
  const view = viewOf(header);
  view.setUint8(0, 0x45);
  view.setUint16(2, totalLength);
  view.setUint8(8, TIME_TO_LIVE);
  view.setUint8(9, protocol);
  header.set(addresses.source, 12);
  header.set(addresses.destination, 16);
  view.setUint16(10, checksumOfSum(onesComplementSum(header)));
  return header;
}
