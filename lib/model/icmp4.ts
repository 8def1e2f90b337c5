/** ICMP errors for IPv4 (RFC 792). */

import { viewOf } from "./bytes.ts";
import { grownLength, type IcmpVersion } from "./icmp-version.ts";
import { LOWEST_MTU4 } from "./ip4.ts";

const TYPE = { unreachable: 3, timeExceeded: 11, parameterProblem: 12 } as const;
const FRAGMENTATION_NEEDED = 4;
/** In "fragmentation needed": the MTU of the link that the packet did not fit (RFC 1191). */
const MTU_OFFSET = 6;
/** How much of the quote is the packet's, in words; 0 where nothing follows (RFC 4884). */
const LENGTH_OFFSET = 5;
const WORD = 4;

export const ICMP4: IcmpVersion = {
  protocol: 1,
  errors: new Set(Object.values(TYPE)),
  tooBig: [TYPE.unreachable, FRAGMENTATION_NEEDED],

  summedBeside: () => new Uint8Array(),

  tellsMtu: ([type, code]) => type === TYPE.unreachable && code === FRAGMENTATION_NEEDED,

  readMtu: (message) => viewOf(message).getUint16(MTU_OFFSET),

  writeMtu: (message, mtu) => viewOf(message).setUint16(MTU_OFFSET, mtu),

  mtuLess: (mtu, bytes) => (mtu < LOWEST_MTU4 + bytes ? mtu : mtu - bytes),

  growQuote(message, bytes) {
    const view = viewOf(message);
    view.setUint8(LENGTH_OFFSET, grownLength(view.getUint8(LENGTH_OFFSET), bytes / WORD));
  },
};
