import { deepFreeze } from "../rules/freeze.ts";
import { readOptions } from "./read-options.ts";
import { clientSide, serviceSide } from "./sides.ts";
import { planTravel } from "./travel.ts";
import type { Plan, PlanOptions } from "./types.ts";
import { warningsOf } from "./warnings.ts";

/**
 * The rules of both sides that take these flows through that service port, so that nobody mirrors
 * rules by hand: TCP over TCP is translated, everything else gets a carrier. Pure: nothing is
 * loaded, and no network is looked at.
 *
 * @example
 * const { client, service, warnings } = plan({
 *   service: { address: "203.0.113.1", port: 179, protocol: "tcp" },
 *   flows: [{ protocol: "udp", port: [2055, 4739] }, { protocol: "tcp", port: 8080 }],
 * });
 * await Funnel.load(client); // on each client; Funnel.load(service) in each pod
 * @throws OptionError for an option that is misspelt, missing or out of range, for a port that
 *   stands in two flows, and for UDP that is to be translated.
 */
export function plan(options: PlanOptions): Plan {
  const asked = readOptions(options);
  const travel = planTravel(asked);
  return deepFreeze({
    client: clientSide(asked, travel),
    service: serviceSide(asked, travel),
    flows: travel.flows,
    overhead: Math.max(...travel.flows.map(({ overhead }) => overhead)),
    warnings: warningsOf(asked, travel),
  });
}
