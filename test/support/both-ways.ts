/**
 * A packet and its carrier, through each of the four ways in which one becomes the other: there
 * and back, by a rule and as a reply.
 */
import type { Family, Transport } from "../../lib/rules/types.ts";
import {
  ETHERTYPE,
  FLAG,
  type Ipv4Fields,
  type Ipv6Fields,
  ipv4,
  ipv6,
  type Layer,
  type TcpFields,
  tcp,
  tcpCarrier,
  type UdpFields,
  udp,
  udpCarrier,
  vlan,
} from "./packet.ts";
import type { Earlier, Row } from "./table.ts";

export interface Pair {
  readonly inner: Transport;
  readonly over: Transport;
  /** Default: IPv4. */
  readonly family?: Family;
}

export const FAMILIES: readonly Family[] = ["ip", "ip6"];

export const CLIENT = "192.0.2.1";
export const POD = "198.51.100.7";
export const CLIENT6 = "2001:db8::1";
export const POD6 = "2001:db8::7";
/** Bytes of an IP header without options. */
export const IP_HEADER: Readonly<Record<Family, number>> = { ip: 20, ip6: 40 };
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
  /** What the other version of IP does not have, it leaves out. */
  readonly ip?: Ipv4Fields & Ipv6Fields;
  /** VLAN tags: a customer's, and a provider's around it. Default: none. */
  readonly tags?: 0 | 1 | 2;
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

/** Where a packet of the flow comes from and goes to. */
export function addresses(way: Way, family: Family = "ip"): { src: string; dst: string } {
  const [client, pod] = family === "ip" ? [CLIENT, POD] : [CLIENT6, POD6];
  return way === "there" ? { src: client, dst: pod } : { src: pod, dst: client };
}

function flow(inner: Transport, way: Way, { transport = {}, content }: Fields): Layer {
  const fields = { ...turned(way, OWN_PORT, FLOW_PORT), ...transport };
  return inner === "tcp" ? tcp(fields, content) : udp(fields, content);
}

/** An IP packet of either family in as many tags. */
function frame(way: Way, { family = "ip" }: Pair, fields: Fields, layer: Layer): Uint8Array {
  const build = family === "ip" ? ipv4 : ipv6;
  return tagged(build({ ...addresses(way, family), ...fields.ip }, layer), fields.tags);
}

/** The frame in a customer's VLAN, and that in a provider's. */
export function tagged(untagged: Uint8Array, tags: Fields["tags"] = 0): Uint8Array {
  const inner = tags > 0 ? vlan(untagged, { id: 100, priority: 5 }) : untagged;
  return tags > 1 ? vlan(inner, { id: 4000, etherType: ETHERTYPE.serviceVlan }) : inner;
}

/** A packet of the flow. */
export function plain(pair: Pair, way: Way, fields: Fields = {}): Uint8Array {
  return frame(way, pair, fields, flow(pair.inner, way, fields));
}

/** The same in its carrier. */
export function carried(pair: Pair, way: Way, fields: Fields = {}): Uint8Array {
  const ports = { ...turned(way, CARRIER_PORT, SERVICE_PORT), ...fields.carrier };
  const inside = flow(pair.inner, way, fields);
  const build = pair.over === "tcp" ? tcpCarrier : udpCarrier;
  return frame(way, pair, fields, build(ports, inside));
}

/** What comes by before the replies: a packet that leaves funneled. */
export function left(pair: Pair): Earlier {
  return { direction: "egress", frame: plain(pair, "there"), outcome: "funneled" };
}

/** What comes by before the replies: a packet that arrives funneled. */
export function arrived(pair: Pair): Earlier {
  return { direction: "ingress", frame: carried(pair, "there"), outcome: "unfunneled" };
}

/**
 * The same of both families, so that rows of either share a program; of the pair's own alone where
 * the other has no room.
 */
export function ofBothFamilies(
  earlier: (pair: Pair) => Earlier,
  pair: Pair,
  mtu = LOWEST_MTU6,
): Earlier[] {
  const families = mtu < LOWEST_MTU6 ? [pair.family ?? "ip"] : FAMILIES;
  return families.map((family) => earlier({ ...pair, family }));
}

/** Every link of IPv6 has as much. */
const LOWEST_MTU6 = 1280;

/** A row for each way in which `came`, with its carrier or without, becomes `leaves`. */
export function bothWays(
  name: string,
  pair: Pair,
  came: Fields,
  leaves: Fields,
  more?: Partial<Row>,
): Row[] {
  const { inner, over, family = "ip" } = pair;
  const row = (rest: Omit<Row, "name" | "inner">): Row => ({
    ...rest,
    ...more,
    name: `${family}, ${inner} over ${over}, ${rest.outcome}: ${name}`,
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
      earlier: ofBothFamilies(arrived, pair, more?.mtu),
      direction: "egress",
      frame: plain(pair, "back", came),
      outcome: "reply_funneled",
      out: carried(pair, "back", leaves),
    }),
    row({
      rules: "",
      otherRules: funnelRule(pair),
      earlier: ofBothFamilies(left, pair, more?.mtu),
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
