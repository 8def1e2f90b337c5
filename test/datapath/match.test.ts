/** Which rule a packet meets: every term alone and negated, its edges, and the order of rules. */
import {
  type Ipv4Fields,
  type Ipv6Fields,
  ipv4,
  ipv6,
  type Layer,
  payload,
  tcp,
  udp,
} from "../support/packet.ts";
import { type Row, table } from "../support/table.ts";

/** Rows for one match: frames that it holds for, and frames that it does not. */
function match(
  text: string,
  holds: readonly (readonly [string, Uint8Array])[],
  fails: readonly (readonly [string, Uint8Array])[],
): Row[] {
  const rules = `${text} actions accept`;
  const rows = (frames: typeof holds, outcome: "accepted" | "no_match") =>
    frames.flatMap(([what, frame]) =>
      (["ingress", "egress"] as const).map(
        (direction): Row => ({
          name: `${text}: ${what}, ${direction}`,
          rules,
          direction,
          frame,
          outcome,
        }),
      ),
    );
  return [...rows(holds, "accepted"), ...rows(fails, "no_match")];
}

const ip = (fields: Ipv4Fields, layer: Layer = udp({}, payload(4))) => ipv4(fields, layer);
const from = (src: string) => [src, ip({ src })] as const;
const to = (dst: string) => [dst, ip({ dst })] as const;
const ip6 = (fields: Ipv6Fields, layer: Layer = udp({}, payload(4))) => ipv6(fields, layer);
const from6 = (src: string) => [src, ip6({ src })] as const;
const to6 = (dst: string) => [dst, ip6({ dst })] as const;
const sport = (port: number) => [`${port}`, ip({}, udp({ sport: port }))] as const;
const dport = (port: number) => [`${port}`, ip({}, udp({ dport: port }))] as const;
const ports = (source: number, destination: number) =>
  [`${source} > ${destination}`, ip({}, udp({ sport: source, dport: destination }))] as const;

table("protocol", [
  ...match("udp", [["UDP", ip({}, udp())]], [["TCP", ip({}, tcp())]]),
  ...match("tcp", [["TCP", ip({}, tcp())]], [["UDP", ip({}, udp())]]),
  ...match("ip udp", [["UDP", ip({}, udp())]], [["TCP", ip({}, tcp())]]),
]);

table("addresses", [
  ...match(
    "udp saddr 10.1.2.3",
    [from("10.1.2.3")],
    [
      from("10.1.2.2"),
      from("10.1.2.4"),
      from("138.1.2.3"),
      ["10.1.2.3 as destination", ip({ dst: "10.1.2.3" })],
    ],
  ),
  ...match(
    "udp daddr 10.1.2.3",
    [to("10.1.2.3")],
    [to("10.1.2.2"), ["10.1.2.3 as source", ip({ src: "10.1.2.3" })]],
  ),
  ...match(
    "udp saddr 10.128.0.0/9",
    [from("10.128.0.0"), from("10.200.1.1"), from("10.255.255.255")],
    [from("10.127.255.255"), from("11.0.0.0"), from("9.255.255.255")],
  ),
  ...match(
    "udp saddr 10.1.2.2/31",
    [from("10.1.2.2"), from("10.1.2.3")],
    [from("10.1.2.1"), from("10.1.2.4")],
  ),
  ...match(
    "udp saddr 128.0.0.0/1",
    [from("128.0.0.0"), from("255.255.255.255")],
    [from("127.255.255.255"), from("0.0.0.0")],
  ),
  ...match("udp saddr 0.0.0.0/0", [from("0.0.0.0"), from("255.255.255.255")], []),
  ...match(
    "udp saddr != 10.0.0.0/8",
    [from("9.255.255.255"), from("11.0.0.0")],
    [from("10.0.0.0"), from("10.255.255.255")],
  ),
  ...match("udp daddr != 10.1.2.3", [to("10.1.2.2")], [to("10.1.2.3")]),
  ...match(
    "udp saddr {10.0.0.0/8, 192.0.2.1, 198.51.100.0/25}",
    [from("10.77.0.1"), from("192.0.2.1"), from("198.51.100.127")],
    [from("192.0.2.2"), from("198.51.100.128"), from("11.0.0.1")],
  ),
  ...match(
    "udp daddr != {10.0.0.0/8, 192.0.2.1}",
    [to("11.0.0.1"), to("192.0.2.2")],
    [to("10.0.0.1"), to("192.0.2.1")],
  ),
  // The longer prefix takes nothing away from the shorter one.
  ...match(
    "udp saddr {10.0.0.0/8, 10.1.0.0/16}",
    [from("10.1.0.1"), from("10.2.0.1")],
    [from("11.1.0.1")],
  ),
  ...match("udp saddr {0.0.0.0/0, 10.0.0.0/8}", [from("192.0.2.1")], []),
  ...match(
    "udp saddr 10.0.0.0/8 daddr 192.0.2.0/24",
    [["both", ip({ src: "10.1.1.1", dst: "192.0.2.9" })]],
    [
      ["the other way round", ip({ src: "192.0.2.9", dst: "10.1.1.1" })],
      ["source alone", ip({ src: "10.1.1.1", dst: "192.0.3.9" })],
      ["destination alone", ip({ src: "11.1.1.1", dst: "192.0.2.9" })],
    ],
  ),
]);

/** One IPv4 packet and two of IPv6: its own addresses, and those of the other in mapped form. */
const inIpv4 = ["IPv4", ip({ src: "10.1.2.3", dst: "10.4.5.6" })] as const;
const inIpv6 = ["IPv6", ip6({})] as const;
const mapped = [
  "IPv6 with mapped addresses",
  ip6({ src: "::ffff:10.1.2.3", dst: "::ffff:10.4.5.6" }),
] as const;

table("families", [
  ...match("udp", [inIpv4, inIpv6, mapped], [["TCP over IPv6", ip6({}, tcp())]]),
  ...match("ip udp", [inIpv4], [inIpv6, mapped]),
  ...match("ip6 udp", [inIpv6, mapped], [inIpv4]),
  ...match("ip6 tcp", [["TCP", ip6({}, tcp())]], [inIpv6, ["IPv4", ip({}, tcp())]]),
  // Behind a "!=" as well, a rule is about packets of its family alone.
  ...match("udp saddr 10.1.2.3", [inIpv4], [mapped, inIpv6]),
  ...match("udp saddr != 10.9.0.0/16", [inIpv4], [mapped, inIpv6]),
  ...match("udp saddr 0.0.0.0/0", [inIpv4], [mapped, inIpv6]),
  ...match("udp daddr {10.4.0.0/16, 10.5.0.0/16}", [inIpv4], [mapped, inIpv6]),
  ...match("udp saddr ::/0", [inIpv6, mapped], [inIpv4]),
  ...match("udp saddr != 2001:db8::/128", [inIpv6, mapped], [inIpv4]),
  ...match("udp saddr {::/0, 2001:db8::/64}", [inIpv6, mapped], [inIpv4]),
  ...match("udp dport 2055", [dport(2055), ["IPv6", ip6({}, udp({ dport: 2055 }))]], []),
]);

table("addresses of IPv6", [
  ...match(
    "udp saddr 2001:db8::5",
    [from6("2001:db8::5")],
    [from6("2001:db8::4"), from6("2001:db8:1::5"), ["as destination", ip6({ dst: "2001:db8::5" })]],
  ),
  ...match(
    "udp daddr 2001:db8::5",
    [to6("2001:db8::5")],
    [to6("2001:db8::6"), ["as source", ip6({ src: "2001:db8::5" })]],
  ),
  ...match(
    "udp saddr 2001:db8:8000::/33",
    [from6("2001:db8:8000::"), from6("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")],
    [from6("2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"), from6("2001:db9::")],
  ),
  ...match(
    "udp saddr 2001:db8::2/127",
    [from6("2001:db8::2"), from6("2001:db8::3")],
    [from6("2001:db8::1"), from6("2001:db8::4")],
  ),
  ...match("udp saddr fe80::/10", [from6("fe80::1"), from6("febf::1")], [from6("fec0::1")]),
  ...match(
    "udp saddr != 2001:db8::/32",
    [from6("2001:db7:ffff::"), from6("2001:db9::")],
    [from6("2001:db8::"), from6("2001:db8:ffff::1")],
  ),
  ...match(
    "udp saddr {2001:db8::/48, 2001:db8:1::5, fd00::/8}",
    [from6("2001:db8::9"), from6("2001:db8:1::5"), from6("fdff::1")],
    [from6("2001:db8:1::6"), from6("2001:db8:2::1"), from6("fe00::1")],
  ),
  ...match(
    "udp daddr != {2001:db8::/48, 2001:db8:1::5}",
    [to6("2001:db8:1::6")],
    [to6("2001:db8::1"), to6("2001:db8:1::5")],
  ),
  // The longer prefix takes nothing away from the shorter one.
  ...match(
    "udp saddr {2001:db8::/32, 2001:db8:1::/48}",
    [from6("2001:db8:1::1"), from6("2001:db8:2::1")],
    [from6("2001:db9:1::1")],
  ),
  ...match(
    "udp saddr 2001:db8:1::/48 daddr fd00::/8",
    [["both", ip6({ src: "2001:db8:1::1", dst: "fd00::9" })]],
    [
      ["the other way round", ip6({ src: "fd00::9", dst: "2001:db8:1::1" })],
      ["source alone", ip6({ src: "2001:db8:1::1", dst: "fc00::9" })],
      ["destination alone", ip6({ src: "2001:db8:2::1", dst: "fd00::9" })],
    ],
  ),
]);

table("ports", [
  ...match("udp dport 2055", [dport(2055)], [dport(2054), dport(2056), ports(2055, 1)]),
  ...match("udp sport 2055", [sport(2055)], [sport(2054), sport(2056), ports(1, 2055)]),
  ...match(
    "udp dport 2055-2060",
    [dport(2055), dport(2057), dport(2060)],
    [dport(2054), dport(2061)],
  ),
  ...match("udp dport 1-65535", [dport(1), dport(65535)], []),
  ...match("udp dport != 2055", [dport(2054), dport(0)], [dport(2055)]),
  ...match("udp dport != 100-200", [dport(99), dport(201)], [dport(100), dport(200)]),
  ...match(
    "udp dport {2055, 4739, 6343-6353}",
    [dport(2055), dport(4739), dport(6343), dport(6350), dport(6353)],
    [dport(2056), dport(6342), dport(6354), dport(0), dport(65535)],
  ),
  ...match(
    "udp sport != {2055, 6343-6353}",
    [sport(2056), sport(6342), sport(6354)],
    [sport(2055), sport(6347)],
  ),
  ...match(
    "udp sport 1000-2000 dport 3000",
    [ports(1000, 3000), ports(2000, 3000)],
    [ports(999, 3000), ports(1000, 3001), ports(3000, 1000)],
  ),
  // Every alignment of a range in the trie of prefixes that sets are made of.
  ...match(
    "udp dport {1-32767, 40000}",
    [dport(1), dport(32767), dport(40000)],
    [dport(0), dport(32768), dport(39999)],
  ),
  ...match(
    "udp dport {32769-65535, 3}",
    [dport(32769), dport(65535), dport(3)],
    [dport(32768), dport(2), dport(4)],
  ),
]);

table("either port", [
  ...match("udp port 443", [ports(443, 1), ports(1, 443), ports(443, 443)], [ports(444, 442)]),
  ...match("udp port {443, 8080-8090}", [ports(8085, 1), ports(1, 443)], [ports(8091, 444)]),
  // Negated: neither of the two.
  ...match("udp port != 443", [ports(1, 2)], [ports(443, 1), ports(1, 443)]),
  ...match("udp port != {443, 8080-8090}", [ports(442, 8091)], [ports(1, 8080), ports(443, 1)]),
  ...match("udp port 443 dport 8080", [ports(443, 8080)], [ports(8080, 443), ports(1, 8080)]),
]);

const FIRST_WINS = `udp dport 2055 saddr 10.0.0.0/8 actions accept
udp dport 2055 saddr 10.1.0.0/16 actions drop
udp dport 2055 actions funnel udp dport 179 sport 540
udp actions drop
tcp actions accept`;

const ordered = (name: string, frame: Uint8Array, rest: Pick<Row, "outcome" | "rule">): Row => ({
  name,
  rules: FIRST_WINS,
  direction: "egress",
  frame,
  ...rest,
});

table("the first rule that matches decides", [
  ordered("the first, though the second is closer", ip({ src: "10.1.0.1" }), {
    outcome: "accepted",
    rule: 0,
  }),
  ordered("the fourth", ip({}, udp({ dport: 2056 })), { outcome: "dropped", rule: 3 }),
  ordered("the last", ip({}, tcp({}, payload(9))), { outcome: "accepted", rule: 4 }),
  {
    ...ordered("none, where the list ends before", ip({}, tcp()), { outcome: "no_match" }),
    rules: "udp actions drop",
  },
  { ...ordered("none, where there is no rule", ip({}), { outcome: "no_match" }), rules: "" },
]);

table("accept and drop", [
  {
    name: "accept keeps the rules behind it off",
    rules: "udp dport 2055 actions accept; udp actions funnel tcp dport 179 sport 540",
    direction: "egress",
    frame: ip({}),
    outcome: "accepted",
  },
  {
    name: "drop, UDP",
    rules: "udp dport 2055 actions drop",
    direction: "egress",
    frame: ip({}),
    outcome: "dropped",
  },
  {
    name: "drop, TCP at ingress",
    rules: "tcp actions drop",
    direction: "ingress",
    frame: ip({}, tcp()),
    outcome: "dropped",
  },
]);
