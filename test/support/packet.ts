/**
 * Builders of frames for table tests, and readers for their results.
 *
 *     ipv4({ src: "10.0.0.1" }, udp({ dport: 2055 }, payload(100)))
 *     ipv4({}, tcpCarrier({ sport: 540, dport: 179 }, udp({ dport: 2055 })))
 *
 * Fields that are left out have the defaults of {@link ENDPOINTS} and of each builder; lengths
 * and checksums are right unless a knob says otherwise. Checksums are computed here in their
 * own way, over the whole bytes, and never with lib/model: what tests the model must not share
 * its mistakes.
 */

import type { Transport } from "../../lib/rules/types.ts";
import {
  address,
  bytes,
  CHECKSUM_OFFSET,
  concat,
  ETHERTYPE,
  FLAG,
  internetChecksum,
  PROTOCOL,
  pseudoHeader,
  station,
  unspecified,
  view,
} from "./packet-bytes.ts";
import { contentStart, locate } from "./packet-readers.ts";

export {
  address,
  bytes,
  concat,
  ETHERTYPE,
  FLAG,
  hex,
  pad,
  patch,
  payload,
  truncate,
} from "./packet-bytes.ts";
export {
  type ChecksumState,
  type Checksums,
  checksumsOf,
  contentStart,
  icmpChecksumsOf,
  transportOf,
} from "./packet-readers.ts";
export { describeFrame } from "./packet-words.ts";

/** Addresses and ports of builders that are told none. */
export const ENDPOINTS = {
  src: "192.0.2.1",
  dst: "198.51.100.7",
  src6: "2001:db8::1",
  dst6: "2001:db8::7",
  sport: 40000,
  dport: 2055,
} as const;

// ------------------------------------------------------------------------------ checksums

/**
 * What a builder writes into a checksum field: the right one (default), none (0), a number,
 * or one that is wrong by so much.
 */
export type Checksum = "right" | "none" | number | { readonly wrongBy: number };

/** The same for TCP and UDP; "seed" is the sum that a sender leaves to its device to complete. */
export type TransportChecksum = Checksum | "seed";

/** The field for a knob; `right` is what RFC 1071 gives. */
function checksumField(knob: Checksum | undefined, right: number): number {
  if (knob === undefined || knob === "right") return right;
  if (knob === "none") return 0;
  if (typeof knob === "number") return knob;
  const sum = right + knob.wrongBy;
  return (sum & 0xffff) + (sum >>> 16);
}

// ---------------------------------------------------------------------------------- layers

/** What goes into an IP packet: its bytes are known only when the addresses are. */
export interface Layer {
  readonly protocol: number;
  build(src: Uint8Array, dst: Uint8Array): Uint8Array;
}

function sealed(
  transport: Transport,
  knob: TransportChecksum | undefined,
  build: (src: Uint8Array, dst: Uint8Array) => Uint8Array,
): Layer {
  const protocol = PROTOCOL[transport];
  return {
    protocol,
    build(src, dst) {
      const content = build(src, dst);
      const pseudo = pseudoHeader(src, dst, protocol, content.length);
      const sum = internetChecksum(concat(pseudo, content));
      // RFC 768: a computed zero is sent as all ones.
      const right = transport === "udp" && sum === 0 ? 0xffff : sum;
      // A sum, while a checksum is the complement of one.
      const field = knob === "seed" ? ~internetChecksum(pseudo) : checksumField(knob, right);
      view(content).setUint16(CHECKSUM_OFFSET[transport], field);
      return content;
    },
  };
}

export interface UdpFields {
  readonly sport?: number;
  readonly dport?: number;
  /** Default: 8 and the payload. */
  readonly length?: number;
  readonly checksum?: TransportChecksum;
}

/** A UDP datagram. */
export function udp(fields: UdpFields = {}, content: Uint8Array = new Uint8Array()): Layer {
  return sealed("udp", fields.checksum, () => udpBytes(fields, content));
}

function udpBytes(fields: UdpFields, content: Uint8Array): Uint8Array {
  const header = new Uint8Array(8);
  const out = view(header);
  out.setUint16(0, fields.sport ?? ENDPOINTS.sport);
  out.setUint16(2, fields.dport ?? ENDPOINTS.dport);
  out.setUint16(4, fields.length ?? 8 + content.length);
  return concat(header, content);
}

export interface TcpFields {
  readonly sport?: number;
  readonly dport?: number;
  readonly seq?: number;
  readonly ack?: number;
  /** Default: ACK. */
  readonly flags?: number;
  readonly window?: number;
  readonly urgent?: number;
  /** A multiple of 4 bytes. */
  readonly options?: Uint8Array;
  /** In 32-bit words; default: what the options make of it. */
  readonly dataOffset?: number;
  /** The four bits behind the data offset. */
  readonly reserved?: number;
  readonly checksum?: TransportChecksum;
}

/** A TCP segment. */
export function tcp(fields: TcpFields = {}, content: Uint8Array = new Uint8Array()): Layer {
  return sealed("tcp", fields.checksum, () => tcpBytes(fields, content));
}

function tcpBytes(fields: TcpFields, content: Uint8Array): Uint8Array {
  const options = fields.options ?? new Uint8Array();
  const header = new Uint8Array(20);
  const out = view(header);
  out.setUint16(0, fields.sport ?? ENDPOINTS.sport);
  out.setUint16(2, fields.dport ?? ENDPOINTS.dport);
  out.setUint32(4, fields.seq ?? 0x01020304);
  out.setUint32(8, fields.ack ?? 0x0a0b0c0d);
  const dataOffset = fields.dataOffset ?? 5 + options.length / 4;
  out.setUint8(12, (dataOffset << 4) | (fields.reserved ?? 0));
  out.setUint8(13, fields.flags ?? FLAG.ack);
  out.setUint16(14, fields.window ?? 64240);
  out.setUint16(18, fields.urgent ?? 0);
  return concat(header, options, content);
}

/** The fields that every TCP carrier has. */
export const TCP_CARRIER_FIELDS = {
  seq: 0xcafebabe,
  ack: 0xbabecafe,
  flags: FLAG.syn,
  window: 1024,
} as const satisfies TcpFields;

/** A layer as it travels behind a carrier: its checksum is for the addresses 0.0.0.0 or `::`. */
function carried(inner: Layer, like: Uint8Array): Uint8Array {
  return inner.build(unspecified(like), unspecified(like));
}

/** `inner` behind a TCP carrier; any field of it can be made wrong. */
export function tcpCarrier(fields: TcpFields, inner: Layer): Layer {
  return sealed("tcp", fields.checksum, (src) =>
    tcpBytes({ ...TCP_CARRIER_FIELDS, ...fields }, carried(inner, src)),
  );
}

/** `inner` behind a UDP carrier. */
export function udpCarrier(fields: UdpFields, inner: Layer): Layer {
  return sealed("udp", fields.checksum, (src) => udpBytes(fields, carried(inner, src)));
}

/**
 * An ICMP message, in an IPv6 packet of ICMPv6 with the checksum that goes with it; an echo request
 * unless told otherwise.
 */
export function icmp(
  fields: {
    readonly type?: number;
    readonly code?: number;
    readonly rest?: Uint8Array;
    readonly checksum?: Checksum;
  } = {},
  content: Uint8Array = new Uint8Array(),
): Layer {
  return {
    protocol: PROTOCOL.icmp,
    build(src, dst) {
      const isIpv6 = src.length === 16;
      const type = fields.type ?? (isIpv6 ? 128 : 8);
      const rest = fields.rest ?? bytes(0, 1, 0, 1);
      const message = concat(bytes(type, fields.code ?? 0, 0, 0), rest, content);
      const pseudo = isIpv6
        ? pseudoHeader(src, dst, PROTOCOL.icmpv6, message.length)
        : new Uint8Array();
      const right = internetChecksum(concat(pseudo, message));
      view(message).setUint16(2, checksumField(fields.checksum, right));
      return message;
    },
  };
}

/** Types of ICMP errors, and the one code that matters. */
export const ICMP = {
  unreachable: 3,
  fragmentationNeeded: 4,
  timeExceeded: 11,
  parameterProblem: 12,
} as const;

/** Types of ICMPv6 errors. */
export const ICMP6 = {
  unreachable: 1,
  packetTooBig: 2,
  timeExceeded: 3,
  parameterProblem: 4,
} as const;

/**
 * What an ICMP error quotes of a frame: its IP packet as far as `length` bytes behind the IP
 * header. Padding is no part of a packet.
 */
export function quote(frame: Uint8Array, length = Number.POSITIVE_INFINITY): Uint8Array {
  const packet = frame.subarray(contentStart(frame));
  const isIpv6 = (packet[0] ?? 0) >> 4 === 6;
  const header = isIpv6 ? 40 : ((packet[0] ?? 0) & 0x0f) * 4;
  const whole = isIpv6 ? 40 + view(packet).getUint16(4) : view(packet).getUint16(2);
  return new Uint8Array(packet.subarray(0, Math.min(whole, header + length)));
}

/**
 * An ICMP error; "fragmentation needed" unless told otherwise, in an IPv6 packet "packet too big",
 * for which there is an MTU.
 */
export function icmpError(
  fields: {
    readonly type?: number;
    readonly code?: number;
    /** The last of the four bytes behind the checksum: two, or more if it needs more. */
    readonly mtu?: number;
    /** The first two of the four bytes behind the checksum. */
    readonly unused?: number;
    readonly checksum?: Checksum;
  },
  quoted: Uint8Array,
): Layer {
  const rest = new Uint8Array(4);
  view(rest).setUint32(0, fields.mtu ?? 0);
  if (fields.unused !== undefined) view(rest).setUint16(0, fields.unused);
  const { type, code, checksum = "right" } = fields;
  return {
    protocol: PROTOCOL.icmp,
    build(src, dst) {
      const defaults =
        src.length === 16
          ? { type: ICMP6.packetTooBig, code: 0 }
          : { type: ICMP.unreachable, code: ICMP.fragmentationNeeded };
      const told = { type: type ?? defaults.type, code: code ?? defaults.code };
      return icmp({ ...told, rest, checksum }, quoted).build(src, dst);
    },
  };
}

/** TCP options by their bytes, each of `[kind, ...content]`, with NOPs behind them up to a whole word. */
export function options(...list: readonly (readonly [number, ...number[]])[]): Uint8Array {
  const content = list.flatMap(([kind, ...rest]) => [kind, rest.length + 2, ...rest]);
  while (content.length % 4 !== 0) content.push(1);
  return bytes(...content);
}

/** A TCP option that says how large a segment may be. */
export function mss(size: number): Uint8Array {
  return bytes(2, 4, size >> 8, size & 0xff);
}

/** Any other protocol, or bytes that are no header at all. */
export function raw(protocol: number, content: Uint8Array = new Uint8Array()): Layer {
  return { protocol, build: () => new Uint8Array(content) };
}

// ---------------------------------------------------------------------------------- frames

export interface EthernetFields {
  readonly srcMac?: string;
  readonly dstMac?: string;
  readonly etherType?: number;
}

/** An Ethernet frame around any bytes. */
export function ethernet(fields: EthernetFields, content: Uint8Array): Uint8Array {
  const type = fields.etherType ?? ETHERTYPE.ipv4;
  return concat(
    station(fields.dstMac ?? "02:00:00:00:00:02"),
    station(fields.srcMac ?? "02:00:00:00:00:01"),
    bytes(type >> 8, type & 0xff),
    content,
  );
}

export interface Ipv4Fields extends EthernetFields {
  readonly src?: string;
  readonly dst?: string;
  readonly ttl?: number;
  readonly tos?: number;
  readonly id?: number;
  /** Don't fragment. */
  readonly df?: boolean;
  /** More fragments. */
  readonly mf?: boolean;
  /** The reserved bit of the flags. */
  readonly reserved?: boolean;
  /** In units of 8 bytes. */
  readonly fragmentOffset?: number;
  /** A multiple of 4 bytes. */
  readonly options?: Uint8Array;
  readonly version?: number;
  /** In 32-bit words; default: what the options make of it. */
  readonly ihl?: number;
  /** Default: what the layer makes of it. */
  readonly totalLength?: number;
  /** Default: the layer's. */
  readonly protocol?: number;
  readonly checksum?: Checksum;
}

/** An Ethernet frame with an IPv4 packet. */
export function ipv4(fields: Ipv4Fields = {}, layer: Layer = udp()): Uint8Array {
  const options = fields.options ?? new Uint8Array();
  const src = address(fields.src ?? ENDPOINTS.src);
  const dst = address(fields.dst ?? ENDPOINTS.dst);
  const content = layer.build(src, dst);
  const fixed = new Uint8Array(20);
  const out = view(fixed);
  const ihl = fields.ihl ?? 5 + options.length / 4;
  out.setUint8(0, ((fields.version ?? 4) << 4) | ihl);
  out.setUint8(1, fields.tos ?? 0);
  out.setUint16(2, fields.totalLength ?? 20 + options.length + content.length);
  out.setUint16(4, fields.id ?? 0x1234);
  const flags =
    (fields.reserved ? 0x8000 : 0) | (fields.df ? 0x4000 : 0) | (fields.mf ? 0x2000 : 0);
  out.setUint16(6, flags | (fields.fragmentOffset ?? 0));
  out.setUint8(8, fields.ttl ?? 64);
  out.setUint8(9, fields.protocol ?? layer.protocol);
  fixed.set(src, 12);
  fixed.set(dst, 16);
  const header = concat(fixed, options);
  view(header).setUint16(10, checksumField(fields.checksum, internetChecksum(header)));
  return ethernet({ etherType: ETHERTYPE.ipv4, ...fields }, concat(header, content));
}

export interface Ipv6Fields extends EthernetFields {
  readonly src?: string;
  readonly dst?: string;
  readonly hopLimit?: number;
  readonly trafficClass?: number;
  readonly flowLabel?: number;
  readonly version?: number;
  /** Default: what the layer makes of it. */
  readonly payloadLength?: number;
  /** Default: the layer's. */
  readonly nextHeader?: number;
}

/** An Ethernet frame with an IPv6 packet. */
export function ipv6(fields: Ipv6Fields = {}, layer: Layer = udp()): Uint8Array {
  const src = address(fields.src ?? ENDPOINTS.src6);
  const dst = address(fields.dst ?? ENDPOINTS.dst6);
  const content = layer.build(src, dst);
  const header = new Uint8Array(40);
  const out = view(header);
  const version = fields.version ?? 6;
  out.setUint32(0, (version << 28) | ((fields.trafficClass ?? 0) << 20) | (fields.flowLabel ?? 0));
  out.setUint16(4, fields.payloadLength ?? content.length);
  const protocol = layer.protocol === PROTOCOL.icmp ? PROTOCOL.icmpv6 : layer.protocol;
  out.setUint8(6, fields.nextHeader ?? protocol);
  out.setUint8(7, fields.hopLimit ?? 64);
  header.set(src, 8);
  header.set(dst, 24);
  return ethernet({ etherType: ETHERTYPE.ipv6, ...fields }, concat(header, content));
}

/** An ARP request, "who has `target`". */
export function arp(
  fields: { readonly sender?: string; readonly target?: string } = {},
): Uint8Array {
  const content = concat(
    bytes("0001 0800 06 04 0001", "020000000001"),
    address(fields.sender ?? ENDPOINTS.src),
    bytes("000000000000"),
    address(fields.target ?? ENDPOINTS.dst),
  );
  return ethernet({ etherType: ETHERTYPE.arp, dstMac: "ff:ff:ff:ff:ff:ff" }, content);
}

/**
 * An IPv6 extension header of the common form (RFC 8200 section 4): what follows it, its length in
 * units of 8 bytes beyond the first, and bytes to fill it.
 */
export function extensionHeader(
  header: number,
  layer: Layer,
  content: Uint8Array = new Uint8Array(6),
): Layer {
  return {
    protocol: header,
    build: (src, dst) =>
      concat(bytes(layer.protocol, (content.length - 6) >> 3), content, layer.build(src, dst)),
  };
}

/** A copy of the frame with a VLAN tag (802.1Q) between its addresses and what was behind them. */
export function vlan(
  frame: Uint8Array,
  tag: { readonly id?: number; readonly priority?: number; readonly etherType?: number } = {},
): Uint8Array {
  const control = ((tag.priority ?? 0) << 13) | (tag.id ?? 100);
  const type = tag.etherType ?? ETHERTYPE.vlan;
  return concat(
    frame.subarray(0, 12),
    bytes(type >> 8, type & 0xff, control >> 8, control & 0xff),
    frame.subarray(12),
  );
}

/**
 * What a NAT on the way does: other addresses (and ports, if given) in the outermost headers,
 * with the checksums of exactly those put right. It knows nothing of what a carrier holds.
 */
export function nat(
  frame: Uint8Array,
  to: {
    readonly src?: string;
    readonly dst?: string;
    readonly sport?: number;
    readonly dport?: number;
  },
): Uint8Array {
  const changed = new Uint8Array(frame);
  const found = locate(changed);
  if (found === undefined) throw new Error("nat: not a whole IP packet of TCP or UDP");
  const { transport, ip, addresses, start, end } = found;
  const length = addresses.length / 2;
  if (to.src !== undefined) addresses.set(address(to.src), 0);
  if (to.dst !== undefined) addresses.set(address(to.dst), length);
  const out = view(changed);
  if (to.sport !== undefined) out.setUint16(start, to.sport);
  if (to.dport !== undefined) out.setUint16(start + 2, to.dport);
  if (length === 4) {
    out.setUint16(ip + 10, 0);
    out.setUint16(ip + 10, internetChecksum(changed.subarray(ip, start)));
  }
  const field = start + CHECKSUM_OFFSET[transport];
  if (transport === "udp" && out.getUint16(field) === 0) return changed;
  out.setUint16(field, 0);
  const content = changed.subarray(start, end);
  const [src, dst] = [addresses.subarray(0, length), addresses.subarray(length)];
  const pseudo = pseudoHeader(src, dst, PROTOCOL[transport], content.length);
  const right = internetChecksum(concat(pseudo, content));
  out.setUint16(field, transport === "udp" && right === 0 ? 0xffff : right);
  return changed;
}
