/**
 * What the two sides of a translated connection tell each other, in fields that these segments do
 * not use: the SYN the port that the client wanted, and the SYN-ACK that it was understood.
 */

import { hasCarrierFields } from "./carrier.ts";
import type { Packet } from "./frame.ts";
import { acknowledgmentOf, type SegmentFields, urgentOf } from "./segment.ts";
import { answersBegin, begins, hasFlag } from "./tcp-flags.ts";

/** The upper half of the acknowledgment number of a SYN that bears a mark. */
const MARK = 0x5f0e;

/** What a packet shows of how it is funneled. */
export type Form = "carrier" | "marked" | "plain";

export function formOf({ flow, transport }: Packet): Form {
  if (flow.transport !== "tcp") return "plain";
  if (hasCarrierFields(transport)) return "carrier";
  return markedPort(transport) === undefined ? "plain" : "marked";
}

/** The fields of a SYN that say which port the client wanted. */
export function mark(port: number): SegmentFields {
  return { acknowledgment: MARK * 0x10000 + port, urgent: complement(port) };
}

/** The fields of a SYN without a mark, as senders leave them. */
export const NO_MARK: SegmentFields = { acknowledgment: 0, urgent: 0 };

/** The port that the client wanted, if this is a SYN that tells one. */
export function markedPort(segment: Uint8Array): number | undefined {
  // With the flag the pointer is a pointer.
  if (!begins(segment) || hasFlag(segment, "urg")) return undefined;
  const acknowledgment = acknowledgmentOf(segment);
  const port = acknowledgment & 0xffff;
  const isMarked = acknowledgment >>> 16 === MARK && urgentOf(segment) === complement(port);
  return isMarked ? port : undefined;
}

/** Whether this is a SYN-ACK that can take a confirmation. */
export function takesConfirmation(segment: Uint8Array): boolean {
  return answersBegin(segment) && !hasFlag(segment, "urg");
}

/**
 * Whether this is the SYN-ACK of someone who has understood the mark and put this port back. Port 0 cannot
 * be confirmed: every other SYN-ACK looks like that.
 */
export function confirms(segment: Uint8Array, port: number): boolean {
  return takesConfirmation(segment) && port !== 0 && urgentOf(segment) === port;
}

function complement(port: number): number {
  return 0xffff - port;
}
