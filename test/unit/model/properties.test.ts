import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OUTCOMES, simulate } from "../../../lib/model/index.ts";
import type { Rule, Ruleset, Transport } from "../../../lib/rules/types.ts";
import {
  arbitraryAddress,
  arbitraryFamily,
  arbitraryFlowFrame,
  arbitraryFrame,
  arbitraryPort,
  arbitraryRuleset,
} from "../../support/arbitrary-frames.ts";
import { checksumsOf, nat } from "../../support/packet.ts";

/** Beyond what any MSS could ask for, so that none is lowered: frames come back as they were. */
const MTU = 100_000;

const arbitraryTransport = fc.constantFrom<Transport>("tcp", "udp");

/** A pair of rules, one for each side. */
function pair(flow: Transport, over: Transport, dport: number, sport: number): Ruleset {
  const funnel: Rule = {
    match: { transport: flow },
    action: { kind: "funnel", mode: "encap", over, dport, sport: { kind: "fixed", port: sport } },
  };
  const unfunnel: Rule = {
    match: {
      transport: over,
      dport: { negate: false, ranges: [{ first: dport, last: dport }] },
    },
    action: { kind: "unfunnel", mode: "decap", inner: flow },
  };
  return { egress: [funnel], ingress: [unfunnel] };
}

describe("push and pop", () => {
  it("give the frame back", () => {
    fc.assert(
      fc.property(
        arbitraryFlowFrame,
        arbitraryTransport,
        arbitraryPort,
        arbitraryPort,
        ({ family, transport, frame }, over, dport, sport) => {
          const ruleset = pair(transport, over, dport, sport);
          const pushed = simulate(ruleset, frame, { direction: "egress", mtu: MTU });
          expect(pushed.outcome).toBe("funneled");
          const states = checksumsOf(pushed.frame, transport);
          expect(states.ip).toBe(family === "ip" ? "right" : undefined);
          expect(states.outer).toBe("right");
          expect(states.inner).toBe(checksumsOf(frame).outer);
          const popped = simulate(ruleset, pushed.frame, { direction: "ingress", mtu: MTU });
          expect(popped.outcome).toBe("unfunneled");
          expect(popped.frame).toEqual(frame);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("survive a NAT that knows only the carrier", () => {
    fc.assert(
      fc.property(
        arbitraryFamily.chain((family) =>
          fc.record({
            flow: arbitraryFlowFrame.filter((flow) => flow.family === family),
            to: fc.record({
              src: arbitraryAddress(family),
              dst: arbitraryAddress(family),
              sport: arbitraryPort,
            }),
          }),
        ),
        arbitraryTransport,
        arbitraryPort,
        arbitraryPort,
        ({ flow: { transport, frame }, to }, over, dport, sport) => {
          const ruleset = pair(transport, over, dport, sport);
          const pushed = simulate(ruleset, frame, { direction: "egress", mtu: MTU });
          const arrived = nat(pushed.frame, to);
          const popped = simulate(ruleset, arrived, { direction: "ingress", mtu: MTU });
          expect(popped.outcome).toBe("unfunneled");
          expect(checksumsOf(popped.frame)).toEqual({ ...checksumsOf(frame), inner: undefined });
          // As if the NAT had met the flow itself.
          expect(popped.frame).toEqual(nat(frame, { src: to.src, dst: to.dst }));
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("any frame through any ruleset", () => {
  it("ends in one outcome, whose verdict and frame go with it", () => {
    const answered = new Set(["too_big_reported", "translate_not_allowed", "translate_lost"]);
    const drops = new Set(["dropped", "not_allowed", "too_big", ...answered]);
    const overhead: Record<Transport, number> = { tcp: 20, udp: 8 };
    fc.assert(
      fc.property(
        arbitraryRuleset,
        arbitraryFrame,
        fc.constantFrom("ingress" as const, "egress" as const),
        (ruleset, frame, direction) => {
          const before = new Uint8Array(frame);
          const result = simulate(ruleset, frame, { direction });
          expect(frame).toEqual(before);
          expect(OUTCOMES).toContain(result.outcome);
          expect(result.verdict).toBe(drops.has(result.outcome) ? "drop" : "pass");
          const rule = result.rule === undefined ? undefined : ruleset[direction]?.[result.rule];
          const translates = rule && "mode" in rule.action && rule.action.mode === "translate";
          if (result.outcome === "funneled" && rule?.action.kind === "funnel") {
            const grown = result.frame.length - frame.length;
            // A SYN may have lost its payload.
            if (translates) expect(grown).toBeLessThanOrEqual(0);
            else expect(grown).toBe(overhead[rule.action.over]);
          } else if (result.outcome === "unfunneled" && rule?.action.kind === "unfunnel") {
            const lost = frame.length - result.frame.length;
            expect(lost).toBe(translates ? 0 : overhead[rule.match.transport]);
          } else if (!answered.has(result.outcome)) {
            expect(result.frame).toEqual(frame);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
