/** ICMP errors at random, of either version, about packets that went by before. */

import type { Family } from "../../lib/rules/types.ts";
import {
  contentStart,
  ICMP,
  ICMP6,
  icmpError,
  ipv4,
  ipv6,
  type Layer,
  patch,
  quote,
  truncate,
} from "./packet.ts";
import type { Random } from "./random.ts";
import { damaged } from "./random-damage.ts";
import { ipFrame, padded, randomChecksum, tagged } from "./random-frames.ts";
import { ADDRESSES } from "./random-pools.ts";

/**
 * An error about a packet of TCP or UDP. Half of them are sound and quote what routers commonly
 * do; of the others something is cut short, odd, or wrong.
 */
export function randomError(random: Random, about: Uint8Array): Uint8Array {
  const family = (about[contentStart(about)] ?? 0) >> 4 === 6 ? "ip6" : "ip";
  if (random.chance(50)) {
    const length = random.pick([8, 24, 28, 36, 64, 548, 1192, Number.POSITIVE_INFINITY]);
    const layer = icmpError({ mtu: randomMtu(random, family) }, quote(about, length));
    const frame = soundFrame(random, family, layer);
    return random.chance(20) ? tagged(random, frame) : frame;
  }
  // Nobody quotes a packet of the other family, so that is worth a try.
  const own = random.chance(97) ? family : family === "ip" ? "ip6" : "ip";
  const kind = random.chance(50)
    ? {}
    : { type: random.pick(ERROR_TYPES[own]), code: random.pick([0, 1, 3, 4]) };
  const layer = icmpError(
    {
      ...kind,
      mtu: randomMtu(random, own),
      ...(random.chance(60) ? {} : { unused: randomUnused(random, own) }),
      checksum: random.chance(12) ? randomChecksum(random) : "right",
    },
    randomQuote(random, about, family),
  );
  const sent = tagged(random, padded(random, ipFrame(random, own, layer)));
  return random.chance(20) ? damaged(random, sent) : sent;
}

function soundFrame(random: Random, family: Family, layer: Layer): Uint8Array {
  const pool = ADDRESSES[family];
  const addresses = { src: random.pick(pool), dst: random.pick(pool) };
  return family === "ip" ? ipv4(addresses, layer) : ipv6(addresses, layer);
}

const ERROR_TYPES: Readonly<Record<Family, readonly number[]>> = {
  ip: [...Object.values(ICMP), 0, 4, 5, 8, 12, 13],
  ip6: [...Object.values(ICMP6), 0, 5, 127, 128, 129, 135],
};

/** Around the least that a link has, with a carrier of either kind and without, and the most. */
const EDGES: Readonly<Record<Family, readonly number[]>> = {
  ip: [0, 1, 67, 68, 75, 76, 77, 87, 88, 89, 65515, 65516, 65527, 65528, 65535],
  ip6: [
    0, 1, 68, 1279, 1280, 1281, 1287, 1288, 1289, 1299, 1300, 1301, 65515, 65516, 65527, 65528,
    65535, 65536, 0xfffffff0, 0xffffffff,
  ],
};

function randomMtu(random: Random, family: Family): number {
  return random.chance(40) ? random.between(576, 9000) : random.pick(EDGES[family]);
}

/** The length of the quote in words (RFC 4884), around its edges, or anything. */
function randomUnused(random: Random, family: Family): number {
  const words = random.pick([0, 1, 2, 3, 5, 6, 32, 250, 251, 254, 255]);
  // IPv4 has it in the second byte, IPv6 in the first.
  return random.chance(20) ? random.below(0x10000) : family === "ip" ? words : words << 8;
}

/** The packet as a router on the way might have seen it, as far as it quotes it. */
function randomQuote(random: Random, about: Uint8Array, family: Family): Uint8Array {
  const length = random.chance(60) ? random.below(64) : random.below(1500);
  const seen = quote(about, length);
  if (random.chance(80)) return seen;
  const header = family === "ip" ? 20 : 40;
  switch (random.below(5)) {
    case 0: // Less than an IP header, or hardly more.
      return truncate(seen, random.below(Math.min(seen.length, header + 8)));
    case 1: // Fewer hops to go.
      return patch(seen, family === "ip" ? 8 : 7, random.below(256));
    case 2: // A length that need not be true.
      return family === "ip"
        ? patch(seen, 2, ...random.pick(QUOTED_LENGTHS.ip))
        : patch(seen, 4, ...random.pick(QUOTED_LENGTHS.ip6));
    case 3: // Another version, flag, protocol or address.
      return patch(
        seen,
        random.pick(family === "ip" ? [0, 6, 7, 9, 12, 19] : [0, 6, 8, 23, 24, 39]),
        random.pick([random.below(256), 44, 60, 0x45, 0x60]),
      );
    default: // Another port or field of the carrier, or of what is in it.
      return seen.length > header + 8
        ? patch(seen, random.between(header, seen.length - 1), 0)
        : seen;
  }
}

const QUOTED_LENGTHS: Readonly<Record<Family, readonly (readonly [number, number])[]>> = {
  ip: [
    [0, 20],
    [0, 27],
    [0, 28],
    [0, 48],
    [255, 236],
    [255, 247],
    [255, 255],
  ],
  ip6: [
    [0, 0],
    [0, 7],
    [0, 8],
    [0, 28],
    [255, 235],
    [255, 236],
    [255, 247],
    [255, 248],
    [255, 255],
  ],
};
