/** The flags of a TCP header, and what they say of a connection (RFC 9293 section 3.1). */

import { viewOf } from "./bytes.ts";

/** Flag bits, to be or-ed. */
export const FLAG = { fin: 0x01, syn: 0x02, rst: 0x04, ack: 0x10, urg: 0x20 } as const;

/** Those that tell where in its life a connection is. */
const LIFE = FLAG.syn | FLAG.ack | FLAG.rst | FLAG.fin;
const FLAGS_OFFSET = 13;

export function flagsOf(segment: Uint8Array): number {
  return viewOf(segment).getUint8(FLAGS_OFFSET);
}

export function hasFlag(segment: Uint8Array, name: keyof typeof FLAG): boolean {
  return (flagsOf(segment) & FLAG[name]) !== 0;
}

/** Whether a segment begins a connection, and does nothing else that would end one. */
export function begins(segment: Uint8Array): boolean {
  return (flagsOf(segment) & LIFE) === FLAG.syn;
}

/** Whether a segment answers one that {@link begins}. */
export function answersBegin(segment: Uint8Array): boolean {
  return (flagsOf(segment) & LIFE) === (FLAG.syn | FLAG.ack);
}
