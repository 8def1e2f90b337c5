import { contentStart } from "./packet.ts";

/**
 * The frame that answers another: addresses and ports turned round, in the carrier's header and
 * in the one under it. No checksum changes, since sums do not know the order of their words.
 */
export function replyTo(frame: Uint8Array): Uint8Array {
  const reply = new Uint8Array(frame);
  const ip = contentStart(frame);
  const isIpv6 = (frame[ip] ?? 0) >> 4 === 6;
  const transport = ip + (isIpv6 ? 40 : ((frame[ip] ?? 0) & 0x0f) * 4);
  const overhead = frame[ip + (isIpv6 ? 6 : 9)] === 6 ? 20 : 8;
  if (isIpv6) swap(reply, ip + 8, ip + 24, 16);
  else swap(reply, ip + 12, ip + 16, 4);
  swap(reply, transport, transport + 2, 2);
  // Where this is no carrier, it swaps four bytes of the payload, which no checksum minds either.
  const inner = transport + overhead;
  if (inner + 4 <= reply.length) swap(reply, inner, inner + 2, 2);
  return reply;
}

function swap(bytes: Uint8Array, one: number, other: number, length: number): void {
  const first = bytes.slice(one, one + length);
  bytes.copyWithin(one, other, other + length);
  bytes.set(first, other);
}
