/** What frames show on the wire, of either family. */
import type { Transport } from "../../lib/rules/types.ts";
import type { Family } from "./family.ts";
import { checksumsOf } from "./packet.ts";

const ETHERNET = 14;

/** The header of an IP packet in a frame. */
export interface IpHeader {
  readonly family: Family;
  /** What comes next; of IPv6 the first of the extension headers, if there are any. */
  readonly protocol: number;
  /** Both addresses, in hex. */
  readonly source: string;
  readonly destination: string;
  /** Where in the frame it ends, and what comes next begins. */
  readonly end: number;
  /** Bytes of the packet, from its IP header on. What a capture left out counts too. */
  readonly length: number;
}

/** Undefined where the frame is no IP packet without tags, or not even its header is there. */
export function ipHeader(frame: Uint8Array): IpHeader | undefined {
  const read = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < ETHERNET + 20) return undefined;
  const type = read.getUint16(12);
  const hex = (start: number, length: number) =>
    Buffer.from(frame.subarray(start, start + length)).toString("hex");
  if (type === 0x0800) {
    return {
      family: "IPv4",
      protocol: read.getUint8(ETHERNET + 9),
      source: hex(ETHERNET + 12, 4),
      destination: hex(ETHERNET + 16, 4),
      end: ETHERNET + (read.getUint8(ETHERNET) & 0x0f) * 4,
      length: read.getUint16(ETHERNET + 2),
    };
  }
  if (type !== 0x86dd || frame.length < ETHERNET + 40) return undefined;
  return {
    family: "IPv6",
    protocol: read.getUint8(ETHERNET + 6),
    source: hex(ETHERNET + 8, 16),
    destination: hex(ETHERNET + 24, 16),
    end: ETHERNET + 40,
    length: 40 + read.getUint16(ETHERNET + 4),
  };
}

export const PROTOCOL: Readonly<Record<Transport, number>> = { tcp: 6, udp: 17 };

/** That of the messages of ICMP. */
export const ICMP_PROTOCOL: Readonly<Record<Family, number>> = { IPv4: 1, IPv6: 58 };

/** The two ports of a packet of TCP or UDP, in its outermost header. */
export interface Ports {
  readonly transport: Transport;
  readonly sport: number;
  readonly dport: number;
}

export function portsOf(frame: Uint8Array): Ports | undefined {
  const ip = ipHeader(frame);
  if (ip === undefined || frame.length < ip.end + 4) return undefined;
  const word = (at: number) => ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
  const ports = { sport: word(ip.end), dport: word(ip.end + 2) };
  if (ip.protocol === PROTOCOL.tcp) return { transport: "tcp", ...ports };
  if (ip.protocol === PROTOCOL.udp) return { transport: "udp", ...ports };
  return undefined;
}

/** "tcp 540>179": what a frame shows to a load balancer. */
export function shown(frame: Uint8Array): string {
  const { transport, sport, dport } = portsOf(frame) ?? {};
  return `${transport} ${sport}>${dport}`;
}

/** How many frames show what, e.g. { "tcp 540>179": 20 }. */
export function census(frames: readonly Uint8Array[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const frame of frames) counts[shown(frame)] = (counts[shown(frame)] ?? 0) + 1;
  return counts;
}

/**
 * The states of the checksums that occur among frames: of IP, where it has one, of the carrier, and
 * of what is in it; e.g. ["right right none"] of IPv4, ["right none"] of IPv6.
 */
export function checksumStates(frames: readonly Uint8Array[], inner: Transport): string[] {
  const states = frames.map((frame) => {
    const { ip, outer, inner: inside } = checksumsOf(frame, inner);
    const ofIp = ipHeader(frame)?.family === "IPv6" ? [] : [ip];
    return [...ofIp, outer, inside].join(" ");
  });
  return [...new Set(states)].sort();
}

/** What {@link checksumStates} finds among carriers in which nothing is wrong. */
export const ALL_RIGHT: Readonly<Record<Family, readonly string[]>> = {
  IPv4: ["right right right"],
  IPv6: ["right right"],
};

/** Bytes of a frame's IP packet. What a capture left out of it counts too. */
export function packetLength(frame: Uint8Array): number {
  return ipHeader(frame)?.length ?? 0;
}

/** That of the largest one. */
export function longestPacket(frames: readonly Uint8Array[]): number {
  return frames.reduce((longest, frame) => Math.max(longest, packetLength(frame)), 0);
}
