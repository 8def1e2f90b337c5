/** ICMP errors for IPv6 (RFC 4443). */

import { viewOf } from "./bytes.ts";
import { pseudoHeader } from "./checksum.ts";
import { grownLength, type IcmpVersion } from "./icmp-version.ts";
import { LOWEST_MTU6 } from "./ip6.ts";

const PROTOCOL = 58;
const TYPE = { unreachable: 1, packetTooBig: 2, timeExceeded: 3, parameterProblem: 4 } as const;
/** In "packet too big": the MTU of the link that the packet did not fit, 32 bits. */
const MTU_OFFSET = 4;
/** How much of the quote is the packet's, in words; 0 where nothing follows (RFC 4884). */
const LENGTH_OFFSET = 4;
const WORD = 8;
const HAVE_LENGTH: ReadonlySet<number> = new Set([TYPE.unreachable, TYPE.timeExceeded]);

export const ICMP6: IcmpVersion = {
  protocol: PROTOCOL,
  errors: new Set(Object.values(TYPE)),
  tooBig: [TYPE.packetTooBig, 0],

  summedBeside: (addresses, length) => pseudoHeader(addresses, PROTOCOL, length),

  tellsMtu: ([type]) => type === TYPE.packetTooBig,

  readMtu: (message) => viewOf(message).getUint32(MTU_OFFSET),

  writeMtu: (message, mtu) => viewOf(message).setUint32(MTU_OFFSET, mtu),

  mtuLess: (mtu, bytes) => (mtu < LOWEST_MTU6 ? mtu : Math.max(LOWEST_MTU6, mtu - bytes)),

  growQuote(message, bytes) {
    const view = viewOf(message);
    if (!HAVE_LENGTH.has(view.getUint8(0))) return;
    const length = view.getUint8(LENGTH_OFFSET);
    // What follows a quote of no whole words can no longer be found: it becomes part of the quote.
    const whole = bytes % WORD === 0;
    view.setUint8(LENGTH_OFFSET, whole ? grownLength(length, bytes / WORD) : 0);
  },
};
