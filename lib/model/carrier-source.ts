/** Which carrier a flow gets. */

import type { CarrierSourcePort, FunnelEncap } from "../rules/types.ts";
import type { Carrier } from "./carrier.ts";
import type { Flow } from "./frame.ts";
import { flowHash, portOfHash } from "./hash.ts";

/** The carrier of a flow, `time` seconds after the clock began. */
export function carrierOf(action: FunnelEncap, flow: Flow, time: number): Carrier {
  const { over: transport, dport, sport } = action;
  const carrier = { transport, dport, sport: sourcePort(sport, flow, time) };
  const moves = sport.kind === "range" && sport.every !== undefined;
  return moves && transport === "tcp" ? { ...carrier, flowId: flowId(flow) } : carrier;
}

function sourcePort(sport: CarrierSourcePort, flow: Flow, time: number): number {
  switch (sport.kind) {
    case "fixed":
      return sport.port;
    case "keep":
      return flow.sport;
    case "range": {
      const { first, last, every } = sport;
      if (every === undefined) return portOfHash(flowHash(flow), first, last);
      // The same for all flows, or one would meet what conntrack still knows of another.
      return first + (Math.floor(time / every) % (last - first + 1));
    }
  }
}

/** Half of the hash, but never 0, which says nothing. */
function flowId(flow: Flow): number {
  return flowHash(flow) & 0xffff || 1;
}
