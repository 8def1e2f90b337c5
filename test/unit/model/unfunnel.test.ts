/** Removing a carrier: what is one, what is let through, and what comes out. */

import { describe, expect, it } from "vitest";
import { simulate } from "../../../lib/model/index.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import {
  bytes,
  checksumsOf,
  describeFrame,
  FLAG,
  type Ipv4Fields,
  ipv4,
  type Layer,
  nat,
  pad,
  payload,
  raw,
  TCP_CARRIER_FIELDS,
  tcp,
  tcpCarrier,
  udp,
  udpCarrier,
} from "../../support/packet.ts";

function ingress(rules: string, frame: Uint8Array) {
  return simulate({ ingress: parseRules(rules) }, frame, { direction: "ingress" });
}

const CARRIER = { sport: 540, dport: 80 };
const FROM_TCP = {
  tcp: "tcp dport 80 actions unfunnel tcp",
  udp: "tcp dport 80 actions unfunnel udp",
};
const FROM_UDP = {
  tcp: "udp dport 80 actions unfunnel tcp",
  udp: "udp dport 80 actions unfunnel udp",
};

interface Row {
  readonly name: string;
  readonly rules: string;
  readonly ip?: Ipv4Fields;
  readonly carried: Layer;
  readonly flow: Layer;
}

const rows: readonly Row[] = [
  ...[0, 1, 2, 3, 7, 1000, 1399, 1440].flatMap((length): Row[] => [
    {
      name: `tcp from tcp, ${length} B`,
      rules: FROM_TCP.tcp,
      carried: tcpCarrier(CARRIER, tcp({}, payload(length))),
      flow: tcp({}, payload(length)),
    },
    {
      name: `udp from tcp, ${length} B`,
      rules: FROM_TCP.udp,
      carried: tcpCarrier(CARRIER, udp({}, payload(length))),
      flow: udp({}, payload(length)),
    },
    {
      name: `tcp from udp, ${length} B`,
      rules: FROM_UDP.tcp,
      carried: udpCarrier(CARRIER, tcp({}, payload(length))),
      flow: tcp({}, payload(length)),
    },
    {
      name: `udp from udp, ${length} B`,
      rules: FROM_UDP.udp,
      carried: udpCarrier(CARRIER, udp({}, payload(length))),
      flow: udp({}, payload(length)),
    },
    {
      name: `udp without a checksum from tcp, ${length} B`,
      rules: FROM_TCP.udp,
      carried: tcpCarrier(CARRIER, udp({ checksum: "none" }, payload(length))),
      flow: udp({ checksum: "none" }, payload(length)),
    },
    {
      name: `udp without a checksum from udp, ${length} B`,
      rules: FROM_UDP.udp,
      carried: udpCarrier(CARRIER, udp({ checksum: "none" }, payload(length))),
      flow: udp({ checksum: "none" }, payload(length)),
    },
  ]),
  {
    name: "IP options, TTL, TOS, id and DF stay",
    rules: FROM_TCP.udp,
    ip: { options: bytes("94040000"), ttl: 1, tos: 0xb8, id: 0xffff, df: true },
    carried: tcpCarrier(CARRIER, udp({}, payload(5))),
    flow: udp({}, payload(5)),
  },
  {
    name: "inner TCP options stay",
    rules: FROM_TCP.tcp,
    carried: tcpCarrier(CARRIER, tcp({ options: payload(40) }, payload(5))),
    flow: tcp({ options: payload(40) }, payload(5)),
  },
  {
    name: "any source port of the carrier, if the rule names none",
    rules: FROM_TCP.udp,
    carried: tcpCarrier({ sport: 61234, dport: 80 }, udp()),
    flow: udp(),
  },
  {
    name: "the carrier's checksum is not looked at",
    rules: FROM_TCP.udp,
    carried: tcpCarrier({ ...CARRIER, checksum: 0xdead }, udp({}, payload(5))),
    flow: udp({}, payload(5)),
  },
  {
    name: "a UDP carrier needs no checksum",
    rules: FROM_UDP.udp,
    carried: udpCarrier({ ...CARRIER, checksum: "none" }, udp({}, payload(5))),
    flow: udp({}, payload(5)),
  },
  {
    name: "the carrier's urgent pointer is not looked at",
    rules: FROM_TCP.udp,
    carried: tcpCarrier({ ...CARRIER, urgent: 7 }, udp({}, payload(5))),
    flow: udp({}, payload(5)),
  },
  {
    name: "a wrong inner TCP checksum stays wrong by as much",
    rules: FROM_TCP.tcp,
    carried: tcpCarrier(CARRIER, tcp({ checksum: { wrongBy: 0x1234 } }, payload(5))),
    flow: tcp({ checksum: { wrongBy: 0x1234 } }, payload(5)),
  },
  {
    name: "a wrong inner UDP checksum stays wrong by as much",
    rules: FROM_UDP.udp,
    carried: udpCarrier(CARRIER, udp({ checksum: { wrongBy: 0xfffe } }, payload(5))),
    flow: udp({ checksum: { wrongBy: 0xfffe } }, payload(5)),
  },
  {
    name: "a wrong IP checksum stays wrong by as much",
    rules: FROM_UDP.udp,
    ip: { checksum: { wrongBy: 0x4321 } },
    carried: udpCarrier(CARRIER, udp({}, payload(5))),
    flow: udp({}, payload(5)),
  },
];

describe("unfunnel", () => {
  it.each(rows)("$name", ({ rules, ip = {}, carried, flow }) => {
    const expected = ipv4(ip, flow);
    const result = ingress(rules, ipv4(ip, carried));
    expect(describeFrame(result.frame)).toBe(describeFrame(expected));
    expect(result.frame).toEqual(expected);
    expect(result).toMatchObject({ verdict: "pass", outcome: "unfunneled", rule: 0 });
  });

  // A NAT drops what has a wrong IP checksum.
  const natted = rows.filter(({ ip }) => ip?.checksum === undefined);
  it.each(natted)("$name, after NAT", ({ rules, ip = {}, carried, flow }) => {
    const to = { src: "10.9.8.7", dst: "10.1.2.3" };
    const result = ingress(rules, nat(ipv4(ip, carried), { ...to, sport: 1024 }));
    expect(describeFrame(result.frame)).toBe(describeFrame(ipv4({ ...ip, ...to }, flow)));
  });

  it("leaves padding at the end, as it was", () => {
    const flow = udp({}, payload(3));
    const result = ingress(FROM_TCP.udp, pad(ipv4({}, tcpCarrier(CARRIER, flow)), 4, 0xa5));
    expect(result.frame).toEqual(pad(ipv4({}, flow), 4, 0xa5));
  });

  it("writes a computed UDP checksum of zero as all ones", () => {
    const carried = (content: Uint8Array) => ipv4({}, udpCarrier(CARRIER, udp({}, content)));
    // The payload that makes the flow's checksum, between its real addresses, zero.
    const field = ipv4({}, udp({}, bytes(0, 0))).subarray(40, 42);
    const result = ingress(FROM_UDP.udp, carried(field));
    expect(result.frame.subarray(40, 42)).toEqual(bytes("ffff"));
    expect(checksumsOf(result.frame).outer).toBe("right");
  });
});

describe("no carrier", () => {
  const inner = udp({}, payload(12));
  const faults: readonly [string, string, Layer][] = [
    ["another sequence number", FROM_TCP.udp, tcpCarrier({ ...CARRIER, seq: 0xcafebabf }, inner)],
    ["another acknowledgment", FROM_TCP.udp, tcpCarrier({ ...CARRIER, ack: 0x3abecafe }, inner)],
    [
      "the two swapped",
      FROM_TCP.udp,
      tcpCarrier({ ...CARRIER, seq: 0xbabecafe, ack: 0xcafebabe }, inner),
    ],
    ["ACK beside SYN", FROM_TCP.udp, tcpCarrier({ ...CARRIER, flags: FLAG.syn | FLAG.ack }, inner)],
    ["no SYN", FROM_TCP.udp, tcpCarrier({ ...CARRIER, flags: 0 }, inner)],
    ["CWR beside SYN", FROM_TCP.udp, tcpCarrier({ ...CARRIER, flags: FLAG.syn | 0x80 }, inner)],
    ["ECE beside SYN", FROM_TCP.udp, tcpCarrier({ ...CARRIER, flags: FLAG.syn | 0x40 }, inner)],
    ["a reserved bit", FROM_TCP.udp, tcpCarrier({ ...CARRIER, reserved: 1 }, inner)],
    ["another window", FROM_TCP.udp, tcpCarrier({ ...CARRIER, window: 1025 }, inner)],
    ["a data offset of 6", FROM_TCP.udp, tcpCarrier({ ...CARRIER, dataOffset: 6 }, inner)],
    ["a data offset of 4", FROM_TCP.udp, tcpCarrier({ ...CARRIER, dataOffset: 4 }, inner)],
    ["a real SYN", FROM_TCP.udp, tcp({ ...CARRIER, flags: FLAG.syn, options: payload(20) })],
    ["nothing inside", FROM_TCP.udp, tcp({ ...TCP_CARRIER_FIELDS, ...CARRIER })],
    [
      "7 bytes inside, for UDP",
      FROM_TCP.udp,
      tcpCarrier(CARRIER, raw(17, bytes("0001000200070000").subarray(0, 7))),
    ],
    ["19 bytes inside, for TCP", FROM_TCP.tcp, tcpCarrier(CARRIER, raw(6, bytes("50".repeat(19))))],
    ["12 bytes inside, for TCP", FROM_TCP.tcp, tcpCarrier(CARRIER, raw(6, bytes("50".repeat(12))))],
    [
      "inner UDP length one more",
      FROM_TCP.udp,
      tcpCarrier(CARRIER, udp({ length: 21 }, payload(12))),
    ],
    [
      "inner UDP length one less",
      FROM_TCP.udp,
      tcpCarrier(CARRIER, udp({ length: 19 }, payload(12))),
    ],
    ["inner UDP length zero", FROM_TCP.udp, tcpCarrier(CARRIER, udp({ length: 0 }, payload(12)))],
    [
      "inner TCP data offset 4",
      FROM_TCP.tcp,
      tcpCarrier(CARRIER, tcp({ dataOffset: 4 }, payload(12))),
    ],
    [
      "inner TCP data offset beyond the end",
      FROM_TCP.tcp,
      tcpCarrier(CARRIER, tcp({ dataOffset: 9 }, payload(15))),
    ],
    ["the other transport inside", FROM_TCP.udp, tcpCarrier(CARRIER, tcp({}, payload(12)))],

    ["over UDP: nothing inside", FROM_UDP.udp, udp(CARRIER)],
    ["over UDP: 7 bytes inside", FROM_UDP.udp, udp(CARRIER, payload(7))],
    ["over UDP: no length that fits", FROM_UDP.udp, udp(CARRIER, payload(40))],
    [
      "over UDP: inner UDP length one more",
      FROM_UDP.udp,
      udpCarrier(CARRIER, udp({ length: 21 }, payload(12))),
    ],
    [
      "over UDP: 19 bytes inside, for TCP",
      FROM_UDP.tcp,
      udpCarrier(CARRIER, raw(6, bytes("50".repeat(19)))),
    ],
    [
      "over UDP: inner TCP data offset beyond the end",
      FROM_UDP.tcp,
      udpCarrier(CARRIER, tcp({ dataOffset: 6 })),
    ],
  ];

  it.each(faults)("%s", (_, rules, layer) => {
    // A lock is no reason to drop what is no carrier.
    for (const text of [rules, `${rules} allow 1`]) {
      const frame = ipv4({}, layer);
      const result = ingress(text, frame);
      expect(result).toMatchObject({ verdict: "pass", outcome: "not_carrier", rule: 0 });
      expect(result.frame).toEqual(frame);
    }
  });

  it("inner TCP data offset up to the very end is whole", () => {
    const flow = tcp({ dataOffset: 8 }, payload(12));
    expect(ingress(FROM_TCP.tcp, ipv4({}, tcpCarrier(CARRIER, flow))).outcome).toBe("unfunneled");
  });

  it("needs no rule for the next one: the first match decides", () => {
    const rules = `${FROM_TCP.udp}; tcp actions drop`;
    expect(ingress(rules, ipv4({}, tcp(CARRIER)))).toMatchObject({
      outcome: "not_carrier",
      rule: 0,
    });
  });
});

describe("allow", () => {
  it.each<[allow: string, dport: number, allowed: boolean]>([
    ["2055", 2055, true],
    ["2055", 2054, false],
    ["2055", 2056, false],
    ["2000-2055", 2055, true],
    ["2000-2055", 2000, true],
    ["2000-2055", 1999, false],
    ["2000-2055", 2056, false],
    ["{179, 2055, 4739}", 4739, true],
    ["{179, 2055, 4739}", 80, false],
    ["1-65535", 0, false],
    ["1-65535", 65535, true],
  ])("%s, inner port %i: %s", (allow, dport, allowed) => {
    for (const [rules, carried] of [
      [FROM_TCP.udp, tcpCarrier(CARRIER, udp({ dport }, payload(5)))],
      [FROM_TCP.tcp, tcpCarrier(CARRIER, tcp({ dport }, payload(5)))],
      [FROM_UDP.udp, udpCarrier(CARRIER, udp({ dport }, payload(5)))],
      [FROM_UDP.tcp, udpCarrier(CARRIER, tcp({ dport }, payload(5)))],
    ] as const) {
      const frame = ipv4({}, carried);
      const result = ingress(`${rules} allow ${allow}`, frame);
      if (allowed) {
        expect(result).toMatchObject({ verdict: "pass", outcome: "unfunneled", rule: 0 });
      } else {
        expect(result).toEqual({ verdict: "drop", outcome: "not_allowed", rule: 0, frame });
      }
    }
  });
});
