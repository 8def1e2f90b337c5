/** ICMP errors about any flow at all: there, to where it is funneled, and back. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Simulator, simulate } from "../../../lib/model/index.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import type { Transport } from "../../../lib/rules/types.ts";
import {
  arbitraryAddress,
  arbitraryFamily,
  arbitraryFlowLayer,
  arbitraryPort,
} from "../../support/arbitrary-frames.ts";
import {
  bytes,
  checksumsOf,
  icmpError,
  ipv4,
  ipv6,
  payload,
  quote,
  tcpCarrier,
  udp,
} from "../../support/packet.ts";

/** So large that what we send at the most is all that bounds an MSS. */
const MTU = 100_000;
const SIZE = { tcp: 20, udp: 8 } as const;

const arbitraryScene = arbitraryFamily
  .chain((family) =>
    fc.record({
      family: fc.constant(family),
      src: arbitraryAddress(family),
      dst: arbitraryAddress(family),
      router: arbitraryAddress(family),
      flow: arbitraryFlowLayer,
      over: fc.constantFrom<Transport>("tcp", "udp"),
      sport: arbitraryPort,
      dport: arbitraryPort,
      quoted: fc.oneof(fc.integer({ min: 8, max: 40 }), fc.integer({ min: 8, max: 200 })),
      mtu: fc.integer({ min: family === "ip" ? 68 : 1280, max: 65_000 }),
    }),
  )
  // Half a checksum is left as it is, which no builder makes.
  .filter(({ quoted, flow }) => flow.transport === "udp" || quoted !== 17);

describe("an error about a funneled packet", () => {
  it("is one about the packet where it was funneled, and one about its carrier on the way", () => {
    fc.assert(
      fc.property(arbitraryScene, (scene) => {
        const { family, src, dst, router, flow, over, sport, dport, quoted, mtu } = scene;
        const size = SIZE[over];
        const build = family === "ip" ? ipv4 : ipv6;
        const packet = build({ src, dst }, flow.layer);
        const client = new Simulator({
          egress: parseRules(
            `${flow.transport} actions funnel ${over} dport ${dport} sport ${sport}`,
          ),
        });
        const pod = new Simulator({
          ingress: parseRules(`${over} dport ${dport} actions unfunnel ${flow.transport}`),
        });
        const { frame: pushed } = client.run(packet, { direction: "egress", mtu: MTU });
        const popped = pod.run(pushed, { direction: "ingress", mtu: MTU });
        expect(popped.outcome).toBe("unfunneled");
        // With a lower MSS it is another packet on the way; test/unit/model/mss.test.ts looks at those.
        fc.pre(Buffer.compare(popped.frame, packet) === 0);

        const about = (frame: Uint8Array, length: number, told: number) =>
          build({ src: router, dst: src }, icmpError({ mtu: told }, quote(frame, length)));
        const onTheWay = about(pushed, size + quoted, mtu + size);
        const own = about(packet, quoted, mtu);

        const unfunneled = client.run(onTheWay, { direction: "ingress" });
        expect(unfunneled).toMatchObject({ verdict: "pass", outcome: "error_unfunneled" });
        expect(unfunneled.frame).toEqual(own);

        const funneled = pod.run(own, { direction: "egress" });
        expect(funneled).toMatchObject({ verdict: "pass", outcome: "error_funneled" });
        // A carrier over nothing to rely on is taken to carry a right checksum.
        if (checksumsOf(packet).outer !== "none") expect(funneled.frame).toEqual(onTheWay);
        else expect(funneled.frame).toHaveLength(onTheWay.length);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("an error", () => {
  const rules = {
    ingress: parseRules("tcp dport 179 actions unfunnel udp"),
    egress: parseRules("tcp dport 179 actions unfunnel udp"),
  };
  const flow = (length: number) => udp({ dport: 2055 }, payload(length));
  const carried = (length: number) =>
    ipv4({}, tcpCarrier({ sport: 540, dport: 179 }, flow(length)));

  it("means nothing to who remembers nothing", () => {
    const frame = ipv4({}, icmpError({}, quote(ipv4({}, flow(40)))));
    expect(simulate(rules, frame, { direction: "egress" })).toEqual({
      verdict: "pass",
      outcome: "not_tcp_udp",
      rule: undefined,
      frame,
    });
  });

  it("is asked of no rule, and outlives those that funneled the flow", () => {
    const simulator = new Simulator({ ingress: rules.ingress });
    simulator.run(carried(40), { direction: "ingress" });
    simulator.replace({ egress: parseRules("tcp actions drop; udp actions drop") });
    const frame = ipv4({}, icmpError({ mtu: 1400 }, quote(ipv4({}, flow(40)))));
    const run = () => simulator.run(frame, { direction: "egress" });
    expect(run()).toMatchObject({ outcome: "error_funneled", rule: undefined });
    // It changes nothing that is remembered.
    expect(run()).toEqual(run());
  });

  it("goes as it is once the flow comes without its carrier", () => {
    const simulator = new Simulator({ ingress: rules.ingress });
    const frame = ipv4({}, icmpError({ mtu: 1400 }, quote(ipv4({}, flow(40)))));
    const run = () => simulator.run(frame, { direction: "egress" }).outcome;
    simulator.run(carried(40), { direction: "ingress" });
    expect(run()).toBe("error_funneled");
    simulator.run(ipv4({}, flow(40)), { direction: "ingress" });
    expect(run()).toBe("not_tcp_udp");
  });

  it("grows no larger than a packet can be", () => {
    const simulator = new Simulator({ ingress: rules.ingress });
    simulator.run(carried(40), { direction: "ingress" });
    const run = (quoted: Uint8Array) =>
      simulator.run(ipv4({}, icmpError({ mtu: 1400 }, quoted)), { direction: "egress" }).outcome;
    // 20 bytes of IP, 8 of ICMP, and the quote: its own length matters as much as what it says.
    const long = ipv4({}, flow(65_535 - 28 - 20));
    expect(run(quote(long, 65_535 - 28 - 20 - 20))).toBe("error_funneled");
    expect(run(quote(long, 65_535 - 28 - 20 - 19))).toBe("not_tcp_udp");
    expect(run(quote(long, 8))).toBe("error_funneled");
    expect(run(quote(ipv4({}, flow(65_535 - 28 - 19)), 8))).toBe("not_tcp_udp");
  });

  it("tells no length of its quote that cannot be (RFC 4884)", () => {
    const client = new Simulator({
      egress: parseRules("udp actions funnel tcp dport 179 sport 540"),
    });
    const pod = new Simulator({ ingress: rules.ingress });
    client.run(ipv4({}, flow(40)), { direction: "egress" });
    pod.run(carried(40), { direction: "ingress" });
    const lengthAfter = (words: number, simulator: Simulator, frame: Uint8Array) => {
      const direction = simulator === pod ? "egress" : "ingress";
      const error = ipv4({}, icmpError({ mtu: 1400, unused: words }, quote(frame)));
      return simulator.run(error, { direction }).frame[14 + 20 + 5];
    };
    const own = ipv4({}, flow(40));
    for (const [came, leaves] of [
      [0, 0],
      [1, 6],
      [250, 255],
      [251, 251],
      [255, 255],
    ] as const) {
      expect(lengthAfter(came, pod, own)).toBe(leaves);
    }
    for (const [came, leaves] of [
      [0, 0],
      [1, 1],
      [5, 5],
      [6, 1],
      [255, 250],
    ] as const) {
      expect(lengthAfter(came, client, carried(40))).toBe(leaves);
    }
  });

  it("never gives its input away", () => {
    const simulator = new Simulator({ ingress: rules.ingress });
    simulator.run(carried(40), { direction: "ingress" });
    const frame = ipv4({}, icmpError({ mtu: 1400 }, quote(ipv4({}, flow(40)))));
    const copy = new Uint8Array(frame);
    for (const direction of ["egress", "ingress"] as const) {
      simulator.run(frame, { direction }).frame.fill(0);
      expect(frame).toEqual(copy);
    }
    expect(frame).not.toEqual(bytes());
  });
});
