/** How each flow travels: as it is, translated, or in a carrier, and in which. */
import { optionError } from "../rules/options.ts";
import { HIGHEST_PORT } from "../rules/ports.ts";
import type { PortRange, Transport } from "../rules/types.ts";
import type { Asked } from "./read-options.ts";
import type { CarrierPorts, PlannedFlow } from "./types.ts";

/** Bytes that a carrier adds to a packet. */
const CARRIER_BYTES: Readonly<Record<Transport, number>> = { tcp: 20, udp: 8 };

/** Carriers of one kind: all that hold the same protocol, which the service side has to know. */
export interface Carriers {
  readonly inner: Transport;
  readonly sport: CarrierPorts;
  readonly ports: readonly PortRange[];
}

export interface Travel {
  readonly flows: readonly PlannedFlow[];
  readonly carriers: readonly Carriers[];
  /** Ports of the flows that are translated. */
  readonly translated: readonly PortRange[];
}

/** @throws OptionError if the carriers need a source port above the highest. */
export function planTravel(asked: Asked): Travel {
  const { over, servicePort } = asked;
  const parts = asked.flows.flatMap((flow) => {
    const { protocol, ports, mode } = flow;
    if (protocol !== over) {
      return [flow];
    }
    const itself = { protocol, ports: overlap(ports, servicePort), mode: "direct" as const };
    const others = { protocol, ports: without(ports, servicePort), mode };
    return [itself, others].filter((part) => part.ports.length > 0);
  });
  const sports = carrierPorts(
    asked.sport,
    parts.filter(({ mode }) => mode === "encap").map(({ protocol }) => protocol),
  );
  const flows = parts.map(({ protocol, ports, mode }): PlannedFlow => {
    const sport = mode === "encap" ? sports.get(protocol) : undefined;
    const overhead = mode === "encap" ? CARRIER_BYTES[over] : 0;
    return { protocol, ports, mode, overhead, sport: sport && onePortOrMore(sport) };
  });
  const portsOf = (mode: PlannedFlow["mode"], protocol: Transport) =>
    flows
      .filter((flow) => flow.mode === mode && flow.protocol === protocol)
      .flatMap(({ ports }) => ports);
  return {
    flows,
    carriers: [...sports].map(([inner, sport]) => ({
      inner,
      sport,
      ports: portsOf("encap", inner),
    })),
    translated: portsOf("translate", "tcp"),
  };
}

/** As options have it. */
function onePortOrMore(sport: CarrierPorts): number | CarrierPorts {
  return sport.first === sport.last && sport.every === undefined ? sport.first : sport;
}

/**
 * Source ports for carriers of each inner protocol, in the order in which flows name them: a flow
 * that is added at the end moves no other to another port.
 */
function carrierPorts(
  { first, last, ...moving }: CarrierPorts,
  inner: readonly Transport[],
): Map<Transport, CarrierPorts> {
  const kinds = [...new Set(inner)];
  const each = last - first + 1;
  const needed = each * kinds.length;
  if (first + needed - 1 > HIGHEST_PORT) {
    const amount = needed === 2 ? "two" : needed;
    const problem = `carriers of ${kinds.join(" and ")} need ${amount} ports from ${first} on`;
    throw optionError("plan", "sport", problem, `${HIGHEST_PORT - needed + 1} is the highest here`);
  }
  return new Map(
    kinds.map((kind, index) => [
      kind,
      { first: first + index * each, last: last + index * each, ...moving },
    ]),
  );
}

function overlap(ranges: readonly PortRange[], port: number): readonly PortRange[] {
  return ranges.some(({ first, last }) => first <= port && port <= last)
    ? [{ first: port, last: port }]
    : [];
}

function without(ranges: readonly PortRange[], port: number): readonly PortRange[] {
  return ranges.flatMap(({ first, last }) => {
    if (port < first || last < port) {
      return [{ first, last }];
    }
    const around = [
      { first, last: port - 1 },
      { first: port + 1, last },
    ];
    return around.filter((range) => range.first <= range.last);
  });
}
