/** `allow`: the lock on the door of an unfunnel rule. */
import type { Transport } from "../../lib/rules/types.ts";
import { ipv4, payload, tcp, tcpCarrier, udp, udpCarrier } from "../support/packet.ts";
import { type Row, table } from "../support/table.ts";

const PORTS = { sport: 540, dport: 179 };

function rows(
  allow: string,
  open: readonly number[],
  closed: readonly number[],
  inner: Transport = "udp",
  over: Transport = "tcp",
): Row[] {
  const flow = (dport: number) => (inner === "tcp" ? tcp : udp)({ dport }, payload(10));
  const row = (dport: number, isOpen: boolean): Row => ({
    name: `${inner} over ${over}, ${allow}: ${dport}`,
    rules: `${over} dport 179 actions unfunnel ${inner} ${allow}`,
    direction: "ingress",
    frame: ipv4({}, (over === "tcp" ? tcpCarrier : udpCarrier)(PORTS, flow(dport))),
    inner,
    ...(isOpen
      ? { outcome: "unfunneled", out: ipv4({}, flow(dport)) }
      : { outcome: "not_allowed" }),
  });
  return [...open.map((dport) => row(dport, true)), ...closed.map((dport) => row(dport, false))];
}

table("inner destination ports", [
  ...rows("", [0, 1, 22, 2055, 65535], []),
  ...rows("allow 2055", [2055], [2054, 2056, 179, 0, 65535]),
  ...rows("allow 2055-2060", [2055, 2058, 2060], [2054, 2061]),
  ...rows("allow {2055, 4739, 6343-6353}", [2055, 4739, 6343, 6353], [2056, 6342, 6354, 540]),
  ...rows("allow 8080", [8080], [22], "tcp", "tcp"),
  ...rows("allow {8080, 8443}", [8080, 8443], [22, 8081], "tcp", "udp"),
  ...rows("allow 1-1023", [1, 1023], [0, 1024], "udp", "udp"),
]);

const real = ipv4({}, tcp({ ...PORTS }, payload(30)));

table("what is no carrier passes a lock that would not let it in", [
  {
    name: "a real connection",
    rules: "tcp dport 179 actions unfunnel udp allow 2055",
    direction: "ingress",
    frame: real,
    outcome: "not_carrier",
  },
]);

table("only the first matching rule's lock counts", [
  {
    name: "closed at the first, open at the second",
    rules: `tcp dport 179 actions unfunnel udp allow 2055
            tcp dport 179 actions unfunnel udp allow 4739`,
    direction: "ingress",
    frame: ipv4({}, tcpCarrier(PORTS, udp({ dport: 4739 }))),
    outcome: "not_allowed",
    rule: 0,
  },
]);
