/** The order of decisions, and the manners of the function itself. */

import { describe, expect, it } from "vitest";
import { OptionError, SfunnelError } from "../../../lib/errors.ts";
import {
  type Outcome,
  type Ruleset,
  type SimulateOptions,
  simulate,
} from "../../../lib/model/index.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import type { Rule } from "../../../lib/rules/types.ts";
import {
  arp,
  bytes,
  ethernet,
  icmp,
  ipv4,
  ipv6,
  pad,
  patch,
  payload,
  raw,
  tcp,
  tcpCarrier,
  truncate,
  udp,
  vlan,
} from "../../support/packet.ts";

/** Rules that funnel whatever is TCP or UDP: what is left alone is left alone before them. */
const FUNNEL_ALL =
  "tcp actions funnel tcp dport 80 sport 540; udp actions funnel tcp dport 80 sport 540";
const EGRESS = { direction: "egress" } as const;

function egress(rules: string, frame: Uint8Array) {
  return simulate({ egress: parseRules(rules) }, frame, EGRESS);
}

describe("a packet that rules never see", () => {
  const datagram = ipv4({}, udp({}, payload(20)));
  const segment = ipv4({}, tcp({}, payload(20)));
  const withOptions = ipv4({ options: bytes("01010101 01010101") }, udp());

  it.each<[string, Outcome, Uint8Array]>([
    ["ARP", "not_ip", arp()],
    ["three VLAN tags", "not_ip", vlan(vlan(vlan(datagram)))],
    ["ARP in a VLAN", "not_ip", vlan(arp())],
    ["a VLAN tag without an end", "malformed", truncate(vlan(datagram), 17)],
    ["a second one without an end", "malformed", truncate(vlan(vlan(datagram)), 21)],
    ["an IP header cut short behind a VLAN tag", "malformed", truncate(vlan(datagram), 37)],
    ["an Ethernet header alone", "not_ip", ethernet({ etherType: 0x88cc }, bytes())],
    ["an 802.3 length", "not_ip", ethernet({ etherType: 46 }, payload(46))],

    ["IPv4 by name only", "malformed", ethernet({}, bytes())],
    ["an IP header cut short", "malformed", truncate(datagram, 33)],
    ["IP version 6", "malformed", ipv4({ version: 6 })],
    ["IP version 0", "malformed", ipv4({ version: 0 })],
    ["an IP header length of 4 words", "malformed", ipv4({ ihl: 4 })],
    ["an IP header longer than the frame", "malformed", truncate(withOptions, 41)],
    ["a total length below the IP header", "malformed", ipv4({ totalLength: 19 })],
    ["a total length within the options", "malformed", patch(withOptions, 16, 0, 27)],
    ["a total length beyond the frame", "malformed", truncate(datagram, datagram.length - 1)],
    ["a total length of zero", "malformed", ipv4({ totalLength: 0 })],
    // Before the protocol is looked at.
    ["ICMP with a header length of 4 words", "malformed", ipv4({ ihl: 4 }, icmp())],
    ["ICMP with a total length below its header", "malformed", ipv4({ totalLength: 19 }, icmp())],
    ["ICMP cut short", "malformed", truncate(ipv4({}, icmp()), 41)],
    ["a fragment with a header length of 4 words", "malformed", ipv4({ ihl: 4, mf: true })],
    ["a fragment cut short", "malformed", truncate(ipv4({ mf: true }), 41)],

    ["ICMP", "not_tcp_udp", ipv4({}, icmp())],
    ["SCTP", "not_tcp_udp", ipv4({}, raw(132, payload(20)))],
    ["a protocol without bytes", "not_tcp_udp", ipv4({}, raw(4))],
    ["a fragment of ICMP", "not_tcp_udp", ipv4({ mf: true }, icmp())],

    ["a first fragment", "fragment", ipv4({ mf: true }, udp({}, payload(20)))],
    ["a middle fragment", "fragment", ipv4({ mf: true, fragmentOffset: 185 }, udp())],
    ["a last fragment", "fragment", ipv4({ fragmentOffset: 1 }, tcp())],
    ["the highest offset", "fragment", ipv4({ fragmentOffset: 0x1fff }, tcp())],
    ["a fragment too short for its header", "fragment", ipv4({ mf: true }, raw(17, payload(1)))],

    ["TCP of 19 bytes", "malformed", ipv4({}, raw(6, payload(19)))],
    ["TCP of 19 bytes, padded", "malformed", pad(ipv4({}, raw(6, payload(19))), 20)],
    ["TCP of nothing", "malformed", ipv4({}, raw(6))],
    ["UDP of 7 bytes", "malformed", ipv4({}, raw(17, payload(7)))],
    ["a UDP length one less", "malformed", ipv4({}, udp({ length: 27 }, payload(20)))],
    ["a UDP length one more", "malformed", ipv4({}, udp({ length: 29 }, payload(20)))],
    ["a UDP length of zero", "malformed", ipv4({}, udp({ length: 0 }, payload(20)))],
    ["a UDP length that counts padding", "malformed", pad(ipv4({}, udp({ length: 12 })), 4)],
  ])("%s: %s", (_, outcome, frame) => {
    for (const rules of [FUNNEL_ALL, "tcp actions drop; udp actions drop"]) {
      expect(egress(rules, frame)).toEqual({ verdict: "pass", outcome, rule: undefined, frame });
    }
  });

  it.each<[string, Uint8Array]>([
    ["DF", ipv4({ df: true })],
    ["the reserved bit", ipv4({ reserved: true })],
    ["both", ipv4({ df: true, reserved: true })],
    ["padding", pad(datagram, 10)],
    ["a VLAN tag", vlan(datagram)],
    ["two of them", vlan(vlan(datagram, { priority: 7 }), { etherType: 0x88a8 })],
    ["IPv6", ipv6()],
    ["a wrong IP checksum", ipv4({ checksum: 0xdead })],
    ["TCP of 20 bytes", ipv4({}, tcp())],
    ["UDP of 8 bytes", ipv4({}, udp())],
    ["TCP with a data offset of 0", ipv4({}, tcp({ dataOffset: 0 }))],
    ["TCP with a payload", segment],
  ])("but %s keeps none from them", (_, frame) => {
    expect(egress(FUNNEL_ALL, frame)).toMatchObject({ verdict: "pass", outcome: "funneled" });
  });
});

describe("rules", () => {
  const frame = ipv4({}, udp({ dport: 2055 }, payload(20)));

  it.each([
    ["none", "", "pass", "no_match", undefined],
    ["none that matches", "tcp actions drop", "pass", "no_match", undefined],
    ["accept", "udp actions accept", "pass", "accepted", 0],
    ["drop", "udp actions drop", "drop", "dropped", 0],
    ["IPv6 only", "ip6 udp actions drop", "pass", "no_match", undefined],
    ["an IPv6 address", "ip6 saddr ::/0 udp actions drop", "pass", "no_match", undefined],
    [
      "an exception before a rule",
      "udp dport 2055 actions accept; udp actions drop",
      "pass",
      "accepted",
      0,
    ],
    [
      "an exception behind a rule",
      "udp actions drop; udp dport 2055 actions accept",
      "drop",
      "dropped",
      0,
    ],
    [
      "the third",
      "tcp actions drop; udp dport 1 actions drop; udp actions accept",
      "pass",
      "accepted",
      2,
    ],
  ] as const)("%s", (_, rules, verdict, outcome, rule) => {
    expect(egress(rules, frame)).toEqual({ verdict, outcome, rule, frame });
  });

  it("are those of the direction", () => {
    const ruleset: Ruleset = {
      ingress: parseRules("udp actions drop"),
      egress: parseRules("tcp actions drop; udp actions accept"),
    };
    expect(simulate(ruleset, frame, { direction: "ingress" })).toMatchObject({
      outcome: "dropped",
      rule: 0,
    });
    expect(simulate(ruleset, frame, { direction: "egress" })).toMatchObject({
      outcome: "accepted",
      rule: 1,
    });
    expect(simulate({}, frame, { direction: "egress" }).outcome).toBe("no_match");
  });

  it("funnel at ingress and unfunnel at egress just as well", () => {
    const carried = ipv4(
      {},
      tcpCarrier({ sport: 540, dport: 80 }, udp({ dport: 2055 }, payload(20))),
    );
    const ingress = simulate({ ingress: parseRules(FUNNEL_ALL) }, frame, { direction: "ingress" });
    expect(ingress).toEqual({ verdict: "pass", outcome: "funneled", rule: 1, frame: carried });
    const back = egress("tcp dport 80 actions unfunnel udp", carried);
    expect(back).toEqual({ verdict: "pass", outcome: "unfunneled", rule: 0, frame });
  });
});

describe("simulate", () => {
  const frame = ipv4({}, udp({}, payload(20)));
  const all = [FUNNEL_ALL, "udp actions drop", "udp actions accept", ""];

  it("never changes its input, nor gives it away", () => {
    for (const rules of all) {
      const input = new Uint8Array(frame);
      const result = egress(rules, input);
      result.frame.fill(0);
      expect(input).toEqual(frame);
    }
  });

  it("takes a Buffer, and a view into a larger one, and gives plain bytes", () => {
    for (const rules of all) {
      const around = Buffer.concat([payload(7), frame, payload(9)]);
      const result = egress(rules, around.subarray(7, 7 + frame.length));
      expect(result).toEqual(egress(rules, frame));
      expect(Object.getPrototypeOf(result.frame)).toBe(Uint8Array.prototype);
      result.frame.fill(0);
      expect(around).toEqual(Buffer.concat([payload(7), frame, payload(9)]));
    }
  });

  it("sees every change of a list that is not frozen", () => {
    const rules: Rule[] = [...parseRules("udp actions drop")];
    expect(simulate({ egress: rules }, frame, EGRESS).outcome).toBe("dropped");
    rules[0] = { match: { transport: "udp" }, action: { kind: "accept" } };
    expect(simulate({ egress: rules }, frame, EGRESS).outcome).toBe("accepted");
    const thawed = structuredClone(rules);
    Object.freeze(thawed);
    expect(simulate({ egress: thawed }, frame, EGRESS).outcome).toBe("accepted");
    Object.assign(thawed[0] ?? {}, { action: { kind: "drop" } });
    expect(simulate({ egress: thawed }, frame, EGRESS).outcome).toBe("dropped");
  });

  it.each([0, 1, 13])("refuses a frame of %i bytes", (length) => {
    const call = () => egress(FUNNEL_ALL, truncate(frame, length));
    expect(call).toThrow(SfunnelError);
    expect(call).toThrow(
      expect.objectContaining({
        code: "SFUNNEL_FRAME",
        operation: "simulate",
        message: `expected at least 14 bytes (an Ethernet header), got ${length}`,
      }),
    );
  });

  it.each([
    ["text", "0200"],
    ["an array", [2, 0]],
    ["nothing", undefined],
  ])("refuses %s as a frame", (_, value) => {
    expect(() => egress(FUNNEL_ALL, value as unknown as Uint8Array)).toThrow(
      expect.objectContaining({ code: "SFUNNEL_FRAME" }),
    );
  });

  it.each([{}, { direction: "both" }, { direction: undefined }, { direction: null }])(
    "refuses the options %j",
    (options) => {
      const call = () => simulate({}, frame, options as unknown as SimulateOptions);
      expect(call).toThrow(OptionError);
      expect(call).toThrow(
        expect.objectContaining({ code: "SFUNNEL_OPTION", option: "direction" }),
      );
      expect(call).toThrow(/"ingress" or "egress"/);
    },
  );

  it("names a misspelt option, and the right one", () => {
    const options = { directon: "egress" } as unknown as SimulateOptions;
    const call = () => simulate({}, frame, options);
    expect(call).toThrow(expect.objectContaining({ code: "SFUNNEL_OPTION", option: "directon" }));
    expect(call).toThrow(/did you mean "direction"/);
  });

  it.each<[string, unknown, string]>([
    ["a misspelt direction", { ingres: [] }, "SFUNNEL_OPTION"],
    ["nothing", undefined, "SFUNNEL_OPTION"],
    ["rules as text", { egress: "udp actions drop" }, "SFUNNEL_RULE"],
    ["rules that mean nothing", { egress: [{ match: {}, action: {} }] }, "SFUNNEL_RULE"],
    ["such rules for the other direction", { ingress: [{}] }, "SFUNNEL_RULE"],
  ])("refuses %s as a ruleset", (_, ruleset, code) => {
    expect(() => simulate(ruleset as Ruleset, frame, EGRESS)).toThrow(
      expect.objectContaining({ code }),
    );
  });
});
