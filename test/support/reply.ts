/**
 * The frame that answers another: addresses and ports turned round, in the carrier's header and
 * in the one under it. No checksum changes, since sums do not know the order of their words.
 */
export function replyTo(frame: Uint8Array): Uint8Array {
  const reply = new Uint8Array(frame);
  const ipLength = ((frame[14] ?? 0) & 0x0f) * 4;
  const transport = 14 + ipLength;
  const overhead = frame[23] === 6 ? 20 : 8;
  swap(reply, 26, 30, 4);
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
