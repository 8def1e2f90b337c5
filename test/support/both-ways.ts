/**
 * A packet and its carrier, through each of the four ways in which one becomes the other: there
 * and back, by a rule and as a reply.
 */
import type { Transport } from "../../lib/rules/types.ts";
import {
  FLAG,
  type Ipv4Fields,
  ipv4,
  type Layer,
  type TcpFields,
  tcp,
  tcpCarrier,
  type UdpFields,
  udp,
  udpCarrier,
} from "./packet.ts";
import type { Earlier, Row } from "./table.ts";

export interface Pair {
  readonly inner: Transport;
  readonly over: Transport;
}

export const CLIENT = "192.0.2.1";
export const POD = "198.51.100.7";
/** Ports of the flow, and of its carrier. */
export const OWN_PORT = 40000;
export const FLOW_PORT = 2055;
export const CARRIER_PORT = 540;
export const SERVICE_PORT = 179;

/** Bytes of a carrier. */
export const SIZE: Readonly<Record<Transport, number>> = { tcp: 20, udp: 8 };

/** Which way a packet of the flow goes. */
export type Way = "there" | "back";

/** What a packet may have that is not the default. */
export interface Fields {
  readonly ip?: Ipv4Fields;
  readonly transport?: TcpFields & UdpFields;
  readonly content?: Uint8Array;
  /** Of the carrier, where there is one. */
  readonly carrier?: TcpFields & UdpFields;
}

export const funnelRule = ({ inner, over }: Pair): string =>
  `${inner} dport ${FLOW_PORT} actions funnel ${over} dport ${SERVICE_PORT} sport ${CARRIER_PORT}`;
export const unfunnelRule = ({ inner, over }: Pair): string =>
  `${over} dport ${SERVICE_PORT} actions unfunnel ${inner} allow ${FLOW_PORT}`;

function turned(way: Way, client: number, service: number) {
  return way === "there" ? { sport: client, dport: service } : { sport: service, dport: client };
}

function addresses(way: Way) {
  return way === "there" ? { src: CLIENT, dst: POD } : { src: POD, dst: CLIENT };
}

function flow(inner: Transport, way: Way, { transport = {}, content }: Fields): Layer {
  const fields = { ...turned(way, OWN_PORT, FLOW_PORT), ...transport };
  return inner === "tcp" ? tcp(fields, content) : udp(fields, content);
}

/** A packet of the flow. */
export function plain({ inner }: Pair, way: Way, fields: Fields = {}): Uint8Array {
  return ipv4({ ...addresses(way), ...fields.ip }, flow(inner, way, fields));
}

/** The same in its carrier. */
export function carried({ inner, over }: Pair, way: Way, fields: Fields = {}): Uint8Array {
  const ports = { ...turned(way, CARRIER_PORT, SERVICE_PORT), ...fields.carrier };
  const inside = flow(inner, way, fields);
  const ip = { ...addresses(way), ...fields.ip };
  return ipv4(ip, over === "tcp" ? tcpCarrier(ports, inside) : udpCarrier(ports, inside));
}

/** What comes by before the replies: a packet that leaves funneled. */
export function left(pair: Pair): Earlier {
  return { direction: "egress", frame: plain(pair, "there"), outcome: "funneled" };
}

/** What comes by before the replies: a packet that arrives funneled. */
export function arrived(pair: Pair): Earlier {
  return { direction: "ingress", frame: carried(pair, "there"), outcome: "unfunneled" };
}

/** A row for each way in which `came`, with its carrier or without, becomes `leaves`. */
export function bothWays(
  name: string,
  pair: Pair,
  came: Fields,
  leaves: Fields,
  more?: Partial<Row>,
): Row[] {
  const { inner, over } = pair;
  const row = (rest: Omit<Row, "name" | "inner">): Row => ({
    ...rest,
    ...more,
    name: `${inner} over ${over}, ${rest.outcome}: ${name}`,
    inner,
  });
  return [
    row({
      rules: funnelRule(pair),
      direction: "egress",
      frame: plain(pair, "there", came),
      outcome: "funneled",
      out: carried(pair, "there", leaves),
    }),
    row({
      rules: unfunnelRule(pair),
      direction: "ingress",
      frame: carried(pair, "there", came),
      outcome: "unfunneled",
      out: plain(pair, "there", leaves),
    }),
    row({
      rules: "",
      otherRules: unfunnelRule(pair),
      earlier: [arrived(pair)],
      direction: "egress",
      frame: plain(pair, "back", came),
      outcome: "reply_funneled",
      out: carried(pair, "back", leaves),
    }),
    row({
      rules: "",
      otherRules: funnelRule(pair),
      earlier: [left(pair)],
      direction: "ingress",
      frame: carried(pair, "back", came),
      outcome: "reply_unfunneled",
      out: plain(pair, "back", leaves),
    }),
  ];
}

/** Flags of the two segments that begin a connection. */
export const SYN = FLAG.syn;
export const SYN_ACK = FLAG.syn | FLAG.ack;
