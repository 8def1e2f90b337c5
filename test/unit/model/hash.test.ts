import { describe, expect, it } from "vitest";
import { carrierOf } from "../../../lib/model/carrier-source.ts";
import type { Flow } from "../../../lib/model/frame.ts";
import { flowHash } from "../../../lib/model/hash.ts";
import { addressBytes } from "../../../lib/rules/address.ts";
import type { CarrierSourcePort } from "../../../lib/rules/types.ts";

function flow(changes: Partial<Flow> = {}): Flow {
  return {
    family: "ip",
    transport: "udp",
    saddr: addressBytes("192.0.2.1"),
    daddr: addressBytes("198.51.100.7"),
    sport: 40000,
    dport: 2055,
    ...changes,
  };
}

/** The hash once more, in arithmetic without a limit of bits. */
function hashInBigInts(words: readonly bigint[]): bigint {
  const mask = 0xffff_ffffn;
  return words.reduce((hash, word) => {
    const product = ((hash ^ word) * 0x85eb_ca6bn) & mask;
    return product ^ (product >> 15n);
  }, 0x9e37_79b9n);
}

describe("flowHash", () => {
  it("hashes the mapped addresses, the ports and the protocol", () => {
    const words = [
      [0n, 0n, 0x0000_ffffn, 0xc000_0201n],
      [0n, 0n, 0x0000_ffffn, 0xc633_6407n],
      [(40000n << 16n) | 2055n, 17n],
    ].flat();
    expect(BigInt(flowHash(flow()))).toBe(hashInBigInts(words));
  });

  it("hashes IPv6 addresses whole", () => {
    const words = [
      [0x2001_0db8n, 0n, 0n, 1n],
      [0x2001_0db8n, 0x00ff_0000n, 0n, 7n],
      [(40000n << 16n) | 2055n, 6n],
    ].flat();
    const six: Partial<Flow> = {
      family: "ip6",
      transport: "tcp",
      saddr: addressBytes("2001:db8::1"),
      daddr: addressBytes("2001:db8:ff::7"),
    };
    expect(BigInt(flowHash(flow(six)))).toBe(hashInBigInts(words));
  });

  // The wire depends on these: two nodes of different versions must agree.
  it("stays what it is", () => {
    expect(flowHash(flow())).toMatchInlineSnapshot(`3968701311`);
    expect(flowHash(flow({ transport: "tcp" }))).toMatchInlineSnapshot(`4228758638`);
  });

  it.each<[string, Partial<Flow>]>([
    ["source address", { saddr: addressBytes("192.0.2.2") }],
    ["destination address", { daddr: addressBytes("198.51.100.8") }],
    ["source port", { sport: 40001 }],
    ["destination port", { dport: 2056 }],
    ["transport", { transport: "tcp" }],
  ])("depends on the %s", (_, change) => {
    expect(flowHash(flow(change))).not.toBe(flowHash(flow()));
  });
});

/** The source port of a carrier. */
function carrierSourcePort(sport: CarrierSourcePort, of: Flow, time = 0): number {
  return carrierOf({ kind: "funnel", mode: "encap", over: "tcp", dport: 179, sport }, of, time)
    .sport;
}

describe("the source port of a carrier", () => {
  it("is the rule's, or the flow's own", () => {
    expect(carrierSourcePort({ kind: "fixed", port: 540 }, flow())).toBe(540);
    expect(carrierSourcePort({ kind: "keep" }, flow())).toBe(40000);
    expect(carrierSourcePort({ kind: "keep" }, flow({ sport: 0 }))).toBe(0);
  });

  it("is the only one of a range of one", () => {
    expect(carrierSourcePort({ kind: "range", first: 540, last: 540 }, flow())).toBe(540);
  });

  it("spreads flows evenly over a range, its ends included", () => {
    const counts = new Map<number, number>();
    const flows = 20_000;
    for (let index = 0; index < flows; index += 1) {
      // Neighbouring flows, as one host makes them.
      const one = flow({ sport: 1024 + (index % 1000), dport: 2000 + Math.floor(index / 1000) });
      const port = carrierSourcePort({ kind: "range", first: 540, last: 549 }, one);
      counts.set(port, (counts.get(port) ?? 0) + 1);
    }
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual([
      540, 541, 542, 543, 544, 545, 546, 547, 548, 549,
    ]);
    for (const count of counts.values()) {
      expect(count).toBeGreaterThan((flows / 10) * 0.9);
      expect(count).toBeLessThan((flows / 10) * 1.1);
    }
  });

  it("stays inside the widest range", () => {
    for (let sport = 0; sport < 2000; sport += 1) {
      const port = carrierSourcePort({ kind: "range", first: 1, last: 65535 }, flow({ sport }));
      expect(port).toBeGreaterThanOrEqual(1);
      expect(port).toBeLessThanOrEqual(65535);
    }
  });

  it("moves on by one after each such time, and comes round", () => {
    const walk = { kind: "range", first: 540, last: 549, every: 30 } as const;
    for (const each of [flow(), flow({ sport: 4711 }), flow({ dport: 4739 })]) {
      const ports = Array.from({ length: 20 }, (_, turn) =>
        carrierSourcePort(walk, each, turn * 30 + 29.9),
      );
      expect(ports).toEqual(ports.map((_, turn) => 540 + (turn % 10)));
    }
  });

  it("tells whose flow it is where it moves, in TCP alone", () => {
    const sport = { kind: "range", first: 540, last: 549, every: 30 } as const;
    const action = { kind: "funnel", mode: "encap", over: "tcp", dport: 179, sport } as const;
    const idOf = (of: Flow, time = 0) => carrierOf(action, of, time).flowId;
    expect(idOf(flow())).toBeGreaterThan(0);
    expect(idOf(flow(), 1000)).toBe(idOf(flow()));
    expect(idOf(flow({ saddr: addressBytes("192.0.2.2") }))).not.toBe(idOf(flow()));
    expect(carrierOf({ ...action, over: "udp" }, flow(), 0).flowId).toBeUndefined();
    const still = { kind: "range", first: 540, last: 549 } as const;
    expect(carrierOf({ ...action, sport: still }, flow(), 0).flowId).toBeUndefined();
  });
});
