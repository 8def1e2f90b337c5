/** What the tests between namespaces share: the four pairs, their rules, and what became of them. */

import { expect } from "vitest";
import type { Direction, Funnel, OutcomeName, Transport } from "../../lib/index.ts";
import { ANY, familyOf } from "./family.ts";
import type { Host, Lab } from "./lab.ts";

const TRANSPORTS: readonly Transport[] = ["tcp", "udp"];

/** Every flow over every carrier. */
export const PAIRS = TRANSPORTS.flatMap((inner) => TRANSPORTS.map((over) => ({ inner, over })));

export interface Pair {
  readonly inner: Transport;
  readonly over: Transport;
}

/** The port of the flows that are funneled, the service port, and the carrier's source port. */
export const FLOW_PORT = 2055;
export const SERVICE_PORT = 179;
export const CARRIER_PORT = 540;

/** Rules where flows begin: there in `out`, back in `back`. */
export function clientRules({ inner, over }: Pair) {
  return {
    out: `${inner} dport ${FLOW_PORT} actions funnel ${over} dport ${SERVICE_PORT} sport ${CARRIER_PORT}`,
    back: `${over} sport ${SERVICE_PORT} dport ${CARRIER_PORT} actions unfunnel ${inner}`,
  };
}

/** Rules where the carriers arrive. `to`: the port that the answers' carriers go to. */
export function serviceRules({ inner, over }: Pair, to: number = CARRIER_PORT) {
  return {
    ingress: `${over} dport ${SERVICE_PORT} actions unfunnel ${inner} allow ${FLOW_PORT}`,
    egress: `${inner} sport ${FLOW_PORT} actions funnel ${over} dport ${to} sport ${SERVICE_PORT}`,
  };
}

/**
 * A client's port for each pair, none of which the kernel gives to anybody: in a lab of several
 * tests, a flow that came in another carrier is another client's and gets another port.
 */
export function ownPort(pair: Pair): number {
  return 20_000 + PAIRS.findIndex(({ inner, over }) => inner === pair.inner && over === pair.over);
}

/** So many messages go in an {@link exchange}. */
export const MESSAGES = 20;

/**
 * Messages of this length to the flow's port at an address, behind which the server is, and back;
 * all of them come back whole.
 */
export async function exchange(
  lab: Lab,
  [client, server]: readonly [Host, Host],
  { inner }: Pair,
  {
    address,
    length,
    from,
  }: { readonly address: string; readonly length: number; readonly from?: number },
): Promise<void> {
  const listening = { port: FLOW_PORT, address: ANY[familyOf(address)] };
  const echo = await lab.endpoint(server, `${inner}Echo`, listening).ready();
  const options = { address, port: FLOW_PORT, count: MESSAGES, length, from };
  const sender = lab.endpoint(client, `${inner}Send`, options);
  await sender.end();
  expect(sender.events("error")).toEqual([]);
  expect(sender.events("echo").map((message) => message.length)).toEqual(
    Array.from({ length: MESSAGES }, () => length),
  );
  await echo.gone();
}

/** Packets of one outcome so far. */
export async function packets(
  funnel: Funnel,
  direction: Direction,
  outcome: OutcomeName,
): Promise<number> {
  return (await funnel.stats())[direction].outcomes[outcome].packets;
}

/**
 * Outcomes of packets that are nobody's flows, which come at any time: ARP, and what IPv6 says to
 * find neighbors and groups of them (RFC 4861; RFC 3810, behind an extension header).
 */
const OTHERS: readonly string[] = ["not_ip", "not_tcp_udp", "extension_header"];

/** What packets of flows have met in a direction, and how many; outcomes that none met are left out. */
export async function counted(
  funnel: Funnel,
  direction: Direction,
): Promise<Partial<Record<OutcomeName, number>>> {
  const { outcomes } = (await funnel.stats())[direction];
  return Object.fromEntries(
    Object.entries(outcomes)
      .filter(([name, { packets }]) => packets > 0 && !OTHERS.includes(name))
      .map(([name, { packets }]) => [name, packets]),
  );
}

/** Names of the outcomes that any packet of TCP or UDP has met in a direction. */
export async function outcomesMet(funnel: Funnel, direction: Direction): Promise<string[]> {
  return Object.keys(await counted(funnel, direction)).sort();
}
