/** A TCP segment with other fields in it. Its checksum follows: a wrong one stays as wrong as it was. */

import { join, viewOf } from "./bytes.ts";
import { CHECKSUM_OFFSET, correctChecksum } from "./transport.ts";

/** Fields to be written; what is left out stays as it is. */
export interface SegmentFields {
  readonly sport?: number;
  readonly dport?: number;
  readonly acknowledgment?: number;
  readonly flags?: number;
  readonly urgent?: number;
}

const OFFSET = {
  sport: 0,
  dport: 2,
  sequence: 4,
  acknowledgment: 8,
  flags: 13,
  urgent: 18,
} as const;

export function sequenceOf(segment: Uint8Array): number {
  return viewOf(segment).getUint32(OFFSET.sequence);
}

export function acknowledgmentOf(segment: Uint8Array): number {
  return viewOf(segment).getUint32(OFFSET.acknowledgment);
}

export function urgentOf(segment: Uint8Array): number {
  return viewOf(segment).getUint16(OFFSET.urgent);
}

/** The segment with these fields. */
export function withFields(segment: Uint8Array, fields: SegmentFields): Uint8Array {
  const written = segment.slice();
  const view = viewOf(written);
  const { sport, dport, acknowledgment, flags, urgent } = fields;
  if (sport !== undefined) view.setUint16(OFFSET.sport, sport);
  if (dport !== undefined) view.setUint16(OFFSET.dport, dport);
  if (acknowledgment !== undefined) view.setUint32(OFFSET.acknowledgment, acknowledgment);
  if (flags !== undefined) view.setUint8(OFFSET.flags, flags);
  if (urgent !== undefined) view.setUint16(OFFSET.urgent, urgent);
  return corrected(segment, written);
}

/**
 * `after`, in whose checksum field is still that of `before`, with the checksum corrected by all in
 * which the two differ, their length included.
 */
export function corrected(before: Uint8Array, after: Uint8Array): Uint8Array {
  const right = after.slice();
  correctChecksum(right, "tcp", summed(before), summed(after));
  return right;
}

/** What the checksum is about, but for the addresses. */
function summed(segment: Uint8Array): Uint8Array {
  const content = segment.slice();
  viewOf(content).setUint16(CHECKSUM_OFFSET.tcp, 0);
  // As the pseudo header has it.
  const length = new Uint8Array(2);
  viewOf(length).setUint16(0, segment.length);
  return join(length, content);
}
