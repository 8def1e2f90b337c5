/**
 * The MSS option of TCP (RFC 9293 section 3.7.1): what the other end may send in one segment. A
 * SYN that travels in a carrier must leave room for the carriers of what is to come.
 */

import type { Family, Transport } from "../rules/types.ts";
import { viewOf } from "./bytes.ts";
import { type Carrier, OVERHEAD } from "./carrier.ts";
import { IP } from "./ip.ts";
import { largestPacket } from "./mtu.ts";
import { TRANSPORT_HEADER_LENGTH } from "./protocol.ts";
import { OPTION, readOptions } from "./tcp-options.ts";
import { correctChecksum, isSyn } from "./transport.ts";

/** Kind, length and the two bytes of the size. */
const MSS_LENGTH = 4;

/** The largest segment that fits the MTU together with IP header, carrier, and its own header. */
export function largestSegment(mtu: number, family: Family, carrier: Carrier): number {
  const { headerLength } = IP[family];
  const headers = headerLength + TRANSPORT_HEADER_LENGTH.tcp + OVERHEAD[carrier.transport];
  return Math.max(1, largestPacket(mtu) - headers);
}

/** A TCP or UDP packet that, if it is a SYN, asks for no segments larger than `limit`. */
export function clampMss(bytes: Uint8Array, transport: Transport, limit: number): Uint8Array {
  if (!isSyn(bytes, transport)) return bytes;
  const offset = findMss(bytes);
  if (offset === undefined || viewOf(bytes).getUint16(offset) <= limit) return bytes;

  const clamped = bytes.slice();
  viewOf(clamped).setUint16(offset, limit);
  // Options need not be aligned: whole words of the sum, which are two where the offset is odd.
  const summed = (segment: Uint8Array) => segment.slice(offset & ~1, (offset + 3) & ~1);
  correctChecksum(clamped, "tcp", summed(bytes), summed(clamped));
  return clamped;
}

/** Where the size of the first MSS option is. */
function findMss(segment: Uint8Array): number | undefined {
  const found = readOptions(segment).find(
    ({ kind, length }) => kind === OPTION.mss && length === MSS_LENGTH,
  );
  return found && found.offset + 2;
}
