/** What the tests between namespaces share: the four pairs, their rules, and what is on the wire. */

import { expect } from "vitest";
import type { Direction, Funnel, OutcomeName, Transport } from "../../lib/index.ts";
import type { Host, Lab } from "./lab.ts";
import { checksumsOf } from "./packet.ts";

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
  { address, length }: { readonly address: string; readonly length: number },
): Promise<void> {
  await lab.endpoint(server, `${inner}Echo`, { port: FLOW_PORT, address: "0.0.0.0" }).ready();
  const options = { address, port: FLOW_PORT, count: MESSAGES, length };
  const sender = lab.endpoint(client, `${inner}Send`, options);
  await sender.end();
  expect(sender.events("error")).toEqual([]);
  expect(sender.events("echo").map((message) => message.length)).toEqual(
    Array.from({ length: MESSAGES }, () => length),
  );
}

/** Packets of one outcome so far. */
export async function packets(
  funnel: Funnel,
  direction: Direction,
  outcome: OutcomeName,
): Promise<number> {
  return (await funnel.stats())[direction].outcomes[outcome].packets;
}

/** Names of the outcomes that any IPv4 packet of TCP or UDP has met in a direction. */
export async function outcomesMet(funnel: Funnel, direction: Direction): Promise<string[]> {
  const { outcomes } = (await funnel.stats())[direction];
  return Object.entries(outcomes)
    .filter(([name, { packets }]) => packets > 0 && name !== "not_ip" && name !== "not_tcp_udp")
    .map(([name]) => name)
    .sort();
}

const PROTOCOL: Readonly<Record<number, Transport>> = { 6: "tcp", 17: "udp" };

/** "tcp 540>179": what an IPv4 frame without options shows to a load balancer. */
export function shown(frame: Uint8Array): string {
  const word = (offset: number) => ((frame[offset] ?? 0) << 8) | (frame[offset + 1] ?? 0);
  return `${PROTOCOL[frame[23] ?? 0]} ${word(34)}>${word(36)}`;
}

/** How many frames show what, e.g. { "tcp 540>179": 20 }. */
export function census(frames: readonly Uint8Array[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const frame of frames) counts[shown(frame)] = (counts[shown(frame)] ?? 0) + 1;
  return counts;
}

/** The states of IP, carrier and inner checksum that occur among frames, e.g. ["right right none"]. */
export function checksumStates(frames: readonly Uint8Array[], inner: Transport): string[] {
  const states = frames.map((frame) => {
    const found = checksumsOf(frame, inner);
    return `${found.ip} ${found.outer} ${found.inner}`;
  });
  return [...new Set(states)].sort();
}
