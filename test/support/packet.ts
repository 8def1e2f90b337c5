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

/** Addresses and ports of builders that are told none. */
export const ENDPOINTS = {
  src: "192.0.2.1",
  dst: "198.51.100.7",
  src6: "2001:db8::1",
  dst6: "2001:db8::7",
  sport: 40000,
  dport: 2055,
} as const;

const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;
const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
const CHECKSUM_OFFSET: Readonly<Record<Transport, number>> = { tcp: 16, udp: 6 };

// ---------------------------------------------------------------------------------- bytes

/** `bytes(0x45, 0x00)`, `bytes("0800 0045")` (hex, white space free). */
export function bytes(...content: readonly (number | string)[]): Uint8Array {
  return Uint8Array.from(
    content.flatMap((item) =>
      typeof item === "number" ? [item] : [...Buffer.from(item.replace(/\s/g, ""), "hex")],
    ),
  );
}

/** Lower-case hex of the bytes. */
export function hex(content: Uint8Array): string {
  return Buffer.from(content).toString("hex");
}

/** `length` bytes that are all different from their neighbours. */
export function payload(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 37 + 11) & 0xff);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** A copy without what comes after `length` bytes. */
export function truncate(frame: Uint8Array, length: number): Uint8Array {
  return new Uint8Array(frame.subarray(0, length));
}

/** A copy with `length` bytes behind it, as Ethernet pads short frames. */
export function pad(frame: Uint8Array, length: number, value = 0): Uint8Array {
  return concat(frame, new Uint8Array(length).fill(value));
}

/** A copy with other bytes at `offset`. */
export function patch(frame: Uint8Array, offset: number, ...values: readonly number[]): Uint8Array {
  const patched = new Uint8Array(frame);
  patched.set(values, offset);
  return patched;
}

function view(content: Uint8Array): DataView {
  return new DataView(content.buffer, content.byteOffset, content.byteLength);
}

/** Bytes of an address in text: 4 of "a.b.c.d", 16 of IPv6 (no embedded IPv4). */
export function address(text: string): Uint8Array {
  if (!text.includes(":")) return Uint8Array.from(text.split(".").map(Number));
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const left = groups(head);
  const right = groups(tail ?? "");
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  const all = [...left, ...(tail === undefined ? [] : zeros), ...right];
  return bytes(...all.map((group) => group.padStart(4, "0")));
}

// ------------------------------------------------------------------------------ checksums

/** RFC 1071 over everything at once: 0 where a right checksum is among the bytes. */
function internetChecksum(content: Uint8Array): number {
  const even = content.length % 2 === 0 ? content : concat(content, bytes(0));
  const words = view(even);
  let sum = 0;
  for (let offset = 0; offset < even.length; offset += 2) sum += words.getUint16(offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** RFC 768, RFC 9293 (12 bytes) or RFC 8200 8.1 (40 bytes), by the length of the addresses. */
function pseudoHeader(
  src: Uint8Array,
  dst: Uint8Array,
  protocol: number,
  length: number,
): Uint8Array {
  const rest = new Uint8Array(src.length === 4 ? 4 : 8);
  if (src.length === 4) {
    rest[1] = protocol;
    view(rest).setUint16(2, length);
  } else {
    view(rest).setUint32(0, length);
    rest[7] = protocol;
  }
  return concat(src, dst, rest);
}

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

/** TCP flag bits, to be or-ed. */
export const FLAG = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;

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

/** Both addresses of an inner pseudo header, whatever the family. */
function unspecified(like: Uint8Array): Uint8Array {
  return new Uint8Array(like.length);
}

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

/** An ICMP message for IPv4; an echo request unless told otherwise. */
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
    build() {
      const rest = fields.rest ?? bytes(0, 1, 0, 1);
      const message = concat(bytes(fields.type ?? 8, fields.code ?? 0, 0, 0), rest, content);
      view(message).setUint16(2, checksumField(fields.checksum, internetChecksum(message)));
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

/**
 * What an ICMP error quotes of a frame: its IP packet as far as `length` bytes behind the IP
 * header. Padding is no part of a packet.
 */
export function quote(frame: Uint8Array, length = Number.POSITIVE_INFINITY): Uint8Array {
  const packet = frame.subarray(14, 14 + view(frame).getUint16(16));
  return new Uint8Array(packet.subarray(0, ((packet[0] ?? 0) & 0x0f) * 4 + length));
}

/** An ICMP error; "fragmentation needed" unless told otherwise, for which there is an MTU. */
export function icmpError(
  fields: {
    readonly type?: number;
    readonly code?: number;
    readonly mtu?: number;
    /** The first two of the four bytes behind the checksum. */
    readonly unused?: number;
    readonly checksum?: Checksum;
  },
  quoted: Uint8Array,
): Layer {
  const rest = new Uint8Array(4);
  view(rest).setUint16(0, fields.unused ?? 0);
  view(rest).setUint16(2, fields.mtu ?? 0);
  const { type = ICMP.unreachable, code = ICMP.fragmentationNeeded, checksum = "right" } = fields;
  return icmp({ type, code, rest, checksum }, quoted);
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
  const mac = (text: string) => bytes(text.replaceAll(":", ""));
  const type = fields.etherType ?? ETHERTYPE.ipv4;
  return concat(
    mac(fields.dstMac ?? "02:00:00:00:00:02"),
    mac(fields.srcMac ?? "02:00:00:00:00:01"),
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
}

/** An Ethernet frame with an IPv6 packet, without extension headers. */
export function ipv6(fields: Ipv6Fields = {}, layer: Layer = udp()): Uint8Array {
  const src = address(fields.src ?? ENDPOINTS.src6);
  const dst = address(fields.dst ?? ENDPOINTS.dst6);
  const content = layer.build(src, dst);
  const header = new Uint8Array(40);
  const out = view(header);
  out.setUint32(0, (6 << 28) | ((fields.trafficClass ?? 0) << 20) | (fields.flowLabel ?? 0));
  out.setUint16(4, content.length);
  out.setUint8(6, layer.protocol === PROTOCOL.icmp ? PROTOCOL.icmpv6 : layer.protocol);
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

/** A copy of the frame with an 802.1Q tag between its addresses and its ethertype. */
export function vlan(
  frame: Uint8Array,
  tag: { readonly id?: number; readonly priority?: number } = {},
): Uint8Array {
  const control = ((tag.priority ?? 0) << 13) | (tag.id ?? 100);
  return concat(
    frame.subarray(0, 12),
    bytes(ETHERTYPE.vlan >> 8, ETHERTYPE.vlan & 0xff, control >> 8, control & 0xff),
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
  const ip = locateIpv4(changed);
  if (ip === undefined) throw new Error("nat: not a whole IPv4 packet of TCP or UDP");
  if (to.src !== undefined) changed.set(address(to.src), 26);
  if (to.dst !== undefined) changed.set(address(to.dst), 30);
  const out = view(changed);
  if (to.sport !== undefined) out.setUint16(ip.start, to.sport);
  if (to.dport !== undefined) out.setUint16(ip.start + 2, to.dport);
  out.setUint16(24, 0);
  out.setUint16(24, internetChecksum(changed.subarray(14, ip.start)));
  const field = ip.start + CHECKSUM_OFFSET[ip.transport];
  if (ip.transport === "udp" && out.getUint16(field) === 0) return changed;
  out.setUint16(field, 0);
  const content = changed.subarray(ip.start, ip.end);
  const right = internetChecksum(
    concat(
      pseudoHeader(
        changed.subarray(26, 30),
        changed.subarray(30, 34),
        PROTOCOL[ip.transport],
        content.length,
      ),
      content,
    ),
  );
  out.setUint16(field, ip.transport === "udp" && right === 0 ? 0xffff : right);
  return changed;
}

// --------------------------------------------------------------------------------- readers

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

interface Located {
  readonly transport: Transport;
  /** Where the TCP or UDP header begins. */
  readonly start: number;
  /** Where the IP packet ends. */
  readonly end: number;
}

/** The TCP or UDP header of an unfragmented IPv4 frame, if it is all there. */
function locateIpv4(frame: Uint8Array): Located | undefined {
  const read = view(frame);
  if (frame.length < 34 || read.getUint16(12) !== ETHERTYPE.ipv4) return undefined;
  if ((read.getUint16(20) & 0x3fff) !== 0) return undefined;
  const start = 14 + (read.getUint8(14) & 0x0f) * 4;
  const end = 14 + read.getUint16(16);
  const protocol = read.getUint8(23);
  const transport =
    protocol === PROTOCOL.tcp ? "tcp" : protocol === PROTOCOL.udp ? "udp" : undefined;
  if (transport === undefined || start < 34 || end > frame.length) return undefined;
  if (end - start < (transport === "tcp" ? 20 : 8)) return undefined;
  return { transport, start, end };
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
 * Verifies every checksum of an IPv4 frame. A frame does not tell what its carrier holds: name
 * the transport inside to have that checked too.
 */
export function checksumsOf(frame: Uint8Array, inner?: Transport): Checksums {
  const isIpv4 = frame.length >= 34 && view(frame).getUint16(12) === ETHERTYPE.ipv4;
  const headerEnd = 14 + ((frame[14] ?? 0) & 0x0f) * 4;
  const ip =
    !isIpv4 || headerEnd < 34 || headerEnd > frame.length
      ? undefined
      : internetChecksum(frame.subarray(14, headerEnd)) === 0
        ? "right"
        : "wrong";
  const found = locateIpv4(frame);
  if (found === undefined) return { ip, outer: undefined, inner: undefined };

  const src = frame.subarray(26, 30);
  const dst = frame.subarray(30, 34);
  const content = frame.subarray(found.start, found.end);
  const outer = transportChecksum(src, dst, found.transport, content);
  const behind = content.subarray(found.transport === "tcp" ? 20 : 8);
  if (inner === undefined || behind.length < (inner === "tcp" ? 20 : 8)) {
    return { ip, outer, inner: undefined };
  }
  const zero = unspecified(src);
  return { ip, outer, inner: transportChecksum(zero, zero, inner, behind) };
}

/**
 * A frame in words, one line a header, for a readable diff: `expect(describeFrame(a)).toBe(
 * describeFrame(b))` shows the field that differs. Every byte shows up somewhere.
 */
export function describeFrame(frame: Uint8Array, inner?: Transport): string {
  if (frame.length < 14) return `${frame.length} bytes: ${hex(frame)}`;
  const read = view(frame);
  const mac = (start: number) => hex(frame.subarray(start, start + 6));
  const type = read.getUint16(12);
  const lines = [
    `ethernet ${mac(6)} > ${mac(0)} type ${hex16(type)}, frame of ${frame.length} bytes`,
  ];
  const body = frame.subarray(14);
  if (type !== ETHERTYPE.ipv4 || body.length < 20) return [...lines, rest(body)].join("\n");

  const states = checksumsOf(frame, inner);
  const ip = view(body);
  const ipLength = (ip.getUint8(0) & 0x0f) * 4;
  const fragment = ip.getUint16(6);
  const dotted = (start: number) => [...body.subarray(start, start + 4)].join(".");
  lines.push(
    [
      `ip ${dotted(12)} > ${dotted(16)} version ${ip.getUint8(0) >> 4} ihl ${ipLength / 4}`,
      `tos ${ip.getUint8(1)} total ${ip.getUint16(2)} id ${hex16(ip.getUint16(4))}`,
      `flags ${["-", "MF", "DF", "DF,MF"][(fragment >> 13) & 3]}${fragment >> 15 ? ",reserved" : ""}`,
      `offset ${fragment & 0x1fff} ttl ${ip.getUint8(8)} protocol ${ip.getUint8(9)}`,
      `checksum ${hex16(ip.getUint16(10))} ${states.ip ?? ""}`.trimEnd(),
    ].join(" "),
  );
  if (ipLength > 20) lines.push(`ip options ${hex(body.subarray(20, ipLength))}`);

  const found = locateIpv4(frame);
  if (found === undefined) {
    const behind = body.subarray(Math.max(ipLength, 20));
    const isIcmp = ip.getUint8(9) === PROTOCOL.icmp && behind.length >= 8;
    return [...lines, ...(isIcmp ? describeIcmp(frame) : [rest(behind)])].join("\n");
  }
  const content = frame.subarray(found.start, found.end);
  const carrierLength = found.transport === "tcp" ? 20 : 8;
  if (inner !== undefined && states.inner !== undefined) {
    lines.push(
      ...describeTransport(content.subarray(0, carrierLength), found.transport, states.outer),
    );
    lines.push(...describeTransport(content.subarray(carrierLength), inner, states.inner));
  } else {
    lines.push(...describeTransport(content, found.transport, states.outer));
  }
  const padding = frame.subarray(found.end);
  if (padding.length > 0) lines.push(`padding ${rest(padding)}`);
  return lines.join("\n");
}

/** An ICMP message; where there is a quote, its IP header apart from the rest. */
function describeIcmp(frame: Uint8Array): string[] {
  const start = 14 + ((frame[14] ?? 0) & 0x0f) * 4;
  const end = Math.max(start + 8, 14 + view(frame).getUint16(16));
  const message = frame.subarray(start, end);
  const read = view(message);
  const lines = [
    [
      `icmp type ${read.getUint8(0)} code ${read.getUint8(1)}`,
      `rest ${hex16(read.getUint16(4))} ${read.getUint16(6)}`,
      `checksum ${hex16(read.getUint16(2))} ${internetChecksum(message) === 0 ? "right" : "wrong"}`,
    ].join(" "),
    `quoted ${rest(message.subarray(8, 28))}`,
    `behind ${rest(message.subarray(28))}`,
  ];
  const padding = frame.subarray(end);
  return padding.length > 0 ? [...lines, `padding ${rest(padding)}`] : lines;
}

function describeTransport(
  content: Uint8Array,
  transport: Transport,
  state: ChecksumState | undefined,
): string[] {
  const read = view(content);
  const ports = `${transport} ${read.getUint16(0)} > ${read.getUint16(2)}`;
  const checksum = `checksum ${hex16(read.getUint16(CHECKSUM_OFFSET[transport]))} ${state ?? ""}`;
  if (transport === "udp") {
    const lines = [`${ports} length ${read.getUint16(4)} ${checksum}`.trimEnd()];
    return content.length > 8 ? [...lines, rest(content.subarray(8))] : lines;
  }
  const flags = Object.entries(FLAG)
    .filter(([, bit]) => (read.getUint8(13) & bit) !== 0)
    .map(([name]) => name.toUpperCase());
  const lines = [
    [
      `${ports} seq ${hex32(read.getUint32(4))} ack ${hex32(read.getUint32(8))}`,
      `offset ${read.getUint8(12) >> 4} reserved ${read.getUint8(12) & 0x0f}`,
      `flags ${hex8(read.getUint8(13))} ${flags.join(",") || "-"} window ${read.getUint16(14)}`,
      `urgent ${read.getUint16(18)} ${checksum}`,
    ]
      .join(" ")
      .trimEnd(),
  ];
  return content.length > 20 ? [...lines, rest(content.subarray(20))] : lines;
}

const hex8 = (value: number) => `0x${value.toString(16).padStart(2, "0")}`;
const hex16 = (value: number) => `0x${value.toString(16).padStart(4, "0")}`;
const hex32 = (value: number) => `0x${value.toString(16).padStart(8, "0")}`;

/** Bytes that have no name, 32 a line. */
function rest(content: Uint8Array): string {
  const lines = [`${content.length} bytes`];
  for (let start = 0; start < content.length; start += 32) {
    lines.push(`  ${hex(content.subarray(start, start + 32))}`);
  }
  return lines.join("\n");
}
