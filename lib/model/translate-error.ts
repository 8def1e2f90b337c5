/** An ICMP error about a packet whose ports were rewritten, as one about the packet of its reader. */

import type { Direction } from "../rules/types.ts";
import { join } from "./bytes.ts";
import type { Connections, Kind } from "./connections.ts";
import { answering } from "./frame.ts";
import { type IcmpError, withQuote } from "./icmp.ts";
import type { Outcome } from "./outcome.ts";
import type { Quote } from "./quote.ts";
import type { Result } from "./result.ts";
import { withPort } from "./transport.ts";

/** What becomes of an error, by what is done with packets that pass the hook as it does. */
const OUTCOME: Readonly<Record<Kind, Outcome>> = {
  funnel: "error_funneled",
  funnel_reply: "error_funneled",
  unfunnel: "error_unfunneled",
  unfunnel_reply: "error_unfunneled",
  direct: "direct_remapped",
};

/** Undefined if the quoted packet has the ports that the reader knows. */
export function translateError(
  error: IcmpError,
  quote: Quote,
  direction: Direction,
  connections: Connections,
): Result | undefined {
  const { flow, ip, transport } = quote;
  if (flow.transport !== "tcp") return undefined;
  // The error goes the way of an answer to the packet, and what is done with answers tells of the packet.
  const known = connections.find(answering(flow), direction);
  if (known === undefined) return undefined;
  const { sport: dport, dport: sport } = known.ports;
  if (sport === flow.sport && dport === flow.dport) return undefined;
  const header = withPort(withPort(transport, "tcp", "sport", sport), "tcp", "dport", dport);
  return { outcome: OUTCOME[known.kind], frame: withQuote(error, join(ip, header), undefined) };
}
