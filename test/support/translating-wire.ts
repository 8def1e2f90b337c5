/** What segments of TCP show on the wire, in the fields that translating a connection is about. */
import type { Family } from "./family.ts";
import { checksumsOf } from "./packet.ts";
import { ipHeader, PROTOCOL } from "./wire.ts";

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const ACK = 0x10;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;

export interface Segment {
  readonly family: Family;
  readonly sport: number;
  readonly dport: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly urgent: number;
  readonly mss: number | undefined;
  /** Of the IP packet. What a capture left out counts too. */
  readonly length: number;
  /** "seed" where the sender has left the sum to its device, or to nobody, as a veth pair does. */
  readonly checksum: "right" | "wrong" | "seed";
}

/** All segments of TCP among frames. */
export function segments(frames: readonly Uint8Array[]): readonly Segment[] {
  return frames.flatMap((frame) => {
    const ip = ipHeader(frame);
    if (ip?.protocol !== PROTOCOL.tcp) return [];
    const tcp = new DataView(frame.buffer, frame.byteOffset + ip.end, frame.byteLength - ip.end);
    const isSeed = tcp.getUint16(16) === seed(frame);
    return {
      family: ip.family,
      sport: tcp.getUint16(0),
      dport: tcp.getUint16(2),
      seq: tcp.getUint32(4),
      ack: tcp.getUint32(8),
      flags: tcp.getUint8(13) & 0x3f,
      urgent: tcp.getUint16(18),
      mss: mssOf(tcp),
      length: ip.length,
      // Of 65,536 complete sums one is the seed as well.
      checksum: checksumsOf(frame).outer === "right" ? "right" : isSeed ? "seed" : "wrong",
    };
  });
}

/** The sum of the pseudo header (RFC 9293, RFC 8200), of which the ports are no part. */
function seed(frame: Uint8Array): number {
  const ip = ipHeader(frame);
  if (ip === undefined) throw new Error("no IP packet");
  const words = `${ip.source}${ip.destination}`.match(/.{4}/g) ?? [];
  const headers = ip.family === "IPv4" ? ip.end - 14 : 40;
  let sum = words.reduce((all, word) => all + Number.parseInt(word, 16), 0);
  sum += ip.protocol + ip.length - headers;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

function mssOf(tcp: DataView): number | undefined {
  const end = Math.min((tcp.getUint8(12) >> 4) * 4, tcp.byteLength);
  for (let at = 20; at < end; ) {
    const kind = tcp.getUint8(at);
    if (kind === OPTION_END) return undefined;
    if (kind === OPTION_MSS) return tcp.getUint16(at + 2);
    at += kind === OPTION_NOP ? 1 : Math.max(tcp.getUint8(at + 1), 2);
  }
  return undefined;
}

const OF_STATE = FIN | SYN | RST | ACK;

/** The segments that begin connections. */
export const synsOf = (all: readonly Segment[]) =>
  all.filter(({ flags }) => (flags & OF_STATE) === SYN);

/** The segments that accept them. */
export const synAcksOf = (all: readonly Segment[]) =>
  all.filter(({ flags }) => (flags & OF_STATE) === (SYN | ACK));

/** What a SYN tells of the port that its sender wants. */
export function markFor(port: number): Pick<Segment, "ack" | "urgent"> {
  return { ack: 0x5f0e0000 + port, urgent: 0xffff ^ port };
}
