/** The two transports that rules are about, as IP knows them. */

import type { Transport } from "../rules/types.ts";

/** Their numbers in IPv4's protocol field and IPv6's next header. */
export const PROTOCOL: Readonly<Record<Transport, number>> = { tcp: 6, udp: 17 };

/** Length of a TCP header without options, and of a UDP header. */
export const TRANSPORT_HEADER_LENGTH: Readonly<Record<Transport, number>> = { tcp: 20, udp: 8 };

/** The transport of an IP protocol number. */
export function transportOf(protocol: number): Transport | undefined {
  if (protocol === PROTOCOL.tcp) return "tcp";
  if (protocol === PROTOCOL.udp) return "udp";
  return undefined;
}
