/** Sets of many ports and prefixes: members in, neighbours out, in matches and in `allow`. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel, limits, type Rule, tcp as tcpRule, udp as udpRule } from "../../lib/index.ts";
import { simulate } from "../../lib/model/index.ts";
import { binding } from "../../lib/native/binding.ts";
import type { Direction } from "../../lib/rules/types.ts";
import { RuleTables } from "../../lib/runtime/tables.ts";
import { must } from "../support/native.ts";
import { ipv4, tcpCarrier, udp } from "../support/packet.ts";

let funnel: Funnel;
beforeAll(async () => {
  funnel = await Funnel.load({});
});
afterAll(() => funnel?.close());

/** Outcome of a frame, which model and kernel must agree on. */
async function outcome(rules: readonly Rule[], frame: Uint8Array, direction: Direction) {
  const expected = simulate({ [direction]: rules }, frame, { direction });
  const { outcome, rule, verdict } = await funnel.testRun(frame, { direction });
  expect({ outcome, rule, verdict }).toEqual({
    outcome: expected.outcome,
    rule: expected.rule,
    verdict: expected.verdict,
  });
  return outcome;
}

/** Every third one, so that no two can be joined to a range. */
const PORTS = Array.from({ length: 4000 }, (_, index) => 1 + index * 3);

describe("4000 ports", () => {
  it("in dport", async () => {
    const rules = [udpRule({ dport: PORTS }).drop()];
    await funnel.replace({ egress: rules });
    for (const port of PORTS.filter((_, index) => index % 97 === 0 || index > 3990)) {
      for (const [dport, expected] of [
        [port - 1, "no_match"],
        [port, "dropped"],
        [port + 1, "no_match"],
      ] as const) {
        expect(await outcome(rules, ipv4({}, udp({ dport })), "egress")).toBe(expected);
      }
    }
  });

  it("in a negated sport", async () => {
    const rules = [udpRule({ sport: { not: PORTS } }).drop()];
    await funnel.replace({ egress: rules });
    for (const port of [1, 4, 2998, 11998]) {
      expect(await outcome(rules, ipv4({}, udp({ sport: port })), "egress")).toBe("no_match");
      expect(await outcome(rules, ipv4({}, udp({ sport: port + 1 })), "egress")).toBe("dropped");
    }
  });

  it("in allow", async () => {
    const rules = [tcpRule({ dport: 179 }).unfunnel({ inner: "udp", allow: PORTS })];
    await funnel.replace({ ingress: rules });
    const carried = (dport: number) =>
      ipv4({}, tcpCarrier({ sport: 540, dport: 179 }, udp({ dport })));
    for (const port of [1, 4, 2998, 11998]) {
      expect(await outcome(rules, carried(port), "ingress")).toBe("unfunneled");
      expect(await outcome(rules, carried(port + 1), "ingress")).toBe("not_allowed");
    }
  });
});

/** A rule has room for a few ranges; from one more on they are a set. */
describe("around the ranges that a rule holds itself", () => {
  const counts = [1, 2, 3, 4, 5];
  const rangesOf = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      first: 100 * index + 50,
      last: 100 * index + 60,
    }));
  const textsOf = (count: number) => rangesOf(count).map(({ first, last }) => `${first}-${last}`);
  const cases = counts.flatMap((count) =>
    (["sport", "dport", "port"] as const).flatMap((field) =>
      [false, true].map((negate) => ({ count, field, negate })),
    ),
  );
  /** Of a client of its own each, so that one replace does for all. */
  const host = (index: number) => `10.0.${index}.1`;

  it("in sport, dport and port, and negated", async () => {
    const rules = cases.map(({ count, field, negate }, index) => {
      const ports = textsOf(count);
      return udpRule({ saddr: host(index), [field]: negate ? { not: ports } : ports }).drop();
    });
    await funnel.replace({ egress: rules });
    const met = new Set<string>();
    for (const [index, { count }] of cases.entries()) {
      const edges = rangesOf(count + 1).flatMap(({ first, last }) => [
        first - 1,
        first,
        last,
        last + 1,
      ]);
      for (const port of edges) {
        for (const ports of [
          { sport: port, dport: 9 },
          { sport: 9, dport: port },
        ]) {
          const frame = ipv4({ src: host(index) }, udp(ports));
          met.add(`${index} ${await outcome(rules, frame, "egress")}`);
        }
      }
    }
    // Each of them matched something, and something not.
    expect(met.size).toBe(2 * cases.length);
  });

  it.each(counts)("in allow: %i", async (count) => {
    const rules = [tcpRule({ dport: 179 }).unfunnel({ inner: "udp", allow: textsOf(count) })];
    await funnel.replace({ ingress: rules });
    for (const [index, { first, last }] of rangesOf(count + 1).entries()) {
      for (const dport of [first - 1, first, last, last + 1]) {
        const frame = ipv4({}, tcpCarrier({ sport: 540, dport: 179 }, udp({ dport })));
        const isIn = index < count && dport >= first && dport <= last;
        expect(await outcome(rules, frame, "ingress")).toBe(isIn ? "unfunneled" : "not_allowed");
      }
    }
  });
});

describe("3000 prefixes", () => {
  // 10.x.y.0/26 and 10.x.y.128/32, with room between them.
  const prefixes = Array.from({ length: 3000 }, (_, index) => {
    const network = `10.${index >> 8}.${index & 255}`;
    return index % 2 === 0 ? `${network}.0/26` : `${network}.128`;
  });

  it.each(["saddr", "daddr"] as const)("in %s", async (side) => {
    const rules = [udpRule({ [side]: prefixes }).drop()];
    await funnel.replace({ egress: rules });
    const address = side === "saddr" ? "src" : "dst";
    for (const [text, expected] of [
      ["10.0.0.0", "dropped"],
      ["10.0.0.63", "dropped"],
      ["10.0.0.64", "no_match"],
      ["10.0.1.127", "no_match"],
      ["10.0.1.128", "dropped"],
      ["10.0.1.129", "no_match"],
      ["10.11.183.128", "dropped"],
      ["10.11.182.1", "dropped"],
      ["10.11.184.0", "no_match"],
      ["9.255.255.255", "no_match"],
    ] as const) {
      const frame = ipv4({ [address]: text }, udp());
      expect(await outcome(rules, frame, "egress"), text).toBe(expected);
    }
  });
});

it("keeps the sets of rules apart", async () => {
  const rules = [
    udpRule({ dport: [1, 3], saddr: ["10.0.0.1", "10.0.0.3"] }).drop(),
    udpRule({ dport: [2, 4], saddr: ["10.0.0.2", "10.0.0.4"] }).accept(),
  ];
  await funnel.replace({ egress: rules });
  for (const host of [1, 2, 3, 4]) {
    for (const dport of [1, 2, 3, 4]) {
      const frame = ipv4({ src: `10.0.0.${host}` }, udp({ dport }));
      expect(await outcome(rules, frame, "egress")).toBe(
        host % 2 !== dport % 2 ? "no_match" : host % 2 === 1 ? "dropped" : "accepted",
      );
    }
  }
});

it("gives the sets of old rules back, so that replaces do not add up", async () => {
  // The same program with little room, because filling all of it takes seconds.
  const room = 1000;
  const program = new URL("../../dist/bpf/sfunnel.bpf.o", import.meta.url);
  const object = must(await binding().load(readFileSync(program), { sets: room }));
  try {
    const tables = new RuleTables(object, binding().cpuNumbers);
    const ports = Array.from({ length: room / 2 }, (_, index) => 1 + index * 2);
    const rules = [udpRule({ dport: ports }).drop()];
    for (let round = 0; round < 5; round++) {
      await tables.replace({ ingress: [], egress: rules }, "replace");
    }
    // Old and new stand side by side during a replace, so this much is too much.
    const more = [udpRule({ dport: [...ports, 60_000] }).drop()];
    await expect(tables.replace({ ingress: [], egress: more }, "replace")).rejects.toMatchObject({
      code: "SFUNNEL_LIMIT",
    });
    // What was written until there was no room is gone as well.
    await tables.replace({ ingress: [], egress: rules }, "replace");
  } finally {
    object.close();
  }
});

it("names limit and number of too many members", async () => {
  const ports = Array.from({ length: 32_000 }, (_, index) => 1 + index * 2);
  const count = Math.floor(limits.setPrefixes / ports.length) + 1;
  // Each of its own: the same set in several rules is one.
  const rules = Array.from({ length: count }, (_, index) =>
    udpRule({ dport: ports.with(0, 64_100 + 2 * index) }).drop(),
  );
  const small = [udpRule({ dport: [7, 9] }).drop()];
  await funnel.replace({ egress: small });
  await expect(funnel.replace({ egress: rules })).rejects.toMatchObject({
    code: "SFUNNEL_LIMIT",
    what: "prefixes in sets",
    limit: limits.setPrefixes,
    found: count * ports.length,
  });
  expect(await outcome(small, ipv4({}, udp({ dport: 9 })), "egress")).toBe("dropped");
});
