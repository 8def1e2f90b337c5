/** ICMP errors of either version: a word about a packet, and the beginning of that packet. */

import { join, viewOf } from "./bytes.ts";
import { checksumOfSum, onesComplementSum } from "./checksum.ts";
import { turnedRound } from "./ethernet.ts";
import type { Packet } from "./frame.ts";
import type { IcmpVersion } from "./icmp-version.ts";
import { ICMP4 } from "./icmp4.ts";
import { ICMP6 } from "./icmp6.ts";
import { type IpPacket, readIp } from "./ip.ts";
import type { Addresses } from "./ip-version.ts";

/** The version of ICMP of each family. */
export const ICMP = { ip: ICMP4, ip6: ICMP6 } as const;

/** Type, code, checksum, and four bytes whose meaning is the type's. */
const HEADER_LENGTH = 8;

/** What our own errors quote of a packet behind its IP header. */
export const QUOTED = 64;

/** An ICMP error taken apart. */
export interface IcmpError {
  readonly icmp: IcmpVersion;
  readonly packet: IpPacket;
  readonly header: Uint8Array;
  /** The packet that it is about, from its IP header on, as far as it goes. */
  readonly quote: Uint8Array;
}

/**
 * Reads a frame of at least an Ethernet header. An error whose checksum is wrong is none: with a
 * new one, nobody would see the damage.
 */
export function readError(frame: Uint8Array): IcmpError | undefined {
  const packet = readIp(frame);
  if (typeof packet === "string") return undefined;
  const { version, ip, content } = packet;
  const icmp = ICMP[version.family];
  if (version.protocolOf(ip) !== icmp.protocol || version.isFragment(ip)) return undefined;
  // Nobody sends errors with options, and they would lie in the way.
  if (ip.length > version.headerLength || content.length < HEADER_LENGTH) return undefined;
  if (!icmp.errors.has(viewOf(content).getUint8(0))) return undefined;
  const summed = icmp.summedBeside(version.addressesOf(ip), content.length);
  if (onesComplementSum(summed, content) !== 0xffff) return undefined;
  return {
    icmp,
    packet,
    header: content.slice(0, HEADER_LENGTH),
    quote: content.slice(HEADER_LENGTH),
  };
}

/** The MTU that an error tells, if it tells one. */
export function toldMtu({ icmp, header }: IcmpError): number | undefined {
  return icmp.tellsMtu(header) ? icmp.readMtu(header) : undefined;
}

/** The error with a longer or shorter quote, and another MTU if it tells one. */
export function withQuote(
  error: IcmpError,
  quote: Uint8Array,
  mtu: number | undefined,
): Uint8Array {
  const { icmp, packet, header, quote: came } = error;
  const { version, ethernet, ip, padding } = packet;
  const message = join(header, quote);
  const grown = quote.length - came.length;
  if (mtu !== undefined) icmp.writeMtu(message, mtu);
  icmp.growQuote(message, grown);
  seal(icmp, message, version.addressesOf(ip));
  // An update by nothing would make the other zero of a checksum that is one.
  const reframed =
    grown === 0 ? ip : version.reframe(ip, icmp.protocol, version.packetLengthOf(ip) + grown);
  return join(ethernet, reframed, message, padding);
}

/** The frame that tells the sender of a packet that it has to be `mtu` bytes or less. */
export function tooBigError(packet: Packet, mtu: number): Uint8Array {
  const { version, ip, transport, addresses, ethernet } = packet;
  const icmp = ICMP[version.family];
  const message = join(new Uint8Array(HEADER_LENGTH), ip, transport.subarray(0, QUOTED));
  message.set(icmp.tooBig);
  icmp.writeMtu(message, mtu);
  const back = { source: addresses.destination, destination: addresses.source };
  seal(icmp, message, back);
  const header = version.header(back, icmp.protocol, version.headerLength + message.length);
  return join(turnedRound(ethernet), header, message);
}

/** Computes the checksum of a message over all of it. */
function seal(icmp: IcmpVersion, message: Uint8Array, addresses: Addresses): void {
  const view = viewOf(message);
  view.setUint16(2, 0);
  const summed = icmp.summedBeside(addresses, message.length);
  view.setUint16(2, checksumOfSum(onesComplementSum(summed, message)));
}
