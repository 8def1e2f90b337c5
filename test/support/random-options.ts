/** Options of TCP at random: what is looked for, what is not, and what is no option at all. */

import { concat, options } from "./packet.ts";
import type { Random } from "./random.ts";

/** A multiple of 4 bytes, 40 at most. */
export function randomTcpOptions(random: Random): Uint8Array {
  return random.chance(40) ? bytesWithMss(random) : wellKnown(random);
}

/** Bytes of any meaning, half of the time with what may be an MSS among them. */
function bytesWithMss(random: Random): Uint8Array {
  const options = random.bytes(random.pick([4, 12, 20, 40]));
  if (random.chance(50)) {
    const at = random.below(options.length - 3);
    options.fill(1, 0, at);
    options.set([2, 4, ...random.pick(SIZES)], at);
  }
  return options;
}

/** What may be asked for: 0, 536, around what Ethernet has room for, and the most. */
const SIZES = [
  [0, 0],
  [0x02, 0x18],
  [0x05, 0x78],
  [0x05, 0xa0],
  [0x05, 0xb4],
  [0xff, 0xff],
] as const;

/** What matters and what does not, side by side, now and then malformed. */
function wellKnown(random: Random): Uint8Array {
  const choices: readonly (readonly [number, ...number[]])[] = [
    [2, 5, 180],
    [4],
    [34],
    [34, ...random.bytes(random.pick([1, 4, 8]))],
    [254, 0xf9, 0x89, ...random.bytes(random.below(5))],
    [253, 0xf9, 0x89],
    [random.pick([253, 254]), ...random.bytes(random.below(3))],
    [19, ...random.bytes(16)],
    [29, ...random.bytes(random.pick([2, 14]))],
    [random.pick([19, 29])],
    [8, ...random.bytes(8)],
  ];
  const nops = new Uint8Array(random.below(4)).fill(1);
  const chosen = Array.from({ length: random.between(1, 3) }, () => random.pick(choices));
  const all = concat(nops, options(...chosen));
  const fitting = all.slice(0, Math.min(40, all.length & ~3));
  const at = random.below(Math.max(1, fitting.length));
  if (random.chance(10) && fitting.length > 0) fitting[at] = random.pick([0, 1, 2, 255]);
  return fitting;
}
