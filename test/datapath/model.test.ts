/** The program in the kernel against the reference model, on random rulesets and frames. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel, formatRules, outcomeNames } from "../../lib/index.ts";
import { OUTCOMES, simulate } from "../../lib/model/index.ts";
import { randomFrame, randomRuleset } from "../support/arbitrary-frames.ts";
import { describeFrame, hex } from "../support/packet.ts";
import { type Random, seededRandom } from "../support/random.ts";

const FRAMES = Number(process.env.SFUNNEL_FUZZ_FRAMES ?? 20_000);
const FRAMES_A_RULESET = 100;
/** Repeat a failure with SFUNNEL_FUZZ_SEED=... npx vitest run test/datapath/model.test.ts */
const SEED = Number(process.env.SFUNNEL_FUZZ_SEED ?? Date.now() % 2 ** 32);

/** BPF_PROG_TEST_RUN of new kernels takes IP frames only with a whole IP header. */
function testableFrame(random: Random): Uint8Array {
  for (;;) {
    const frame = randomFrame(random);
    if (frame.length >= 54) return frame;
    const ethertype = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
    if (ethertype !== 0x86dd && (ethertype !== 0x0800 || frame.length >= 34)) return frame;
  }
}

describe(`model against kernel (seed ${SEED})`, () => {
  let funnel: Funnel;
  beforeAll(async () => {
    funnel = await Funnel.load({});
  });
  afterAll(() => funnel.close());

  it("names the same outcomes", () => expect(outcomeNames).toEqual(OUTCOMES));

  it(`agrees on ${FRAMES} frames, and counts each of them once`, async () => {
    const random = seededRandom(SEED);
    const seen = new Map<string, number>();
    for (let done = 0; done < FRAMES; done += FRAMES_A_RULESET) {
      const ruleset = randomRuleset(random);
      await funnel.replace(ruleset);
      for (let index = 0; index < FRAMES_A_RULESET; index++) {
        const frame = testableFrame(random);
        const direction = random.chance(0.5) ? "ingress" : "egress";
        const expected = simulate(ruleset, frame, { direction });
        const actual = await funnel.testRun(frame, { direction });
        if (
          actual.outcome !== expected.outcome ||
          actual.rule !== expected.rule ||
          actual.verdict !== expected.verdict ||
          (actual.verdict === "pass" && Buffer.compare(actual.frame, expected.frame) !== 0)
        ) {
          expect.fail(
            [
              `seed ${SEED}, frame ${done + index}, ${direction}`,
              formatRules(ruleset[direction] ?? []),
              `in     ${hex(frame)}`,
              describeFrame(frame),
              `model  ${expected.verdict} ${expected.outcome} rule ${expected.rule}`,
              describeFrame(expected.frame),
              `kernel ${actual.verdict} ${actual.outcome} rule ${actual.rule}`,
              describeFrame(actual.frame),
            ].join("\n"),
          );
        }
        const key = `${direction} ${actual.outcome}`;
        seen.set(key, (seen.get(key) ?? 0) + 1);
      }
    }
    const stats = await funnel.stats();
    for (const direction of ["ingress", "egress"] as const) {
      for (const outcome of outcomeNames) {
        expect([direction, outcome, stats[direction].outcomes[outcome].packets]).toEqual([
          direction,
          outcome,
          seen.get(`${direction} ${outcome}`) ?? 0,
        ]);
      }
    }
    // A comparison that never met a carrier would prove nothing.
    for (const outcome of ["funneled", "unfunneled", "not_carrier", "not_allowed", "fragment"]) {
      expect([...seen.keys()].some((key) => key.endsWith(` ${outcome}`))).toBe(true);
    }
  }, 300_000);
});
