/**
 * A replace whose calls fail, each of them once, wholly or half-way: the old rules stay in force with their
 * counters, nothing is left behind, and the next replace works.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FunnelRuleset } from "../../lib/index.ts";
import { openDescriptors, skipReason, titled } from "../support/native.ts";
import { FLAG, ipv4, payload, tcp, tcpCarrier, udp } from "../support/packet.ts";
import { Ruled, type Sent } from "../support/ruled.ts";
import { markFor } from "../support/translated.ts";

/** A rule of all rulesets: its counter goes on, come what may. */
const STAYS = "udp dport 6343 actions accept";

const OLD: FunnelRuleset = {
  egress: `${STAYS}
    udp dport 2055 actions funnel tcp dport 179 sport 540
    ip saddr { 10.0.0.0/8, 192.0.2.0/24 } udp dport { 53, 4739 } actions drop
    tcp dport 8080 actions funnel translate tcp dport 80`,
  ingress: `tcp dport 179 actions unfunnel udp allow { 2055, 4739 }
    tcp dport 80 actions unfunnel translate tcp allow 8080
    ${STAYS}`,
};

/** New rules, with sets and translated ports that no other number has. */
function fresh(number: number): FunnelRuleset {
  return {
    egress: `udp dport 2055 actions drop
      ip saddr { 10.${number}.0.0/16, 192.0.2.0/25 } udp dport { 53, ${5000 + 2 * number} } actions accept
      tcp dport ${20_000 + 64 * number} actions funnel translate tcp dport ${20_001 + 64 * number}
      ${STAYS}`,
    ingress: `tcp dport 179 actions unfunnel udp allow { 4739, ${5000 + 2 * number} }
      ${STAYS}
      tcp dport ${20_001 + 64 * number} actions unfunnel translate tcp allow ${20_000 + 64 * number}`,
  };
}

/** Frames that meet other rules, and other members of sets, under each of these rulesets. */
function frames(...numbers: readonly number[]): Sent[] {
  const out = (frame: Uint8Array): Sent => ({ direction: "egress", frame });
  const back = (frame: Uint8Array): Sent => ({ direction: "ingress", frame });
  const datagram = (src: string, dport: number) => out(ipv4({ src }, udp({ dport }, payload(20))));
  const carrier = (dport: number) =>
    back(ipv4({}, tcpCarrier({ sport: 540, dport: 179 }, udp({ dport }, payload(20)))));
  const syn = (sport: number, dport: number) =>
    out(ipv4({}, tcp({ sport, dport, flags: FLAG.syn, ack: 0 })));
  const marked = (sport: number, dport: number, port: number) =>
    back(ipv4({}, tcp({ sport, dport, flags: FLAG.syn, ...markFor(port) })));
  return [
    datagram("198.51.100.1", 2055),
    datagram("198.51.100.1", 6343),
    datagram("192.0.2.200", 53),
    carrier(2055),
    carrier(4739),
    syn(1000, 8080),
    marked(1001, 80, 8080),
    ...numbers.flatMap((number) => [
      datagram(`10.${number}.0.1`, 53),
      datagram("192.0.2.1", 5000 + 2 * number),
      carrier(5000 + 2 * number),
      syn(2000 + number, 20_000 + 64 * number),
      marked(3000 + number, 20_001 + 64 * number, 20_000 + 64 * number),
    ]),
  ];
}

describe.skipIf(skipReason)(titled("a replace that fails"), () => {
  let ruled: Ruled;
  let nothing: readonly string[];
  beforeEach(async () => {
    nothing = openDescriptors();
    ruled = await Ruled.load();
    await ruled.replace(OLD);
  });
  afterEach(async () => {
    await ruled?.close();
    expect(openDescriptors()).toEqual(nothing);
  });

  /** Whatever is in force works, and nothing is left of what is not. */
  async function expectAllIsWell(...numbers: readonly number[]) {
    const outcomes = await ruled.send(frames(...numbers));
    await ruled.expectCounters();
    return outcomes;
  }

  const CALLS = [
    { call: "makeArray", map: "", failures: { old: 5, new: 1 } },
    { call: "write", map: "", failures: { old: 5, new: 1 } },
    { call: "write", map: "rule_counters", failures: { old: 1, new: 0 } },
    { call: "place", map: undefined, failures: { old: 3, new: 1 } },
    { call: "update", map: undefined, failures: { old: 4, new: 0 } },
    { call: "remove", map: undefined, failures: { old: 0, new: 1 } },
  ] as const;
  const WAYS = CALLS.flatMap((way) => {
    const title = way.map ? `${way.call} of ${way.map}` : way.call;
    return [
      { ...way, title, halfWay: false },
      // An array is there, or it is not.
      ...(way.call === "makeArray" ? [] : [{ ...way, title: `${title}, half-way`, halfWay: true }]),
    ];
  });

  it.each(WAYS)(
    "at any $call $map, half-way: $halfWay",
    async ({ call, map, halfWay, failures }) => {
      const ends = { old: 0, new: 0 };
      for (let nth = 1; ; nth++) {
        const [one, other] = [2 * nth, 2 * nth + 1];
        const before = await expectAllIsWell(one, other);
        const open = openDescriptors();
        const end = await ruled.fail(fresh(one), { call, map, nth, halfWay });
        if (end === undefined) break;
        ends[end]++;
        const after = await expectAllIsWell(one, other);
        // What a connection is by now, a frame more or less says.
        expect(before.every((outcome, index) => outcome === after[index])).toBe(end === "old");
        expect(openDescriptors()).toEqual(open);
        // Other rules with other sets, and then the ones that have failed.
        await ruled.replace(fresh(other));
        await expectAllIsWell(one, other);
        await ruled.replace(fresh(one));
        await expectAllIsWell(one, other);
        await ruled.replace(OLD);
      }
      expect(ends.old).toBeGreaterThanOrEqual(failures.old);
      expect(ends.new).toBeGreaterThanOrEqual(failures.new);
    },
  );

  it("and whose sets cannot be taken back: they are in nobody's way", async () => {
    const end = await ruled.fail(
      fresh(2),
      { call: "update", map: "control", nth: 2 },
      { call: "remove", map: "sets", nth: 1 },
    );
    expect(end).toBe("old");
    await expectAllIsWell(2, 3);
    await ruled.replace(fresh(3));
    await expectAllIsWell(2, 3);
  });

  it("when the one before could not wait for the last packets: it waits before anything else", async () => {
    const grace = { call: "place", map: "rulesets", nth: 2 } as const;
    expect(await ruled.fail(fresh(2), grace)).toBe("new");
    await expectAllIsWell(2, 3);
    expect(await ruled.fail(fresh(3), { ...grace, nth: 1 })).toBe("old");
    expect(
      ruled.failing.made.filter(({ call }) => call !== "makeArray" && call !== "write"),
    ).toEqual([{ call: "place", map: "rulesets" }]);
    await expectAllIsWell(2, 3);
    await ruled.replace(fresh(3));
    await expectAllIsWell(2, 3);
  });

  it("again and again at the last step: counters are given back all the same", async () => {
    const many = (round: number): FunnelRuleset => ({
      egress: Array.from(
        { length: 400 },
        (_, index) => `udp sport ${1 + round} dport ${10_000 + index} actions drop`,
      ).join("\n"),
    });
    for (let round = 0; round < 6; round++) {
      const open = openDescriptors();
      const grace = { call: "place", map: "rulesets", nth: round === 0 ? 2 : 3 } as const;
      expect(await ruled.fail(many(round), grace)).toBe("new");
      await ruled.expectCounters();
      // A page of 1,024 has room for the old ones and the new ones.
      expect(openDescriptors()).toEqual(open);
    }
  });
});

describe.skipIf(skipReason)(titled("a replace that fails for want of counters"), () => {
  const FIRST = 3000;
  const many: FunnelRuleset = {
    ...OLD,
    egress: [
      OLD.egress,
      ...Array.from({ length: FIRST }, (_, index) => `udp dport ${10_000 + index} actions drop`),
    ].join("\n"),
  };
  const deep = [0, 1, 1023, 1024, 2047, 2048, FIRST - 1].map(
    (index): Sent => ({ direction: "egress", frame: ipv4({}, udp({ dport: 10_000 + index })) }),
  );

  it.each([
    { title: "at the first page", call: "makeArray", nth: 1 },
    { title: "at the second page", call: "makeArray", nth: 2 },
    { title: "when they take their places", call: "place", nth: 1 },
    { title: "when some have taken their places", call: "place", nth: 1, halfWay: true },
  ] as const)("$title", async ({ title: _, ...injection }) => {
    const nothing = openDescriptors();
    const ruled = await Ruled.load();
    try {
      await ruled.replace(OLD);
      await ruled.send(frames());
      const open = openDescriptors();
      for (let time = 0; time < 2; time++) {
        const end = await ruled.fail(many, { ...injection, map: "rule_counters" });
        expect(end).toBe("old");
        expect(openDescriptors()).toEqual(open);
        expect(await ruled.send(deep)).toEqual(deep.map(() => "no_match"));
        await ruled.send(frames());
        await ruled.expectCounters();
      }
      await ruled.replace(many);
      expect(await ruled.send(deep)).toEqual(deep.map(() => "dropped"));
      await ruled.send(frames());
      await ruled.expectCounters();
    } finally {
      await ruled.close();
    }
    expect(openDescriptors()).toEqual(nothing);
  });
});
