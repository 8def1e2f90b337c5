/** Whether a packet has room for a carrier, and what becomes of it if not. */

import { type Carrier, OVERHEAD } from "./carrier.ts";
import type { Packet } from "./frame.ts";
import type { Hook } from "./hook.ts";
import { QUOTED, tooBigError } from "./icmp.ts";
import { hasDontFragment, LOWEST_MTU4 } from "./ip4.ts";
import { LOWEST_MTU6 } from "./ip6.ts";
import { LARGEST_PACKET, largestPacket } from "./mtu.ts";
import type { Result } from "./result.ts";

/** What becomes of a packet that is too big for a carrier; undefined if it is not. */
export function withoutRoom(packet: Packet, carrier: Carrier, hook: Hook): Result | undefined {
  const overhead = OVERHEAD[carrier.transport];
  // What comes in goes on through another device, whose MTU its own kernel code looks after.
  const most = hook.direction === "ingress" ? LARGEST_PACKET : largestPacket(hook.mtu);
  if (packet.length + overhead <= most) return undefined;

  const mtu = hook.direction === "egress" ? mtuToReport(packet, most - overhead) : undefined;
  if (mtu === undefined) return { outcome: "too_big" };
  return { outcome: "too_big_reported", frame: tooBigError(packet, mtu) };
}

/** What to tell the sender, if it can be told anything and `left` is what there is room for. */
function mtuToReport(packet: Packet, left: number): number | undefined {
  if (packet.transport.length < QUOTED) return undefined;
  // Nobody is answered about what went to many (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
  const [first = 0] = packet.addresses.destination;
  if (packet.flow.family === "ip6") {
    // There is no need for it to ask: on the way nobody takes packets to pieces.
    return first === 0xff || left < LOWEST_MTU6 ? undefined : left;
  }
  if (first >= 224 || packet.ip.length > packet.version.headerLength) return undefined;
  return hasDontFragment(packet.ip) ? Math.max(LOWEST_MTU4, left) : undefined;
}
