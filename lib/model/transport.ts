/** Fields of TCP and UDP headers that change on the way, each with its checksum. */

import type { Transport } from "../rules/types.ts";
import { join, viewOf } from "./bytes.ts";
import { updateChecksum } from "./checksum.ts";
import type { Addresses } from "./ip-version.ts";
import { hasFlag } from "./tcp-flags.ts";

/** Where the checksum field of a header is. */
export const CHECKSUM_OFFSET: Readonly<Record<Transport, number>> = { tcp: 16, udp: 6 };

/** Where the ports of a TCP or UDP header are. */
const PORT_OFFSET = { sport: 0, dport: 2 } as const;

/** Whether this is a TCP segment that offers or accepts a connection. */
export function isSyn(bytes: Uint8Array, transport: Transport): boolean {
  return transport === "tcp" && hasFlag(bytes, "syn");
}

/** Whether this is a TCP segment that offers a connection. */
export function isFirstSyn(bytes: Uint8Array, transport: Transport): boolean {
  return isSyn(bytes, transport) && !hasFlag(bytes, "ack");
}

/**
 * Whether there is a checksum: one of zero in UDP says that the sender computed none (RFC 768),
 * and a header that is quoted may end before it.
 */
export function hasChecksum(bytes: Uint8Array, transport: Transport): boolean {
  const offset = CHECKSUM_OFFSET[transport];
  if (bytes.length < offset + 2) return false;
  return transport === "tcp" || viewOf(bytes).getUint16(offset) !== 0;
}

export function readChecksum(bytes: Uint8Array, transport: Transport): number {
  return viewOf(bytes).getUint16(CHECKSUM_OFFSET[transport]);
}

/** Zero is taken in UDP ("none"), so a computed zero goes out as its other form (RFC 768). */
export function setChecksum(bytes: Uint8Array, transport: Transport, checksum: number): void {
  const field = transport === "udp" && checksum === 0 ? 0xffff : checksum;
  viewOf(bytes).setUint16(CHECKSUM_OFFSET[transport], field);
}

/**
 * Puts the checksum right after the summed bytes `before` became `after`; both begin at an even
 * offset of what is summed.
 */
export function correctChecksum(
  bytes: Uint8Array,
  transport: Transport,
  before: Uint8Array,
  after: Uint8Array,
): void {
  if (!hasChecksum(bytes, transport)) return;
  const checksum = readChecksum(bytes, transport);
  setChecksum(bytes, transport, updateChecksum(checksum, before, after));
}

/** A TCP or UDP packet whose checksum was for the addresses `before`, for those of `after`. */
export function readdress(
  bytes: Uint8Array,
  transport: Transport,
  before: Addresses,
  after: Addresses,
): Uint8Array {
  const readdressed = bytes.slice();
  const both = ({ source, destination }: Addresses) => join(source, destination);
  correctChecksum(readdressed, transport, both(before), both(after));
  return readdressed;
}

/** A TCP or UDP packet with another port in it, its checksum updated. */
export function withPort(
  bytes: Uint8Array,
  transport: Transport,
  field: keyof typeof PORT_OFFSET,
  port: number,
): Uint8Array {
  const rewritten = bytes.slice();
  const offset = PORT_OFFSET[field];
  viewOf(rewritten).setUint16(offset, port);
  const changed = (header: Uint8Array) => header.slice(offset, offset + 2);
  correctChecksum(rewritten, transport, changed(bytes), changed(rewritten));
  return rewritten;
}
