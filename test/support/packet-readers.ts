/**
 * Readers of frames: where things are, and whether checksums are right. They share nothing with
 * lib/model, which they judge.
 */

import type { Transport } from "../../lib/rules/types.ts";
import {
  CHECKSUM_OFFSET,
  concat,
  ETHERTYPE,
  internetChecksum,
  PROTOCOL,
  pseudoHeader,
  unspecified,
  view,
} from "./packet-bytes.ts";

/** State of one checksum. "none" is a UDP checksum of 0. */
export type ChecksumState = "right" | "wrong" | "none";

/** State of each checksum of a frame; what the frame does not have is undefined. */
export interface Checksums {
  readonly ip: ChecksumState | undefined;
  /** Of the first TCP or UDP header, with the packet's addresses. */
  readonly outer: ChecksumState | undefined;
  /** Of the header behind the carrier, with zero addresses; only looked for where asked. */
  readonly inner: ChecksumState | undefined;
}

export interface Located {
  readonly transport: Transport;
  /** Where the IP header begins. */
  readonly ip: number;
  /** Both addresses, as they are in the frame. */
  readonly addresses: Uint8Array;
  /** Where the TCP or UDP header begins. */
  readonly start: number;
  /** Where the IP packet ends. */
  readonly end: number;
}

/** Where the content of a frame begins: behind up to two VLAN tags. */
export function contentStart(frame: Uint8Array): number {
  let at = 12;
  for (let tags = 0; tags < 2 && isTag(frame, at); tags += 1) at += 4;
  return at + 2;
}

function isTag(frame: Uint8Array, at: number): boolean {
  const type = ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
  return type === ETHERTYPE.vlan || type === ETHERTYPE.serviceVlan;
}

/** Where the IP header begins that a frame says it has, if it is there without its options. */
export function locateIp(frame: Uint8Array): { ip: number; isIpv6: boolean } | undefined {
  const ip = contentStart(frame);
  if (frame.length < ip + 20) return undefined;
  const type = view(frame).getUint16(ip - 2);
  if (type === ETHERTYPE.ipv4) return { ip, isIpv6: false };
  return type === ETHERTYPE.ipv6 && frame.length >= ip + 40 ? { ip, isIpv6: true } : undefined;
}

/** The TCP or UDP header of an unfragmented IP packet, if it is all there. */
export function locate(frame: Uint8Array): Located | undefined {
  const found = locateIp(frame);
  if (found === undefined) return undefined;
  const { ip, isIpv6 } = found;
  const read = view(frame);
  if (!isIpv6 && (read.getUint16(ip + 6) & 0x3fff) !== 0) return undefined;
  const start = ip + (isIpv6 ? 40 : (read.getUint8(ip) & 0x0f) * 4);
  const end = ip + (isIpv6 ? 40 + read.getUint16(ip + 4) : read.getUint16(ip + 2));
  const protocol = read.getUint8(ip + (isIpv6 ? 6 : 9));
  const transport =
    protocol === PROTOCOL.tcp ? "tcp" : protocol === PROTOCOL.udp ? "udp" : undefined;
  if (transport === undefined || start < ip + 20 || end > frame.length) return undefined;
  if (end - start < (transport === "tcp" ? 20 : 8)) return undefined;
  const addresses = isIpv6 ? frame.subarray(ip + 8, ip + 40) : frame.subarray(ip + 12, ip + 20);
  return { transport, ip, addresses, start, end };
}

/** State of the checksum of the IPv4 header at `ip`. */
function headerChecksum(frame: Uint8Array, ip: number): ChecksumState | undefined {
  const end = ip + ((frame[ip] ?? 0) & 0x0f) * 4;
  if (end < ip + 20 || end > frame.length) return undefined;
  return internetChecksum(frame.subarray(ip, end)) === 0 ? "right" : "wrong";
}

/** Whose header a frame shows first, if it is all there. */
export function transportOf(frame: Uint8Array): Transport | undefined {
  return locate(frame)?.transport;
}

function transportChecksum(
  src: Uint8Array,
  dst: Uint8Array,
  transport: Transport,
  content: Uint8Array,
): ChecksumState {
  if (transport === "udp" && view(content).getUint16(CHECKSUM_OFFSET.udp) === 0) return "none";
  const pseudo = pseudoHeader(src, dst, PROTOCOL[transport], content.length);
  return internetChecksum(concat(pseudo, content)) === 0 ? "right" : "wrong";
}

/**
 * Verifies every checksum of an IP frame. A frame does not tell what its carrier holds: name the
 * transport inside to have that checked too.
 */
export function checksumsOf(frame: Uint8Array, inner?: Transport): Checksums {
  const header = locateIp(frame);
  const ip = header && !header.isIpv6 ? headerChecksum(frame, header.ip) : undefined;
  const found = locate(frame);
  if (found === undefined) return { ip, outer: undefined, inner: undefined };

  const half = found.addresses.length / 2;
  const [src, dst] = [found.addresses.subarray(0, half), found.addresses.subarray(half)];
  const content = frame.subarray(found.start, found.end);
  const outer = transportChecksum(src, dst, found.transport, content);
  const behind = content.subarray(found.transport === "tcp" ? 20 : 8);
  if (inner === undefined || behind.length < (inner === "tcp" ? 20 : 8)) {
    return { ip, outer, inner: undefined };
  }
  const zero = unspecified(src);
  return { ip, outer, inner: transportChecksum(zero, zero, inner, behind) };
}

/** An ICMP message in a frame. */
export interface LocatedMessage {
  readonly message: Uint8Array;
  readonly padding: Uint8Array;
  readonly state: ChecksumState;
  /** Length of the header of a quoted packet without options. */
  readonly quotedHeader: number;
}

/** The ICMP message of an unfragmented frame, if its header is all there. */
export function locateMessage(frame: Uint8Array): LocatedMessage | undefined {
  const found = locateIp(frame);
  if (found === undefined) return undefined;
  const { ip, isIpv6 } = found;
  const read = view(frame);
  const protocol = read.getUint8(ip + (isIpv6 ? 6 : 9));
  if (protocol !== (isIpv6 ? PROTOCOL.icmpv6 : PROTOCOL.icmp)) return undefined;
  const start = ip + (isIpv6 ? 40 : (read.getUint8(ip) & 0x0f) * 4);
  const end = ip + (isIpv6 ? 40 + read.getUint16(ip + 4) : read.getUint16(ip + 2));
  if (start < ip + 20 || end - start < 8 || end > frame.length) return undefined;
  const message = frame.subarray(start, end);
  const pseudo = isIpv6
    ? pseudoHeader(
        frame.subarray(ip + 8, ip + 24),
        frame.subarray(ip + 24, ip + 40),
        PROTOCOL.icmpv6,
        message.length,
      )
    : new Uint8Array();
  const isRight = internetChecksum(concat(pseudo, message)) === 0;
  return {
    message,
    padding: frame.subarray(end),
    state: isRight ? "right" : "wrong",
    quotedHeader: isIpv6 ? 40 : 20,
  };
}

/** State of the checksum of an ICMP message, and of that of an IPv4 header that it quotes. */
export function icmpChecksumsOf(frame: Uint8Array): {
  readonly message: ChecksumState | undefined;
  readonly quotedIp: ChecksumState | undefined;
} {
  const found = locateMessage(frame);
  if (found === undefined) return { message: undefined, quotedIp: undefined };
  const quotesIpv4 = found.quotedHeader === 20;
  const quotedIp = quotesIpv4 ? headerChecksum(found.message, 8) : undefined;
  return { message: found.state, quotedIp };
}
