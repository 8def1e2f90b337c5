/** The source port that a carrier shows: fixed, the flow's own, or spread over a range. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { simulate } from "../../lib/model/index.ts";
import { parseRules } from "../../lib/rules/index.ts";
import type { Transport } from "../../lib/rules/types.ts";
import { hex, ipv4, payload, tcpCarrier, udp, udpCarrier } from "../support/packet.ts";
import { type Row, table } from "../support/table.ts";

table(
  "sport of a rule",
  (["tcp", "udp"] as const).flatMap((over: Transport) =>
    (
      [
        ["1", 40000, 1],
        ["65535", 40000, 65535],
        ["keep", 1, 1],
        ["keep", 40000, 40000],
        ["keep", 65535, 65535],
        ["keep", 0, 0],
        // A range of one port is that port.
        ["600-600", 40000, 600],
      ] as const
    ).map(([sport, own, shown]): Row => {
      const flow = udp({ sport: own }, payload(11));
      return {
        name: `${sport} over ${over}, of a flow from ${own}`,
        rules: `udp dport 2055 actions funnel ${over} dport 179 sport ${sport}`,
        direction: "egress",
        frame: ipv4({}, flow),
        outcome: "funneled",
        out: ipv4(
          {},
          (over === "tcp" ? tcpCarrier : udpCarrier)({ sport: shown, dport: 179 }, flow),
        ),
        inner: "udp",
      };
    }),
  ),
);

describe("sport 540-549", () => {
  const egress = parseRules("udp dport 2055 actions funnel tcp dport 179 sport 540-549");
  let funnel: Funnel;
  beforeAll(async () => {
    funnel = await Funnel.load({ egress });
  });
  afterAll(() => funnel?.close());

  /** The port in the kernel's frame, all else of which is as it must be. */
  async function shown(fields: { src?: string; dst?: string; sport?: number; length?: number }) {
    const { src = "10.0.0.1", dst = "10.0.0.2", sport = 40000, length = 5 } = fields;
    const flow = udp({ sport }, payload(length));
    const frame = ipv4({ src, dst }, flow);
    const result = await funnel.testRun(frame, { direction: "egress" });
    const port = ((result.frame[34] ?? 0) << 8) | (result.frame[35] ?? 0);
    expect(hex(result.frame)).toBe(
      hex(ipv4({ src, dst }, tcpCarrier({ sport: port, dport: 179 }, flow))),
    );
    expect(hex(simulate({ egress }, frame, { direction: "egress" }).frame)).toBe(hex(result.frame));
    return port;
  }

  it("is the same for all packets of a flow", async () => {
    const ports = new Set<number>();
    for (let length = 0; length < 50; length++) ports.add(await shown({ length }));
    expect(ports.size).toBe(1);
  });

  it("is inside the range, and every port of it has its share of the flows", async () => {
    const flows = new Map<number, number>();
    for (let sport = 40000; sport < 41000; sport++) {
      const port = await shown({ sport });
      flows.set(port, (flows.get(port) ?? 0) + 1);
    }
    expect([...flows.keys()].sort()).toEqual([540, 541, 542, 543, 544, 545, 546, 547, 548, 549]);
    // 100 each on average, with a deviation of 9.5: these are fixed numbers, not a lottery.
    for (const [port, count] of flows) {
      expect(count, `flows on ${port}`).toBeGreaterThan(60);
      expect(count, `flows on ${port}`).toBeLessThan(140);
    }
  });

  it("depends on either address", async () => {
    const last = Array.from({ length: 64 }, (_, index) => index + 1);
    const bySource = new Set<number>();
    const byDestination = new Set<number>();
    for (const index of last) {
      bySource.add(await shown({ src: `10.9.0.${index}` }));
      byDestination.add(await shown({ dst: `10.9.0.${index}` }));
    }
    expect(bySource.size).toBeGreaterThan(5);
    expect(byDestination.size).toBeGreaterThan(5);
  });
});
