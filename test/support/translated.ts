/**
 * Segments of a translated connection, as its two ends know them and as they look on the way between the
 * two sides. The flags and fields are those of a common connection unless told otherwise.
 */
import type { Direction, Family } from "../../lib/rules/types.ts";
import { type Fields as AllFields, addresses, tagged, type Way } from "./both-ways.ts";
import {
  FLAG,
  type Ipv4Fields,
  type Ipv6Fields,
  ipv4,
  ipv6,
  type Layer,
  pad,
  type TcpFields,
  tcp,
} from "./packet.ts";
import type { Earlier } from "./table.ts";

/** The client's own port, that which it wants, and that of the service, which the way shows. */
export const OWN = 40_000;
export const WANTED = 8080;
export const SERVICE = 80;

export const CLIENT_RULE = `tcp dport ${WANTED} actions funnel translate tcp dport ${SERVICE}`;
export const SERVICE_RULE = `tcp dport ${SERVICE} actions unfunnel translate tcp allow {${WANTED}, 9090}`;

export const SYN = FLAG.syn;
export const SYN_ACK = FLAG.syn | FLAG.ack;
export const RST_ACK = FLAG.rst | FLAG.ack;
export const FIN_ACK = FLAG.fin | FLAG.ack;

/** Sequence numbers with which the client and the service begin. */
export const CLIENT_SEQ = 0x01020304;
export const SERVICE_SEQ = 0x0a0b0c0c;

export interface Fields {
  /** Default: IPv4. */
  readonly family?: Family;
  readonly tags?: AllFields["tags"];
  readonly ip?: Ipv4Fields & Ipv6Fields;
  readonly content?: Uint8Array;
  /** Bytes behind the IP packet. */
  readonly padding?: number;
  readonly tcp?: TcpFields;
}

function frameOf(way: Way, { family = "ip", tags, ip, padding = 0 }: Fields, layer: Layer) {
  const build = family === "ip" ? ipv4 : ipv6;
  return tagged(pad(build({ ...addresses(way, family), ...ip }, layer), padding, 0xee), tags);
}

/** A segment between these ports, the client's first. */
function between(client: number, service: number) {
  return (way: Way, fields: Fields = {}): Uint8Array => {
    const ports =
      way === "there" ? { sport: client, dport: service } : { sport: service, dport: client };
    return frameOf(way, fields, tcp({ ...ports, ...fields.tcp }, fields.content));
  };
}

/** A segment as the client knows it, and the pod unless the client's port was taken there. */
export const own = between(OWN, WANTED);
/** The same as it looks on the way. */
export const wire = between(OWN, SERVICE);

const withTcp = (fields: Fields, defaults: TcpFields): Fields => ({
  ...fields,
  tcp: { ...defaults, ...fields.tcp },
});

const SYN_FIELDS: TcpFields = { flags: SYN, seq: CLIENT_SEQ, ack: 0 };
const SYN_ACK_FIELDS: TcpFields = { flags: SYN_ACK, seq: SERVICE_SEQ, ack: CLIENT_SEQ + 1 };

/** The fields of a SYN that tell which port its sender wants. */
export function markFor(port: number): TcpFields {
  return { ack: 0x5f0e0000 + port, urgent: 0xffff ^ port };
}

/** The SYN as both ends know it. */
export const syn = (fields: Fields = {}) => own("there", withTcp(fields, SYN_FIELDS));
/** The SYN on the way, with its mark. */
export const marked = (fields: Fields = {}) =>
  wire("there", withTcp(fields, { ...SYN_FIELDS, ...markFor(WANTED) }));
/** A SYN to the service port itself. */
export const direct = (fields: Fields = {}) => wire("there", withTcp(fields, SYN_FIELDS));
/** The SYN-ACK as both ends know it. */
export const synAck = (fields: Fields = {}) => own("back", withTcp(fields, SYN_ACK_FIELDS));
/** The SYN-ACK on the way, which confirms the port. */
export const confirmed = (fields: Fields = {}) =>
  wire("back", withTcp(fields, { ...SYN_ACK_FIELDS, urgent: WANTED }));
/** The SYN-ACK of somebody who knows nothing of all this. */
export const unconfirmed = (fields: Fields = {}) => wire("back", withTcp(fields, SYN_ACK_FIELDS));

/** What the ends send later on. */
export const data = (way: Way): Fields =>
  way === "there"
    ? { tcp: { seq: CLIENT_SEQ + 1, ack: SERVICE_SEQ + 1 } }
    : { tcp: { seq: SERVICE_SEQ + 1, ack: CLIENT_SEQ + 1 } };

type Step = (fields?: Fields) => Earlier;

const earlier =
  (
    direction: Direction,
    outcome: Earlier["outcome"],
    build: (fields: Fields) => Uint8Array,
  ): Step =>
  (fields = {}) => ({ direction, outcome, frame: build(fields) });

/** What passes the client's side, where flows leave by egress. */
export const CLIENT_SIDE = {
  syn: earlier("egress", "funneled", syn),
  synAck: earlier("ingress", "reply_unfunneled", confirmed),
  there: earlier("egress", "funneled", (fields) => own("there", fields)),
  back: earlier("ingress", "reply_unfunneled", (fields) => wire("back", fields)),
} as const;

/** What passes the service's side, where they come by ingress. */
export const SERVICE_SIDE = {
  syn: earlier("ingress", "unfunneled", marked),
  synAck: earlier("egress", "reply_funneled", synAck),
  there: earlier("ingress", "unfunneled", (fields) => wire("there", fields)),
  back: earlier("egress", "reply_funneled", (fields) => own("back", fields)),
} as const;

/** A connection after its handshake, on either side. */
export function established(side: typeof CLIENT_SIDE | typeof SERVICE_SIDE, fields: Fields = {}) {
  return [side.syn(fields), side.synAck(fields), side.there(fields)];
}

/** A connection of which both ends have said that they are done. */
export function closed(side: typeof CLIENT_SIDE | typeof SERVICE_SIDE, fields: Fields = {}) {
  const fin: Fields = { ...fields, tcp: { flags: FIN_ACK } };
  return [...established(side, fields), side.there(fin), side.back(fin)];
}

/** The reset that answers a segment there at once, between the ports that it shows. */
export function reset(
  between: typeof own,
  { family = "ip", tags, ip = {} }: Fields,
  fields: TcpFields,
): Uint8Array {
  const { tos = 0, trafficClass = 0, flowLabel = 0 } = ip;
  const kept = family === "ip" ? { tos, id: 0, df: true } : { trafficClass, flowLabel };
  return between("back", {
    family,
    ip: { srcMac: "02:00:00:00:00:02", dstMac: "02:00:00:00:00:01", ...kept },
    ...(tags === undefined ? {} : { tags }),
    tcp: { window: 0, seq: 0, ack: 0, flags: RST_ACK, ...fields },
  });
}
