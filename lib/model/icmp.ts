/** ICMP errors (RFC 792): a word about a packet, and the beginning of that packet. */

import { join, viewOf } from "./bytes.ts";
import { checksumOfSum, onesComplementSum } from "./checksum.ts";
import type { Packet } from "./frame.ts";
import {
  IPV4_HEADER_LENGTH,
  type IpPacket,
  ipHeader,
  isFragment,
  protocolOf,
  readIp,
  reframe,
  totalLengthOf,
} from "./ip.ts";

const ICMP = 1;
/** Type, code, checksum, and four bytes whose meaning is the type's. */
const HEADER_LENGTH = 8;
const TYPE = { unreachable: 3, timeExceeded: 11, parameterProblem: 12 } as const;
const FRAGMENTATION_NEEDED = 4;
/** How much of the quote is the packet's, in 32-bit words; 0 where nothing follows (RFC 4884). */
const LENGTH_OFFSET = 5;
const HIGHEST_LENGTH = 0xff;
/** In "fragmentation needed": the MTU of the link that the packet did not fit (RFC 1191). */
const MTU_OFFSET = 6;

/** What our own errors quote of a packet behind its IP header. */
export const QUOTED = 64;

/** An ICMP error taken apart. */
export interface IcmpError {
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
  const { ip, content } = packet;
  if (protocolOf(ip) !== ICMP || isFragment(ip) || content.length < HEADER_LENGTH) return undefined;
  // Nobody sends errors with options, and they would lie in the way.
  if (ip.length > IPV4_HEADER_LENGTH) return undefined;
  const types: readonly number[] = Object.values(TYPE);
  if (!types.includes(viewOf(content).getUint8(0))) return undefined;
  if (onesComplementSum(content) !== 0xffff) return undefined;
  return { packet, header: content.slice(0, HEADER_LENGTH), quote: content.slice(HEADER_LENGTH) };
}

/** The MTU that an error tells, if it tells one. */
export function toldMtu({ header }: IcmpError): number | undefined {
  const view = viewOf(header);
  const tells = view.getUint8(0) === TYPE.unreachable && view.getUint8(1) === FRAGMENTATION_NEEDED;
  return tells ? view.getUint16(MTU_OFFSET) : undefined;
}

/** The error with a longer or shorter quote, and another MTU if it tells one. */
export function withQuote(
  { packet, header, quote: came }: IcmpError,
  quote: Uint8Array,
  mtu: number | undefined,
): Uint8Array {
  const message = join(header, quote);
  const grown = quote.length - came.length;
  const view = viewOf(message);
  if (mtu !== undefined) view.setUint16(MTU_OFFSET, mtu);
  view.setUint8(LENGTH_OFFSET, grownLength(view.getUint8(LENGTH_OFFSET), grown));
  seal(message);
  const ip = reframe(packet.ip, ICMP, totalLengthOf(packet.ip) + grown);
  return join(packet.ethernet, ip, message, packet.padding);
}

/** A length in words after a quote has grown by so many bytes. */
function grownLength(words: number, bytes: number): number {
  const grown = words + bytes / 4;
  return words === 0 || grown <= 0 || grown > HIGHEST_LENGTH ? words : grown;
}

/** The frame that tells the sender of a packet that it has to be `mtu` bytes or less. */
export function fragmentationNeeded(packet: Packet, mtu: number): Uint8Array {
  const message = join(
    new Uint8Array(HEADER_LENGTH),
    packet.ip,
    packet.transport.subarray(0, QUOTED),
  );
  const view = viewOf(message);
  view.setUint8(0, TYPE.unreachable);
  view.setUint8(1, FRAGMENTATION_NEEDED);
  view.setUint16(MTU_OFFSET, mtu);
  seal(message);
  const { source, destination } = packet.addresses;
  const back = { source: destination, destination: source };
  const ip = ipHeader(back, ICMP, IPV4_HEADER_LENGTH + message.length);
  return join(turnedRound(packet.ethernet), ip, message);
}

/** Computes the checksum of a message over all of it. */
function seal(message: Uint8Array): void {
  const view = viewOf(message);
  view.setUint16(2, 0);
  view.setUint16(2, checksumOfSum(onesComplementSum(message)));
}

/** An Ethernet header from the receiver to the sender. */
function turnedRound(ethernet: Uint8Array): Uint8Array {
  return join(ethernet.subarray(6, 12), ethernet.subarray(0, 6), ethernet.subarray(12));
}
