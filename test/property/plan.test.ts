/** What holds for every plan that can be made. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type PlanOptions, plan } from "../../lib/plan/index.ts";
import {
  checkRules,
  formatRules,
  parseRules,
  portsInclude,
  validateRules,
} from "../../lib/rules/index.ts";

const transport = fc.constantFrom("tcp" as const, "udp" as const);
const mode = fc.constantFrom("translate" as const, "encap" as const);
const ADDRESSES = ["203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"];

/** Ports from a span of its own for each flow, so that no two flows share one. */
const SPAN = 500;

const asked = fc.record({
  address: fc.subarray(ADDRESSES, { minLength: 1 }),
  port: fc.integer({ min: 1, max: 5 * SPAN }),
  protocol: transport,
  flows: fc.array(
    fc.record({
      protocol: transport,
      ports: fc.array(fc.integer({ min: 1, max: SPAN - 1 }), { minLength: 1, maxLength: 4 }),
      upTo: fc.option(fc.integer({ min: 1, max: SPAN - 1 })),
      mode: fc.option(mode),
    }),
    { minLength: 1, maxLength: 5 },
  ),
  client: fc.constantFrom("host" as const, "gateway" as const, "redundant-gateways" as const),
  tcp: fc.option(mode),
  sport: fc.integer({ min: 1, max: 65534 }),
  // For so many ports more, and so many seconds each.
  more: fc.option(fc.integer({ min: 0, max: 200 })),
  every: fc.option(fc.integer({ min: 121, max: 86400 })),
});

/** From a port that leaves room for two kinds of carriers. */
function sportOf(sport: number, more: number | null, every: number | null, moves: boolean) {
  if (more === null) return sport;
  const first = Math.min(sport, 65535 - 2 * more - 1);
  return { first, last: first + more, ...(every !== null && moves && { every }) };
}

const options = asked.map((each): PlanOptions => {
  const { address, port, protocol, flows, tcp, sport, more, every, ...others } = each;
  const overTcp = protocol === "tcp";
  return {
    ...others,
    service: { address, port, protocol },
    sport: sportOf(sport, more, every, overTcp),
    ...(tcp !== null && overTcp && { tcp }),
    flows: flows.map((flow, index) => ({
      protocol: flow.protocol,
      port: [
        ...flow.ports.map((each) => index * SPAN + each),
        ...(flow.upTo === null ? [] : [`${index * SPAN + 1}-${index * SPAN + flow.upTo}`]),
      ],
      ...(flow.mode !== null && flow.protocol === "tcp" && overTcp && { mode: flow.mode }),
    })),
  };
});

const listsOf = ({ client, service }: ReturnType<typeof plan>) => [
  ...[client.ingress, client.egress, service.ingress, service.egress],
];

describe("every plan", () => {
  it("has rules without an error, each of which is reached, and the same as text", () => {
    fc.assert(
      fc.property(options, (each) => {
        for (const rules of listsOf(plan(each))) {
          validateRules(rules);
          expect(parseRules(formatRules(rules))).toEqual(rules);
          const codes = checkRules(rules).map(({ code }) => code);
          // Where carriers hold different protocols, their source ports have to tell them apart.
          expect(codes.filter((code) => code !== "unfunnel-matches-sport")).toEqual([]);
        }
      }),
    );
  });

  it("takes every flow out where it put it in, and no other port", () => {
    fc.assert(
      fc.property(options, (each) => {
        const { flows, service } = plan(each);
        const allowed = (inner: string, kind: string, port: number) =>
          service.ingress.some(
            ({ action }) =>
              action.kind === "unfunnel" &&
              action.mode === kind &&
              action.inner === inner &&
              portsInclude(action.allow ?? [], port),
          );
        for (const { protocol, ports, mode: how } of flows) {
          for (const { first, last } of ports) {
            for (const port of [first, last]) {
              expect(allowed(protocol, "decap", port)).toBe(how === "encap");
              expect(allowed(protocol, "translate", port)).toBe(how === "translate");
            }
          }
        }
        for (const { match, action } of service.ingress) {
          expect(match.saddr ?? match.daddr).toBeUndefined();
          expect(action).toHaveProperty("allow");
        }
      }),
    );
  });

  it("leaves the service port itself alone", () => {
    fc.assert(
      fc.property(options, (each) => {
        const { client } = plan(each);
        const { port, protocol } = each.service;
        for (const { match, action } of [...client.ingress, ...client.egress]) {
          if (action.kind !== "funnel") continue;
          expect(match.daddr).toBeDefined();
          const own = match.transport === protocol && portsInclude(match.dport?.ranges ?? [], port);
          expect(own).toBe(false);
        }
      }),
    );
  });
});
