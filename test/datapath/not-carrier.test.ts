/** What comes on the carrier's ports and is none: a real connection, which goes on unharmed. */
import { FLAG, ipv4, payload, raw, tcp, tcpCarrier, udp, udpCarrier } from "../support/packet.ts";
import { type Row, table } from "../support/table.ts";

const PORTS = { sport: 540, dport: 179 };

const row = (name: string, rules: string, frame: Uint8Array, out?: Uint8Array): Row => ({
  name,
  rules,
  direction: "ingress",
  frame,
  ...(out ? { outcome: "unfunneled", out } : { outcome: "not_carrier" }),
});

const UDP_IN_TCP = "tcp dport 179 actions unfunnel udp";
const TCP_IN_TCP = "tcp dport 179 actions unfunnel tcp";
const UDP_IN_UDP = "udp dport 179 actions unfunnel udp";
const TCP_IN_UDP = "udp dport 179 actions unfunnel tcp";

const inside = udp({}, payload(20));
const plain = ipv4({}, inside);
const carried = (fields: Parameters<typeof tcpCarrier>[0]) =>
  ipv4({}, tcpCarrier({ ...PORTS, ...fields }, inside));

table("the fields of a TCP carrier, each wrong once", [
  row("none of them wrong", UDP_IN_TCP, carried({}), plain),
  ...[0xcafebabf, 0x4afebabe, 0xcafebabe ^ 0x100, 0, 0xbebafeca].map((seq) =>
    row(`sequence number ${seq.toString(16)}`, UDP_IN_TCP, carried({ seq: seq >>> 0 })),
  ),
  ...[0xbabecaff, 0x3abecafe, 0, 0xfecabeba].map((ack) =>
    row(`acknowledgment number ${ack.toString(16)}`, UDP_IN_TCP, carried({ ack })),
  ),
  ...[0x01, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80].map((flag) =>
    row(`flag ${flag} as well`, UDP_IN_TCP, carried({ flags: FLAG.syn | flag })),
  ),
  row("no SYN", UDP_IN_TCP, carried({ flags: 0 })),
  ...[1, 2, 4, 8].map((reserved) =>
    row(`reserved bit ${reserved}`, UDP_IN_TCP, carried({ reserved })),
  ),
  ...[0, 1023, 1025, 0x0004, 65535].map((window) =>
    row(`window ${window}`, UDP_IN_TCP, carried({ window })),
  ),
  ...[0, 4, 6, 15].map((dataOffset) =>
    row(`data offset ${dataOffset}`, UDP_IN_TCP, carried({ dataOffset })),
  ),
  row("options", UDP_IN_TCP, carried({ options: payload(4) })),
  // A carrier's sender writes 0, but NICs and proxies may have touched these.
  row("urgent pointer: not looked at", UDP_IN_TCP, carried({ urgent: 1 }), plain),
  row("checksum: not looked at", UDP_IN_TCP, carried({ checksum: 0x1234 }), plain),
  // Of another flow than the rows above: a client with the same port would be told apart.
  row(
    "source port: a NAT may pick another",
    UDP_IN_TCP,
    ipv4({}, tcpCarrier({ ...PORTS, sport: 61000 }, udp({ sport: 40001 }, payload(20)))),
    ipv4({}, udp({ sport: 40001 }, payload(20))),
  ),
]);

table("a carrier that holds no whole header", [
  ...[0, 1, 7].flatMap((length) => [
    row(
      `${length} bytes in TCP, for UDP`,
      UDP_IN_TCP,
      ipv4({}, tcpCarrier(PORTS, raw(17, payload(length)))),
    ),
    row(
      `${length} bytes in UDP, for UDP`,
      UDP_IN_UDP,
      ipv4({}, udpCarrier(PORTS, raw(17, payload(length)))),
    ),
  ]),
  ...[0, 1, 8, 19].flatMap((length) => [
    row(
      `${length} bytes in TCP, for TCP`,
      TCP_IN_TCP,
      ipv4({}, tcpCarrier(PORTS, raw(6, payload(length)))),
    ),
    row(
      `${length} bytes in UDP, for TCP`,
      TCP_IN_UDP,
      ipv4({}, udpCarrier(PORTS, raw(6, payload(length)))),
    ),
  ]),
  ...[0, 7, 8, 27, 29, 65535].flatMap((length) => [
    row(
      `UDP length ${length} of 28 in TCP`,
      UDP_IN_TCP,
      ipv4({}, tcpCarrier(PORTS, udp({ length }, payload(20)))),
    ),
    row(
      `UDP length ${length} of 28 in UDP`,
      UDP_IN_UDP,
      ipv4({}, udpCarrier(PORTS, udp({ length }, payload(20)))),
    ),
  ]),
  ...[0, 4, 8, 15].flatMap((dataOffset) => [
    row(
      `TCP data offset ${dataOffset} of at most 7 in TCP`,
      TCP_IN_TCP,
      ipv4({}, tcpCarrier(PORTS, tcp({ dataOffset }, payload(8)))),
    ),
    row(
      `TCP data offset ${dataOffset} of at most 7 in UDP`,
      TCP_IN_UDP,
      ipv4({}, udpCarrier(PORTS, tcp({ dataOffset }, payload(8)))),
    ),
  ]),
  row(
    "TCP data offset 7 of 7 does",
    TCP_IN_UDP,
    ipv4({}, udpCarrier(PORTS, tcp({ dataOffset: 7 }, payload(8)))),
    ipv4({}, tcp({ dataOffset: 7 }, payload(8))),
  ),
]);

table("a real connection to the service port", [
  row(
    "SYN",
    UDP_IN_TCP,
    ipv4({}, tcp({ ...PORTS, flags: FLAG.syn, ack: 0, options: payload(20) })),
  ),
  row("data", UDP_IN_TCP, ipv4({}, tcp(PORTS, payload(1000)))),
  row("FIN", UDP_IN_TCP, ipv4({}, tcp({ ...PORTS, flags: FLAG.fin | FLAG.ack }))),
  row("datagram", UDP_IN_UDP, ipv4({}, udp(PORTS, payload(100)))),
  row("empty datagram", UDP_IN_UDP, ipv4({}, udp(PORTS))),
]);
