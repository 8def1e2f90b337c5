/** Damages frames: cut short, a field put to an edge, bits flipped. */

import { contentStart, truncate } from "./packet.ts";
import type { Random } from "./random.ts";

/** What no frame is cut shorter than: an Ethernet header. */
const SHORTEST = 14;
/** Where headers are, of carriers under tags too; flipped bits of a payload only spoil checksums. */
const HEADERS = 120;

/** About a third of all frames is damaged. */
export function damaged(random: Random, frame: Uint8Array): Uint8Array {
  if (random.chance(65)) return frame;
  if (random.chance(30)) return cutShort(random, frame);
  const broken = new Uint8Array(frame);
  if (random.chance(50)) {
    putEdge(random, broken);
  } else {
    for (let flips = random.between(1, 3); flips > 0; flips -= 1) {
      const at = random.between(12, Math.min(broken.length, HEADERS) - 1);
      broken[at] = (broken[at] ?? 0) ^ (1 << random.below(8));
    }
  }
  return broken;
}

/** Half of the time in the headers, where it matters most. */
function cutShort(random: Random, frame: Uint8Array): Uint8Array {
  const longest = random.chance(50) ? Math.min(frame.length, HEADERS) : frame.length;
  return truncate(frame, random.between(SHORTEST, longest));
}

/** A field at an offset of the IP packet, and what to put there. */
interface Edge {
  readonly at: number;
  readonly bytes: 1 | 2;
  readonly value: number;
}

/** One length or offset field, at or around its edges, of a frame without IP options. */
function putEdge(random: Random, frame: Uint8Array): void {
  const ip = frame.subarray(contentStart(frame));
  const isIpv6 = (ip[0] ?? 0) >> 4 === 6;
  const edges = random.chance(40) ? transportEdges : isIpv6 ? ipv6Edges : ipv4Edges;
  const { at, bytes, value } = random.pick(edges(random, ip.length, isIpv6 ? 40 : 20));
  const values = bytes === 1 ? [value] : [value >> 8, value];
  // What would be behind the end is not put.
  for (const [index, byte] of values.entries()) {
    if (at + index < ip.length) ip[at + index] = byte & 0xff;
  }
}

/** For a packet of that many bytes, of which so many are its IP header. */
type Edges = (random: Random, length: number, header: number) => readonly Edge[];

const near = (random: Random, value: number) => value + random.pick([-4, -1, 0, 1, 4]);

const transportEdges: Edges = (random, length, header) => {
  const udpLength = (offset: number): Edge => ({
    at: header + offset + 4,
    bytes: 2,
    value: random.pick([0, 7, 8, near(random, length - header - offset), 0xffff]),
  });
  const dataOffset = (offset: number): Edge => ({
    at: header + offset + 12,
    bytes: 1,
    value: random.below(256),
  });
  // Bare, behind a UDP carrier, and behind a TCP carrier.
  return [0, 0, 8, 20].flatMap((offset) => [udpLength(offset), dataOffset(offset)]);
};

const ipv4Edges: Edges = (random, length) => {
  const lengths = [0, 19, 20, 27, 28, 39, 40, near(random, length), 16_000, 0xffff];
  const flags = [0x8000, 0x4000, 0x2000, 0x6000, 1, 0x1fff, 0xffff];
  const version = random.pick([4, 4, 4, 5, 6, 0]) << 4;
  return [
    { at: 0, bytes: 1, value: version | random.pick([0, 4, 5, 6, 15]) },
    { at: 2, bytes: 2, value: random.pick(lengths) },
    { at: 6, bytes: 2, value: random.pick(flags) },
    { at: 9, bytes: 1, value: random.pick([6, 17, 1, 58, 0, 44, 255]) },
  ];
};

const ipv6Edges: Edges = (random, length, header) => {
  const lengths = [0, 7, 8, 19, 20, 27, 28, near(random, length - header), 16_000, 0xffff];
  const headers = [6, 17, 1, 58, 0, 43, 44, 50, 51, 59, 60, 135, 139, 140, 253, 254, 255];
  return [
    { at: 0, bytes: 1, value: (random.pick([4, 5, 6, 7, 0]) << 4) | random.below(16) },
    { at: 4, bytes: 2, value: random.pick(lengths) },
    { at: 6, bytes: 1, value: random.pick(headers) },
  ];
};
