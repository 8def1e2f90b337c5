/**
 * The hash that spreads flows over a range of carrier source ports. It has to be the same here
 * and in the kernel program, cheap there, and stable: all packets of a flow must look like one
 * connection to the load balancer.
 */

import { viewOf } from "./bytes.ts";
import type { Flow } from "./frame.ts";
import { PROTOCOL } from "./protocol.ts";

const SEED = 0x9e3779b9;
const MULTIPLIER = 0x85ebca6b;

function addressWords(address: Uint8Array): number[] {
  const view = viewOf(address);
  return [0, 4, 8, 12].map((offset) => view.getUint32(offset));
}

/** 32-bit hash (unsigned) of a flow, as it is before it is funneled. */
export function flowHash(flow: Flow): number {
  const words = [
    ...addressWords(flow.saddr),
    ...addressWords(flow.daddr),
    (flow.sport << 16) | flow.dport,
    PROTOCOL[flow.transport],
  ];
  return words.reduce(hashWord, SEED);
}

/** The hash (unsigned) with one more word in it. */
export function hashWord(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, MULTIPLIER);
  // A product carries only upwards; this brings the high bits back down for the next word.
  return (product ^ (product >>> 15)) >>> 0;
}

/** Spreads hashes evenly over the ports `first` to `last`. */
export function portOfHash(hash: number, first: number, last: number): number {
  // By multiplication rather than by modulus: no division in the kernel, and the hash's high
  // bits, its best mixed ones, decide. Below 2^48, so exact in a double.
  return first + Math.floor((hash * (last - first + 1)) / 2 ** 32);
}
