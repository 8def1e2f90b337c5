/** A SYN that is funneled by translation. */

import { join } from "./bytes.ts";
import type { Ports } from "./connections.ts";
import { type Packet, withTransport } from "./frame.ts";
import { mark } from "./mark.ts";
import { PROTOCOL } from "./protocol.ts";
import { corrected, withFields } from "./segment.ts";
import { FLAG, flagsOf } from "./tcp-flags.ts";
import { headerEnd, isFastOpen, OPTION, readOptions } from "./tcp-options.ts";

/** The frame of a SYN, to these ports and with a mark that tells the port that it was for. */
export function funneledSyn(packet: Packet, ports: Ports): Uint8Array {
  const { flow, transport } = packet;
  const fields = { ...ports, ...mark(flow.dport), flags: flagsOf(transport) & ~FLAG.urg };
  return withoutPayload(packet, withFields(withoutFastOpen(transport), fields));
}

/** Data must not come before the confirmation, so nobody is to hope for it. */
function withoutFastOpen(segment: Uint8Array): Uint8Array {
  const without = segment.slice();
  for (const option of readOptions(segment)) {
    const { offset, length } = option;
    if (isFastOpen(segment, option)) without.fill(OPTION.nothing, offset, offset + length);
  }
  return corrected(segment, without);
}

/** Its sender sends the data again, once the SYN is acknowledged without. */
function withoutPayload(packet: Packet, segment: Uint8Array): Uint8Array {
  const end = headerEnd(segment);
  if (end === segment.length) return withTransport(packet, segment);
  const { version, ethernet, ip } = packet;
  const header = corrected(segment, segment.slice(0, end));
  return join(ethernet, version.reframe(ip, PROTOCOL.tcp, ip.length + end), header);
}
