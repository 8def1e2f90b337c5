import { describe, expect, it } from "vitest";
import { type PlanOptions, plan } from "../../../lib/plan/index.ts";
import { formatRules } from "../../../lib/rules/index.ts";

const BOTH = ["203.0.113.1", "2001:db8::1"];

/** TCP/179 at one address of IPv4. */
const BGP = { address: "203.0.113.1", port: 179, protocol: "tcp" } as const;
const NETFLOW = { protocol: "udp", port: 2055 } as const;
const HTTP = { protocol: "tcp", port: 8080 } as const;

/** The lists that hold rules, as lines of text. */
function lists(options: PlanOptions): Record<string, readonly string[]> {
  const { client, service } = plan(options);
  const all = {
    ...{ "client ingress": client.ingress, "client egress": client.egress },
    ...{ "service ingress": service.ingress, "service egress": service.egress },
  };
  return Object.fromEntries(
    Object.entries(all)
      .filter(([, rules]) => rules.length > 0)
      .map(([name, rules]) => [name, formatRules(rules).split("\n")]),
  );
}

describe("plan", () => {
  it("translates TCP and puts UDP into carriers, on a host by default", () => {
    expect(lists({ service: BGP, flows: [NETFLOW, HTTP] })).toEqual({
      "client egress": [
        "ip daddr 203.0.113.1 udp dport 2055 actions funnel tcp dport 179 sport 540",
        "ip daddr 203.0.113.1 tcp dport 8080 actions funnel translate tcp dport 179",
      ],
      "service ingress": [
        "tcp dport 179 actions unfunnel udp allow 2055",
        "tcp dport 179 actions unfunnel translate tcp allow 8080",
      ],
    });
  });

  it("puts the same rules at the ingress of a gateway", () => {
    const options = { service: BGP, flows: [NETFLOW, HTTP] };
    expect(plan({ ...options, client: "gateway" }).client).toEqual({
      ingress: plan(options).client.egress,
      egress: [],
    });
  });

  it("gives rules of both families for addresses of both", () => {
    const service = { ...BGP, address: [...BOTH, "203.0.113.2"] };
    expect(lists({ service, flows: [NETFLOW] })).toEqual({
      "client egress": [
        "ip daddr { 203.0.113.1, 203.0.113.2 } udp dport 2055 actions funnel tcp dport 179 sport 540",
        "ip6 daddr 2001:db8::1 udp dport 2055 actions funnel tcp dport 179 sport 540",
      ],
      "service ingress": ["tcp dport 179 actions unfunnel udp allow 2055"],
    });
  });

  it("takes ports as the builders do, and allows those and no other", () => {
    const flows = [
      { protocol: "udp", port: [6343, "2055-2057", 2058] },
      { protocol: "udp", port: "4739" },
    ] as const;
    expect(lists({ service: BGP, flows })).toEqual({
      "client egress": [
        "ip daddr 203.0.113.1 udp dport { 2055-2058, 6343 } actions funnel tcp dport 179 sport 540",
        "ip daddr 203.0.113.1 udp dport 4739 actions funnel tcp dport 179 sport 540",
      ],
      "service ingress": ["tcp dport 179 actions unfunnel udp allow { 2055-2058, 4739, 6343 }"],
    });
  });

  it("tells carriers of TCP and of UDP apart by a source port of their own", () => {
    expect(lists({ service: BGP, flows: [NETFLOW, HTTP], tcp: "encap", sport: 700 })).toEqual({
      "client egress": [
        "ip daddr 203.0.113.1 udp dport 2055 actions funnel tcp dport 179 sport 700",
        "ip daddr 203.0.113.1 tcp dport 8080 actions funnel tcp dport 179 sport 701",
      ],
      "service ingress": [
        "tcp sport 700 dport 179 actions unfunnel udp allow 2055",
        "tcp sport 701 dport 179 actions unfunnel tcp allow 8080",
      ],
    });
  });

  it("lets one flow travel in another way than the rest", () => {
    const signed = { protocol: "tcp", port: 179, mode: "encap" } as const;
    const service = { ...BGP, port: 80 };
    expect(lists({ service, flows: [HTTP, signed] })).toEqual({
      "client egress": [
        "ip daddr 203.0.113.1 tcp dport 8080 actions funnel translate tcp dport 80",
        "ip daddr 203.0.113.1 tcp dport 179 actions funnel tcp dport 80 sport 540",
      ],
      "service ingress": [
        "tcp dport 80 actions unfunnel tcp allow 179",
        "tcp dport 80 actions unfunnel translate tcp allow 8080",
      ],
    });
  });

  it("gives each kind of carriers ports of its own to move through", () => {
    const sport = { first: 540, last: 571, every: 4 };
    const others = { first: 572, last: 603, every: 4 };
    const flows = [NETFLOW, HTTP];
    const options = { service: BGP, flows, client: "redundant-gateways", sport } as const;
    expect(lists(options)).toEqual({
      "client ingress": [
        "ip daddr 203.0.113.1 udp dport 2055 actions funnel tcp dport 179 sport 540-571 every 4s",
        "ip daddr 203.0.113.1 tcp dport 8080 actions funnel tcp dport 179 sport 572-603 every 4s",
      ],
      "client egress": [
        "ip saddr 203.0.113.1 tcp dport 540-571 actions unfunnel udp allow 1-65535",
        "ip saddr 203.0.113.1 tcp dport 572-603 actions unfunnel tcp allow 1-65535",
      ],
      "service ingress": [
        "tcp sport 540-571 dport 179 actions unfunnel udp allow 2055",
        "tcp sport 572-603 dport 179 actions unfunnel tcp allow 8080",
      ],
    });
    expect(plan(options).flows.map((flow) => flow.sport)).toEqual([sport, others]);
    // One kind is known by its fixed fields.
    expect(lists({ service: BGP, flows: [NETFLOW], sport })["service ingress"]).toEqual([
      "tcp dport 179 actions unfunnel udp allow 2055",
    ]);
  });

  it("leaves the service port's own traffic alone, where a flow holds it too", () => {
    const telemetry = { address: "203.0.113.1", port: 2055, protocol: "udp" } as const;
    const flows = [
      { protocol: "udp", port: [2055, 4739] },
      { protocol: "tcp", port: 179 },
    ] as const;
    expect(lists({ service: telemetry, flows })).toEqual({
      "client egress": [
        "ip daddr 203.0.113.1 udp dport 4739 actions funnel udp dport 2055 sport 540",
        "ip daddr 203.0.113.1 tcp dport 179 actions funnel udp dport 2055 sport 541",
      ],
      "service ingress": [
        "udp sport 540 dport 2055 actions unfunnel udp allow 4739",
        "udp sport 541 dport 2055 actions unfunnel tcp allow 179",
      ],
    });
    expect(plan({ service: telemetry, flows }).flows).toEqual([
      {
        ...{ protocol: "udp", ports: [{ first: 2055, last: 2055 }] },
        ...{ mode: "direct", overhead: 0, sport: undefined },
      },
      {
        ...{ protocol: "udp", ports: [{ first: 4739, last: 4739 }] },
        ...{ mode: "encap", overhead: 8, sport: 540 },
      },
      {
        ...{ protocol: "tcp", ports: [{ first: 179, last: 179 }] },
        ...{ mode: "encap", overhead: 8, sport: 541 },
      },
    ]);
  });

  it("cuts the service port out of a range", () => {
    const flows = [{ protocol: "tcp", port: "170-190" }] as const;
    expect(lists({ service: BGP, flows })).toEqual({
      "client egress": [
        "ip daddr 203.0.113.1 tcp dport { 170-178, 180-190 } actions funnel translate tcp dport 179",
      ],
      "service ingress": [
        "tcp dport 179 actions unfunnel translate tcp allow { 170-178, 180-190 }",
      ],
    });
  });

  it("goes by the source port of carriers of UDP, which have no fixed fields", () => {
    const service = { ...BGP, port: 2055, protocol: "udp" } as const;
    expect(lists({ service, flows: [HTTP] })).toEqual({
      "client egress": [
        "ip daddr 203.0.113.1 tcp dport 8080 actions funnel udp dport 2055 sport 540",
      ],
      "service ingress": ["udp sport 540 dport 2055 actions unfunnel tcp allow 8080"],
    });
  });

  it("takes answers to other gateways' flows out of their carriers, where there are several", () => {
    const options = { flows: [NETFLOW, HTTP], client: "redundant-gateways" } as const;
    expect(lists({ ...options, service: { ...BGP, address: BOTH } })).toEqual({
      "client ingress": [
        "ip daddr 203.0.113.1 udp dport 2055 actions funnel tcp dport 179 sport 540",
        "ip6 daddr 2001:db8::1 udp dport 2055 actions funnel tcp dport 179 sport 540",
        "ip daddr 203.0.113.1 tcp dport 8080 actions funnel tcp dport 179 sport 541",
        "ip6 daddr 2001:db8::1 tcp dport 8080 actions funnel tcp dport 179 sport 541",
      ],
      "client egress": [
        "ip saddr 203.0.113.1 tcp dport 540 actions unfunnel udp allow 1-65535",
        "ip saddr 203.0.113.1 tcp dport 541 actions unfunnel tcp allow 1-65535",
        "ip6 saddr 2001:db8::1 tcp dport 540 actions unfunnel udp allow 1-65535",
        "ip6 saddr 2001:db8::1 tcp dport 541 actions unfunnel tcp allow 1-65535",
      ],
      "service ingress": [
        "tcp sport 540 dport 179 actions unfunnel udp allow 2055",
        "tcp sport 541 dport 179 actions unfunnel tcp allow 8080",
      ],
    });
    const service = { ...BGP, port: 2055, protocol: "udp" } as const;
    expect(lists({ ...options, service })["client egress"]).toEqual([
      "ip saddr 203.0.113.1 udp sport 2055 dport 540 actions unfunnel tcp allow 1-65535",
    ]);
  });

  it("counts the bytes that each flow grows by", () => {
    const planned = plan({ service: BGP, flows: [HTTP, NETFLOW, { protocol: "tcp", port: 179 }] });
    expect(planned.flows.map(({ mode, overhead }) => `${mode} ${overhead}`)).toEqual([
      ...["translate 0", "encap 20", "direct 0"],
    ]);
    expect(planned.overhead).toBe(20);
    expect(plan({ service: BGP, flows: [HTTP] }).overhead).toBe(0);
    const udp = { ...BGP, port: 2055, protocol: "udp" } as const;
    expect(plan({ service: udp, flows: [HTTP] }).overhead).toBe(8);
  });

  it("is frozen all the way down", () => {
    const planned = plan({ service: BGP, flows: [NETFLOW, HTTP], client: "redundant-gateways" });
    const thawed = (value: unknown): unknown[] =>
      typeof value === "object" && value !== null
        ? [...(Object.isFrozen(value) ? [] : [value]), ...Object.values(value).flatMap(thawed)]
        : [];
    expect(thawed(planned)).toEqual([]);
  });
});
