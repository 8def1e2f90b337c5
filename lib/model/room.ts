/** Whether a packet has room for a carrier, and what becomes of it if not. */

import { type Carrier, OVERHEAD } from "./carrier.ts";
import type { Packet } from "./frame.ts";
import type { Hook } from "./hook.ts";
import { fragmentationNeeded, QUOTED } from "./icmp.ts";
import { hasDontFragment, IPV4_HEADER_LENGTH, LOWEST_MTU, MAX_TOTAL_LENGTH } from "./ip.ts";
import { IPV6_HEADER_LENGTH } from "./ip6.ts";
import type { Result } from "./result.ts";

/** What becomes of a packet that is too big for a carrier; undefined if it is not. */
export function withoutRoom(packet: Packet, carrier: Carrier, hook: Hook): Result | undefined {
  const overhead = OVERHEAD[carrier.transport];
  const length = packet.totalLength + overhead;
  const isIpv4 = packet.flow.family === "ip";
  if (length > (isIpv4 ? MAX_TOTAL_LENGTH : MAX_TOTAL_LENGTH + IPV6_HEADER_LENGTH))
    return { outcome: "too_big" };
  // What comes in goes on through another device, whose MTU its own kernel code looks after.
  if (hook.direction === "ingress" || length <= hook.mtu) return undefined;
  // For IPv6, "packet too big" is to come.
  if (!isIpv4) return { outcome: "too_big" };
  const mayAnswer = hasDontFragment(packet.ip) && !isMulticast(packet);
  const canQuote = packet.ip.length === IPV4_HEADER_LENGTH && packet.transport.length >= QUOTED;
  if (!mayAnswer || !canQuote) return { outcome: "too_big" };
  const left = Math.max(LOWEST_MTU, hook.mtu - overhead);
  return { outcome: "too_big_reported", frame: fragmentationNeeded(packet, left) };
}

/** Nobody is answered about what went to many (RFC 1122 section 3.2.2). */
function isMulticast({ addresses }: Packet): boolean {
  return (addresses.destination[0] ?? 0) >= 224;
}
