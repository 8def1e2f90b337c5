/** The reset that answers a segment of a connection that cannot be (RFC 9293 section 3.10.7.1). */

import { join, viewOf } from "./bytes.ts";
import { checksumOfSum, onesComplementSum, pseudoHeader } from "./checksum.ts";
import { turnedRound } from "./ethernet.ts";
import type { Packet } from "./frame.ts";
import { PROTOCOL, TRANSPORT_HEADER_LENGTH } from "./protocol.ts";
import { acknowledgmentOf, sequenceOf } from "./segment.ts";
import { FLAG, hasFlag } from "./tcp-flags.ts";
import { headerEnd } from "./tcp-options.ts";
import { setChecksum } from "./transport.ts";

/** Five words of header. */
const DATA_OFFSET = 0x50;

/**
 * The frame with which a segment is answered; undefined for none: IPv4 options would have to be
 * answered in kind.
 */
export function resetFor(packet: Packet): Uint8Array | undefined {
  const { version, ethernet, ip, addresses } = packet;
  if (ip.length > version.headerLength) return undefined;
  const segment = resetSegment(packet);
  const back = { source: addresses.destination, destination: addresses.source };
  const summed = pseudoHeader(back, PROTOCOL.tcp, segment.length);
  setChecksum(segment, "tcp", checksumOfSum(onesComplementSum(summed, segment)));
  const header = version.answer(ip, PROTOCOL.tcp, version.headerLength + segment.length);
  return join(turnedRound(ethernet), header, segment);
}

/** Its checksum field is still zero. */
function resetSegment({ flow, transport: came }: Packet): Uint8Array {
  const segment = new Uint8Array(TRANSPORT_HEADER_LENGTH.tcp);
  const view = viewOf(segment);
  view.setUint16(0, flow.dport);
  view.setUint16(2, flow.sport);
  view.setUint8(12, DATA_OFFSET);
  if (hasFlag(came, "ack")) {
    view.setUint32(4, acknowledgmentOf(came));
    view.setUint8(13, FLAG.rst);
  } else {
    view.setUint32(8, sequenceOf(came) + sequenceLength(came));
    view.setUint8(13, FLAG.rst | FLAG.ack);
  }
  return segment;
}

/** How many sequence numbers a segment takes. */
function sequenceLength(segment: Uint8Array): number {
  const payload = segment.length - headerEnd(segment);
  return payload + Number(hasFlag(segment, "syn")) + Number(hasFlag(segment, "fin"));
}
