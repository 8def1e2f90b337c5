/**
 * An ICMP error about a packet of a funneled flow. Who wrote it saw the packet in its carrier, or with
 * other ports, and who reads it sent the packet without, or the other way round: nothing would match, and path MTU
 * discovery would go blind. So the error is turned into one about the packet that its reader knows.
 */

import type { Direction } from "../rules/types.ts";
import { OVERHEAD } from "./carrier.ts";
import type { Connections } from "./connections.ts";
import { type IcmpError, readError, toldMtu, withQuote } from "./icmp.ts";
import { type Quote, readQuote, readQuotedCarrier, unwrap, wrap } from "./quote.ts";
import type { Replies } from "./replies.ts";
import type { Result } from "./result.ts";
import { translateError } from "./translate-error.ts";

/** The most that an ICMP error about IPv4 can tell; of IPv6 nobody is told more either. */
const HIGHEST_MTU = 0xffff;

/** What becomes of a frame with neither TCP nor UDP in it. */
export function turnError(
  frame: Uint8Array,
  direction: Direction,
  replies: Replies,
  connections: Connections,
): Result {
  const error = readError(frame);
  const quote = error && readQuote(error.quote, error.packet.version);
  return (
    (quote &&
      (unfunnelError(error, quote, direction, replies) ??
        translateError(error, quote, direction, connections) ??
        funnelError(error, quote, direction, replies))) ?? { outcome: "not_tcp_udp" }
  );
}

/** It comes back to where the flow was funneled. */
function unfunnelError(
  error: IcmpError,
  quote: Quote,
  direction: Direction,
  replies: Replies,
): Result | undefined {
  const carriers = readQuotedCarrier(quote);
  if (carriers === "too short") return { outcome: "quote_too_short" };
  const ours = carriers.find(({ carrier, inner }) => replies.isFunneled(inner, carrier, direction));
  if (ours === undefined) return undefined;

  const overhead = OVERHEAD[ours.carrier.transport];
  const mtu = toldMtu(error);
  const less = mtu === undefined ? undefined : error.icmp.mtuLess(mtu, overhead);
  const frame = withQuote(error, unwrap(quote, ours.inner.transport), less);
  return { outcome: "error_unfunneled", frame };
}

/** It goes back to where the flow was funneled. */
function funnelError(
  error: IcmpError,
  quote: Quote,
  direction: Direction,
  replies: Replies,
): Result | undefined {
  const came = replies.beforeUnfunneled(quote.flow, direction);
  if (came === undefined) return undefined;
  const overhead = OVERHEAD[came.carrier.transport];
  const { version } = quote;
  const room = (ip: Uint8Array) => version.packetLengthOf(ip) + overhead <= version.longestPacket;
  if (!room(quote.ip) || !room(error.packet.ip)) return undefined;

  const mtu = toldMtu(error);
  // Old routers know none and say 0 (RFC 1191 section 5).
  const fits = mtu !== undefined && mtu !== 0 && mtu + overhead <= HIGHEST_MTU;
  const more = fits ? mtu + overhead : mtu;
  return {
    outcome: "error_funneled",
    frame: withQuote(error, wrap(quote, came.carrier, came.sport), more),
  };
}
