/** Pushing a carrier: what the rule says goes in, what was wrong stays wrong. */

import { describe, expect, it } from "vitest";
import { simulate } from "../../../lib/model/index.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import {
  bytes,
  type Checksum,
  type Checksums,
  checksumsOf,
  describeFrame,
  FLAG,
  type Ipv4Fields,
  ipv4,
  ipv6,
  type Layer,
  pad,
  payload,
  tcp,
  tcpCarrier,
  udp,
  udpCarrier,
} from "../../support/packet.ts";

function egress(rules: string, frame: Uint8Array) {
  return simulate({ egress: parseRules(rules) }, frame, { direction: "egress" });
}

interface Row {
  readonly name: string;
  readonly rules: string;
  readonly ip?: Ipv4Fields;
  readonly flow: Layer;
  readonly carried: Layer;
}

const TO_TCP =
  "tcp actions funnel tcp dport 80 sport 540; udp actions funnel tcp dport 80 sport 540";
const TO_UDP =
  "tcp actions funnel udp dport 80 sport 540; udp actions funnel udp dport 80 sport 540";
const CARRIER = { sport: 540, dport: 80 };

const syn = tcp({ flags: FLAG.syn, options: bytes("020405b4 01030307 0402 0101") });

const rows: readonly Row[] = [
  ...[0, 1, 2, 3, 7, 1000, 1399, 1440].flatMap((length): Row[] => [
    {
      name: `tcp over tcp, ${length} B`,
      rules: TO_TCP,
      flow: tcp({}, payload(length)),
      carried: tcpCarrier(CARRIER, tcp({}, payload(length))),
    },
    {
      name: `udp over tcp, ${length} B`,
      rules: TO_TCP,
      flow: udp({}, payload(length)),
      carried: tcpCarrier(CARRIER, udp({}, payload(length))),
    },
    {
      name: `tcp over udp, ${length} B`,
      rules: TO_UDP,
      flow: tcp({}, payload(length)),
      carried: udpCarrier(CARRIER, tcp({}, payload(length))),
    },
    {
      name: `udp over udp, ${length} B`,
      rules: TO_UDP,
      flow: udp({}, payload(length)),
      carried: udpCarrier(CARRIER, udp({}, payload(length))),
    },
    {
      name: `udp without a checksum over tcp, ${length} B`,
      rules: TO_TCP,
      flow: udp({ checksum: "none" }, payload(length)),
      carried: tcpCarrier(CARRIER, udp({ checksum: "none" }, payload(length))),
    },
    {
      name: `udp without a checksum over udp, ${length} B`,
      rules: TO_UDP,
      flow: udp({ checksum: "none" }, payload(length)),
      carried: udpCarrier(CARRIER, udp({ checksum: "none" }, payload(length))),
    },
  ]),
  {
    name: "TCP options stay",
    rules: TO_TCP,
    flow: syn,
    carried: tcpCarrier(CARRIER, syn),
  },
  {
    name: "an inner TCP data offset is not looked at",
    rules: TO_TCP,
    flow: tcp({ dataOffset: 15 }),
    carried: tcpCarrier(CARRIER, tcp({ dataOffset: 15 })),
  },
  {
    name: "IP options stay",
    rules: TO_TCP,
    ip: { options: bytes("94040000 01010101") },
    flow: udp({}, payload(5)),
    carried: tcpCarrier(CARRIER, udp({}, payload(5))),
  },
  {
    name: "the longest IP header",
    rules: TO_UDP,
    ip: { options: bytes("01".repeat(40)) },
    flow: tcp({}, payload(5)),
    carried: udpCarrier(CARRIER, tcp({}, payload(5))),
  },
  {
    name: "TTL, TOS, id, DF and the reserved bit stay",
    rules: TO_TCP,
    ip: { ttl: 1, tos: 0xb8, id: 0xffff, df: true, reserved: true },
    flow: udp({}, payload(5)),
    carried: tcpCarrier(CARRIER, udp({}, payload(5))),
  },
  {
    name: "extreme addresses",
    rules: TO_TCP,
    ip: { src: "0.0.0.0", dst: "255.255.255.255" },
    flow: udp({}, payload(5)),
    carried: tcpCarrier(CARRIER, udp({}, payload(5))),
  },
  {
    name: "sport keep shows the flow's own",
    rules: "udp actions funnel tcp dport 80 sport keep",
    flow: udp({ sport: 50123 }, payload(5)),
    carried: tcpCarrier({ sport: 50123, dport: 80 }, udp({ sport: 50123 }, payload(5))),
  },
  {
    name: "the highest ports",
    rules: "udp actions funnel udp dport 65535 sport 65535",
    flow: udp({ sport: 65535, dport: 65535 }),
    carried: udpCarrier({ sport: 65535, dport: 65535 }, udp({ sport: 65535, dport: 65535 })),
  },
];

describe("funnel", () => {
  it.each(rows)("$name", ({ rules, ip = {}, flow, carried }) => {
    const expected = ipv4(ip, carried);
    const result = egress(rules, ipv4(ip, flow));
    expect(describeFrame(result.frame)).toBe(describeFrame(expected));
    expect(result.frame).toEqual(expected);
    expect(result).toMatchObject({ verdict: "pass", outcome: "funneled" });
  });

  it("leaves padding at the end, as it was", () => {
    const flow = udp({}, payload(3));
    const result = egress(TO_TCP, pad(ipv4({}, flow), 15, 0xa5));
    expect(result.frame).toEqual(pad(ipv4({}, tcpCarrier(CARRIER, flow)), 15, 0xa5));
  });

  it("gives one flow one port of a range, and takes the range's flows apart", () => {
    const rules = "udp actions funnel tcp dport 80 sport 540-549";
    const carrierPort = (sport: number, content: Uint8Array) => {
      const { frame } = egress(rules, ipv4({}, udp({ sport }, content)));
      const port = ((frame[34] ?? 0) << 8) | (frame[35] ?? 0);
      expect(frame).toEqual(
        ipv4({}, tcpCarrier({ sport: port, dport: 80 }, udp({ sport }, content))),
      );
      return port;
    };
    const ports = new Set<number>();
    for (let sport = 40000; sport < 40200; sport += 1) {
      const port = carrierPort(sport, payload(3));
      expect(carrierPort(sport, payload(100))).toBe(port);
      ports.add(port);
    }
    expect([...ports].sort()).toEqual([540, 541, 542, 543, 544, 545, 546, 547, 548, 549]);
  });
});

/**
 * Two bytes of payload that make the checksum at `at` of a frame zero: the checksum that it has
 * while they are zero.
 */
function solve(build: (content: Uint8Array) => Uint8Array, at: number): Uint8Array {
  return build(bytes(0, 0)).slice(at, at + 2);
}

describe("a TCP checksum that computes to zero", () => {
  it("stays zero in the flow's header", () => {
    const content = solve((two) => ipv4({ src: "0.0.0.0", dst: "0.0.0.0" }, tcp({}, two)), 50);
    const result = egress(TO_UDP, ipv4({}, tcp({}, content)));
    expect(result.frame.subarray(34 + 8 + 16, 34 + 8 + 18)).toEqual(bytes("0000"));
    expect(result.frame).toEqual(ipv4({}, udpCarrier(CARRIER, tcp({}, content))));
  });

  it("is no 'none' when it arrives so", () => {
    const content = solve((two) => ipv4({}, tcp({}, two)), 50);
    const frame = ipv4({}, tcp({}, content));
    expect(frame.subarray(50, 52)).toEqual(bytes("0000"));
    const result = egress(TO_TCP, frame);
    expect(result.frame).toEqual(ipv4({}, tcpCarrier(CARRIER, tcp({}, content))));
    expect(checksumsOf(result.frame, "tcp").inner).toBe("right");
  });

  it("stays zero in the carrier", () => {
    const flow = (two: Uint8Array) => udp({ checksum: "none" }, two);
    const content = solve((two) => ipv4({}, tcpCarrier(CARRIER, flow(two))), 50);
    const result = egress(TO_TCP, ipv4({}, flow(content)));
    expect(result.frame.subarray(50, 52)).toEqual(bytes("0000"));
    expect(checksumsOf(result.frame).outer).toBe("right");
  });
});

describe("a UDP checksum that computes to zero", () => {
  it("leaves as all ones in the flow's header", () => {
    const content = solve((two) => ipv4({ src: "0.0.0.0", dst: "0.0.0.0" }, udp({}, two)), 40);
    const frame = ipv4({}, udp({}, content));
    const result = egress(TO_TCP, frame);
    expect(result.frame.subarray(34 + 20 + 6, 34 + 20 + 8)).toEqual(bytes("ffff"));
    expect(result.frame).toEqual(ipv4({}, tcpCarrier(CARRIER, udp({}, content))));
    expect(checksumsOf(result.frame, "udp").inner).toBe("right");
  });

  it("arrives as all ones, and is no 'none'", () => {
    const content = solve((two) => ipv4({}, udp({}, two)), 40);
    const frame = ipv4({}, udp({}, content));
    expect(frame.subarray(40, 42)).toEqual(bytes("ffff"));
    const result = egress(TO_UDP, frame);
    expect(result.frame).toEqual(ipv4({}, udpCarrier(CARRIER, udp({}, content))));
    expect(checksumsOf(result.frame, "udp")).toEqual({
      ip: "right",
      outer: "right",
      inner: "right",
    });
  });

  it("leaves as all ones in the carrier", () => {
    const flow = (two: Uint8Array) => udp({ checksum: "none" }, two);
    const content = solve((two) => ipv4({}, udpCarrier(CARRIER, flow(two))), 40);
    const result = egress(TO_UDP, ipv4({}, flow(content)));
    expect(result.frame.subarray(40, 42)).toEqual(bytes("ffff"));
    expect(checksumsOf(result.frame, "udp")).toEqual({
      ip: "right",
      outer: "right",
      inner: "none",
    });
  });
});

describe("a wrong checksum stays wrong by the same amount", () => {
  const amounts = [1, 0x00ff, 0x8000, 0xfffe];
  const cases: readonly [string, string, (checksum: Checksum) => Layer, 6 | 16][] = [
    ["tcp over tcp", TO_TCP, (checksum) => tcp({ checksum }, payload(9)), 16],
    ["tcp over udp", TO_UDP, (checksum) => tcp({ checksum }, payload(9)), 16],
    ["udp over tcp", TO_TCP, (checksum) => udp({ checksum }, payload(9)), 6],
    ["udp over udp", TO_UDP, (checksum) => udp({ checksum }, payload(9)), 6],
  ];
  const carrierOf = (rules: string) => (rules === TO_TCP ? tcpCarrier : udpCarrier);

  it.each(cases.flatMap((row) => amounts.map((wrongBy) => [...row, wrongBy] as const)))(
    "%s by %i",
    (_, rules, flow, checksumOffset, wrongBy) => {
      const result = egress(rules, ipv4({}, flow({ wrongBy })));

      const wrong: Checksums = { ip: "right", outer: "wrong", inner: "wrong" };
      expect(checksumsOf(result.frame, checksumOffset === 6 ? "udp" : "tcp")).toEqual(wrong);

      // The flow's own field, wrong by as much; and so the carrier's, which trusts it. Its right
      // value is the one over a right flow: the carrier's sum does not depend on the flow's field.
      const expected = ipv4(
        {},
        carrierOf(rules)(
          { ...CARRIER, checksum: carrierField(rules, flow("right")) },
          flow({ wrongBy }),
        ),
      );
      expect(describeFrame(result.frame)).toBe(describeFrame(expected));
    },
  );

  /** The carrier's checksum over a right flow. */
  function carrierField(rules: string, flow: Layer): number {
    const frame = ipv4({}, carrierOf(rules)(CARRIER, flow));
    const at = rules === TO_TCP ? 34 + 16 : 34 + 6;
    return ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
  }

  it.each(amounts)("of IP by %i, the carrier's being right", (wrongBy) => {
    const ip: Ipv4Fields = { checksum: { wrongBy } };
    const flow = udp({}, payload(9));
    const result = egress(TO_TCP, ipv4(ip, flow));
    expect(result.frame).toEqual(ipv4(ip, tcpCarrier(CARRIER, flow)));
    expect(checksumsOf(result.frame, "udp")).toEqual({
      ip: "wrong",
      outer: "right",
      inner: "right",
    });
  });
});

describe("a packet that would be longer than any that goes in a carrier", () => {
  const ofLength = (length: number, options: Uint8Array = new Uint8Array()) =>
    ipv4({ options }, udp({}, payload(length - 28 - options.length)));
  const ofLength6 = (length: number) => ipv6({}, udp({}, payload(length - 48)));

  it.each([
    ["IPv4 over tcp", TO_TCP, ofLength, 20],
    ["IPv4 over udp", TO_UDP, ofLength, 8],
    ["IPv6 over tcp", TO_TCP, ofLength6, 20],
    ["IPv6 over udp", TO_UDP, ofLength6, 8],
  ])("is dropped, %s", (_, rules, build, size) => {
    const fits = egress(rules, build(16_000 - size));
    expect(fits).toMatchObject({ verdict: "pass", outcome: "funneled" });
    expect(fits.frame).toHaveLength(14 + 16_000);
    const { outer, inner } = checksumsOf(fits.frame, "udp");
    expect({ outer, inner }).toEqual({ outer: "right", inner: "right" });

    const result = egress(rules, build(16_001 - size));
    expect(result.verdict).toBe("drop");
    expect(result.outcome).toBe(build === ofLength ? "too_big" : "too_big_reported");
  });

  it("counts its IP options", () => {
    const options = bytes("01".repeat(40));
    expect(egress(TO_TCP, ofLength(15_980, options)).outcome).toBe("funneled");
    expect(egress(TO_TCP, ofLength(15_981, options)).outcome).toBe("too_big");
  });
});
