/** Bytes, numbers and sums that builders and readers of packets share. */

import type { Transport } from "../../lib/rules/types.ts";

export const ETHERTYPE = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  /** A provider's tag around a customer's (802.1ad). */
  serviceVlan: 0x88a8,
} as const;
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
export const CHECKSUM_OFFSET: Readonly<Record<Transport, number>> = { tcp: 16, udp: 6 };

/** TCP flag bits, to be or-ed. */
export const FLAG = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;

/** `bytes(0x45, 0x00)`, `bytes("0800 0045")` (hex, white space free). */
export function bytes(...content: readonly (number | string)[]): Uint8Array {
  return Uint8Array.from(
    content.flatMap((item) => (typeof item === "number" ? item : [...fromHex(item)])),
  );
}

function fromHex(text: string): Uint8Array {
  return Buffer.from(text.replace(/\s/g, ""), "hex");
}

/** The same as `read`, which is asked once for each text; whoever gets bytes may change them. */
function remembered(read: (text: string) => Uint8Array): (text: string) => Uint8Array {
  const known = new Map<string, Uint8Array>();
  return (text) => {
    const found = known.get(text) ?? read(text);
    known.set(text, found);
    return new Uint8Array(found);
  };
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

export function view(content: Uint8Array): DataView {
  return new DataView(content.buffer, content.byteOffset, content.byteLength);
}

/** Bytes of an address in text: 4 of "a.b.c.d", 16 of IPv6 (no embedded IPv4). */
export const address = remembered((text) => {
  if (!text.includes(":")) return Uint8Array.from(text.split(".").map(Number));
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const left = groups(head);
  const right = groups(tail ?? "");
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  const all = [...left, ...(tail === undefined ? [] : zeros), ...right];
  return bytes(...all.map((group) => group.padStart(4, "0")));
});

/** Bytes of an Ethernet address in text: "02:00:00:00:00:01". */
export const station = remembered((text) => fromHex(text.replaceAll(":", "")));

/** RFC 1071 over everything at once: 0 where a right checksum is among the bytes. */
export function internetChecksum(content: Uint8Array): number {
  const even = content.length % 2 === 0 ? content : concat(content, bytes(0));
  const words = view(even);
  let sum = 0;
  for (let offset = 0; offset < even.length; offset += 2) sum += words.getUint16(offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** RFC 768, RFC 9293 (12 bytes) or RFC 8200 8.1 (40 bytes), by the length of the addresses. */
export function pseudoHeader(
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

/** Both addresses of an inner pseudo header, whatever the family. */
export function unspecified(like: Uint8Array): Uint8Array {
  return new Uint8Array(like.length);
}
