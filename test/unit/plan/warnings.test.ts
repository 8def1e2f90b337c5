import { describe, expect, it } from "vitest";
import { type PlanOptions, type PlanWarningCode, plan } from "../../../lib/plan/index.ts";

const TCP = { address: "203.0.113.1", port: 80, protocol: "tcp" } as const;
const UDP = { address: "203.0.113.1", port: 2055, protocol: "udp" } as const;
const NETFLOW = { protocol: "udp", port: 2055 } as const;
const HTTP = { protocol: "tcp", port: 8080 } as const;
const BGP = { protocol: "tcp", port: 179 } as const;

/** Of every service whose flows are funneled. */
const ALWAYS: readonly PlanWarningCode[] = [
  ...(["affinity-list", "affinity-renewal", "affinity-per-node"] as const),
  "policy-sees-service-port",
];

/** The others, and what is said of each. */
function warned(options: PlanOptions): Partial<Record<PlanWarningCode, string>> {
  const { warnings } = plan(options);
  expect(warnings.map(({ code }) => code)).toEqual(expect.arrayContaining([...ALWAYS]));
  return Object.fromEntries(
    warnings
      .filter(({ code }) => !ALWAYS.includes(code))
      .map(({ code, message }) => [code, message]),
  );
}

const codes = (options: PlanOptions) => Object.keys(warned(options)).sort();

describe("warnings of a plan", () => {
  it.each<[string, PlanOptions, PlanWarningCode[]]>([
    ["TCP that is translated", { service: TCP, flows: [HTTP] }, ["address-replaced"]],
    [
      "BGP that is translated",
      { service: TCP, flows: [BGP] },
      ["address-replaced", "signed-not-translated"],
    ],
    [
      "BGP in carriers",
      { service: TCP, flows: [{ ...BGP, mode: "encap" }] },
      ["address-replaced", "backend-pinned", "mtu"],
    ],
    [
      "UDP in carriers of TCP",
      { service: TCP, flows: [NETFLOW, HTTP] },
      ["address-replaced", "backend-pinned", "mtu"],
    ],
    [
      "two kinds of carriers",
      { service: TCP, flows: [NETFLOW, HTTP], tcp: "encap" },
      ["address-replaced", "backend-pinned", "mtu", "source-port-matters"],
    ],
    [
      "carriers of UDP",
      { service: UDP, flows: [NETFLOW, BGP] },
      ["address-replaced", "mtu", "source-port-matters"],
    ],
    ["a gateway", { service: TCP, flows: [HTTP], client: "gateway" }, ["one-path"]],
    [
      "a gateway that puts flows into carriers",
      { service: TCP, flows: [NETFLOW], client: "gateway" },
      ["backend-pinned", "mtu", "one-path"],
    ],
    [
      "several gateways",
      { service: TCP, flows: [HTTP], client: "redundant-gateways" },
      ["backend-pinned", "mtu"],
    ],
    [
      "several gateways that translate",
      { service: TCP, flows: [HTTP], client: "redundant-gateways", tcp: "translate" },
      ["one-path"],
    ],
  ])("are those that %s is concerned with", (_, options, expected) => {
    expect(codes(options)).toEqual(expected);
  });

  it("leave out that a backend is pinned where carriers move", () => {
    const options = { service: TCP, flows: [NETFLOW] } as const;
    expect(codes(options)).toContain("backend-pinned");
    const moving = { ...options, sport: { first: 540, last: 571, every: 4 } };
    expect(codes(moving)).toEqual(codes(options).filter((code) => code !== "backend-pinned"));
  });

  it("say it where there is nothing to do, and nothing else", () => {
    expect(plan({ service: UDP, flows: [NETFLOW] })).toMatchObject({
      client: { ingress: [], egress: [] },
      service: { ingress: [], egress: [] },
      overhead: 0,
      warnings: [{ code: "nothing-to-funnel", message: expect.stringContaining("UDP/2055") }],
    });
  });

  it("are sentences that name what they are about", () => {
    const flows = [NETFLOW, { protocol: "udp", port: "6343-6345" }, HTTP] as const;
    const options = { service: TCP, flows, tcp: "encap" } as const;
    for (const { message } of plan(options).warnings) expect(message).toMatch(/^[A-Za-z].*\.$/);
    const said = warned(options);
    expect(said.mtu).toContain("TCP/8080 and UDP/{ 2055, 6343-6345 } grow by 20 bytes");
    expect(said.mtu).toContain("1480");
    expect(warned({ service: UDP, flows: [HTTP] }).mtu).toContain("by 8 bytes");
    expect(said["backend-pinned"]).toContain("(540 and 541)");
    expect(said["source-port-matters"]).toContain("540 (UDP inside) and 541 (TCP inside)");
    const several = warned({ ...options, sport: { first: 540, last: 549 } });
    expect(several["backend-pinned"]).toContain("(540-549 and 550-559)");
    expect(several["source-port-matters"]).toContain("540-549 (UDP inside) and 550-559 (TCP");
    expect(plan(options).warnings[0]?.message).toContain("100 client addresses");
    expect(plan(options).warnings[1]?.message).toContain("86400");
  });
});
