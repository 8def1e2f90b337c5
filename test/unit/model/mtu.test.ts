/** What is too big for its carrier, apart from the frames in test/datapath/icmp.test.ts. */

import { describe, expect, it } from "vitest";
import { OptionError } from "../../../lib/errors.ts";
import { type SimulateOptions, Simulator, simulate } from "../../../lib/model/index.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import {
  hex,
  icmpError,
  ipv4,
  payload,
  quote,
  tcpCarrier,
  udp,
  udpCarrier,
} from "../../support/packet.ts";
import { replyTo } from "../../support/reply.ts";

const TO_TCP = parseRules("udp dport 2055 actions funnel tcp dport 179 sport 540");
const TO_UDP = parseRules("udp dport 2055 actions funnel udp dport 179 sport 540");
/** A packet of so many bytes. */
const packet = (length: number, df = true) => ipv4({ df }, udp({}, payload(length - 28)));

describe("a packet that is too big", () => {
  it("is answered by bytes that were worked out by hand", () => {
    const frame = ipv4({ df: true, srcMac: "02:00:00:00:00:0a" }, udp({}, payload(60)));
    const {
      verdict,
      outcome,
      frame: error,
    } = simulate({ egress: TO_TCP }, frame, {
      direction: "egress",
      mtu: 107,
    });
    expect({ verdict, outcome }).toEqual({ verdict: "drop", outcome: "too_big_reported" });
    // 20 + 8 + 20 + 64 bytes are 112; 107 - 20 is 87.
    expect(hex(error.subarray(0, 24))).toBe(
      "02000000000a 020000000002 0800 4500 0070 0000 0000 4001".replaceAll(" ", ""),
    );
    expect(hex(error.subarray(26, 34))).toBe("c6336407c0000201");
    expect(hex(error.subarray(34, 36))).toBe("0304");
    expect(hex(error.subarray(38, 42))).toBe("00000057");
    expect(error.subarray(42)).toEqual(frame.subarray(14, 14 + 20 + 64));
  });

  it.each([
    ["tcp", TO_TCP, 20],
    ["udp", TO_UDP, 8],
  ] as const)("for any carrier is told so, over %s", (_, egress, size) => {
    for (const mtu of [16_000, 16_001, 65_536, 1_000_000]) {
      const run = (length: number) =>
        simulate({ egress }, packet(length), { direction: "egress", mtu });
      expect(run(16_000 - size).outcome).toBe("funneled");
      const { outcome, frame } = run(16_001 - size);
      expect(outcome).toBe("too_big_reported");
      expect((frame[40] ?? 0) * 256 + (frame[41] ?? 0)).toBe(16_000 - size);
    }
  });

  it("for any carrier is too big at ingress too, where nobody is told", () => {
    const run = (length: number) =>
      simulate({ ingress: TO_TCP }, packet(length), { direction: "ingress", mtu: 68 });
    expect(run(15_980).outcome).toBe("funneled");
    expect(run(15_981)).toMatchObject({ verdict: "drop", outcome: "too_big" });
  });

  it("leaves whole where nothing is to be pushed", () => {
    const frame = packet(1400);
    for (const rules of ["", "udp actions accept"]) {
      const run = simulate({ egress: parseRules(rules) }, frame, { direction: "egress", mtu: 68 });
      expect(run).toMatchObject({ verdict: "pass", frame });
    }
    const carried = ipv4({}, udpCarrier({ sport: 540, dport: 179 }, udp({}, payload(1400))));
    const unfunnel = { egress: parseRules("udp dport 179 actions unfunnel udp") };
    expect(simulate(unfunnel, carried, { direction: "egress", mtu: 68 }).outcome).toBe(
      "unfunneled",
    );
  });

  it("is not remembered", () => {
    const simulator = new Simulator({ egress: TO_TCP });
    const answer = replyTo(ipv4({}, tcpCarrier({ sport: 540, dport: 179 }, udp({}, payload(10)))));
    const run = (df: boolean, mtu: number) =>
      simulator.run(packet(100, df), { direction: "egress", mtu }).outcome;
    const answered = () => simulator.run(answer, { direction: "ingress" }).outcome;
    expect(run(true, 119)).toBe("too_big_reported");
    expect(answered()).toBe("no_match");
    expect(run(false, 119)).toBe("too_big");
    expect(answered()).toBe("no_match");
    expect(run(true, 120)).toBe("funneled");
    expect(answered()).toBe("reply_unfunneled");
  });

  it("is quoted with the port that the pod sees", () => {
    const simulator = new Simulator({ ingress: parseRules("tcp dport 179 actions unfunnel udp") });
    const arrive = (sport: number) =>
      simulator.run(ipv4({}, tcpCarrier({ sport, dport: 179 }, udp({}, payload(900)))), {
        direction: "ingress",
      }).frame;
    const first = replyTo(arrive(540));
    const second = replyTo(arrive(541));
    expect(second).not.toEqual(first);
    for (const frame of [first, second]) {
      frame[20] = 0x40;
      const { outcome, frame: error } = simulator.run(frame, { direction: "egress", mtu: 900 });
      expect(outcome).toBe("too_big_reported");
      const told = ipv4({ id: 0 }, icmpError({ mtu: 880 }, quote(frame, 64)));
      expect(error.subarray(34)).toEqual(told.subarray(34));
    }
  });
});

describe("the option", () => {
  const run = (mtu: unknown) =>
    simulate({}, packet(100), { direction: "egress", mtu } as SimulateOptions);

  it.each([0, -1, 67, 1500.5, Number.NaN, Number.POSITIVE_INFINITY, "1500", null, 2 ** 53])(
    "is no %j",
    (mtu) => {
      const call = () => run(mtu);
      expect(call).toThrow(OptionError);
      expect(call).toThrow(expect.objectContaining({ code: "SFUNNEL_OPTION", option: "mtu" }));
      expect(call).toThrow(/a whole number from 68/);
    },
  );

  it.each([68, 1500, 65_536, 1_000_000, undefined])("may be %j", (mtu) => {
    expect(run(mtu).outcome).toBe("no_match");
  });
});
