/** The rules of either side. */
import { makeMatch } from "../rules/match.ts";
import { HIGHEST_PORT, LOWEST_PORT, normalisePorts } from "../rules/ports.ts";
import type {
  AddressMatch,
  CarrierSourcePort,
  Family,
  Match,
  PortMatch,
  PortRange,
  Rule,
} from "../rules/types.ts";
import type { Asked } from "./read-options.ts";
import type { Carriers, Travel } from "./travel.ts";
import type { CarrierPorts, PlannedFlow, PlanSide } from "./types.ts";

const NOTHING = {
  ...{ family: undefined, saddr: undefined, daddr: undefined },
  ...{ sport: undefined, dport: undefined, port: undefined },
};

const ANY_PORT: readonly PortRange[] = [{ first: LOWEST_PORT, last: HIGHEST_PORT }];

/** One rule for each flow and family, so that each has a counter of its own. */
export function clientSide(asked: Asked, travel: Travel): PlanSide {
  const out = travel.flows.flatMap((flow) =>
    [...asked.addresses].flatMap(([family, addresses]) =>
      funnelRule(asked, flow, family, addresses),
    ),
  );
  switch (asked.client) {
    case "host":
      return { ingress: [], egress: out };
    case "gateway":
      return { ingress: out, egress: [] };
    case "redundant-gateways":
      return { ingress: out, egress: answerRules(asked, travel) };
  }
}

/**
 * One rule for each kind of funneled packet. None is about addresses: those of clients are not for
 * the service side to know, and its own differ from those of the service behind a load balancer.
 */
export function serviceSide(asked: Asked, travel: Travel): PlanSide {
  const { over, servicePort } = asked;
  const match = { ...NOTHING, transport: over, dport: portsOf(servicePort) };
  const bySourcePort = carriersNeedSourcePort(asked, travel);
  const decap = travel.carriers.map(
    ({ inner, sport, ports }): Rule => ({
      match: makeMatch({ ...match, sport: bySourcePort ? portsOf(sport) : undefined }),
      action: { kind: "unfunnel", mode: "decap", inner, allow: normalisePorts(ports) },
    }),
  );
  const { translated } = travel;
  const translate: Rule = {
    match: makeMatch(match),
    action: {
      kind: "unfunnel",
      mode: "translate",
      inner: "tcp",
      allow: normalisePorts(translated),
    },
  };
  return { ingress: translated.length > 0 ? [...decap, translate] : decap, egress: [] };
}

/**
 * Whether the service side goes by the source port of carriers. It must where they hold different
 * protocols. Carriers of UDP have no fixed fields, so that a datagram of the service port itself
 * might look like one: there it tells them apart.
 */
export function carriersNeedSourcePort({ over }: Asked, { carriers }: Travel): boolean {
  return carriers.length > 1 || (over === "udp" && carriers.length > 0);
}

function funnelRule(
  { over, servicePort }: Asked,
  { protocol, ports, mode, sport }: PlannedFlow,
  family: Family,
  addresses: readonly string[],
): Rule[] {
  const match = makeMatch({
    ...NOTHING,
    family,
    transport: protocol,
    daddr: oneOf(family, addresses),
    dport: { negate: false, ranges: ports },
  });
  if (mode === "translate") {
    return [{ match, action: { kind: "funnel", mode, over: "tcp", dport: servicePort } }];
  }
  if (mode === "direct" || sport === undefined) {
    return [];
  }
  const source = sourceOf(sport);
  return [{ match, action: { kind: "funnel", mode, over, dport: servicePort, sport: source } }];
}

/**
 * Answers to what another gateway has funneled. A gateway remembers its own flows alone, so that
 * rules have to say how those look; they may go to any port of a client.
 */
function answerRules(asked: Asked, { carriers }: Travel): Rule[] {
  return [...asked.addresses].flatMap(([family, addresses]) =>
    carriers.map(({ inner, sport }) => ({
      match: answerMatch(asked, family, addresses, sport),
      action: { kind: "unfunnel", mode: "decap", inner, allow: ANY_PORT },
    })),
  );
}

function answerMatch(
  { over, servicePort }: Asked,
  family: Family,
  addresses: readonly string[],
  carrierPort: Carriers["sport"],
): Match {
  return makeMatch({
    ...NOTHING,
    family,
    transport: over,
    saddr: oneOf(family, addresses),
    // Carriers of TCP are told by their fixed fields.
    sport: over === "udp" ? portsOf(servicePort) : undefined,
    dport: portsOf(carrierPort),
  });
}

function oneOf(family: Family, addresses: readonly string[]): AddressMatch {
  const length = family === "ip" ? 32 : 128;
  return { negate: false, prefixes: addresses.map((address) => ({ address, length })) };
}

function portsOf(ports: number | PortRange): PortMatch {
  const { first, last } = typeof ports === "number" ? { first: ports, last: ports } : ports;
  return { negate: false, ranges: [{ first, last }] };
}

function sourceOf(sport: number | CarrierPorts): CarrierSourcePort {
  return typeof sport === "number" ? { kind: "fixed", port: sport } : { kind: "range", ...sport };
}
