/** The program in the kernel against the reference model, on random rulesets and frames. */
import { describe, expect, it } from "vitest";
import {
  type Direction,
  Funnel,
  formatRules,
  outcomeNames,
  type TestRunResult,
} from "../../lib/index.ts";
import { OUTCOMES, type Simulation, Simulator } from "../../lib/model/index.ts";
import { randomError, randomFrame, randomRuleset } from "../support/arbitrary-frames.ts";
import { describeFrame, hex } from "../support/packet.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { replyTo } from "../support/reply.ts";

const FRAMES = Number(process.env.SFUNNEL_FUZZ_FRAMES ?? 20_000);
const FRAMES_A_RULESET = 100;
/** A fresh pair now and then: the kernel lets silent flows give way, the model knows no time. */
const FRAMES_A_FUNNEL = 2_000;
/** Frames that may still be answered, or reported. */
const RECENT = 8;
/** Repeat a failure with SFUNNEL_FUZZ_SEED=... npx vitest run test/datapath/model.test.ts */
const SEED = Number(process.env.SFUNNEL_FUZZ_SEED ?? Date.now() % 2 ** 32);

interface Sent {
  readonly frame: Uint8Array;
  readonly direction: Direction;
}

/** A packet that got its carrier or lost it: as it came, and as it went on. */
interface Passed extends Sent {
  readonly came: Uint8Array;
}

/** What becomes of a packet that gets its carrier or loses it. */
const PASSED: readonly string[] = ["funneled", "unfunneled", "reply_funneled", "reply_unfunneled"];
/** And of an error about it. */
const TURNED: readonly string[] = ["error_unfunneled", "error_funneled", "quote_too_short"];

function opposite(direction: Direction): Direction {
  return direction === "ingress" ? "egress" : "ingress";
}

/** BPF_PROG_TEST_RUN of new kernels takes IP frames only with a whole IP header. */
function testable(make: () => Uint8Array): Uint8Array {
  for (;;) {
    const frame = make();
    if (frame.length >= 54) return frame;
    const ethertype = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
    if (ethertype !== 0x86dd && (ethertype !== 0x0800 || frame.length >= 34)) return frame;
  }
}

describe(`model against kernel (seed ${SEED})`, () => {
  it("names the same outcomes", () => expect(outcomeNames).toEqual(OUTCOMES));

  it(`agrees on ${FRAMES} frames, and counts each of them once`, async () => {
    const random = seededRandom(SEED);
    const seen = new Set<string>();
    for (let done = 0; done < FRAMES; done += FRAMES_A_FUNNEL) {
      for (const outcome of await compare(random, done)) seen.add(outcome);
    }
    // A comparison that never met a carrier would prove nothing.
    for (const outcome of [...PASSED, ...TURNED, "not_carrier", "not_allowed", "fragment"]) {
      expect(seen).toContain(outcome);
    }
  }, 3_600_000);
});

/** One Funnel and one model, both of which remember flows; gives the outcomes that came up. */
async function compare(random: Random, first: number): Promise<Set<string>> {
  const funnel = await Funnel.load({});
  try {
    const simulator = new Simulator({});
    const passed: Passed[] = [];
    const counts = new Map<string, number>();
    for (let done = 0; done < FRAMES_A_FUNNEL; done++) {
      if (done % FRAMES_A_RULESET === 0) {
        const ruleset = randomRuleset(random);
        await funnel.replace(ruleset);
        simulator.replace(ruleset);
      }
      const sent = nextFrame(random, passed);
      const expected = simulator.run(sent.frame, { direction: sent.direction });
      const actual = await funnel.testRun(sent.frame, { direction: sent.direction });
      if (differ(actual, expected)) {
        expect.fail(describeDifference(first + done, sent, funnel, expected, actual));
      }
      if (PASSED.includes(actual.outcome)) {
        passed.push({ ...sent, came: sent.frame, frame: actual.frame });
        if (passed.length > RECENT) passed.shift();
      }
      const key = `${sent.direction} ${actual.outcome}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const stats = await funnel.stats();
    for (const direction of ["ingress", "egress"] as const) {
      for (const outcome of outcomeNames) {
        const counted = stats[direction].outcomes[outcome].packets;
        expect([direction, outcome, counted]).toEqual([
          direction,
          outcome,
          counts.get(`${direction} ${outcome}`) ?? 0,
        ]);
      }
    }
    return new Set([...counts.keys()].map((key) => key.split(" ")[1] ?? ""));
  } finally {
    await funnel.close();
  }
}

/** A reply to a frame that went through a moment ago, an error about it, or another altogether. */
function nextFrame(random: Random, passed: readonly Passed[]): Sent {
  if (passed.length > 0 && random.chance(30)) {
    const { frame, direction } = random.pick(passed);
    return { frame: replyTo(frame), direction: opposite(direction) };
  }
  if (passed.length > 0 && random.chance(20)) return nextError(random, random.pick(passed));
  return {
    frame: testable(() => randomFrame(random)),
    direction: random.chance(50) ? "ingress" : "egress",
  };
}

/** Mostly about the packet as it went on, which is what comes back by the other hook. */
function nextError(random: Random, { came, frame, direction }: Passed): Sent {
  const about = random.chance(85) ? frame : came;
  return {
    frame: testable(() => randomError(random, about)),
    direction: random.chance(85) ? opposite(direction) : direction,
  };
}

function differ(actual: TestRunResult, expected: Simulation): boolean {
  return (
    actual.outcome !== expected.outcome ||
    actual.rule !== expected.rule ||
    actual.verdict !== expected.verdict ||
    (actual.verdict === "pass" && Buffer.compare(actual.frame, expected.frame) !== 0)
  );
}

function describeDifference(
  index: number,
  sent: Sent,
  funnel: Funnel,
  expected: Simulation,
  actual: TestRunResult,
): string {
  return [
    `seed ${SEED}, frame ${index}, ${sent.direction}`,
    formatRules(funnel.rules[sent.direction]),
    `in     ${hex(sent.frame)}`,
    describeFrame(sent.frame),
    `model  ${expected.verdict} ${expected.outcome} rule ${expected.rule}`,
    describeFrame(expected.frame),
    `kernel ${actual.verdict} ${actual.outcome} rule ${actual.rule}`,
    describeFrame(actual.frame),
  ].join("\n");
}
