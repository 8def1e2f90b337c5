/** The generators have to reach every corner, or what compares with them proves little. */

import { expect, it } from "vitest";
import { OUTCOMES, type Outcome, Simulator, simulate } from "../../../lib/model/index.ts";
import { formatRules } from "../../../lib/rules/format.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import { randomError, randomFrame, randomRuleset } from "../../support/arbitrary-frames.ts";
import { seededRandom } from "../../support/random.ts";

it("reach every outcome of the model that a frame of this size can have, and not seldom", () => {
  const random = seededRandom(1);
  const counts = new Map<Outcome, number>(OUTCOMES.map((outcome) => [outcome, 0]));
  for (let rulesets = 0; rulesets < 200; rulesets += 1) {
    const ruleset = randomRuleset(random);
    for (let frames = 0; frames < 50; frames += 1) {
      const direction = random.chance(50) ? "egress" : "ingress";
      const { outcome } = simulate(ruleset, randomFrame(random), { direction });
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    }
  }
  const seldom = [...counts].filter(([, count]) => count < 50).map(([outcome]) => outcome);
  // Replies take two frames; test/datapath/model.test.ts sends them in pairs.
  const replies = ["reply_funneled", "reply_unfunneled", "no_free_port"];
  expect(seldom).toEqual([
    ...replies,
    "segmented",
    "no_segmenter",
    "too_big",
    "too_big_reported",
    "error_unfunneled",
    "error_funneled",
    "quote_too_short",
    "failed",
  ]);
});

it("make errors that are turned either way, cut short, or nothing to us, none of it seldom", () => {
  const random = seededRandom(4);
  const counts = new Map<Outcome, number>();
  for (let rounds = 0; rounds < 4000; rounds += 1) {
    const over = random.pick(["tcp", "udp"]);
    const funnels = random.chance(50);
    const rules = funnels
      ? `udp actions funnel ${over} dport 179 sport 540; tcp actions funnel ${over} dport 179 sport 540`
      : `${over} actions unfunnel udp`;
    const simulator = new Simulator({ egress: parseRules(rules) });
    const passed = simulator.run(randomFrame(random), { direction: "egress" });
    if (!passed.outcome.endsWith("funneled")) continue;
    const error = randomError(random, passed.frame);
    const { outcome } = simulator.run(error, { direction: "ingress" });
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    expect(error.length).toBeLessThanOrEqual(1700);
  }
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const share = (outcome: Outcome) => (counts.get(outcome) ?? 0) / all;
  expect(share("error_unfunneled")).toBeGreaterThan(0.2);
  expect(share("error_funneled")).toBeGreaterThan(0.05);
  expect(share("quote_too_short")).toBeGreaterThan(0.02);
  expect(share("not_tcp_udp")).toBeGreaterThan(0.1);
});

it("say the same for the same seed", () => {
  const [one, other] = [seededRandom(7), seededRandom(7)];
  expect(randomRuleset(one)).toEqual(randomRuleset(other));
  for (let index = 0; index < 20; index += 1) {
    expect(randomFrame(one)).toEqual(randomFrame(other));
  }
});

it("make frames that BPF_PROG_TEST_RUN takes", () => {
  const random = seededRandom(2);
  for (let index = 0; index < 5000; index += 1) {
    const { length } = randomFrame(random);
    expect(length).toBeGreaterThanOrEqual(14);
    expect(length).toBeLessThanOrEqual(1700);
  }
});

it("make rules as canonical as the parser's", () => {
  const random = seededRandom(3);
  for (let index = 0; index < 200; index += 1) {
    const { ingress = [], egress = [] } = randomRuleset(random);
    for (const rules of [ingress, egress]) {
      expect(parseRules(formatRules(rules))).toEqual(rules);
    }
  }
});
